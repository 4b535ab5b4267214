"""Inks, CIELAB and alpha as what screens show: numbers in, numbers out."""

from __future__ import annotations

from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

_D50 = np.array([0.9642, 1.0, 0.8249])
"""White of CIELAB in TIFF and in profiles, as XYZ."""
_XYZ_TO_SRGB = np.array(
    [
        [3.1338561, -1.6168667, -0.4906146],
        [-0.9787684, 1.9161415, 0.0334540],
        [0.0719453, -0.2289914, 1.4052427],
    ]
)
"""From XYZ under D50 to linear sRGB (Bradford)."""


def rgb_of_inks(inks: NDArray[Any], profile: bytes = b"") -> NDArray[Any]:
    """RGB of cyan, magenta, yellow and black, in the same unsigned type.

    Parameters
    ----------
    inks
        (..., 4), 0 without ink.
    profile
        An ICC profile of the inks; without it each ink takes away its share of the light.

    """
    if profile:
        return _managed(inks, profile)
    most = np.iinfo(inks.dtype).max
    light = most - inks.astype(np.float64)
    rgb = light[..., :3] * (light[..., 3:] / most)
    return np.rint(rgb).astype(inks.dtype)


def is_profile_of_inks(profile: bytes) -> bool:
    """Whether an ICC profile can be used for CMYK."""
    if profile[16:20] != b"CMYK":
        return False
    try:
        _managed(np.zeros((1, 4), np.uint8), profile)
    except (RuntimeError, ValueError):
        return False
    return True


def _managed(inks: NDArray[Any], profile: bytes) -> NDArray[Any]:
    rows = np.ascontiguousarray(inks).reshape(1, -1, 4)
    target = imagecodecs.cms_profile("srgb")
    rgb = imagecodecs.cms_transform(
        rows, profile, target, colorspace="cmyk", outcolorspace="rgb", outdtype=inks.dtype
    )
    return np.asarray(rgb).reshape(*inks.shape[:-1], 3)


def rgb_of_lab(lab: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Turn CIELAB under D50 into sRGB; what a screen cannot show is clipped.

    Parameters
    ----------
    lab
        (..., 3), L from 0 to 100.
    dtype
        Unsigned; its whole range is used.
    """
    y = (lab[..., 0] + 16) / 116
    steps = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=-1)
    xyz = np.where(steps > 6 / 29, steps**3, 3 * (6 / 29) ** 2 * (steps - 4 / 29)) * _D50
    linear = np.clip(xyz @ _XYZ_TO_SRGB.T, 0, 1)
    shown = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    rgb: NDArray[Any] = np.rint(shown * np.iinfo(dtype).max).astype(dtype)
    return rgb


def lab_of_samples(samples: NDArray[Any], *, signed: bool) -> NDArray[Any]:
    """CIELAB of 8 or 16 bit samples, (..., 3).

    Parameters
    ----------
    signed
        Whether a and b are two's complement (CIELab in TIFF), or from half of the range (ICC).
    """
    half = (int(np.iinfo(samples.dtype).max) + 1) // 2
    of_one = half / 128  # samples of one unit of a and b
    white = np.iinfo(samples.dtype).max if signed or of_one == 1 else 0xFF00
    lightness = samples[..., :1] / white * 100
    shifted = samples[..., 1:3]
    if signed:
        shifted = shifted ^ samples.dtype.type(half)
    return np.concatenate([lightness, (shifted.astype(np.float64) - half) / of_one], axis=-1)


def gray_or_rgba(gray: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    """RGBA of gray with alpha; gray alone where all of it is opaque."""
    if is_opaque(alpha):
        return np.ascontiguousarray(gray)
    return np.stack([gray, gray, gray, alpha], axis=-1)


def is_opaque(alpha: NDArray[Any]) -> bool:
    """Whether nothing is transparent."""
    most = np.iinfo(alpha.dtype).max if alpha.dtype.kind in "iu" else 1
    return bool((alpha >= most).all())


def straight(image: NDArray[Any]) -> NDArray[Any]:
    """Colours of RGBA that were multiplied by their alpha, without it."""
    most = np.iinfo(image.dtype).max
    alpha = image[..., 3:].astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(alpha > 0, most / alpha, 0)
    colour = np.clip(np.rint(image[..., :3] * share), 0, most)
    return np.concatenate([colour.astype(image.dtype), image[..., 3:]], axis=-1)
