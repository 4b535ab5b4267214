"""How close an image is to its reference; the data range is always explicit."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from skimage.metrics import peak_signal_noise_ratio, structural_similarity


def psnr(reference: ArrayLike, image: ArrayLike, data_range: float) -> float:
    """Peak signal-to-noise ratio in dB; infinite for equal images."""
    a, b = _pair(reference, image)
    if np.array_equal(a, b):
        return float("inf")
    return float(peak_signal_noise_ratio(a, b, data_range=data_range))


def ssim(
    reference: ArrayLike, image: ArrayLike, data_range: float, *, samples: bool = False
) -> float:
    """Mean structural similarity of (Y, X), or (Y, X, S) with `samples`.

    Gaussian weights, sigma 1.5, as in Wang et al. 2004.

    Raises
    ------
    ValueError
        The image is smaller than the 11x11 window.
    """
    a, b = _pair(reference, image)
    if min(a.shape[:2]) < 11:
        raise ValueError(f"SSIM of an image of shape {a.shape}: expected at least 11x11 pixels")
    return float(
        structural_similarity(
            a,
            b,
            data_range=data_range,
            channel_axis=-1 if samples else None,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )


def relmse(reference: ArrayLike, image: ArrayLike) -> float:
    """Mean of squared error over squared reference, for linear radiance.

    ``mean((image - reference)^2 / (reference^2 + 0.01))`` (Rousselle et al. 2011).
    """
    a, b = _pair(reference, image)
    return float(np.mean((b - a) ** 2 / (a**2 + 0.01)))


def _pair(reference: ArrayLike, image: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(reference, np.float64), np.asarray(image, np.float64)
    if a.shape != b.shape:
        raise ValueError(
            f"reference {a.shape} and image {b.shape} differ in shape: metrics compare "
            "pixel by pixel"
        )
    return a, b
