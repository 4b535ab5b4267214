"""The pixels of one frame: read whole, or window by window where it is too large to be held."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_denoise.image.axes import Index, Layout
from napari_denoise.image.frames import is_large
from napari_denoise.image.planes import color_samples
from napari_denoise.image.tiles import Tile, Window, within
from napari_denoise.image.values import replace_nonfinite
from napari_denoise.measure.channels import Channel
from napari_denoise.measure.line_noise import LineNoise
from napari_denoise.measure.outliers import (
    FILL_REACH,
    BoolArray,
    OutlierRule,
    RadianceRule,
    fill_area,
    find_outliers,
    is_blank,
    replace_outliers,
)

_REACH = max(2, FILL_REACH)
"""Pixels around a bad one that its stand-in is taken from, or that tell whether it is fill."""


class Part(NamedTuple):
    """What a tile reads of a frame, and what it is to know of the pixels that it writes."""

    window: NDArray[Any]
    """(C, Y, X) of all that is read, bad pixels and outliers replaced; without the offset and gain
    of single pixels where they are given, and without noise of whole rows and columns."""
    original: NDArray[Any]
    """(C, Y, X) of what is written, outliers as they are."""
    outliers: BoolArray
    """(C, Y, X) of what is written; of no pixel if there are none."""
    fill: BoolArray | None
    """(Y, X) of what is written: areas that stay as they are."""
    bad: BoolArray | None = None
    """(Y, X) of what is written: where a value was NaN or infinite; None without any."""


class _Colors:
    """(C, Y, X) of a frame or a window, and what of it is an outlier or fill."""

    def __init__(
        self,
        colors: NDArray[Any],
        channel: Channel,
        where: Window,
        bad: BoolArray | None = None,
    ) -> None:
        self.original, self._bad = colors, bad
        colors = self.calm = channel.maps.calibrated(colors, where)
        self._places: list[NDArray[np.intp]] = []
        self._fill = self._filled(colors, channel.fill)
        if channel.lines:
            colors = self.calm = self._without_lines(colors, channel.lines)
        if rule := channel.outliers:
            self._replace(colors, rule)
        if self._fill is not None:
            self.calm = np.where(self._fill, colors.dtype.type(channel.ground), self.calm)

    def _without_lines(self, colors: NDArray[Any], lines: LineNoise) -> NDArray[Any]:
        if self._fill is None:
            return np.stack([lines.without(plane) for plane in colors])
        unknown = [np.where(self._fill, np.float32(np.nan), plane) for plane in colors]
        made = np.stack([lines.without(plane) for plane in unknown])
        return np.where(self._fill, colors, made)

    def _replace(self, colors: NDArray[Any], rule: OutlierRule) -> None:
        found = [find_outliers(plane, rule) for plane in colors]
        if isinstance(rule, RadianceRule):  # a firefly has one place in all its colours
            found = [np.unique(np.concatenate(found), axis=0)] * len(colors)
        if any(map(len, found)):
            pairs = zip(colors, found, strict=True)
            self.calm = np.stack([replace_outliers(plane, places) for plane, places in pairs])
            self._places = found

    def part(self, read: Window, keep: Window) -> Part:
        """Return what a tile needs; both windows are within these colours."""
        lone = np.zeros(self.original[:, *keep].shape, bool)
        for plane, places in zip(lone, self._places, strict=False):
            inside = places - [side.start for side in keep]
            inside = inside[((inside >= 0) & (inside < plane.shape)).all(axis=1)]
            plane[tuple(inside.T)] = True
        fill = None if self._fill is None else self._fill[keep]
        bad = None if self._bad is None else self._bad[keep]
        return Part(self.calm[:, *read], self.original[:, *keep], lone, fill, bad)

    @staticmethod
    def _filled(colors: NDArray[Any], values: tuple[float, ...]) -> BoolArray | None:
        """Mark fill that is the same in all colours."""
        if not values:
            return None
        alike = colors[0]
        if len(colors) > 1:
            same = (colors == colors[0]).all(axis=0)
            alike = np.where(same, colors[0].astype(np.float64), np.nan)
        return fill_area(alike, values)


class WholeFrame:
    """A frame that is read once.

    Parameters
    ----------
    array, layout, index
        The stack, and which frame of it.
    channel
        How it is denoised.
    """

    large = False

    def __init__(self, array: Any, layout: Layout, index: Index, channel: Channel) -> None:
        planar = Layout("YXS"[: len(layout.frame_axes)], _frame_shape(layout))
        raw = _rows_first(np.asarray(array[index]), layout)
        self.empty = _holds_no_value(color_samples(raw, planar)[0])
        """Whether no colour sample of it is finite."""
        self.blank = not self.empty and all(map(is_blank, color_samples(raw, planar)[0]))
        """Whether it holds one value alone, and stays as it is."""
        frame, self.bad = (raw, 0) if self.empty else replace_nonfinite(raw)
        colors, self._alpha = color_samples(frame, planar)
        whole = slice(0, layout.size("Y")), slice(0, layout.size("X"))
        bad = _bad_places(raw, planar) if self.bad else None
        self._colors = _Colors(colors, channel, whole, bad) if not self.empty else None

    def part(self, tile: Tile) -> Part:
        """Return what a tile reads and writes."""
        assert self._colors is not None  # noqa: S101 - an empty frame has no tiles
        return self._colors.part(tile.read, tile.write)

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
    channel
        How it is denoised.
    """

    large, empty, blank = True, False, False

    def __init__(self, array: Any, layout: Layout, index: Index, channel: Channel) -> None:
        self._array, self._stack, self._index, self._channel = array, layout, index, channel
        self._layout = Layout("YXS"[: len(layout.frame_axes)], _frame_shape(layout))
        corner = slice(0, 1), slice(0, 1)
        middle = channel.mapping.inverse([[0.5]])
        self._middle = float(channel.maps.restored(middle, corner)[0, 0])
        self.bad = 0
        """Values that were replaced in what was read last and is written."""

    def part(self, tile: Tile) -> Part:
        """Return what a tile reads and writes; `bad` counts what it writes."""
        size = self._stack.size("Y"), self._stack.size("X")
        rows, columns = (
            slice(max(0, part.start - _REACH), min(length, part.stop + _REACH))
            for part, length in zip(tile.read, size, strict=True)
        )
        around = rows, columns
        raw = self._read(around)
        read, keep = within(tile.read, around), within(tile.write, around)
        if raw.dtype.kind == "f":
            self.bad = int(np.count_nonzero(~np.isfinite(raw[keep])))
        whole, _ = replace_nonfinite(raw, self._middle)
        colors = color_samples(whole, self._layout)[0]
        bad = _bad_places(raw, self._layout) if raw.dtype.kind == "f" else None
        made = _Colors(colors, self._channel, around, bad)
        return made.part(read, keep)

    def alpha(self, where: Window) -> NDArray[Any] | None:
        """Return (1, Y, X) of a window; None without alpha."""
        if self._stack.size("S") not in (2, 4):
            return None
        found = color_samples(self._read(where), self._layout)[1]
        return None if found is None else found[None]

    def _read(self, where: Window) -> NDArray[Any]:
        index = self._stack.window(self._index, where)
        return _rows_first(np.asarray(self._array[index]), self._stack)


def open_frame(
    array: Any, layout: Layout, index: Index, channel: Channel
) -> WholeFrame | LargeFrame:
    """Open a frame of a stack as its size demands; parameters as for `WholeFrame`."""
    kind = LargeFrame if is_large(array, layout.axes) else WholeFrame
    return kind(array, layout, index, channel)


def _bad_places(raw: NDArray[Any], layout: Layout) -> BoolArray:
    """Mark (Y, X) where any colour of a frame is NaN or infinite."""
    return np.asarray(~np.isfinite(color_samples(raw, layout)[0]).all(axis=0))


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
