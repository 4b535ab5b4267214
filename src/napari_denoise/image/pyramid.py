"""Levels of a pyramid: Y and X halved again and again, by means of 2 x 2 pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROWS = 1024
"""Rows that are computed at once."""


def level_shapes(shape: Sequence[int], axes: str, smallest: int) -> list[tuple[int, ...]]:
    """Shapes of all levels: Y and X halved, rounded up, until neither is above `smallest`."""
    shapes = [tuple(shape)]
    while max(n for a, n in zip(axes, shapes[-1], strict=True) if a in "YX") > smallest:
        last = zip(axes, shapes[-1], strict=True)
        shapes.append(tuple(-(-n // 2) if a in "YX" else n for a, n in last))
    return shapes


def is_half(coarse: Sequence[int], fine: Sequence[int]) -> bool:
    """Whether one shape is the other with the last two axes halved, rounded up."""
    halves = (*fine[:-2], *(-(-n // 2) for n in fine[-2:]))
    return tuple(coarse) == halves


def halve(fine: Any, coarse: Any, parts: Sequence[int]) -> Iterator[None]:
    """Fill a level with the means of 2 x 2 pixels of the level before; yields after each part.

    Parameters
    ----------
    fine, coarse
        Arrays whose last axes are Y and X. Where a side of `fine` is odd, the last means are of
        fewer pixels.
    parts
        Sides of what is written of `coarse` at once.
    """
    steps = [range(0, n, side) for n, side in zip(coarse.shape, parts, strict=True)]
    for start in product(*steps):
        stop = [min(a + p, n) for a, p, n in zip(start, parts, coarse.shape, strict=True)]
        box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
        means = np.empty([side.stop - side.start for side in box], coarse.dtype)
        left, right = 2 * box[-1].start, 2 * box[-1].stop
        for index in np.ndindex(*means.shape[:-2]):
            place = tuple(side.start + n for side, n in zip(box, index, strict=False))
            for top in range(0, means.shape[-2], ROWS):
                first = box[-2].start + top
                last = min(first + ROWS, box[-2].stop)
                part = fine[(*place, slice(2 * first, 2 * last), slice(left, right))]
                means[(*index, slice(top, top + ROWS))] = halved(np.asarray(part))
        coarse[box] = means
        yield


def halved(plane: NDArray[Any]) -> NDArray[Any]:
    """Means of 2 x 2 pixels of (Y, X), at odd ends of fewer; whole numbers are rounded.

    >>> halved(np.array([[0, 2, 5], [4, 6, 7]], "uint8"))
    array([[3, 6]], dtype=uint8)
    """
    dtype, odd = plane.dtype, [(0, n % 2) for n in plane.shape]
    if any(end for _, end in odd):
        plane = np.pad(plane, odd, mode="edge")
    exact = np.float32 if dtype.itemsize <= 2 or dtype == np.float32 else np.float64
    with np.errstate(invalid="ignore", over="ignore"):  # infinite values
        sums = np.add(plane[::2, ::2], plane[1::2, ::2], dtype=exact)
        sums += plane[::2, 1::2]
        sums += plane[1::2, 1::2]
        sums *= exact(0.25)
        return np.asarray((np.rint(sums) if dtype.kind in "iu" else sums).astype(dtype))
