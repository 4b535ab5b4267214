"""Where a neighbouring frame shows the same: one shift for the whole, then block by block.

Displacements are whole pixels, so that noise stays white. A block keeps that of the whole frame,
or none at all, unless another one is clearly better: many candidates find look-alike noise.
Everything is numpy and depends on nothing but the pixels within `REACH` of a block, whatever the
window that is asked for; so every device and every tiling finds the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, next_fast_len, rfft2

from napari_denoise.image.planes import block_means
from napari_denoise.image.values import Float32Array

IntArray = NDArray[np.intp]

BLOCK = 8
"""Side of the blocks that move as one, pixels; their grid starts at the corner of the image."""
SUPPORT = 8
"""Pixels around a block that are compared with it."""
_STEPS = ((4, 2), (2, 1), (1, 1))
"""Binning, and how far in binned pixels each step of the search reaches."""
REACH = 12
"""Pixels by which a block may differ from the shift of the whole frame: all steps together,
rounded up to the coarsest binning, whose grid starts at the corner of the image too."""
MARGIN = SUPPORT + REACH
"""Pixels around a window that its displacements depend on, beside the shift itself."""
_SUSPECT = 1.3
"""Squared difference over the expected one from which on a block is looked for elsewhere."""
_BETTER = 0.6
"""What is left of the excess at a place that is clearly better."""
_FARTHEST = 0.25
"""Largest shift of the whole, in parts of the frame's side."""
_CLEARLY, _CHANCE = 0.1, 16.0
"""By what part a shift of the whole is better than none; the second over the root of the pixels."""
_LEAST_OVERLAP = 0.25
ENOUGH = 2**15
"""Pixels that tell two shifts apart; of larger frames some rows and columns are taken."""
_TRIED = 4
"""Shifts that are looked at of each kind."""
_MOST = 0.6
"""Share of the pixels that decides."""


class Compared(NamedTuple):
    """A first result, (C, Y, X), and the variance of its error, (Y, X) as a mean over C."""

    mean: Float32Array
    variance: Float32Array


def global_shift(frame: Float32Array, other: Float32Array) -> tuple[int, int]:
    """Find the shift of most of a frame: ``other[y + dy, x + dx]`` shows what ``frame[y, x]`` does.

    Parameters
    ----------
    frame, other
        (Y, X), binned so that noise is weak; the shift is in their pixels.

    Returns
    -------
    (0, 0) unless another shift leaves clearly less of the squared difference of what differs least,
    so that few things that move otherwise decide nothing.
    """
    shifts = sorted(_likely_shifts(frame, other), key=lambda d: (d[0] ** 2 + d[1] ** 2, d))
    left = [least_differences(frame, other, shift) for shift in shifts]
    best = int(np.argmin(left))
    # The least of many shifts of mere noise is less than that of none by some of its deviations.
    clearly = 1 + _CLEARLY + _CHANCE / np.sqrt(frame.size)
    return shifts[best] if left[0] > clearly * left[best] else shifts[0]


