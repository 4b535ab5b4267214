"""How much every row of a plane is too bright, told apart from what the image shows.

An offset that a whole row shares bends the image across that row by the same amount everywhere
along it. Strips of a few pixels tell how much; where the image has structure of its own they
disagree, and count less. Slow changes from row to row are left to the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct, idct
from scipy.linalg import solveh_banded
from scipy.ndimage import uniform_filter1d

FloatArray = NDArray[np.float64]

STRIP = 8
"""Pixels along a row that are averaged first."""
_LAGS = (1, 2, 4, 8)
"""Rows on both sides that a row is compared with."""
_AROUND = 15
"""Rows in which a strip shows how much structure it holds."""
_FAR, _ROUNDS = 1.5, 4
"""Sd from which on a strip counts less; and how often that is found out."""
_LEAST = 0.25
"""Variance of the quietest strips, of that of the usual one."""
_EDGE = 4.0
"""Sd from which on a bend is an edge of the image."""
_FINEST = 1e-4
"""Variance of the error of a bend at least, of that of the offsets: for numbers' sake."""
_SLOWEST, _WIDER = 4, 1.6
"""Cosines over all rows that are left to the image, and how the bands above them grow."""
BEND = 1.5
"""Variance of a bend, of that of independent rows."""


def strip_means(plane: NDArray[Any]) -> FloatArray:
    """Average (Y, X) over strips of rows, (Y, X / 8); NaN where one is not known, or constant."""
    rows, strips = plane.shape[0], plane.shape[1] // STRIP
    cut = plane[:, : strips * STRIP].reshape(rows, strips, STRIP)
    means = cut.mean(axis=2, dtype=np.float64)
    # Clipped pixels and fill have no noise, and would count most.
    means[cut.max(axis=2) == cut.min(axis=2)] = np.nan
    return np.asarray(means)


def bends(strips: FloatArray, lag: int = 1) -> FloatArray:
    """How far each row is from the mean of those at a distance on both sides."""
    return np.asarray(strips[lag:-lag] - (strips[: -2 * lag] + strips[2 * lag :]) / 2)


def shared(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return what the values of each row have in common, and the variance of its error.

    Parameters
    ----------
    values
        (Y, strips), NaN where not known.

    Returns
    -------
    (Y,) each; the variance of a row of which nothing is known is infinite.
    """
    known = np.isfinite(values)
    complete = bool(known.all())
    if complete:
        middle = np.median(values, axis=1, keepdims=True)
    else:
        empty = ~known.any(axis=1, keepdims=True)
        middle = np.nanmedian(np.where(empty, 0.0, values), axis=1, keepdims=True)
        values = np.where(known, values, middle)
    squares = np.square(values - middle)
    usual = float(np.median(squares if complete else squares[known])) if known.any() else 0.0
    most = 36 * usual if usual > 0 else np.inf
    spread = uniform_filter1d(np.minimum(squares, most), _AROUND, axis=0, mode="nearest")
    spread = np.maximum(spread, max(_LEAST * float(np.median(spread)), 1e-30))
    trust = known / spread
    sd = np.sqrt(spread)
    for _ in range(_ROUNDS):
        away = np.abs(values - middle) / sd
        weight = trust * np.minimum(1.0, _FAR / np.maximum(away, 1e-9))
        total = np.maximum(weight.sum(axis=1, keepdims=True), 1e-100)
        middle = (weight * values).sum(axis=1, keepdims=True) / total
    error = (np.square(weight * (values - middle))).sum(axis=1) / np.square(total[:, 0])
    error = np.maximum(np.maximum(uniform_filter1d(error, 5), error), 1e-30)
    error[~known.any(axis=1)] = np.inf
    return middle[:, 0], error


def line_offsets(plane: NDArray[Any], sd: float) -> FloatArray:
    """Estimate the offset of every row, given how much they differ.

    Parameters
    ----------
    plane
        (Y, X), NaN where not known.
    sd
        Standard deviation of the offsets, in the data's units.

    Returns
    -------
    (Y,) of mean zero.
    """
    return _with_power(likeliest_offsets(strip_means(plane), sd, _LAGS), sd)


def likeliest_offsets(strips: FloatArray, sd: float, lags: Sequence[int]) -> FloatArray:
    """Find the most probable offsets, where they are independent and normal.

    Each of the bends at some distances says a little, an edge of the image nothing.

    Parameters
    ----------
    strips
        (Y, strips).
    sd
        Standard deviation of the offsets.
    lags
        Those distances, in rows.
    """
    rows = len(strips)
    lags = [lag for lag in lags if 2 * lag < rows]
    matrix, right = np.zeros((2 * max(lags) + 1, rows)), np.zeros(rows)
    matrix[0] = 1 / sd**2
    shares = (-0.5, 1.0, -0.5)
    for lag in lags:
        bend, error = shared(bends(strips, lag))
        error = len(lags) * np.maximum(error, _FINEST * sd**2)
        weight = (np.abs(bend) < _EDGE * np.sqrt(BEND) * sd) / error
        count = len(weight)
        for one, share in enumerate(shares):
            right[one * lag : one * lag + count] += share * weight * bend
            for other in range(one + 1):
                band = (one - other) * lag
                matrix[band, other * lag : other * lag + count] += share * shares[other] * weight
    return np.asarray(solveh_banded(matrix, right, lower=True))


def _with_power(offsets: FloatArray, sd: float) -> FloatArray:
    """Take as much of each band of frequencies as independent rows have: more is the image.

    The slowest changes are left, the mean among them.
    """
    cosines = dct(offsets, norm="ortho")
    cosines[:_SLOWEST] = 0
    start = _SLOWEST
    while start < len(cosines):
        stop = min(len(cosines), max(start + 4, int(_WIDER * start)))
        power = float(np.square(cosines[start:stop]).mean())
        expected = sd**2 * (1 + np.sqrt(2 / (stop - start)))
        cosines[start:stop] *= min(1.0, expected / max(power, 1e-300))
        start = stop
    return np.asarray(idct(cosines, norm="ortho"))
