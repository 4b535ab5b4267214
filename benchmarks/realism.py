"""The realism slider from the faithful to the realistic end: what it gives and what it costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmarks.protocol import channel_errors
from benchmarks.tables import Table
from napari_denoise.image.metrics import psnr

Array = NDArray[Any]

SLIDER = (0.0, 0.25, 0.5, 0.75, 1.0)
PSNR_LIMIT = 1.0
"""Most that the realistic end may lose, dB."""
MEAN_LIMIT = 0.3
"""Largest error, and change, of the mean of a channel of an image, levels of 255."""
_TOP_OCTAVE = 0.25
"""Its lower end, cycles per pixel; the upper one is Nyquist's, 0.5."""


def top_octave(image: ArrayLike, other: ArrayLike | None = None) -> float:
    """Power of the finest structures, 0.25 to 0.5 cycles per pixel, mean over the channels.

    Parameters
    ----------
    image
        (Y, X) or (Y, X, S). A Hann window keeps its borders from counting as structure.
    other
        The same view with other noise: counted is only what both have in common (the real part
        of the cross spectrum), to which noise adds nothing on average.
    """
    spectrum = _spectrum(image)
    both = (spectrum * np.conj(spectrum if other is None else _spectrum(other))).real
    height, width, _ = both.shape
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :])
    return float(both[(radius >= _TOP_OCTAVE) & (radius <= 2 * _TOP_OCTAVE)].mean())


def _spectrum(image: ArrayLike) -> NDArray[np.complex128]:
    planes = np.atleast_3d(np.asarray(image, np.float64))
    height, width, _ = planes.shape
    window = np.hanning(height)[:, None, None] * np.hanning(width)[None, :, None]
    return np.asarray(np.fft.fft2((planes - planes.mean((0, 1))) * window, axes=(0, 1)))


@dataclass(frozen=True)
class Look:
    """What some weights make of some images.

    Parameters
    ----------
    score
        PSNR, dB.
    power
        Of the finest structures, relative to the clean image's.
    errors
        Of the mean of each channel of each image, levels of 255.
    signal
        Power of the finest structures of all images, relative to that of the clean ones without
        their own noise; None where that is not known.
    """

    score: float
    power: float
    errors: Array
    signal: float | None = None

    @property
    def mean(self) -> float:
        """The worst error of a mean."""
        return float(np.abs(self.errors).max())

    def drift(self, other: Look) -> float:
        """Return the largest change of a mean against another look at the same images."""
        return float(np.abs(self.errors - other.errors).max())

    @property
    def cells(self) -> tuple[str, ...]:
        """The figures as text."""
        signal = () if self.signal is None else (f"{self.signal:.3f}",)
        return f"{self.score:.2f}", f"{self.power:.3f}", *signal, f"{self.mean:.3f}"


def look(
    cleans: Sequence[Array], images: Iterable[Array], again: Sequence[Array] | None = None
) -> Look:
    """Measure images, 0..255, beside their truths.

    Parameters
    ----------
    cleans
        The truths, which may have some noise of their own.
    images
        What was made of each.
    again
        Each truth with other noise, however strong: tells how much of the power of the
        truths is noise.
    """
    scores, powers, means = [], [], []
    for clean, image in zip(cleans, images, strict=True):
        scores.append(psnr(clean, np.clip(image, 0, 255), 255))
        powers.append((top_octave(image), top_octave(clean)))
        means.append(channel_errors(clean, image))
    made, wanted = np.transpose(powers)
    signal = None
    if again is not None:
        shared = [top_octave(a, b) for a, b in zip(cleans, again, strict=True)]
        signal = float(made.sum() / np.sum(shared))
    return Look(float(np.mean(scores)), float((made / wanted).mean()), np.stack(means), signal)


def realism_table(
    name: str, slider: Mapping[float, Look], control: Look | None, note: str
) -> Table:
    """Tabulate the places of the slider, and beside them training without a discriminator.

    Parameters
    ----------
    name
        Of the table.
    slider
        Realism -> what was measured there.
    control
        What weights do that were trained on with pixel and feature loss alone.
    note
        What the figures depend on.
    """
    rows = [(f"realism {share:g}", *found.cells) for share, found in slider.items()]
    rows += [("pixel + VGG loss, no GAN", *control.cells)] if control else []
    known = slider[SLIDER[0]].signal is not None
    header = (
        *("", "PSNR, dB", "finest structures, of the clean"),
        *(("of the clean without its noise",) if known else ()),
        "mean, worst, of 255",
    )
    return Table(name, header, tuple(rows), (_judged(slider), note))


def _judged(slider: Mapping[float, Look]) -> str:
    faithful, realistic = slider[SLIDER[0]], slider[SLIDER[-1]]
    fall = faithful.score - realistic.score
    worst = max(found.mean for found in slider.values())
    drift = max(found.drift(faithful) for found in slider.values())
    checks = (
        (f"PSNR falls by {fall:.2f} dB, limit {PSNR_LIMIT:g}", fall <= PSNR_LIMIT),
        _on_the_way("finest structures", faithful.power, realistic.power),
        *(
            [_on_the_way("without the clean image's noise", faithful.signal, realistic.signal)]
            if faithful.signal is not None and realistic.signal is not None
            else []
        ),
        (f"worst mean {worst:.2f} of 255, limit {MEAN_LIMIT:g}", worst <= MEAN_LIMIT),
        (
            f"change of a mean along the slider {drift:.2f}, limit {MEAN_LIMIT:g}",
            drift <= MEAN_LIMIT,
        ),
    )
    judged = "; ".join(f"{text}: {'kept' if kept else '**missed**'}" for text, kept in checks)
    return f"{judged}."


def _on_the_way(what: str, start: float, end: float) -> tuple[str, bool]:
    """Say which part of its distance to 1 the start loses on the way to the end."""
    way = 1 - abs(1 - end) / abs(1 - start)
    return f"{what} go {100 * way:.0f} % of the way to 1, at least 50", way >= 0.5
