"""How much better weights are, and how sure that is, where there is no clean image."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_denoise.image.tiles import Window

_SIDES = (64, 32, 16)
"""Of the blocks that are drawn, pixels: the largest that there are enough of."""
_ENOUGH = 36
_DRAWS = 1000
_INTERVAL = (5.0, 95.0)


@dataclass(frozen=True)
class Gain:
    """What weights gain against others, dB, and where that lies in nine of ten cases.

    Parameters
    ----------
    value
        Estimated.
    low, high
        Ends of the 90 % interval.
    """

    value: float
    low: float
    high: float

    @property
    def certain(self) -> bool:
        """Whether it is above zero, by the interval."""
        return self.low > 0

    def __str__(self) -> str:
        return f"{self.value:+.2f} dB (90 % interval {self.low:+.2f} to {self.high:+.2f})"


def gain_of(
    places: Sequence[tuple[Hashable, Window]],
    before: Sequence[NDArray[np.float64]],
    after: Sequence[NDArray[np.float64]],
    seed: int = 0,
) -> Gain:
    """Compare two sums of errors, with an interval from blocks drawn at random with replacement.

    Parameters
    ----------
    places
        Stack and window of each image. What lies at one place of several frames of a stack shows
        the same, and is drawn together.
    before, after
        (Y, X) squared errors of each, 0 where nothing was measured; some may be below zero.
    seed
        Of the draws.
    """
    sums = np.empty((0, 2))
    for side in _SIDES:
        sums = np.array(list(_blocks(places, before, after, side)))
        if len(sums) >= _ENOUGH:
            break
    draws = np.random.default_rng(seed).integers(len(sums), size=(_DRAWS, len(sums)))
    low, high = np.percentile(_decibels(sums[draws].sum(axis=1)), _INTERVAL)
    return Gain(float(_decibels(sums.sum(axis=0))), float(low), float(high))


def _blocks(
    places: Sequence[tuple[Hashable, Window]],
    before: Sequence[NDArray[np.float64]],
    after: Sequence[NDArray[np.float64]],
    side: int,
) -> list[tuple[float, float]]:
    found: dict[Hashable, NDArray[np.float64]] = {}
    for (stack, window), *errors in zip(places, before, after, strict=True):
        rows, columns = errors[0].shape
        for y in range(0, rows, side):
            for x in range(0, columns, side):
                place = stack, window[0].start + y, window[1].start + x
                both = np.array([e[y : y + side, x : x + side].sum() for e in errors])
                if both.any():
                    found[place] = found.get(place, 0) + both
    return [tuple(both) for both in found.values()]


def _decibels(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ratio of the first to the second of (..., 2), of which neither is less than a trace."""
    least = 1e-3 * np.abs(sums).max(axis=-1) + 1e-30
    one, two = (np.maximum(sums[..., n], least) for n in (0, 1))
    return np.asarray(10 * np.log10(one / two))
