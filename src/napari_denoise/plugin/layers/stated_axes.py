"""The axes of a layer: known, guessed, asked of the file behind it, or chosen by hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

from napari.layers import Image

from napari_denoise.image.axes import letters_of
from napari_denoise.plugin.layers.data import AXES, FILE, axes_fit, file_note
from napari_denoise.plugin.layers.source import axes_of, levels_of

_WORDS = {"T": "time points", "Z": "planes", "C": "channels"}
_FREE = "TZC"


@dataclass(frozen=True)
class FileSays:
    """What the file behind a layer says of its axes; empty where it says nothing that fits.

    Parameters
    ----------
    layer
        Whose file it is.
    axes
        Letters.
    note
        As for layers that were opened from it by this plugin.
    """

    layer: Image
    axes: str = ""
    note: dict[str, Any] | None = None


def is_guessed(layer: Image) -> bool:
    """Whether nothing but the number of dimensions tells what a layer's axes are."""
    shape = tuple(levels_of(layer)[0].shape)
    if len(shape) - bool(layer.rgb) < 3:
        return False  # rows and columns
    if axes_fit(str(layer.metadata.get(AXES) or ""), shape, rgb=layer.rgb):
        return False
    file = layer.metadata.get(FILE, {})
    if _is_silent(file.get("extra", {})):
        return axes_of(layer) == str(file.get("axes", ""))
    if letters_of(layer.axis_labels) is not None:
        return False
    return not axes_fit(str(file.get("axes", "")).replace("C", ""), shape, rgb=layer.rgb)


def is_stated(layer: Image) -> bool:
    """Whether its axes were chosen by hand, or asked of its file."""
    return AXES in layer.metadata


def state(layer: Image, axes: str) -> None:
    """Note what a layer's axes are; results, saved files and pairs follow.

    Raises
    ------
    ValueError
        The letters do not describe its data.
    """
    shape = tuple(levels_of(layer)[0].shape)
    if not axes_fit(axes, shape, rgb=layer.rgb):
        raise ValueError(
            f"axes {axes!r} do not fit data of shape {shape}: give one letter per dimension, each "
            f"once, of T (time) Z (depth) C (channel) Y X{' S (colour, last)' * layer.rgb}"
        )
    layer.metadata = {**layer.metadata, AXES: axes}


def choices(layer: Image) -> list[tuple[str, str]]:
    """List what a layer's axes may be, with what that makes of its dimensions."""
    shape = tuple(levels_of(layer)[0].shape)
    tail = "YX" + "S" * layer.rgb
    orders = ["".join(p) + tail for p in permutations(_FREE, len(shape) - len(tail))]
    return [(described(axes, shape), axes) for axes in orders]


def described(axes: str, shape: Sequence[int]) -> str:
    """Say letters, and the counts that they stand for.

    >>> described("TCYX", (5, 2, 64, 64))
    'TCYX: 5 time points, 2 channels'
    """
    counts = [f"{n} {_WORDS[a]}" for a, n in zip(axes, shape, strict=True) if a in _WORDS]
    return f"{axes}: {', '.join(counts)}" if counts else axes


def askable(layer: Image) -> Path | None:
    """Return the file to ask, where a layer's axes are guessed and it has one."""
    path = getattr(layer.source, "path", None)
    if path is None or FILE in layer.metadata or not is_guessed(layer):
        return None
    return Path(path) if Path(path).is_file() else None


def ask_file(layer: Image, path: Path, shape: tuple[int, ...], rgb: bool) -> Iterator[FileSays]:
    """Read what the file behind a layer says, off the GUI thread; a file of any other kind is mute.

    Parameters
    ----------
    layer
        Its layer, which is not touched here.
    path, shape, rgb
        The file, and the shape and kind of the layer's data.
    """
    from napari_denoise.io.errors import listening
    from napari_denoise.io.inputs import suffix_of
    from napari_denoise.io.read import read

    says = FileSays(layer)
    if suffix_of(path):
        try:
            with listening():
                array, meta = read(path, sequence=False)
        except (ValueError, OSError):  # napari read it, by whichever reader: nothing is wrong
            yield says
            return
        same = tuple(array.shape) == shape and axes_fit(meta.axes, shape, rgb=rgb)
        if same and not _is_silent(meta.extra):
            says = FileSays(layer, meta.axes, file_note(meta))
    yield says


def take(says: FileSays) -> bool:
    """Note what a file said on its layer, unless somebody was faster."""
    layer = says.layer
    if not says.axes or not is_guessed(layer):
        return False
    layer.metadata = {**layer.metadata, FILE: says.note or {}, AXES: says.axes}
    return True


def _is_silent(extra: Any) -> bool:
    """Whether a file names no axes, or such as mean nothing here."""
    return "file_axes" in extra or extra.get("format") == "npy"
