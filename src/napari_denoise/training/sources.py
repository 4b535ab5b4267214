"""A folder of training data -> pairs, and images to validate on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_denoise.core.axes import Layout
from napari_denoise.core.intensity import AnscombeMapping, LogMapping, Mapping, replace_nonfinite
from napari_denoise.core.recipe import TrainSettings
from napari_denoise.core.samples import color_samples
from napari_denoise.core.settings import DenoiseSettings
from napari_denoise.inference.channels import prepare_channels
from napari_denoise.io.readers import read
from napari_denoise.models.card import WeightsCard
from napari_denoise.training.pairs import Pairs, RealPairs, SyntheticPairs, load_images
from napari_denoise.training.renders import RenderPairs, load_views
from napari_denoise.training.validation import Validator

NOISY, CLEAN, SECOND = "noisy", "clean", "noisy2"
"""Sub-folders of real pairs: files of equal names belong together."""


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
        return _real_pairs(folder, settings, card), None
    if settings.domain == "render":
        views = load_views(folder)
        _check_sizes(folder, [view.noisy[0] for view in views], settings.patch)
        return RenderPairs(views, settings), None
    images = load_images(folder, settings.channels)
    _check_sizes(folder, images, settings.patch)
    training, kept = _hold_out(folder, images, settings)
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


def _real_pairs(folder: Path, settings: TrainSettings, card: WeightsCard) -> RealPairs:
    second = not (folder / CLEAN).is_dir()
    targets = folder / (SECOND if second else CLEAN)
    files = sorted(p for p in (folder / NOISY).iterdir() if not p.name.startswith("."))
    if not files or not targets.is_dir():
        raise FileNotFoundError(
            f"{folder}: real pairs need files in {NOISY}/ and their partners, of equal names, in "
            f"{CLEAN}/ or {SECOND}/"
        )
    noisy, wanted, sigmas, widths = [], [], [], set()
    for path in files:
        if not (targets / path.name).is_file():
            raise FileNotFoundError(f"{targets / path.name}: {path} has no partner of its name")
        for frame in _mapped(path, targets / path.name, card, second):
            noisy.append(frame.noisy)
            wanted.append(frame.target)
            sigmas.append(frame.sigma)
            widths.add(frame.log_width)
    if len(widths) > 1:
        raise ValueError(f"{folder}: linear HDR among other images; train on one kind at a time")
    _check_sizes(folder, noisy, settings.patch)
    return RealPairs(noisy, wanted, sigmas, settings, noisy_target=second, log_width=widths.pop())


class _Frame(NamedTuple):
    noisy: NDArray[np.float32]
    target: NDArray[np.float32]
    sigma: float
    log_width: float | None


def _mapped(path: Path, target: Path, card: WeightsCard, second: bool) -> list[_Frame]:
    """Bring every frame of a pair of files to network units, as inference would."""
    (noisy, meta), (clean, _) = read(path), read(target)
    if noisy.shape != clean.shape:
        raise ValueError(
            f"{path} is {noisy.shape} and {target} is {clean.shape}: pairs must have equal shapes"
        )
    layout = Layout(meta.axes, noisy.shape)
    channels = prepare_channels(noisy, layout, card, DenoiseSettings())
    done = []
    for number, index in enumerate(layout.frames):
        channel = channels[layout.channel_of(number)]
        one, other = (_planes(np.asarray(a[index]), layout, path, card) for a in (noisy, clean))
        forward, scale = channel.mapping.forward, channel.scale
        wanted = forward(other) if second else _forward_clean(channel.mapping, other)
        mapped, target_planes = (
            np.moveaxis(_squeezed(planes, scale.factor), 0, -1) for planes in (forward(one), wanted)
        )
        width = _log_width(channel.mapping)
        done.append(_Frame(mapped, target_planes, scale.sigma * scale.factor, width))
    return done


def _log_width(mapping: Mapping) -> float | None:
    """Return what the logarithm is divided by; None for other mappings."""
    if not isinstance(mapping, LogMapping):
        return None
    return round(float(np.log1p(mapping.high / mapping.level)), 6)


def _squeezed(planes: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """Shrink around the middle, as the engine does with more noise than the network knows."""
    half = np.float32(0.5)
    return planes if factor == 1 else (planes - half) * np.float32(factor) + half


def _planes(
    frame: NDArray[Any], layout: Layout, path: Path, card: WeightsCard
) -> NDArray[np.generic]:
    """Turn a frame into (C, Y, X) without alpha, NaN or infinity."""
    samples = color_samples(frame, layout)[0]
    if len(samples) != card.channels:
        raise ValueError(
            f"{path}: {len(samples)} colour samples a pixel, and the recipe's network takes "
            f"{card.channels}: convert the images, or set config.channels"
        )
    return np.stack([replace_nonfinite(plane)[0] for plane in samples])


def _forward_clean(mapping: Mapping, clean: NDArray[Any]) -> NDArray[np.float32]:
    if isinstance(mapping, AnscombeMapping):
        return mapping.forward_mean(clean)
    return mapping.forward(clean)
