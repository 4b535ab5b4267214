"""How much better weights are, and how sure that is, where there is no clean image."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm as normal
from scipy.stats import t as student

from napari_denoise.image.tiles import Window

_SIDES = (64, 32, 16)
"""Of the blocks that are drawn, pixels: the largest that there are enough of."""
_ENOUGH = 36
_BANDS = 8
"""Fewer tell nothing of what they have in common."""
_BEYOND = 15.0
"""dB from which on the error that is left cannot be told from none."""
_DRAWS = 1000
_INTERVAL = (5.0, 95.0)
_Place = tuple[Hashable, int, int]


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
        end = f"to {self.high:+.2f}" if self.high < _BEYOND else "or more"
        return f"{self.value:+.2f} dB (90 % interval {self.low:+.2f} {end})"


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
        the same, and is drawn together. Of draws of blocks and of bands the wider interval counts.
    before, after
        (Y, X) squared errors of each, 0 where nothing was measured; some may be below zero.
    seed
        Of the draws.
    """
    found: dict[_Place, NDArray[np.float64]] = {}
    for side in _SIDES:
        found = _blocks(places, before, after, side)
        if len(found) >= _ENOUGH:
            break
    rng = np.random.default_rng(seed)
    value = float(_decibels(np.array(list(found.values())).sum(axis=0)))
    apart = np.zeros(2)
    for units in _units(found):
        drawn = _decibels(units[_drawn(rng, len(units))].sum(axis=1))
        ends = (np.percentile(drawn, _INTERVAL) - value) * _of_few(len(units))
        apart = np.array([min(apart[0], ends[0]), max(apart[1], ends[1])])
    return Gain(value, value + float(apart[0]), value + float(apart[1]))


def _of_few(count: int) -> float:
    """How much wider an interval is that was drawn from few: they do not show all that may be."""
    if count < 2:
        return 1.0
    wider = student.ppf(_INTERVAL[1] / 100, count - 1) / normal.ppf(_INTERVAL[1] / 100)
    return float(wider * np.sqrt(count / (count - 1)))


def _drawn(rng: np.random.Generator, count: int) -> NDArray[np.intp]:
    return rng.integers(count, size=(_DRAWS, count))


def _units(found: Mapping[_Place, NDArray[np.float64]]) -> Iterator[NDArray[np.float64]]:
    """Yield blocks, and bands of them: noise of rows or columns is common to those of a band."""
    yield np.array(list(found.values()))
    for axis in (1, 2):
        bands: dict[Hashable, NDArray[np.float64]] = {}
        for place, both in found.items():
            band = place[0], place[axis]
            bands[band] = bands.get(band, 0) + both
        if len(bands) >= _BANDS:
            yield np.array(list(bands.values()))


def _blocks(
    places: Sequence[tuple[Hashable, Window]],
    before: Sequence[NDArray[np.float64]],
    after: Sequence[NDArray[np.float64]],
    side: int,
) -> dict[_Place, NDArray[np.float64]]:
    """Add both errors up in blocks of a side, by stack, first row and first column."""
    found: dict[_Place, NDArray[np.float64]] = {}
    for (stack, window), *errors in zip(places, before, after, strict=True):
        rows, columns = errors[0].shape
        for y in range(0, rows, side):
            for x in range(0, columns, side):
                place = stack, window[0].start + y, window[1].start + x
                both = np.array([e[y : y + side, x : x + side].sum() for e in errors])
                if both.any():
                    found[place] = found.get(place, 0) + both
    return found


def _decibels(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ratio of the first to the second of (..., 2), of which neither is less than a trace."""
    least = 1e-3 * np.abs(sums).max(axis=-1) + 1e-30
    one, two = (np.maximum(sums[..., n], least) for n in (0, 1))
    return np.asarray(10 * np.log10(one / two))
