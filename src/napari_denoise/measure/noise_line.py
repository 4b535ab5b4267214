"""Noise variance as a line over the level."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_LINE_KNOWN_TO = 0.3
"""Relative error of a slope from small blocks, where noise is correlated."""


def fit_line(level: FloatArray, variance: FloatArray, trust: FloatArray) -> tuple[float, float]:
    """Weighted line with relative errors, by iteratively reweighted least squares.

    A slope that its own error or the data's range makes meaningless is taken as none.
    """
    floor = 0.03 * np.median(variance)
    predicted = np.maximum(variance, floor)
    for _ in range(12):
        weight = trust / predicted**2
        centre = np.average(level, weights=weight)
        mean = np.average(variance, weights=weight)
        spread = (weight * (level - centre) ** 2).sum()
        gain = float((weight * (level - centre) * (variance - mean)).sum() / max(spread, 1e-300))
        intercept = float(mean - gain * centre)
        predicted = np.maximum(gain * level + intercept, floor)
    residual = variance - gain * level - intercept
    scatter = (weight * residual**2).sum() / max(len(level) - 2, 1)
    error = np.sqrt(scatter / max(spread, 1e-300))
    if len(level) < 3 or gain <= 2 * error or gain * np.ptp(level) < 0.05 * mean:
        return 0.0, max(float(_constant(variance, trust)), 0.0)
    return gain, intercept


def lifted(
    gain: float, intercept: float, darkest: float, level: FloatArray, variance: FloatArray
) -> tuple[float, float]:
    """Turn a line about its bright end that falls far below what the dark end shows."""
    least = 0.1 * float(variance[np.argmin(level)])
    bright = float(level.max())
    top = gain * bright + intercept
    if gain * darkest + intercept >= least or top <= least or bright <= darkest:
        return gain, intercept
    gain = (top - least) / (bright - darkest)
    return gain, top - gain * bright


def _constant(variance: FloatArray, trust: FloatArray) -> float:
    floor = 0.03 * np.median(variance)
    return float(np.average(variance, weights=trust / np.maximum(variance, floor) ** 2))


def steered(
    gain: float, level: FloatArray, variance: FloatArray, expected: FloatArray
) -> tuple[float, float]:
    """Weighted line through single blocks, whose slope is drawn towards a known one.

    Parameters
    ----------
    gain
        The slope that is known to some extent; 0 is kept.
    level, variance
        (n,) of the blocks.
    expected
        (n,) variance to weight by: errors are relative to it.

    Returns
    -------
    Slope and intercept.
    """
    weight = 1 / expected**2
    centre, mean = (float(np.average(values, weights=weight)) for values in (level, variance))
    if gain <= 0:
        return 0.0, mean
    spread = max(float((weight * (level - centre) ** 2).sum()), 1e-300)
    slope = float((weight * (level - centre) * (variance - mean)).sum()) / spread
    residual = variance - mean - slope * (level - centre)
    error = float((weight * residual**2).mean()) / spread
    known = (_LINE_KNOWN_TO * gain) ** 2
    drawn = max((slope * known + gain * error) / (known + error), 0.0)
    return drawn, mean - drawn * centre
