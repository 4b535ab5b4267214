"""Path-traced training views: HDR colour with albedo and normal, in the network's units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_denoise.measure.mappings import LOG_WIDTH, LogMapping
from napari_denoise.measure.noise_estimation import roughness
from napari_denoise.settings.recipe import TrainSettings
from napari_denoise.training.data.pairs import (
    Batch,
    check_unbiased,
    exchange_colours,
    exposures,
    files_below,
    generator,
    sigma_map,
)

Plane = NDArray[np.float32]
FEATURES = 8
"""Planes of features: albedo (3), normal (3), and for each a plane that says it is there."""
_ALONE, _MISSING = 0.4, 0.15
"""Shares of patches that go with colour alone; and of the others, without albedo, or normal."""


@dataclass(frozen=True)
class TrainingView:
    """One view, linear HDR.

    Parameters
    ----------
    noisy
        Renderings of the same view with different noise, each (Y, X, 3).
    reference
        (Y, X, 3), nearly free of noise; None for noise2noise.
    albedo, normal
        (Y, X, 3), as noisy as a renderer gives them: of every rendering, None for those without,
        or one for all; none if there are none.
    """

    noisy: tuple[Plane, ...]
    reference: Plane | None
    albedo: tuple[Plane | None, ...] = ()
    normal: tuple[Plane | None, ...] = ()

    def of(self, number: int) -> tuple[Plane | None, Plane | None]:
        """Return albedo and normal of a rendering."""
        albedo, normal = (
            planes[number % len(planes)] if planes else None
            for planes in (self.albedo, self.normal)
        )
        return albedo, normal


def load_views(folder: str | Path) -> list[TrainingView]:
    """Read views from ``.npz`` files with `ref`, `albedo_8`, `normal_8` and every `noisy_*`.

    Each rendering goes with the `albedo_*` and `normal_*` of its own samples, or without: out of
    focus their noise is that of the colour, and those of other samples teach to distrust them.

    Raises
    ------
    FileNotFoundError
        The folder holds none.
    ValueError
        A file lacks an array.
    """
    paths = files_below(folder, (".npz",))
    if not paths:
        raise FileNotFoundError(f"{folder}: no view found; expected .npz files")
    return [_read(path) for path in paths]


def _read(path: Path) -> TrainingView:
    with np.load(path, allow_pickle=False) as arrays:
        noisy = sorted(name for name in arrays if name.startswith("noisy_")) or ["noisy_4"]
        wanted = [*noisy, "ref", "albedo_8", "normal_8"]
        missing = [name for name in wanted if name not in arrays]
        if missing:
            raise ValueError(f"{path}: the array {missing[0]!r} is missing; found {list(arrays)}")
        guides = (
            tuple(_guide(arrays, name.replace("noisy", role)) for name in noisy)
            for role in ("albedo", "normal")
        )
        drawn = tuple(arrays[name].astype(np.float32) for name in noisy)
        return TrainingView(drawn, arrays["ref"].astype(np.float32), *guides)


def _guide(arrays: Mapping[str, Plane], name: str) -> Plane | None:
    return arrays[name].astype(np.float32) if name in arrays else None


class RenderPairs:
    """Noisy renderings and their reference, or two renderings with independent noise.

    Parameters
    ----------
    views
        None smaller than the patch.
    settings
        The recipe.
    noisy_target
        Train one noisy rendering against another (noise2noise).

    Raises
    ------
    ValueError
        Nothing to aim at, a loss that noisy targets would bias, or a network that takes other
        features.
    """

    def __init__(
        self, views: Sequence[TrainingView], settings: TrainSettings, *, noisy_target: bool = False
    ) -> None:
        if noisy_target:
            check_unbiased(settings, radiance=True)
        if settings.config.get("features", 0) not in (0, FEATURES):
            raise ValueError(
                f"config.features = {settings.config['features']}: renders give {FEATURES} planes, "
                f"albedo, normal and their masks; set {FEATURES}, or 0 to leave them out"
            )
        for number, view in enumerate(views):
            if (len(view.noisy) < 2) if noisy_target else view.reference is None:
                needed = "two noisy renderings" if noisy_target else "a reference"
                raise ValueError(f"view {number} needs {needed}: render it, or leave the view out")
        self.views, self.settings, self.noisy_target = views, settings, noisy_target

    def batch(self, step: int, rank: int = 0) -> Batch:
        """Draw patches, lit otherwise; colours leave through the log mapping of their frames."""
        rng = generator(self.settings, step, rank)
        picks = rng.choice(len(self.views), size=self.settings.batch)
        drawn = [self._draw(self.views[i], rng) for i in picks]
        noisy, target, features, sigmas, mappings = zip(*drawn, strict=True)
        level = sigma_map(sigmas, self.settings.patch)
        return Batch(
            np.stack(noisy),
            np.stack(target),
            level,
            np.stack(features),
            LOG_WIDTH,
            self.noisy_target,
            tuple((mapping, 1.0) for mapping in mappings),
        )

    def _draw(
        self, view: TrainingView, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], float, LogMapping]:
        first, second = rng.permutation(len(view.noisy))[:2] if len(view.noisy) > 1 else (0, 0)
        target = view.noisy[second] if self.noisy_target else view.reference
        assert target is not None  # noqa: S101 - checked at the start
        planes = _crop((view.noisy[first], target), view.of(first), self.settings.patch, rng)
        gains = exposures(self.settings.exposure_augmentation, 3, rng)[:, None, None]
        noisy, wanted = (planes[i : i + 3] * gains for i in (0, 3))
        frame = view.noisy[first]
        mapping = LogMapping.of_exposure(float(frame.mean()))
        features = planes[6:].copy()
        alone = rng.random() < _ALONE
        for start, mask in ((0, 6), (3, 7)):
            if alone or rng.random() < _MISSING:
                features[start : start + 3] = features[mask] = 0
        mapped = mapping.forward(noisy)
        # Told as in use, where nobody knows the reference.
        sigma = roughness([np.moveaxis(mapping.forward(frame), -1, 0)])
        return mapped, mapping.forward(wanted), features, sigma, mapping


def _crop(
    colours: tuple[Plane, Plane],
    guides: tuple[Plane | None, Plane | None],
    size: int,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Cut, turn, mirror and recolour noisy, target, albedo, normal, masks: (14, size, size).

    Normals are in world space: a turn of the picture changes nothing about them.
    """
    shape = (*colours[0].shape[:2], 1)
    none, ones = np.zeros((*shape[:2], 3), np.float32), np.ones(shape, np.float32)
    albedo, normal = (none if plane is None else plane for plane in guides)
    masks = [ones * (plane is not None) for plane in guides]
    whole = np.concatenate([*colours, albedo, normal, *masks], axis=-1)
    y, x = (rng.integers(length - size + 1) for length in shape[:2])
    patch = np.rot90(whole[y : y + size, x : x + size], int(rng.integers(4)))
    if rng.random() < 0.5:
        patch = patch[:, ::-1]
    planes = exchange_colours(np.moveaxis(patch, -1, 0), 3, rng)
    return np.ascontiguousarray(planes, dtype=np.float32)
