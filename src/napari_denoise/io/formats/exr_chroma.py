"""Luminance with chroma at half resolution, as some OpenEXR files store colour, turned into RGB."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_REC709 = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
"""x and y of red, green, blue and white: what a file without chromaticities means."""


def luminance_weights(header: Mapping[str, Any]) -> NDArray[np.float32]:
    """Return the share of red, green and blue in the luminance, by a header's chromaticities."""
    stated = header.get("chromaticities", _REC709)
    xy = np.asarray(stated, np.float64).ravel()
    x, y = xy[0::2], xy[1::2]
    columns = np.stack([x / y, np.ones(4), (1 - x - y) / y])  # XYZ of luminance 1
    shares = np.linalg.solve(columns[:, :3], columns[:, 3])
    return np.asarray(shares, np.float32)


def rgb_of(
    luminance: NDArray[np.float32],
    red: NDArray[np.float32],
    blue: NDArray[np.float32],
    weights: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return (Y, X, 3) of luminance Y and the chroma (R - Y) / Y and (B - Y) / Y.

    Parameters
    ----------
    luminance
        (Y, X).
    red, blue
        Of each pixel, or of every second one in each direction: between them linear.
    weights
        From `luminance_weights`.
    """
    size = luminance.shape
    r = (_upsampled(red, size) + 1) * luminance
    b = (_upsampled(blue, size) + 1) * luminance
    g = (luminance - weights[0] * r - weights[2] * b) / weights[1]
    return np.stack([r, g, b], axis=-1).astype(np.float32, copy=False)


def _upsampled(plane: NDArray[np.float32], size: tuple[int, ...]) -> NDArray[np.float32]:
    for axis, wanted in enumerate(size):
        step = -(-wanted // plane.shape[axis])
        if step == 1:
            continue
        places = np.arange(wanted) / step
        before = places.astype(int)
        after = np.minimum(before + 1, plane.shape[axis] - 1)
        share = (places - before).astype(np.float32)
        share = share[:, None] if axis == 0 else share[None, :]
        low, high = plane.take(before, axis), plane.take(after, axis)
        plane = low + share * (high - low)
    return plane
