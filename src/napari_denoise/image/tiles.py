"""Windows that cover a frame exactly, each read with its halo."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import ceil

Window = tuple[slice, slice]


@dataclass(frozen=True)
class Tile:
    """One window of a frame; ``output[write] = network(image[read])[keep]``.

    Parameters
    ----------
    read
        Rows and columns to read, halo included, clipped to the frame.
    keep
        Part of what was read that belongs to this tile alone.
    write
        Where that part stands in the frame.
    """

    read: Window
    keep: Window
    write: Window

    @property
    def pixels(self) -> int:
        """Pixels read."""
        rows, columns = self.read
        return int((rows.stop - rows.start) * (columns.stop - columns.start))


def shape_of(window: Window) -> tuple[int, int]:
    """Return how many rows and columns a window has."""
    return window[0].stop - window[0].start, window[1].stop - window[1].start


def within(inner: Window, outer: Window) -> Window:
    """Return a window as counted from the corner of another one.

    >>> within((slice(5, 7), slice(3, 9)), (slice(4, 8), slice(0, 9)))
    (slice(1, 3, None), slice(3, 9, None))
    """
    rows, columns = (
        slice(part.start - whole.start, part.stop - whole.start)
        for part, whole in zip(inner, outer, strict=True)
    )
    return rows, columns


def plan_tiles(
    shape: tuple[int, int],
    tile: int,
    halo: int,
    multiple: int,
    region: Window | None = None,
) -> tuple[Tile, ...]:
    """Cover a frame, or a region of it, with balanced windows.

    Windows start on multiples of the network's stride, so that every pixel meets the
    network in the same phase whatever the tile size; with a halo of at least the receptive
    field radius the result then does not depend on the tiling.

    Parameters
    ----------
    shape
        Rows and columns of the frame.
    tile
        Largest size written per window, pixels.
    halo
        Pixels read around it, a multiple of `multiple`.
    multiple
        Stride of the network.
    region
        Rows and columns wanted; the whole frame if None.

    Raises
    ------
    ValueError
        The tile is smaller than the stride, or the halo is off the stride's grid.
    """
    if tile < multiple or halo % multiple:
        raise ValueError(
            f"tile {tile} and halo {halo}: expected a tile of at least {multiple} pixels "
            f"and a halo that is a multiple of {multiple}"
        )
    wanted = region or (slice(0, shape[0]), slice(0, shape[1]))
    spans = [
        tuple(_spans(length, tile, halo, multiple, part))
        for length, part in zip(shape, wanted, strict=True)
    ]
    return tuple(Tile((y[0], x[0]), (y[1], x[1]), (y[2], x[2])) for y, x in product(*spans))


def recompute_factor(tiles: tuple[Tile, ...], shape: tuple[int, int]) -> float:
    """Pixels computed with halos over pixels of the frame; 1 for one whole window."""
    return sum(tile.pixels for tile in tiles) / (shape[0] * shape[1])


def _spans(
    length: int, tile: int, halo: int, multiple: int, part: slice
) -> Iterator[tuple[slice, slice, slice]]:
    """Yield (read, keep, write) along one axis."""
    first = part.start // multiple * multiple
    count = ceil((part.stop - first) / tile)
    step = ceil(ceil((part.stop - first) / count) / multiple) * multiple
    if step > tile:  # rounding up to the stride must not exceed what was asked for
        step = tile // multiple * multiple
    for start in range(first, part.stop, step):
        begin, end = max(start, part.start), min(start + step, part.stop)
        read = slice(max(0, start - halo), min(length, start + step + halo))
        yield read, slice(begin - read.start, end - read.start), slice(begin, end)
