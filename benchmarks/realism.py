"""The realism slider from the faithful to the realistic end: what it gives and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmarks.protocol import channel_errors
from benchmarks.tables import Table
from napari_denoise.core.metrics import psnr

Array = NDArray[Any]

SLIDER = (0.0, 0.25, 0.5, 0.75, 1.0)
PSNR_LIMIT = 1.0
"""Most that the realistic end may lose, dB."""
MEAN_LIMIT = 0.3
"""Largest error of the mean of a channel of an image, levels of 255."""
_TOP_OCTAVE = 0.25
"""Its lower end, cycles per pixel; the upper one is Nyquist's, 0.5."""


def top_octave(image: ArrayLike) -> float:
    """Power of the finest structures, 0.25 to 0.5 cycles per pixel, mean over the channels.

    Parameters
    ----------
    image
        (Y, X) or (Y, X, S). A Hann window keeps its borders from counting as structure.
    """
    planes = np.atleast_3d(np.asarray(image, np.float64))
    height, width, _ = planes.shape
    window = np.hanning(height)[:, None, None] * np.hanning(width)[None, :, None]
    spectrum = np.abs(np.fft.fft2((planes - planes.mean((0, 1))) * window, axes=(0, 1))) ** 2
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :])
    return float(spectrum[(radius >= _TOP_OCTAVE) & (radius <= 2 * _TOP_OCTAVE)].mean())


def realism_table(
    name: str,
    cleans: Sequence[Array],
    denoised: Callable[[int, float], Array],
    note: str,
) -> Table:
    """Tabulate images at every place of the slider.

    Parameters
    ----------
    name
        Of the table.
    cleans
        Truths, 0..255.
    denoised
        Number of the image and realism -> result, 0..255.
    note
        What the figures depend on.
    """
    measured = {share: _measure(cleans, denoised, share) for share in SLIDER}
    rows = [
        (f"{share:g}", f"{score:.2f}", f"{power:.3f}", f"{mean:.3f}")
        for share, (score, power, mean) in measured.items()
    ]
    header = ("realism", "PSNR, dB", "finest structures, of the clean", "mean, worst, of 255")
    return Table(name, header, tuple(rows), (_judged(measured), note))


def _measure(
    cleans: Sequence[Array], denoised: Callable[[int, float], Array], share: float
) -> tuple[float, float, float]:
    """Mean PSNR, mean power of the finest structures over the clean one, worst mean."""
    scores, powers, means = [], [], []
    for number, clean in enumerate(cleans):
        image = denoised(number, share)
        scores.append(psnr(clean, np.clip(image, 0, 255), 255))
        powers.append(top_octave(image) / top_octave(clean))
        means.append(float(np.abs(channel_errors(clean, image)).max()))
    return float(np.mean(scores)), float(np.mean(powers)), max(means)


def _judged(measured: dict[float, tuple[float, float, float]]) -> str:
    (first, faithful, _), (last, realistic, _) = measured[0.0], measured[1.0]
    way = (realistic - faithful) / (1 - faithful)
    worst = max(mean for _, _, mean in measured.values())
    checks = (
        (f"PSNR falls by {first - last:.2f} dB, limit {PSNR_LIMIT:g}", first - last <= PSNR_LIMIT),
        (f"finest structures go {100 * way:.0f} % of the way to 1, at least 50", way >= 0.5),
        (f"worst mean {worst:.2f} of 255, limit {MEAN_LIMIT:g}", worst <= MEAN_LIMIT),
    )
    return "; ".join(f"{text}: {'kept' if kept else '**missed**'}" for text, kept in checks) + "."
