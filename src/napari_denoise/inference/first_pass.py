"""Every frame denoised by itself, as its neighbours see it: computed once, cell by cell.

A frame's neighbours ask for the same pixels again and again. They are computed in cells of a fixed
grid, whatever the tile that asks, so that every tiling and every order of frames compares the very
same numbers; the cells used last are kept, those of all the frames that one is made of if they fit.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_denoise.engines.device import free_memory
from napari_denoise.image.tiles import Tile, Window, plan_tiles, shape_of, within
from napari_denoise.image.values import Float32Array

CELL = 512
"""Side of a cell, pixels; as large as a tile that costs little on its halo."""
KEPT_BYTES = 3 * 2**28
"""Of cells that are kept in any case."""
_SHARE = 4
"""Part of the free memory that those of large frames may take beyond that: one in so many."""


@dataclass(frozen=True, eq=False)
class FirstPass:
    """A window of a frame, noisy and denoised by itself; in the network's units.

    Parameters
    ----------
    noisy
        (C, Y, X), what is averaged: as the network got it, or for renders what `fusion` says.
    mean
        (C, Y, X) denoised.
    variance
        (Y, X) of its error, a mean over C.
    usable
        (Y, X), whether the noisy value was measured: no outlier, fill, saturation or stand-in.
    guides
        (G, Y, X), albedo and normal of renders; G = 0 without any.
    """

    noisy: Float32Array
    mean: Float32Array
    variance: Float32Array
    usable: NDArray[np.bool_]
    guides: Float32Array

    def each(self, change: Callable[[NDArray[Any]], NDArray[Any]]) -> FirstPass:
        """Do the same to all planes; each has rows and columns last."""
        return FirstPass(*(change(getattr(self, field.name)) for field in fields(self)))

    @property
    def nbytes(self) -> int:
        """Memory of it."""
        return sum(getattr(self, field.name).nbytes for field in fields(self))


class FirstPasses:
    """The first pass of any window of any frame.

    Parameters
    ----------
    size
        Rows and columns of a frame.
    halo, multiple
        Of the network.
    compute
        Gives the first pass of what a tile of a frame writes.
    together
        How many frames are asked for at a time.
    """

    def __init__(
        self,
        size: tuple[int, int],
        halo: int,
        multiple: int,
        compute: Callable[[int, Tile], FirstPass],
        together: int = 1,
    ) -> None:
        self._size, self._compute, self._together = size, compute, together
        self._plan = plan_tiles(size, CELL, halo, multiple)
        self._cells: OrderedDict[tuple[int, int], FirstPass] = OrderedDict()
        self._bytes, self._lock = 0, RLock()

    def missing(self, number: int, window: Window) -> int:
        """Count the cells of a window that are still to be computed."""
        return sum((number, cell) not in self._cells for cell in self._touched(window))

    def steps(self, number: int, window: Window) -> Iterator[None]:
        """Compute what is missing of a window, yielding after every cell."""
        for cell in self._touched(window):
            new = (number, cell) not in self._cells
            self._cell(number, cell)  # an old one is needed too: others go before it
            if new:
                yield

    def let_go(self) -> None:
        """Forget what was computed."""
        with self._lock:
            self._cells.clear()
            self._bytes = 0

    def window(self, number: int, window: Window) -> FirstPass:
        """Return a window, which may reach beyond the frame: there its border goes on, unusable."""
        rows, columns = (
            np.clip(np.arange(part.start, part.stop), 0, length - 1)
            for part, length in zip(window, self._size, strict=True)
        )
        inside = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        first = self._inside(number, inside)
        if inside == window:
            return first
        y, x = (rows - rows[0])[:, None], (columns - columns[0])[None]
        within = (np.arange(window[0].start, window[0].stop) == rows)[:, None] & (
            np.arange(window[1].start, window[1].stop) == columns
        )[None]
        whole = first.each(lambda planes: planes[..., y, x])
        return replace(whole, usable=whole.usable & within)

    def _inside(self, number: int, window: Window) -> FirstPass:
        cells = [(self._plan[c].write, self._cell(number, c)) for c in self._touched(window)]
        return stitched(window, cells)

    def _touched(self, window: Window) -> Iterator[int]:
        for number, tile in enumerate(self._plan):
            if all(
                mine.start < part.stop and part.start < mine.stop
                for mine, part in zip(tile.write, window, strict=True)
            ):
                yield number

    def _cell(self, number: int, cell: int) -> FirstPass:
        with self._lock:  # a preview and a run may ask at the same time
            if (found := self._cells.get((number, cell))) is not None:
                self._cells.move_to_end((number, cell))
                return found
            made = self._cells[number, cell] = self._compute(number, self._plan[cell])
            self._bytes += made.nbytes
            most = self._most(made.nbytes)
            while self._bytes > most and len(self._cells) > 1:
                self._bytes -= self._cells.popitem(last=False)[1].nbytes
            return made

    def _most(self, cell: int) -> int:
        """Bytes that may be kept, by those of one cell."""
        wanted = (self._together * len(self._plan) + 1) * cell
        if wanted <= KEPT_BYTES:
            return KEPT_BYTES
        free = free_memory("cpu") + self._bytes
        return max(KEPT_BYTES, min(wanted, free // _SHARE))


def stitched(window: Window, parts: Sequence[tuple[Window, FirstPass]]) -> FirstPass:
    """Put a window together from what covers it."""
    if len(parts) == 1 and parts[0][0] == window:
        return parts[0][1]
    shape, first = shape_of(window), parts[0][1]
    made = first.each(lambda planes: np.empty((*planes.shape[:-2], *shape), planes.dtype))
    for where, part in parts:
        rows, columns = (
            slice(max(a.start, b.start), min(a.stop, b.stop))
            for a, b in zip(window, where, strict=True)
        )
        here, there = within((rows, columns), where), within((rows, columns), window)
        for field in fields(FirstPass):
            getattr(made, field.name)[..., *there] = getattr(part, field.name)[..., *here]
    return made
