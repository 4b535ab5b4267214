"""Clean images -> batches of noisy and clean patches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_denoise.core.settings import TrainSettings

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")


@dataclass(frozen=True)
class Batch:
    """Patches of one step, float32: noisy and clean (N, C, Y, X), sigma (N, 1, Y, X)."""

    noisy: NDArray[np.float32]
    clean: NDArray[np.float32]
    sigma: NDArray[np.float32]


def load_images(folder: str | Path, channels: int) -> list[NDArray[np.uint8]]:
    """Read every picture below a folder as (Y, X, C) uint8, sorted by path.

    Parameters
    ----------
    folder
        Searched recursively.
    channels
        1 reads luminance, 3 reads RGB.

    Raises
    ------
    FileNotFoundError
        The folder holds no picture.
    """
    paths = sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in SUFFIXES)
    if not paths:
        raise FileNotFoundError(
            f"{folder}: no training image found; expected files ending in {', '.join(SUFFIXES)}"
        )
    images = []
    for path in paths:
        with Image.open(path) as picture:
            image = np.asarray(picture.convert("L" if channels == 1 else "RGB"))
        images.append(image.reshape(*image.shape[:2], channels))
    return images


def synthetic_batch(
    images: Sequence[NDArray[np.uint8]], settings: TrainSettings, step: int
) -> Batch:
    """Draw the batch of one step: clean patches with Gaussian noise of random level.

    The random numbers depend on the seed and the step alone, so a resumed run
    sees the batches that an uninterrupted one would have seen.
    """
    rng = np.random.default_rng([settings.seed, step])
    areas = np.array([image.shape[0] * image.shape[1] for image in images], np.float64)
    picks = rng.choice(len(images), size=settings.batch, p=areas / areas.sum())
    clean = np.stack([_patch(images[i], settings, rng) for i in picks])
    low, high = settings.sigma
    sigma = rng.uniform(low, high, (settings.batch, 1, 1, 1)).astype(np.float32)
    noise = rng.standard_normal(clean.shape, dtype=np.float32)
    size = (settings.batch, 1, settings.patch, settings.patch)
    return Batch(clean + sigma * noise, clean, np.broadcast_to(sigma, size).copy())


def _patch(
    image: NDArray[np.uint8], settings: TrainSettings, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Cut, turn and mirror one patch; (C, Y, X) in [0, 1]."""
    size = settings.patch
    y = rng.integers(image.shape[0] - size + 1)
    x = rng.integers(image.shape[1] - size + 1)
    patch = np.rot90(image[y : y + size, x : x + size], int(rng.integers(4)))
    if rng.random() < 0.5:
        patch = patch[:, ::-1]
    unit = np.moveaxis(patch, -1, 0).astype(np.float32) / np.float32(255)
    if rng.random() < settings.intensity_augmentation:
        unit = _vary_intensity(unit, rng)
    return np.ascontiguousarray(unit)


def _vary_intensity(patch: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Change gamma, contrast and level at random within [0, 1]; sometimes invert.

    Fluorescence is dark with few bright structures; photographs seldom are.
    """
    if rng.random() < 0.25:
        patch = 1 - patch
    patch = patch ** np.float32(np.exp(rng.uniform(-0.5, 1.2)))
    contrast = np.float32(rng.uniform(0.3, 1.0))
    level = np.float32(rng.uniform(0.0, 1.0)) * (1 - contrast)
    return patch * contrast + level
