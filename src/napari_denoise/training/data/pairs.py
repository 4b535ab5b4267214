"""Where batches come from: clean images made noisy, real pairs, two noisy shots, renders."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_denoise.measure.mappings import LogMapping, Mapping
from napari_denoise.settings.finetune_fields import LEAST_PATCH
from napari_denoise.settings.recipe import TrainSettings
from napari_denoise.training.data.degrade import Degraded, Patch, camera, degrade, without_camera

Number = TypeVar("Number", bound=np.generic)
NOISY, CLEAN, SECOND = "noisy", "clean", "noisy2"
"""Sub-folders of real pairs: files of equal names belong together."""
COLOURS = 3
_HALF = np.float32(0.5)
_TINT = 0.5
"""How far each colour of radiance varies by itself, of what all vary together."""
_PHOTOGRAPHED = 320
"""Side of a photographed piece of a picture, pixels."""
_PHOTOGRAPHS = 48
"""Kept at a time, so that the patches of a step are of many cameras."""
_STEPS_OF_A_PHOTOGRAPH = 8
"""A new one comes every so many steps."""
_OF_PHOTOGRAPHS = 1 << 20
"""Apart from the random numbers of steps."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")


@dataclass(frozen=True)
class Batch:
    """Patches of one step, float32, in the network's units.

    Parameters
    ----------
    noisy, target
        (N, C, Y, X); the target is clean, or as noisy for noise2noise.
    sigma
        (N, 1, Y, X), the noise level that the network is told.
    features
        (N, F, Y, X), albedo and normal of renders and masks of what there is; None elsewhere.
    log_width
        For radiance: values are log(1 + x) over this.
    noisy_target
        The targets are second noisy shots.
    mappings
        Of each patch, from intensities, with the factor of a squeeze around 1/2 after it; none
        where it is not known.
    shots
        (N, 1, Y, X), how many noisy shots the target is the mean of: a pixel counts by it, and one
        of none not at all. None where all pixels count alike, and a noisy target is one shot.
    """

    noisy: NDArray[np.float32]
    target: NDArray[np.float32]
    sigma: NDArray[np.float32]
    features: NDArray[np.float32] | None = None
    log_width: float | None = None
    noisy_target: bool = False
    mappings: tuple[tuple[Mapping, float], ...] = ()
    shots: NDArray[np.float32] | None = None


class Pairs(Protocol):
    """A source of batches."""

    noisy_target: bool
    """True where targets are noisy too: only a loss that aims at the mean is unbiased then."""

    def batch(self, step: int, rank: int = 0) -> Batch:
        """Draw the batch of a step; the same numbers give the same batch."""


def generator(settings: TrainSettings, step: int, rank: int) -> np.random.Generator:
    """Random numbers of one step: a resumed run draws what an uninterrupted one would."""
    return np.random.default_rng([settings.seed, step, *([rank] if rank else [])])


def files_below(folder: str | Path, suffixes: Collection[str]) -> list[Path]:
    """List files by their ending, sorted by path; links to folders are followed, each folder once.

    Parameters
    ----------
    folder
        Searched recursively.
    suffixes
        In lower case.
    """
    found: list[Path] = []
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        paths = (Path(place, name) for name in names)
        found += [path for path in paths if path.suffix.lower() in suffixes]
    return sorted(found)


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
    paths = files_below(folder, SUFFIXES)
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


def at_scales(
    images: Sequence[NDArray[np.uint8]], scales: Sequence[float], smallest: int
) -> list[NDArray[np.uint8]]:
    """Reduce every picture to each of some sizes.

    Parameters
    ----------
    images
        (Y, X, C).
    scales
        Of the sides, at most 1.
    smallest
        Least side of a result; smaller ones are left out.
    """
    return [
        _reduced(image, scale)
        for image in images
        for scale in scales
        if min(image.shape[:2]) * scale >= smallest
    ]


