"""Small real pairs, for the tests of fine-tuning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from _networks import write_tiny_weights
from napari_denoise.settings.finetune import FineTuneSettings
from napari_denoise.training.data.real_pairs import Pair, pair_of
from napari_denoise.training.data.regions import Region, Regions
from napari_denoise.training.finetune.fine_tuning import FineTuning


def clean_image(size: tuple[int, int] = (64, 96), frames: int = 1) -> np.ndarray:
    """Smooth structure, (T, Y, X) float32; every frame another."""
    y, x = np.mgrid[: size[0], : size[1]]
    shots = [60 + 40 * np.sin(x / (9 + n)) * np.cos(y / (7 + n)) for n in range(frames)]
    return np.float32(100 + 2 * np.stack(shots))


def noisy_shot(clean: np.ndarray, seed: int = 0) -> np.ndarray:
    """Photons and read noise of a camera of gain 2 and offset 100, uint16."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson((clean - 100) / 2)
    return np.uint16(np.clip(2 * counts + 100 + rng.normal(0, 3, clean.shape), 0, None))


def camera_pair(name: str = "a", seed: int = 0, frames: int = 1, **fields: Any) -> Pair:
    """A noisy image and its clean one; a stack for several frames."""
    clean = clean_image(frames=frames)
    noisy = noisy_shot(clean, seed)
    if frames == 1:
        return replace(pair_of(name, noisy[0], clean[0], "YX"), **fields)
    return replace(pair_of(name, noisy, clean, "TYX"), **fields)


def validate(*rectangle: float, **fields: Any) -> Region:
    return Region("validate", rectangle or None, **fields)


def train(*rectangle: float, **fields: Any) -> Region:
    return Region("train", rectangle or None, **fields)


def drawn(*regions: Region) -> Regions:
    return Regions(regions)


def chosen(folder: Path, *, spread: bool = False, channels: int = 1, **fields: Any):
    """Settings for a tiny base, whose file is made on the way."""
    base = folder / f"base{channels}{spread}.safetensors"
    if not base.is_file():
        write_tiny_weights(base, channels, spread=spread)
    small = {"batch": 2, "patch": 16, "precision": "32-true", "device": "cpu"}
    return FineTuneSettings.parse({"base": str(base), "steps": 6, **small, **fields})


def tuning(folder: Path, pairs: list[Pair], regions: Regions | None = None, **options: Any):
    """A fine-tuning of a tiny base in a folder."""
    resume = options.pop("resume", False)
    return FineTuning(pairs, chosen(folder, **options), folder / "run", regions, resume=resume)
