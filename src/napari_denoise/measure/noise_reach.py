"""How far correlated noise reaches: wider blocks show what those of 8 x 8 pixels cannot."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_denoise.measure.noise_blocks import WIDE, Blocks, orders
from napari_denoise.measure.noise_line import lifted, steered
from napari_denoise.measure.noise_spectrum import Correlation, fit_far_correlation

FloatArray = NDArray[np.float64]

_ORDER = orders(WIDE)
_LOW = (_ORDER >= 1) & (_ORDER <= 3)
_MID = (_ORDER >= 4) & (_ORDER <= 6)
_FINE = (_ORDER >= 10) & (_ORDER <= 15), _ORDER >= 16
_FLATTEST, _LEAST = 0.1, 60
"""Share of the blocks that is measured, where they hold content; at least so many."""
_MORE, _COARSER, _MOST = 1.07, 1.15, 4.0
"""Times the variance, and the coarse energy, that smaller blocks show: with less theirs is kept,
as they are more. Variance beyond the last is texture."""
_ALIKE = 1.25
"""Fine energy over what is foretold, either way, that confirms it."""
_VARIED, _VARIED_MUCH = 1.5, 4.0
"""Variation from block to block over that of noise, from which on it is texture: where smaller
blocks are confirmed, and where they are not."""


def measure_far(
    blocks: Blocks, gain: float, intercept: float, near: Correlation, *, whole: bool
) -> tuple[float, float, Correlation] | None:
    """Measure correlation over more than two lags, and the variance that smaller blocks missed.

    Blocks are brought to one variance by what is known of it, so that all levels count alike.

    Parameters
    ----------
    blocks
        Of 16 x 16 pixels.
    gain, intercept, near
        Line of the variance over the level, and correlation, as smaller blocks show them.
    whole
        The blocks hold nothing but noise: all of them are used, and all cosines.

    Returns
    -------
    The line and the correlation; None if there are too few blocks, or what they show beyond
    the smaller ones is texture: that varies from block to block, noise does not.
    """
    clear = blocks.take(~(blocks.bright | blocks.dark))
    if len(clear) < _LEAST:
        return None
    expected = gain * clear.mean + intercept
    expected = np.maximum(expected, 0.1 * np.median(expected))
    if not (expected > 0).all():
        return None
    relative = clear.energy / expected[:, None, None]
    kept = len(clear) if whole else max(round(_FLATTEST * len(clear)), _LEAST)
    flattest = np.argsort(relative[:, _LOW].sum(axis=1))[:kept]
    spectrum = relative[flattest].mean(axis=0)
    fitted, used = (_ORDER >= 1, _ORDER >= 1) if whole else (_ORDER >= 3, _ORDER >= 4)
    if not (spectrum[fitted] > 0).all():
        return None
    bearable = _VARIED if _agree(spectrum, near) else _VARIED_MUCH
    if not whole and _variation(relative[flattest]) > bearable:
        return None
    found = fit_far_correlation(spectrum, near, fitted)
    variance = clear.energy[flattest][:, used].sum(axis=1) / found.spectrum(WIDE)[used].sum()
    factor = float(np.average(variance / expected[flattest]))
    if factor < _MORE:
        return gain, intercept, found if found.coarse > _COARSER * near.coarse else near
    most = min(1.0, _MOST / factor)
    line = steered(gain * factor, clear.mean[flattest], variance, expected[flattest])
    darkest = float(np.percentile(clear.around, 1))
    line = lifted(*line, darkest, clear.mean[flattest], expected[flattest] * factor)
    return most * line[0], most * line[1], found


def _agree(spectrum: FloatArray, near: Correlation) -> bool:
    """Whether the fine cosines are as smaller blocks foretell."""
    foretold = near.spectrum(WIDE)
    ratios = [spectrum[band].sum() / foretold[band].sum() for band in _FINE]
    return all(1 / _ALIKE < ratio < _ALIKE for ratio in ratios)


def _variation(energy: FloatArray) -> float:
    """Variance of the blocks' middle energy, relative to that of noise with this spectrum."""
    middle = energy[:, _MID]
    spectrum, total = middle.mean(axis=0), middle.sum(axis=1)
    return float(total.var() / (2 * np.square(spectrum).sum()))
