"""Axis letters, and the frames of a stack that they imply."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

LETTERS = "TZCYXS"
"""Time, depth, channel, height, width, colour samples."""

_WORDS = {
    "T": ("t", "time", "timepoint", "timepoints", "frame", "frames"),
    "Z": ("z", "depth", "plane", "planes", "slice", "slices", "section", "sections"),
    "C": ("c", "ch", "channel", "channels"),
    "Y": ("y", "row", "rows", "height"),
    "X": ("x", "col", "cols", "column", "columns", "width"),
}
"""What people and programs call an axis, in lower case: the one table of it."""
_LETTER_OF = {word: letter for letter, words in _WORDS.items() for word in words}

Index = tuple[int | slice, ...]


@dataclass(frozen=True)
class Layout:
    """Which dimensions of an array form a frame, and which number the frames.

    A frame spans Y and X, and S where the data has colour samples. `array[index]` reads
    a frame in the data's own order of axes, and ``array[index] = frame`` writes it.

    Parameters
    ----------
    axes
        One letter per dimension, of T Z C Y X S; any order.
    shape
        Of the array.

    Raises
    ------
    ValueError
        The letters do not describe the shape.

    Examples
    --------
    >>> layout = Layout("YXT", (5, 7, 2))
    >>> [index[2] for index in layout.frames], layout.frame_axes
    ([0, 1], 'YX')
    """

    axes: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        _check(self.axes, self.shape)

    def size(self, letter: str) -> int:
        """Length along an axis; 1 for an axis the data does not have."""
        return self.shape[self.axes.index(letter)] if letter in self.axes else 1

    @property
    def frame_axes(self) -> str:
        """Letters of `array[index]`, in the data's order."""
        return "".join(a for a in self.axes if a in "YXS")

    @cached_property
    def frames(self) -> tuple[Index, ...]:
        """An index per frame, first axis slowest."""
        choices: list[Sequence[int | slice]] = [
            (slice(None),) if letter in "YXS" else range(length)
            for letter, length in zip(self.axes, self.shape, strict=True)
        ]
        return tuple(product(*choices))

    def window(self, index: Index, where: tuple[slice, slice]) -> Index:
        """Index of some rows and columns of a frame: `array[window]` reads no more."""
        parts = dict(zip("YX", where, strict=True))
        return tuple(parts.get(a, entry) for a, entry in zip(self.axes, index, strict=True))

    def channel_of(self, frame: int) -> int:
        """Position of a frame along C; 0 for data without channels."""
        if "C" not in self.axes:
            return 0
        position = self.frames[frame][self.axes.index("C")]
        assert isinstance(position, int)  # noqa: S101 - C never spans a frame
        return position

    def series(self, channel: int) -> tuple[int, ...]:
        """Numbers of the frames of one channel, in order."""
        return tuple(i for i in range(len(self.frames)) if self.channel_of(i) == channel)

    def neighbour(self, frame: int) -> int | None:
        """Find the next frame along T, else along Z; None at the end or without such an axis."""
        for letter in "TZ":
            if (following := self.along(frame, letter, 1)) is not None:
                return following
        return None

    def along(self, frame: int, letter: str, offset: int) -> int | None:
        """Find the frame so many positions further along an axis; None beyond its ends."""
        if letter not in self.axes:
            return None
        axis = self.axes.index(letter)
        index = list(self.frames[frame])
        position = index[axis]
        if not isinstance(position, int) or not 0 <= position + offset < self.shape[axis]:
            return None
        index[axis] = position + offset
        return self._number(tuple(index))

    def _number(self, index: Index) -> int:
        number = 0
        for position, length, letter in zip(index, self.shape, self.axes, strict=True):
            if letter not in "YXS":
                assert isinstance(position, int)  # noqa: S101
                number = number * length + position
        return number


def letter_of(label: object) -> str | None:
    """Letter of an axis by what it is called, such as Z for "Depth"; None where that says nothing.

    >>> letter_of("Depth"), letter_of("-3")
    ('Z', None)
    """
    return _LETTER_OF.get(str(label).strip().lower())


def letters_of(labels: Iterable[object]) -> str | None:
    """Letters of axes by what they are called; None unless all are known, each once, Y and X too.

    >>> letters_of(("plane", "row", "column"))
    'ZYX'
    """
    found = [letter_of(label) for label in labels]
    letters = "".join(letter or "?" for letter in found)
    known = None not in found and len(set(letters)) == len(letters)
    return letters if known and {"Y", "X"} <= set(letters) else None


def plane_chunks(axes: str, shape: Sequence[int]) -> tuple[int, ...]:
    """Chunks of one plane each."""
    return tuple(n if a in "YXS" else 1 for a, n in zip(axes, shape, strict=True))


def guess_axes(shape: Sequence[int], *, rgb: bool = False) -> str:
    """Letters for data that come without any: YX last, T and Z before, S for colour.

    Raises
    ------
    ValueError
        Fewer than 2 or more than 5 dimensions besides the colour samples.
    """
    count = len(shape) - rgb
    if not 2 <= count <= 5:
        raise ValueError(
            f"cannot guess the axes of data with shape {tuple(shape)}: expected 2 to 5 "
            "dimensions besides colour samples; pass axes, for example axes='TZCYX'"
        )
    # A single leading axis is most often time; with two, depth varies faster.
    return {2: "YX", 3: "TYX", 4: "TZYX", 5: "TZCYX"}[count] + "S" * rgb


def looks_like_color(shape: Sequence[int]) -> bool:
    """Whether the last axis is more likely red, green, blue (and alpha) than a width."""
    return len(shape) >= 3 and shape[-1] in (3, 4) and min(shape[-3:-1]) >= 16


def _check(axes: str, shape: tuple[int, ...]) -> None:
    unknown = sorted(set(axes) - set(LETTERS))
    if unknown:
        raise ValueError(f"axes {axes!r} hold {unknown}: expected letters of {LETTERS}")
    if len(set(axes)) != len(axes):
        raise ValueError(f"axes {axes!r} name an axis twice: use each letter once")
    if len(axes) != len(shape):
        hint = ""
        if 2 <= len(shape) <= 5:
            hint = f": pass axes='{guess_axes(shape)}'"
        raise ValueError(
            f"axes {axes!r} name {len(axes)} axes but the data has {len(shape)} "
            f"dimensions {shape}{hint}"
        )
    if not {"Y", "X"} <= set(axes):
        raise ValueError(f"axes {axes!r} lack Y or X: a frame needs both")
    if 0 in shape:
        raise ValueError(f"data of shape {shape} is empty: every axis needs at least 1")
    if "S" in axes and shape[axes.index("S")] not in (1, 2, 3, 4):
        raise ValueError(
            f"axis S of data {shape} has {shape[axes.index('S')]} samples: expected 1 to 4 "
            "(gray, gray + alpha, RGB, RGBA); use C for other channels"
        )