def _likely_shifts(frame: Float32Array, other: Float32Array) -> set[tuple[int, int]]:
    """Return no shift, and the best ones by difference and by phase correlation."""
    one, two = (plane - plane.mean(dtype=np.float64) for plane in (frame, other))
    size = [next_fast_len(2 * side, real=True) for side in frame.shape]
    inside = np.ones_like(one)

    def correlated(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(irfft2(np.conj(rfft2(a, size)) * rfft2(b, size), size))

    overlap = np.maximum(correlated(inside, inside), 0.5)
    apart = correlated(one**2, inside) + correlated(inside, two**2) - 2 * correlated(one, two)
    edge = np.outer(*(np.hanning(side + 2)[1:-1] for side in frame.shape))
    cross = np.conj(rfft2(one * edge, size)) * rfft2(two * edge, size)
    alike = irfft2(cross / np.maximum(np.abs(cross), 1e-12), size)
    reach = [int(_FARTHEST * side) for side in frame.shape]
    rows, columns = (np.r_[0 : far + 1, -far:0] if far else np.r_[0:1] for far in reach)
    part = np.ix_(rows, columns)
    found = {(0, 0)}
    for cost in ((apart / overlap)[part], -alike[part]):
        for place in np.argsort(cost, axis=None)[:_TRIED]:
            y, x = np.unravel_index(place, cost.shape)
            found.add((int(rows[y]), int(columns[x])))
    return found


def least_differences(frame: Float32Array, other: Float32Array, shift: tuple[int, int]) -> float:
    """Mean squared difference, at a shift, of the pixels that differ least."""
    a, b = overlapping(frame, other, shift)
    if a.size < _LEAST_OVERLAP * frame.size or not a.size:
        return np.inf
    step = max(1, int(np.sqrt(a.size / ENOUGH)))
    apart = a[::step, ::step] - b[::step, ::step]
    squares = np.square(apart - np.median(apart), dtype=np.float64).ravel()
    most = max(1, int(_MOST * squares.size))
    return float(np.partition(squares, most - 1)[:most].mean())


def overlapping(
    frame: Float32Array, other: Float32Array, shift: tuple[int, int]
) -> tuple[Float32Array, Float32Array]:
    """Cut out of two planes what shows the same."""
    (top, left), (above, before) = ([max(0, sign * d) for d in shift] for sign in (-1, 1))
    rows, columns = (max(0, n - abs(d)) for n, d in zip(frame.shape, shift, strict=True))
    return (
        frame[top : top + rows, left : left + columns],
        other[above : above + rows, before : before + columns],
    )


@dataclass(frozen=True)
class Blocks:
    """The blocks that a window touches.

    Parameters
    ----------
    top, left
        Where the first one begins in the image.
    rows, columns
        How many there are.
    """

    top: int
    left: int
    rows: int
    columns: int

    @classmethod
    def over(cls, window: tuple[slice, slice]) -> Blocks:
        """Return those that a window touches."""
        (top, rows), (left, columns) = (
            (part.start // BLOCK * BLOCK, -(-part.stop // BLOCK) - part.start // BLOCK)
            for part in window
        )
        return cls(top, left, rows, columns)

    def around(self, margin: int) -> tuple[slice, slice]:
        """Return the window of all of them with a margin; it may reach beyond the image."""
        return (
            slice(self.top - margin, self.top + self.rows * BLOCK + margin),
            slice(self.left - margin, self.left + self.columns * BLOCK + margin),
        )


def block_displacements(
    blocks: Blocks, own: Compared, still: Compared, moved: Compared | None
) -> tuple[IntArray, NDArray[np.bool_]]:
    """Find where each block is in another frame.

    Parameters
    ----------
    blocks
        Which ones.
    own
        The frame, over ``blocks.around(SUPPORT)``.
    still
        The other frame over ``blocks.around(MARGIN)``.
    moved
        The same, displaced by the shift of the whole frame; None where there is none.

    Returns
    -------
    (rows, columns, 2) displacement beyond that of the whole or of none, and (rows, columns),
    whether it is beyond that of the whole.
    """
    grid = blocks.rows, blocks.columns
    ratio = _ratio(own, _inner(still, REACH), grid)
    base = np.zeros(grid, bool)
    if moved is not None:
        shifted = _ratio(own, _inner(moved, REACH), grid)
        # Where both fit, as on faint texture, the shift of the whole is the better guess.
        base = (shifted < _SUSPECT) | (shifted < ratio)
        ratio = np.where(base, shifted, ratio)
    offsets = np.zeros((*grid, 2), np.intp)
    for which, other in ((False, still), (True, moved)):
        suspect = np.argwhere((ratio > _SUSPECT) & (base == which))
        if other is None or not len(suspect):
            continue
        found, left = _search(suspect, own, other)
        was = ratio[tuple(suspect.T)]
        better = left - 1 < _BETTER * (was - 1)
        offsets[tuple(suspect[better].T)] = found[better]
    return offsets, base


def _ratio(own: Compared, other: Compared, grid: tuple[int, int]) -> NDArray[np.float32]:
    """Squared difference of each block's surroundings over the expected one."""
    apart = np.square(other.mean - own.mean).mean(axis=0)
    return _supported(apart, grid) / (_supported(other.variance + own.variance, grid) + 1e-12)


def _supported(plane: Float32Array, grid: tuple[int, int]) -> NDArray[np.float32]:
    """Sum (Y, X) over each block and, less, over the ones around it."""
    rows, columns = grid
    sums = plane.reshape(rows + 2, BLOCK, columns + 2, BLOCK).sum(axis=(1, 3))
    sums = sums[:-2] + 2 * sums[1:-1] + sums[2:]
    return np.asarray(sums[:, :-2] + 2 * sums[:, 1:-1] + sums[:, 2:])


def _inner(other: Compared, margin: int) -> Compared:
    cut = slice(margin, -margin)
    return Compared(other.mean[:, cut, cut], other.variance[cut, cut])


def _search(
    places: IntArray, own: Compared, other: Compared
) -> tuple[IntArray, NDArray[np.float32]]:
    """Look for blocks elsewhere, coarse to fine.

    Returns
    -------
    (n, 2) offsets, and what is left there: squared difference over the expected one.
    """
    mine, yours = own.mean.mean(axis=0), other.mean.mean(axis=0)
    offsets = np.zeros((len(places), 2), np.intp)
    for size, far in _STEPS:
        a, b = block_means(mine, size), block_means(yours, size)
        side = (BLOCK + 2 * SUPPORT) // size
        corner = places * (BLOCK // size)
        target = _patches(a, corner, side)
        start = corner + (REACH + offsets) // size - far
        around = _patches(b, start, side + 2 * far)
        least = np.full(len(places), np.inf, np.float32)
        best = np.zeros_like(offsets)
        # No displacement first: it stays where others are no better.
        for dy, dx in _from_the_middle(far):
            part = around[:, far + dy : far + dy + side, far + dx : far + dx + side]
            apart = np.square(part - target).sum(axis=(1, 2))
            better = apart < least
            least = np.where(better, apart, least)
            best[better] = dy, dx
        offsets = offsets // size * size + best * size
    side, here = BLOCK + 2 * SUPPORT, places * BLOCK
    there = here + REACH + offsets
    expected = _patches(own.variance, here, side) + _patches(other.variance, there, side)
    pairs = zip(own.mean, other.mean, strict=True)
    differences = [_patches(b, there, side) - _patches(a, here, side) for a, b in pairs]
    apart = np.square(np.stack(differences)).mean(axis=0)
    return offsets, _weighted(apart) / (_weighted(expected) + 1e-12)


_TENT = np.repeat(np.array([1, 2, 1], np.float32), BLOCK)


def _weighted(patches: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.einsum("nyx,y,x->n", patches, _TENT, _TENT, optimize=True))


def _from_the_middle(far: int) -> list[tuple[int, int]]:
    around = [(y, x) for y in range(-far, far + 1) for x in range(-far, far + 1)]
    return sorted(around, key=lambda place: (place[0] ** 2 + place[1] ** 2, place))


def _patches(plane: Float32Array, corners: IntArray, side: int) -> Float32Array:
    """Cut squares out of (Y, X): (n, side, side)."""
    views = np.lib.stride_tricks.sliding_window_view(plane, (side, side))
    return np.asarray(views[corners[:, 0], corners[:, 1]])