def _reduced(image: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    if scale == 1:
        return image
    height, width = (max(1, round(scale * length)) for length in image.shape[:2])
    planes = [Image.fromarray(plane) for plane in np.moveaxis(image, -1, 0)]
    resized = [np.asarray(p.resize((width, height), Image.Resampling.LANCZOS)) for p in planes]
    return np.stack(resized, axis=-1)


class SyntheticPairs:
    """Clean images, made noisy as the recipe says.

    Parameters
    ----------
    images
        (Y, X, C) uint8, none smaller than the patch.
    settings
        The recipe.
    """

    noisy_target = False

    def __init__(self, images: Sequence[NDArray[np.uint8]], settings: TrainSettings) -> None:
        self.images, self.settings = images, settings
        self._shares = area_shares(images)
        self._photographs = Photographs(images, settings)
        self._others = without_camera(settings.noise)

    def batch(self, step: int, rank: int = 0) -> Batch:
        """Draw patches, vary them, and add noise."""
        settings = self.settings
        rng = generator(settings, step, rank)
        picks = rng.choice(len(self.images), size=settings.batch, p=self._shares)
        done = [self._degraded(self.images[i], step, rank, rng) for i in picks]
        return Batch(
            np.stack([d.noisy for d in done]),
            np.stack([d.target for d in done]),
            sigma_map([d.sigma for d in done], settings.patch),
            mappings=tuple((d.mapping, d.squeeze) for d in done),
        )

    def _degraded(
        self, image: NDArray[np.uint8], step: int, rank: int, rng: np.random.Generator
    ) -> Degraded:
        if rng.random() < self.settings.noise.camera:
            return self._photographs.patch(step, rank, rng)
        return degrade(self._patch(image, rng), self._others, rng)

    def _patch(self, image: NDArray[np.uint8], rng: np.random.Generator) -> Patch:
        """Cut, turn and mirror one patch; (C, Y, X) in [0, 1]."""
        unit = cut(image, self.settings.patch, rng).astype(np.float32) / np.float32(255)
        if rng.random() < self.settings.intensity_augmentation:
            unit = vary_intensity(unit, rng)
        return np.ascontiguousarray(unit)


class Photographs:
    """Pictures taken by simulated cameras: a new one now and then, many patches of each.

    What the network is told of their noise is estimated, which takes a whole picture and more time
    than a patch is worth.

    Parameters
    ----------
    images
        (Y, X, 3) uint8.
    settings
        The recipe.
    """

    def __init__(self, images: Sequence[NDArray[np.uint8]], settings: TrainSettings) -> None:
        self.images, self.settings = images, settings
        self._shares = area_shares(images)
        self._taken: dict[int, tuple[NDArray[np.float32], Degraded]] = {}

    def patch(self, step: int, rank: int, rng: np.random.Generator) -> Degraded:
        """Cut a patch out of one of the pictures of that step."""
        newest = step // _STEPS_OF_A_PHOTOGRAPH + _PHOTOGRAPHS
        planes, whole = self._photograph(newest - int(rng.integers(_PHOTOGRAPHS)), rank)
        for number in [n for n in self._taken if not newest - _PHOTOGRAPHS < n <= newest]:
            del self._taken[number]
        noisy, target = np.split(cut(planes, self.settings.patch, rng), 2)
        return replace(
            whole, noisy=np.ascontiguousarray(noisy), target=np.ascontiguousarray(target)
        )

    def _photograph(self, number: int, rank: int) -> tuple[NDArray[np.float32], Degraded]:
        """Return (Y, X, 6), noisy and wanted; the same number gives the same."""
        if number not in self._taken:
            rng = np.random.default_rng([self.settings.seed, number, rank, _OF_PHOTOGRAPHS])
            image = self.images[int(rng.choice(len(self.images), p=self._shares))]
            size = min(*image.shape[:2], max(_PHOTOGRAPHED, self.settings.patch))
            clean = cut(image, size, rng).astype(np.float32) / np.float32(255)
            whole = camera(clean, self.settings.noise, rng)
            planes = np.concatenate([whole.noisy, whole.target])
            self._taken[number] = np.ascontiguousarray(np.moveaxis(planes, 0, -1)), whole
        return self._taken[number]


class Corners:
    """Where patches may begin: everywhere, or where they lie wholly in a mask.

    Parameters
    ----------
    mask
        (Y, X), pixels that a patch may hold.
    size
        Side of the patches.
    """

    def __init__(self, mask: NDArray[np.bool_], size: int) -> None:
        self.allowed = np.zeros((0, 0), bool)
        if min(mask.shape) >= size:
            sums = np.pad(mask.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
            inside = sums[size:, size:] - sums[:-size, size:]
            inside -= sums[size:, :-size] - sums[:-size, :-size]
            self.allowed = inside == size * size
        self._until = self.allowed.sum(axis=1).cumsum()
        self.count = int(self._until[-1]) if len(self._until) else 0

    def draw(self, rng: np.random.Generator) -> tuple[int, int]:
        """Pick one, all alike: (y, x)."""
        number = int(rng.integers(self.count))
        y = int(np.searchsorted(self._until, number, side="right"))
        before = int(self._until[y - 1]) if y else 0
        return y, int(np.flatnonzero(self.allowed[y])[number - before])


class RealPairs:
    """Images and what they should become: clean ones, or a second noisy shot.

    Parameters
    ----------
    noisy, targets
        (Y, X, C) float32, in the network's units, equal in shape one by one.
    sigmas
        Noise level of each, in the network's units.
    settings
        The recipe.
    noisy_target
        The targets are second shots of the same scene; either image may serve as the input.
    log_width
        Of all images, see `Batch`.
    factors
        Of each, of the squeeze around 1/2 after the mapping; None for 1.
    masks
        (Y, X) for each, the pixels to train on; None for all. No patch holds any other.
    features
        (Y, X, F) for each, planes beside the image; None for networks without.

    Raises
    ------
    ValueError
        Shapes differ, no patch fits, or the recipe's loss would be biased by noisy targets.
    """

    def __init__(
        self,
        noisy: Sequence[NDArray[np.float32]],
        targets: Sequence[NDArray[np.float32]],
        sigmas: Sequence[float],
        settings: TrainSettings,
        *,
        noisy_target: bool = False,
        log_width: float | None = None,
        factors: Sequence[float] | None = None,
        masks: Sequence[NDArray[np.bool_]] | None = None,
        features: Sequence[NDArray[np.float32]] | None = None,
    ) -> None:
        for number, (one, other) in enumerate(zip(noisy, targets, strict=True)):
            if one.shape != other.shape:
                raise ValueError(
                    f"pair {number}: noisy {one.shape} and target {other.shape} differ in shape; "
                    "crop them to the same field"
                )
        if noisy_target:
            check_unbiased(settings, radiance=log_width is not None)
        self.settings, self.noisy_target, self.sigmas = settings, noisy_target, sigmas
        self.log_width, self.factors = log_width, factors
        self.channels = noisy[0].shape[-1] if noisy else 0
        parts = (noisy, targets) if features is None else (noisy, targets, features)
        self.stacked = [np.concatenate(planes, axis=-1) for planes in zip(*parts, strict=True)]
        self.corners: list[Corners] | None = None
        shares = area_shares(self.stacked)
        if masks is not None:
            self.corners = [Corners(mask, settings.patch) for mask in masks]
            shares = _corner_shares(self.corners, masks, settings.patch)
        self._shares = shares

    def batch(self, step: int, rank: int = 0) -> Batch:
        """Draw the same patch of both images of a pair."""
        rng = generator(self.settings, step, rank)
        picks = rng.choice(len(self.stacked), size=self.settings.batch, p=self._shares)
        patches = [self._relit(self._patch(i, rng), i, rng) for i in picks]
        drawn = np.stack(patches).astype(np.float32, copy=False)
        ends = self.channels, 2 * self.channels
        noisy, target, features = (np.ascontiguousarray(p) for p in np.split(drawn, ends, axis=1))
        if self._swaps(rng):
            noisy, target = target, noisy
        sigma = sigma_map([self.sigmas[i] for i in picks], self.settings.patch)
        guides = features if features.size else None
        return Batch(noisy, target, sigma, guides, self.log_width, self.noisy_target)

    def _swaps(self, rng: np.random.Generator) -> bool:
        """Whether the second shot of a batch is the input."""
        return self.noisy_target and rng.random() < 0.5

    def _patch(self, number: int, rng: np.random.Generator) -> NDArray[np.generic]:
        size = self.settings.patch
        if self.corners is None:
            return cut(self.stacked[number], size, rng)
        y, x = self.corners[number].draw(rng)
        return cut(self.stacked[number][y : y + size, x : x + size], size, rng)

    def _relit(
        self, patch: NDArray[np.generic], number: int, rng: np.random.Generator
    ) -> NDArray[np.generic]:
        """Light a render otherwise: radiance scales, each colour by itself, albedo stays.

        Its colours are exchanged, and those of the albedo with them.
        """
        if self.log_width is None:
            return patch
        if self.channels == COLOURS:
            patch = exchange_colours(patch, 3 if len(patch) > 2 * COLOURS else 2, rng)
        stops = self.settings.exposure_augmentation
        if not stops:
            return patch
        gains = np.tile(exposures(stops, self.channels, rng), 2)[:, None, None]
        images, planes = np.split(patch.astype(np.float32), [2 * self.channels])
        mapping = LogMapping(1.0, float(np.expm1(self.log_width)))
        factor = np.float32(self.factors[number] if self.factors else 1)
        radiance = mapping.inverse((images - _HALF) / factor + _HALF)
        relit = (mapping.forward(radiance * gains) - _HALF) * factor + _HALF
        return np.concatenate([relit, planes])


def _corner_shares(
    corners: Sequence[Corners], masks: Sequence[NDArray[np.bool_]], patch: int
) -> NDArray[np.float64]:
    counts = np.array([entry.count for entry in corners], np.float64)
    if counts.sum():
        return np.asarray(counts / counts.sum())
    smaller = range(patch - patch % 4, LEAST_PATCH - 1, -4)
    fits = (size for size in smaller if any(Corners(mask, size).count for mask in masks))
    largest = next(fits, None)
    lower = f"lower patch to {largest}" if largest else "give larger images"
    raise ValueError(
        f"no patch of {patch} x {patch} pixels lies wholly in what is to be trained on: {lower}, "
        "draw larger regions or hold less out"
    )


def check_unbiased(settings: TrainSettings, *, radiance: bool = False) -> None:
    """Refuse losses that noisy targets would pull away from the mean.

    Parameters
    ----------
    settings
        The recipe.
    radiance
        Whether the network sees logarithms, whose mean is not that of the radiance.

    Raises
    ------
    ValueError
        Names the loss.
    """
    stage = settings.distortion
    used = {stage.loss, stage.final_loss or stage.loss}
    if settings.adversarial is not None:
        raise ValueError(
            "an adversarial stage with noisy targets: a discriminator would learn the noise; "
            "leave [adversarial] out, or give clean targets"
        )
    if "l1" in used:
        raise ValueError(
            "loss 'l1' with noisy targets aims at their median, not their mean: set "
            "distortion.loss (and final_loss) to 'l2', or 'relative' for radiance"
        )
    if radiance and used != {"relative"}:
        raise ValueError(
            "loss 'l2' with noisy targets aims at the mean of their logarithms, which is darker "
            "than that of the radiance: set distortion.loss (and final_loss) to 'relative'"
        )


def area_shares(images: Sequence[NDArray[np.generic]]) -> NDArray[np.float64]:
    """Probability of each image, so that every place is drawn alike."""
    areas = np.array([image.shape[0] * image.shape[1] for image in images], np.float64)
    return np.asarray(areas / areas.sum())


def cut(image: NDArray[np.generic], size: int, rng: np.random.Generator) -> NDArray[np.generic]:
    """Cut, turn and mirror a patch: (Y, X, C) -> (C, size, size)."""
    y = rng.integers(image.shape[0] - size + 1)
    x = rng.integers(image.shape[1] - size + 1)
    patch = np.rot90(image[y : y + size, x : x + size], int(rng.integers(4)))
    if rng.random() < 0.5:
        patch = patch[:, ::-1]
    return np.moveaxis(patch, -1, 0)


def exchange_colours(
    planes: NDArray[Number], images: int, rng: np.random.Generator
) -> NDArray[Number]:
    """Put red, green and blue of the first images in another order, the same in each.

    Light is carried alike in every colour, which no camera and no stain would be: for renders.

    Parameters
    ----------
    planes
        (3 * images + others, Y, X); the others stay.
    images
        So many: noisy, target, and the albedo if there is one.
    rng
        Draws one of the six orders.
    """
    order = rng.permutation(COLOURS)
    moved = [COLOURS * image + colour for image in range(images) for colour in order]
    return planes[[*moved, *range(len(moved), len(planes))]]


def exposures(stops: float, colours: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw factors of the light on a patch: so many stops for all, half as many for each colour."""
    tint = stops * _TINT
    powers = rng.uniform(-stops, stops) + rng.uniform(-tint, tint, colours)
    return np.exp2(powers).astype(np.float32)


def sigma_map(levels: Sequence[float], size: int) -> NDArray[np.float32]:
    """One level a patch -> (N, 1, size, size)."""
    column = np.asarray(levels, np.float32)[:, None, None, None]
    return np.broadcast_to(column, (len(levels), 1, size, size)).copy()


def vary_intensity(patch: Patch, rng: np.random.Generator) -> Patch:
    """Change gamma, contrast and level at random within [0, 1]; sometimes invert.

    Fluorescence is dark with few bright structures; photographs seldom are.
    """
    if rng.random() < 0.25:
        patch = 1 - patch
    patch = patch ** np.float32(np.exp(rng.uniform(-0.5, 1.2)))
    contrast = np.float32(rng.uniform(0.3, 1.0))
    level = np.float32(rng.uniform(0.0, 1.0)) * (1 - contrast)
    return patch * contrast + level
