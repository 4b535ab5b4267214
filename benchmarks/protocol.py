"""How figures are taken: added noise, matching, display values, bias."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_denoise.image.metrics import psnr
from napari_denoise.settings.noise import NoiseModel

Image = NDArray[np.float64]

BINS = 8


def add_noise(clean: ArrayLike, sigma: float) -> Image:
    """Add white Gaussian noise, not clipped; the same noise for every image of a shape."""
    image = np.asarray(clean, np.float64)
    return image + sigma * np.random.default_rng(0).standard_normal(image.shape)


def expose(photons: ArrayLike, noise: NoiseModel) -> Image:
    """Simulate a camera: Poisson counts of the mean photons per pixel, gain, offset, read noise."""
    mean = np.asarray(photons, np.float64)
    rng = np.random.default_rng(0)
    read = noise.read_noise * rng.standard_normal(mean.shape)
    return noise.offset + noise.gain * rng.poisson(mean) + read


def multiply(photons: ArrayLike, noise: NoiseModel) -> Image:
    """Simulate an electron-multiplying camera: each photon's gain is exponentially distributed.

    The variance of the sum is that of Poisson counts of half as many photons and twice the
    gain; its skewness is larger. After Basden et al. 2003, doi 10.1046/j.1365-8711.2003.07020.x.
    """
    mean = np.asarray(photons, np.float64)
    rng = np.random.default_rng(0)
    counts = rng.poisson(mean)
    light = np.where(counts > 0, rng.gamma(np.maximum(counts, 1), noise.gain), 0)
    return noise.offset + light + noise.read_noise * rng.standard_normal(mean.shape)


def to_bytes(image: ArrayLike) -> NDArray[np.uint8]:
    """Clip to 0..255 and round."""
    whole: NDArray[np.uint8] = np.rint(np.clip(image, 0, 255)).astype(np.uint8)
    return whole


def match(clean: ArrayLike, noisy: ArrayLike) -> Image:
    """Scale and shift a clean image to its noisy one by least squares, in whole 8-bit levels.

    For pairs that were stretched to 0..255 each on its own.
    """
    x, y = np.asarray(clean, np.float64), np.asarray(noisy, np.float64)
    scale, shift = np.polyfit(x.ravel(), y.ravel(), 1)
    return to_bytes(scale * x + shift).astype(np.float64)


def display(radiance: ArrayLike) -> Image:
    """Linear light as shown: clipped to [0, 1], gamma 1/2.2."""
    shown: Image = np.clip(np.asarray(radiance, np.float64), 0, 1) ** (1 / 2.2)
    return shown


def display_psnr(reference: ArrayLike, image: ArrayLike) -> float:
    """PSNR in dB of two renders as shown."""
    return psnr(display(reference), display(image), 1.0)


def bin_edges(clean: ArrayLike) -> Image:
    """Edges of 8 equal steps of brightness, from the least to the 99.9 percentile.

    The few pixels above belong to the last bin.
    """
    low, high = np.percentile(np.asarray(clean), [0, 99.9])
    return np.linspace(low, high, BINS + 1)


def bias(clean: ArrayLike, image: ArrayLike, edges: ArrayLike) -> Image:
    """Mean of ``image - clean`` in bins of the clean brightness; NaN for an empty bin."""
    x = np.asarray(clean, np.float64).ravel()
    error = np.asarray(image, np.float64).ravel() - x
    number = np.clip(np.digitize(x, np.asarray(edges)[1:-1]), 0, BINS - 1)
    count = np.bincount(number, minlength=BINS)
    total = np.bincount(number, error, minlength=BINS)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def channel_errors(clean: ArrayLike, image: ArrayLike) -> Image:
    """Mean of ``image - clean`` per colour sample of (Y, X) or (Y, X, S)."""
    difference = np.asarray(image, np.float64) - np.asarray(clean, np.float64)
    return np.atleast_1d(difference.mean(axis=(0, 1)))


def relative_mean_error(noisy: ArrayLike, image: ArrayLike, offset: float) -> float:
    """Change of the mean, relative to the noisy mean above the camera's offset."""
    before = float(np.asarray(noisy).mean(dtype=np.float64))
    return (float(np.asarray(image).mean(dtype=np.float64)) - before) / (before - offset)


def psnrs(clean: ArrayLike, image: ArrayLike, peak: float) -> Image:
    """PSNR of every frame, dB; an error below that of rounding to whole levels counts as that."""
    error = np.asarray(image, np.float64) - np.asarray(clean, np.float64)
    mean = np.square(error).mean(axis=tuple(range(1, error.ndim)))
    result: Image = 10 * np.log10(peak**2 / np.maximum(mean, 1 / 12))
    return result


def flicker(clean: ArrayLike, image: ArrayLike) -> float:
    """Mean absolute difference of the errors of successive frames, in levels of 255.

    Parameters
    ----------
    clean, image
        Display values in [0, 1], time first.
    """
    error = np.asarray(image, np.float64) - np.asarray(clean, np.float64)
    return 255 * float(np.abs(np.diff(error, axis=0)).mean())


def change_by_quarter(radiance: ArrayLike, other: ArrayLike, order: ArrayLike) -> Image:
    """Change of the mean from `other`, per cent, for each quarter of the pixels by `order`."""
    number = np.argsort(np.argsort(np.ravel(order), kind="stable"), kind="stable")
    quarter = 4 * number // number.size
    new, old = (np.bincount(quarter, np.ravel(a).astype(np.float64)) for a in (radiance, other))
    change: Image = 100 * (new / old - 1)
    return change
