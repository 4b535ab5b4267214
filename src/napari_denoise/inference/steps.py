"""What long work on a stack yields: after every tile, and with whole frames."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from napari_denoise.image.axes import Index
from napari_denoise.image.tiles import Window
from napari_denoise.image.values import Float32Array


@dataclass(frozen=True)
class Step:
    """One tile is done; the last tile of a frame carries the frame."""

    frame: int
    """Frames finished before this one."""
    frames: int
    tile: int
    """Tiles of this frame that are done."""
    tiles: int
    index: Index | None = None
    """Where the finished frame stands in the stack; None between."""
    result: NDArray[Any] | None = None
    frames_used: Float32Array | None = None
    """(Y, X) beside the result, how many frames each pixel is made of; None without neighbours."""

    @property
    def fraction(self) -> float:
        """Share of all work that is done, 0 to 1."""
        return (self.frame + self.tile / self.tiles) / self.frames


@dataclass(frozen=True, eq=False)
class TileStep:
    """One tile is done: its pixels, where they belong, and how far the work is.

    A tile of the albedo beside a render is work too, and carries no pixels.
    """

    frame: int
    """Frames finished before this one."""
    frames: int
    tile: int
    """Tiles of this frame that are done."""
    tiles: int
    window: Window | None = None
    """Rows and columns of the frame."""
    place: Index | None = None
    """The same in the stack: ``out[place] = pixels``."""
    pixels: NDArray[Any] | None = None
    """In the data's dtype and order of axes."""
    variance: Float32Array | None = None
    """(C, Y, X) of the error that the network states, in mapped units squared."""
    frames_used: Float32Array | None = None
    """(Y, X), how many frames each pixel is made of; None for a frame by itself."""

    @property
    def ends_frame(self) -> bool:
        """Whether the frame is whole now."""
        return self.tile == self.tiles


class FrameWork:
    """Counts what is done of a frame: its tiles, and what is computed before them.

    How much that is can only be foreseen. So its steps stop short of the tiles that are still to
    come, and the last tile, and no other step, ends the frame.

    Parameters
    ----------
    begun
        The frame before anything is done.
    tiles
        How many will be written.
    before
        Steps foreseen beside them.
    """

    def __init__(self, begun: TileStep, tiles: int, before: int) -> None:
        self._begun, self._left = begun, tiles
        self._done, self._total = 0, before + tiles

    def prepared(self) -> TileStep:
        """Count a step before a tile."""
        self._done = min(self._done + 1, self._total - self._left)
        return replace(self._begun, tile=self._done, tiles=self._total)

    def written(self) -> TileStep:
        """Count a tile."""
        self._left -= 1
        self._done = min(self._done + 1, self._total - self._left) if self._left else self._total
        return replace(self._begun, tile=self._done, tiles=self._total)
