"""Frames averaged with their neighbours, for a second pass that knows what it gets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_denoise.settings.recipe import TrainSettings
from napari_denoise.training.data.pairs import Batch, area_shares, cut, files_below, generator

PLANES = ("fused", "sigma", "noisy", "first", "clean")
"""Of a frame, as `recipes/simulate_films.py` writes them; (C, Y, X), of `sigma` (1, Y, X)."""
_HALF = np.float32(0.5)
_CONTRAST = 0.4, 1.2


def load_fused(folder: str | Path) -> list[NDArray[np.float16]]:
    """Read the frames of all ``.npz`` below a folder.

    Returns
    -------
    list of ndarray
        (Y, X, 4 C + 1) each, in the network's units, `PLANES` one after the other.

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
                planes = [np.atleast_3d(arrays[f"{name}_{k}"].T).T for name in PLANES]
                frames.append(np.moveaxis(np.concatenate(planes), 0, -1))
    if not frames:
        raise FileNotFoundError(f"{folder}: no frame found; expected .npz of simulated films")
    return frames


class FusedPairs:
    """Averages of neighbours, and the clean frame.

    Parameters
    ----------
    frames
        From `load_fused`; none smaller than the patch.
    settings
        The recipe.
    """

    noisy_target = False

    def __init__(self, frames: Sequence[NDArray[np.float16]], settings: TrainSettings) -> None:
        channels, features = settings.channels, settings.config.get("features", 0)
        if features != 2 * channels:
            raise ValueError(
                f"config.features = {features}: an average of neighbours comes with the frame "
                f"noisy and after the first pass beside it; set {2 * channels}"
            )
        if (planes := frames[0].shape[-1]) != 4 * channels + 1:
            raise ValueError(
                f"the frames hold {(planes - 1) // 4} image channels and the recipe's network "
                f"takes {channels}: simulate films for these weights, or set config.channels"
            )
        self.frames, self.settings = frames, settings
        ends = np.cumsum([channels, 1, channels, channels])
        self._parts = [int(end) for end in ends]
        self._shares = area_shares(frames)

    def batch(self, step: int, rank: int = 0) -> Batch:
        """Draw patches, turned, mirrored, and with another contrast."""
        rng = generator(self.settings, step, rank)
        picks = rng.choice(len(self.frames), size=self.settings.batch, p=self._shares)
        drawn = np.stack([self._patch(self.frames[i], rng) for i in picks])
        fused, sigma, noisy, first, clean = map(
            np.ascontiguousarray, np.split(drawn, self._parts, axis=1)
        )
        return Batch(fused, clean, sigma, np.concatenate([noisy, first], axis=1))

    def _patch(self, planes: NDArray[np.float16], rng: np.random.Generator) -> NDArray[np.float32]:
        patch = cut(planes, self.settings.patch, rng).astype(np.float32)
        if rng.random() < self.settings.intensity_augmentation:
            contrast = np.float32(rng.uniform(*_CONTRAST))
            sign = np.float32(rng.choice([-1, 1], p=[0.2, 0.8]))
            level = np.float32(rng.uniform(-0.2, 0.2)) * max(1 - contrast, np.float32(0))
            images = [n for n in range(len(patch)) if n != self.settings.channels]
            patch[images] = (patch[images] - _HALF) * contrast * sign + _HALF + level
            patch[self.settings.channels] *= contrast
        return patch
