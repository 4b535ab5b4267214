"""A folder of training data -> pairs, and images to validate on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_denoise.settings.recipe import TrainSettings
from napari_denoise.training.data.fused import FusedPairs, load_fused
from napari_denoise.training.data.pairs import (
    NOISY,
    Pairs,
    SyntheticPairs,
    at_scales,
    load_images,
)
from napari_denoise.training.data.renders import RenderPairs, load_views
from napari_denoise.training.loop.validation import Validator
from napari_denoise.weights.card import WeightsCard


def open_pairs(
    folder: Path, settings: TrainSettings, card: WeightsCard
) -> tuple[Pairs, Validator | None]:
    """Read training data, and say what to validate on.

    Parameters
    ----------
    folder
        With ``noisy`` and ``clean`` (or ``noisy2``) in it: real pairs. Else, by the recipe's
        domain, clean pictures that are made noisy, or views of renders.
    settings
        The recipe.
    card
        Of the weights to be: says how intensities are mapped.

    Raises
    ------
    FileNotFoundError
        No data, or a file without a partner.
    ValueError
        Something smaller than a patch, shapes that differ, too few pictures to keep some.
    """
    if (folder / NOISY).is_dir():
        from napari_denoise.training.data.real_folder import load_real  # every format's library

        real = load_real(folder, settings, card)
        _check_sizes(folder, real.stacked, settings.patch)
        return real, None
    if settings.domain == "render":
        views = load_views(folder)
        _check_sizes(folder, [view.noisy[0] for view in views], settings.patch)
        return RenderPairs(views, settings), None
    if settings.config.get("features"):
        frames = load_fused(folder)
        _check_sizes(folder, frames, settings.patch)
        return FusedPairs(frames, settings), None
    images = load_images(folder, settings.channels)
    _check_sizes(folder, images, settings.patch)
    training, kept = _hold_out(folder, images, settings)
    training = at_scales(training, settings.scales, settings.patch)
    return SyntheticPairs(training, settings), Validator(kept, settings) if kept else None


def _hold_out(
    folder: Path, images: list[NDArray[np.uint8]], settings: TrainSettings
) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]]:
    """Part pictures, spread over the folder, into those to train and those to validate on."""
    if settings.held_out >= len(images):
        raise ValueError(
            f"{folder}: held_out is {settings.held_out} and there are {len(images)} pictures: "
            "some must be left to train on"
        )
    kept = set(np.linspace(0, len(images) - 1, settings.held_out + 2).astype(int)[1:-1].tolist())
    training = [image for n, image in enumerate(images) if n not in kept]
    return training, [image for n, image in enumerate(images) if n in kept]


def _check_sizes(folder: Path, images: Sequence[NDArray[Any]], patch: int) -> None:
    small = [image.shape for image in images if min(image.shape[:2]) < patch]
    if small:
        raise ValueError(
            f"{folder}: {len(small)} of {len(images)} images are smaller than the patch of "
            f"{patch} pixels, for example {small[0][0]} x {small[0][1]}: remove them or "
            "lower `patch` in the recipe"
        )
