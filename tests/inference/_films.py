"""Small films of which every clean frame is known."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, shift

OFFSET, READ_NOISE = 100.0, 2.0


def scene(size=(96, 96), seed=0, margin=48):
    """Draw (Y, X) photons of smooth structure and fine fibres, with a margin for motion."""
    rng = np.random.default_rng(seed)
    whole = tuple(side + 2 * margin for side in size)
    wide = gaussian_filter(rng.standard_normal(whole), 6)
    fibres = np.abs(gaussian_filter(rng.standard_normal(whole), 2))
    fibres = gaussian_filter(np.exp(-np.square(fibres / fibres.std() / 0.3)), 1)
    return 3 + 12 * (wide - wide.min()) / np.ptp(wide) + 40 * fibres


def clean_film(size=(96, 96), frames=5, motion=(0.0, 0.0), seed=0, margin=48):
    """Move a scene by some pixels a frame: (T, Y, X) photons."""
    whole = scene(size, seed, margin)
    moved = [
        shift(whole, [step * (t - frames // 2) for step in motion], order=3, mode="nearest")
        for t in range(frames)
    ]
    inner = slice(margin, margin + size[0]), slice(margin, margin + size[1])
    return np.maximum(np.stack([frame[inner] for frame in moved]), 0)


def record(photons, seed=0):
    """Count photons with a camera: uint16."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(photons) + OFFSET + rng.normal(0, READ_NOISE, np.shape(photons))
    return np.clip(np.round(counts), 0, 65535).astype(np.uint16)


def psnr(result, photons):
    """Compare to the clean photons, over their range."""
    error = np.square(np.asarray(result, np.float64) - OFFSET - photons).mean()
    return 10 * np.log10(np.ptp(photons) ** 2 / error)
