"""How whole frames relate: the shift between two, their brightness, and whether noise is shared.

All of it is measured once for a pair, from binned frames and from one window in their middle, so
that it does not depend on what part of a frame is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_denoise.image.planes import block_means
from napari_denoise.image.values import Float32Array
from napari_denoise.inference.alignment import ENOUGH, global_shift, least_differences, overlapping
from napari_denoise.inference.first_pass import FirstPass

_SIDE = 256
"""Longest side of the frames that shifts are first looked for in."""
_LEAST_BIN = 4
_CHANCE = 8.0
"""Over the root of the pixels: differences of mean squares, in parts, that mean nothing."""
_LIGHT = 8
"""Binning of the frames whose brightness is compared, where they are large enough."""
_LEFT = 4
"""Pixels by which a shift that was found in binned frames may be off."""
_FARTHER_OFF = 0.03
"""By what part they differ more there than at a better shift; white noise alone reaches 0.02."""
_ROUNDS = 8
_AGREEING = 0.8
"""Share of the pixels that is taken to show the same in both frames."""
_EVIDENCE = 30.0
"""Least likelihood ratio, as a chi-square, for a change of brightness."""
_LEAST_PIXELS = 16
Mapped = Callable[[Float32Array], Float32Array]
MOST_BRIGHTER = 4.0
"""Times that one frame may be as bright as the other."""
SHARED = 0.25
"""Correlation of the noise of two frames from which on they are no independent shots."""
UNLIKE = 3.0
"""Times that the noise of one frame may have the variance of the other's."""


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """A frame binned.

    Parameters
    ----------
    light
        (Y, X) above black, in the data's units, a mean over colours.
    coarse, fine
        (Y, X) in the network's units; fine is binned half as much.
    bin, light_bin
        Pixels of the frame to a pixel of `coarse`, an even number, and of `light`.
    """

    light: Float32Array
    coarse: Float32Array
    fine: Float32Array
    bin: int
    light_bin: int

    @classmethod
    def of(cls, light: Float32Array, mapped: Float32Array) -> Thumbnail:
        """Bin (Y, X) light above black, and the same in the network's units."""
        size = max(_LEAST_BIN, -(-max(mapped.shape) // _SIDE))
        size += size % 2
        fine = size // 2
        light_bin = 2 if min(light.shape) < _LIGHT * _LEAST_PIXELS else _LIGHT
        return cls(
            block_means(light, light_bin),
            block_means(mapped, size),
            block_means(mapped, fine),
            size,
            light_bin,
        )


def shift_between(frame: Thumbnail, other: Thumbnail) -> tuple[int, int]:
    """Find by how many pixels a whole frame is shifted in another one."""
    rough = global_shift(frame.coarse, other.coarse)
    return finer_shift(frame.fine, other.fine, rough, frame.bin // 2)


def finer_shift(
    frame: Float32Array, other: Float32Array, rough: tuple[int, int], size: int
) -> tuple[int, int]:
    """Refine a shift of twice binned pixels to whole pixels.

    Parameters
    ----------
    frame, other
        (Y, X), binned by `size`.
    rough
        In pixels of twice the size.
    """
    start = 2 * rough[0], 2 * rough[1]
    reach = range(-2, 3)
    cost = np.array(
        [
            [least_differences(frame, other, (start[0] + dy, start[1] + dx)) for dx in reach]
            for dy in reach
        ]
    )
    y, x = map(int, np.unravel_index(np.argmin(cost), cost.shape))
    chance = _CHANCE / np.sqrt(min(frame.size, ENOUGH))
    if rough == (0, 0) and cost[2, 2] < (1 + chance) * cost[y, x]:
        y, x = 2, 2
    down = start[0] + y - 2 + _vertex(cost[:, x], y, chance)
    right = start[1] + x - 2 + _vertex(cost[y], x, chance)
    return round(float(down) * size), round(float(right) * size)


def shift_left(
    frame: Float32Array, other: Float32Array, correlated: float = 1.0
) -> tuple[int, int]:
    """Find by how many whole pixels two windows of first passes are still apart, a few at most.

    Parameters
    ----------
    frame, other
        (Y, X); the second taken from where `shift_between` found the first.
    correlated
        Pixels whose noise is as good as that of one; the more, the better a shift fits by chance.
    """
    reach = range(-_LEFT, _LEFT + 1)
    cost = {
        (dy, dx): _difference_beside_lines(*overlapping(frame, other, (dy, dx)))
        for dy in reach
        for dx in reach
    }
    best = min(cost, key=lambda shift: cost[shift])
    return best if cost[0, 0] > (1 + _FARTHER_OFF * correlated) * cost[best] else (0, 0)


def _difference_beside_lines(frame: Float32Array, other: Float32Array) -> float:
    """Mean squared difference without that of rows and columns.

    Noise of whole rows is much alike from row to row: with it, any shift across them may be best.
    """
    apart = frame - other
    apart = apart - apart.mean(axis=0) - apart.mean(axis=1, keepdims=True) + apart.mean()
    return float(np.square(apart, dtype=np.float64).mean())


def _vertex(cost: NDArray[np.float64], place: int, chance: float) -> float:
    """Where a parabola through a minimum and its neighbours is least, beside it; 0 for noise."""
    if not 0 < place < len(cost) - 1 or not np.isfinite(cost[place - 1 : place + 2]).all():
        return 0.0
    before, at, after = cost[place - 1 : place + 2]
    bend = before - 2 * at + after
    if bend <= 2 * at * chance:
        return 0.0
    return float(np.clip((before - after) / (2 * bend), -0.5, 0.5))


def brightness_between(
    frame: Thumbnail, other: Thumbnail, shift: tuple[int, int], mapped: Mapped
) -> float | None:
    """Find how many times as bright as another frame this one is.

    Parameters
    ----------
    frame, other, shift
        As from `shift_between`.
    mapped
        Takes light to units in which its noise is equal everywhere.

    Returns
    -------
    1 where they are as bright as each other, or where what differs is no common brightness; None
    where one is so much brighter that they tell nothing about each other.
    """
    size = frame.light_bin
    a, b = overlapping(frame.light, other.light, (round(shift[0] / size), round(shift[1] / size)))
    lit = (a > 0) & (b > 0)
    ours, theirs = a[lit], b[lit]
    if ours.size < _LEAST_PIXELS:
        return 1.0
    gain = _ratio(ours, theirs)
    if gain <= 0:
        return 1.0
    here = mapped(ours)
    equal, scaled = (_trimmed(here - mapped(theirs * np.float32(times))) for times in (1.0, gain))
    if equal <= scaled or ours.size * (equal / max(scaled, 1e-30) - 1) < _EVIDENCE:
        return 1.0
    return gain if 1 / MOST_BRIGHTER <= gain <= MOST_BRIGHTER else None


def _ratio(ours: Float32Array, theirs: Float32Array) -> float:
    """Return the ratio of two sums over the pixels that agree with it best."""
    gain, keep = 1.0, np.ones(ours.size, bool)
    for _ in range(_ROUNDS):
        # Of sums, not a regression: noise in either would pull that to one side.
        gain = float(ours[keep].sum(dtype=np.float64) / theirs[keep].sum(dtype=np.float64))
        apart = np.abs(ours - np.float32(gain) * theirs)
        keep = apart <= np.quantile(apart, _AGREEING)
    return gain


def _trimmed(values: Float32Array) -> float:
    """Mean square of the smallest ones."""
    squares = np.square(values, dtype=np.float64)
    return float(squares[squares <= np.quantile(squares, _AGREEING)].mean())


def are_independent(one: FirstPass, two: FirstPass, sigma: float) -> bool:
    """Whether two frames are independent shots.

    Parameters
    ----------
    one, two
        The same window of both, noisy and denoised; in the network's units.
    sigma
        Standard deviation of the noise.

    Returns
    -------
    False where the noise of one is that of the other, in part at least (a repeated frame, a running
    mean, an interpolated frame), or where one has much less of it (it was denoised before).
    """
    taken = [_finest(part.noisy - part.mean) for part in (one, two)]
    powers = [float(np.square(part).mean(dtype=np.float64)) for part in taken]
    if min(powers) * UNLIKE < max(powers):
        return False
    # Structure that both have lost is common too, but is not in the difference of the two.
    common = float((taken[0] * taken[1]).mean(dtype=np.float64))
    apart = float(np.square(_finest(one.noisy - two.noisy)).mean(dtype=np.float64))
    shares = common > SHARED * float(np.sqrt(powers[0] * powers[1]))
    white = 2 ** sum(side > 1 for side in one.variance.shape) * sigma**2
    return not (shares and apart < 2 * white * (1 - SHARED / 2))


def _finest(planes: Float32Array) -> Float32Array:
    """Differences of differences of (C, Y, X): each doubles the variance of white noise.

    There are none across a single row or column.
    """
    for axis in (-1, -2):
        if planes.shape[axis] > 1:
            planes = np.diff(planes, axis=axis)
    return planes
