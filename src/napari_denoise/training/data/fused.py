"""Frames averaged with their neighbours, for a second pass that knows what it gets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_denoise.settings.recipe import TrainSettings
from napari_denoise.training.data.pairs import Batch, area_shares, cut, files_below, generator

PLANES = ("fused", "sigma", "noisy", "first", "clean")
"""Of a frame, as `recipes/simulate_films.py` writes them."""
FEATURES = 2
"""Planes beside the average, for one image channel: the frame noisy, and after the first pass."""
_HALF = np.float32(0.5)
_CONTRAST = 0.4, 1.2


class FusedFrame(NamedTuple):
    """A frame in the network's units."""

    planes: NDArray[np.float16]
    """(Y, X, 5) in the order of `PLANES`."""


def load_fused(folder: str | Path) -> list[FusedFrame]:
    """Read the frames of all ``.npz`` below a folder.

    Raises
    ------
    FileNotFoundError
        There are none.
    ValueError
        A file lacks a plane.
    """
    frames = []
    for path in files_below(folder, (".npz",)):
        with np.load(path, allow_pickle=False) as arrays:
            count = sum(name.startswith("fused_") for name in arrays)
            wanted = [f"{name}_{k}" for k in range(max(count, 1)) for name in PLANES]
            if missing := [name for name in wanted if name not in arrays]:
                raise ValueError(f"{path}: the array {missing[0]!r} is missing")
            for k in range(count):
                planes = np.stack([arrays[f"{name}_{k}"] for name in PLANES], axis=-1)
                frames.append(FusedFrame(planes))
    if not frames:
        raise FileNotFoundError(f"{folder}: no frame found; expected .npz of simulated films")
    return frames


class FusedPairs:
    """Averages of neighbours, and the clean frame.

    Parameters
    ----------
    frames
        None smaller than the patch.
    settings
        The recipe.
    """

    noisy_target = False

    def __init__(self, frames: Sequence[FusedFrame], settings: TrainSettings) -> None:
        if (features := settings.config.get("features", 0)) != FEATURES:
            raise ValueError(
                f"config.features = {features}: averages of neighbours come with {FEATURES} planes "
                "beside them"
            )
        self.frames, self.settings = [frame.planes for frame in frames], settings
        self._shares = area_shares(self.frames)

    def batch(self, step: int, rank: int = 0) -> Batch:
        """Draw patches, turned, mirrored, and with another contrast."""
        rng = generator(self.settings, step, rank)
        picks = rng.choice(len(self.frames), size=self.settings.batch, p=self._shares)
        drawn = np.stack([self._patch(self.frames[i], rng) for i in picks])
        fused, sigma, noisy, first, clean = (
            np.ascontiguousarray(drawn[:, k : k + 1]) for k in range(len(PLANES))
        )
        return Batch(fused, clean, sigma, np.concatenate([noisy, first], axis=1))

    def _patch(self, planes: NDArray[np.float16], rng: np.random.Generator) -> NDArray[np.float32]:
        patch = cut(planes, self.settings.patch, rng).astype(np.float32)
        if rng.random() < self.settings.intensity_augmentation:
            contrast = np.float32(rng.uniform(*_CONTRAST))
            sign = np.float32(rng.choice([-1, 1], p=[0.2, 0.8]))
            level = np.float32(rng.uniform(-0.2, 0.2)) * max(1 - contrast, np.float32(0))
            images = [0, 2, 3, 4]
            patch[images] = (patch[images] - _HALF) * contrast * sign + _HALF + level
            patch[1] *= contrast
        return patch
