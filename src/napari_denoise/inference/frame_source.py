"""The pixels of one frame: read whole, or window by window where it is too large to be held."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_denoise.image.axes import Index, Layout
from napari_denoise.image.frames import is_large
from napari_denoise.image.planes import color_samples
from napari_denoise.image.tiles import Window
from napari_denoise.image.values import replace_nonfinite

_REACH = 2
"""Pixels around a bad one that its stand-in is taken from."""


class WholeFrame:
    """A frame that is read once.

    Parameters
    ----------
    array, layout, index
        The stack, and which frame of it.
    """

    large = False

    def __init__(self, array: Any, layout: Layout, index: Index) -> None:
        self._layout = Layout("YXS"[: len(layout.frame_axes)], _frame_shape(layout))
        raw = _rows_first(np.asarray(array[index]), layout)
        self.empty = _holds_no_value(color_samples(raw, self._layout)[0])
        """Whether no colour sample of it is finite."""
        frame, self.bad = (raw, 0) if self.empty else replace_nonfinite(raw)
        self._colors, self._alpha = color_samples(frame, self._layout)

    def colors(self, where: Window, keep: Window) -> NDArray[Any]:
        """Return (C, Y, X) of a window, bad pixels replaced."""
        return self._colors[:, *where]

    def alpha(self, where: Window) -> NDArray[Any] | None:
        """Return (1, Y, X) of a window; None without alpha."""
        return None if self._alpha is None else self._alpha[None, *where]


class LargeFrame:
    """A frame of which no more than a window is in memory.

    A bad pixel without a finite one around it gets the middle of the range, whatever the tiles.

    Parameters
    ----------
    array, layout, index
        The stack, and which frame of it; it is asked for windows.
    middle
        Stands in for pixels without a finite neighbour.
    """

    large, empty = True, False

    def __init__(self, array: Any, layout: Layout, index: Index, middle: float) -> None:
        self._array, self._stack, self._index, self._middle = array, layout, index, middle
        self._layout = Layout("YXS"[: len(layout.frame_axes)], _frame_shape(layout))
        self.bad = 0
        """Values that were replaced in what was read last and is kept."""

    def colors(self, where: Window, keep: Window) -> NDArray[Any]:
        """Return (C, Y, X) of a window, bad pixels replaced; `bad` counts those of `keep` in it."""
        size = self._stack.size("Y"), self._stack.size("X")
        read = tuple(
            slice(max(0, part.start - _REACH), min(length, part.stop + _REACH))
            for part, length in zip(where, size, strict=True)
        )
        raw = self._read((read[0], read[1]))
        inner = tuple(
            slice(part.start - more.start, part.stop - more.start)
            for part, more in zip(where, read, strict=True)
        )
        if raw.dtype.kind == "f":
            self.bad = int(np.count_nonzero(~np.isfinite(raw[inner][keep])))
        whole, _ = replace_nonfinite(raw, self._middle)
        return color_samples(whole[inner], self._layout)[0]

    def alpha(self, where: Window) -> NDArray[Any] | None:
        """Return (1, Y, X) of a window; None without alpha."""
        if self._stack.size("S") not in (2, 4):
            return None
        found = color_samples(self._read(where), self._layout)[1]
        return None if found is None else found[None]

    def _read(self, where: Window) -> NDArray[Any]:
        index = self._stack.window(self._index, where)
        return _rows_first(np.asarray(self._array[index]), self._stack)


def open_frame(array: Any, layout: Layout, index: Index, middle: float) -> WholeFrame | LargeFrame:
    """Open a frame of a stack as its size demands; parameters as for `LargeFrame`."""
    if is_large(array, layout.axes):
        return LargeFrame(array, layout, index, middle)
    return WholeFrame(array, layout, index)


def _frame_shape(layout: Layout) -> tuple[int, ...]:
    return tuple(layout.size(letter) for letter in "YXS" if letter in layout.axes)


def _rows_first(frame: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """Transpose a frame to (Y, X) or (Y, X, S)."""
    axes = layout.frame_axes
    return frame.transpose([axes.index(letter) for letter in "YXS" if letter in axes])


def _holds_no_value(colors: NDArray[Any]) -> bool:
    """Whether all of (C, Y, X) is NaN or infinite; the corner tells it of nearly any other."""
    if colors.dtype.kind != "f" or np.isfinite(colors[:, 0, 0]).any():
        return False
    return not np.isfinite(colors).any()
