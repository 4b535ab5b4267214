"""Clean patches made noisy: the kinds of noise that a recipe can ask for."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_denoise.image.axes import Layout
from napari_denoise.measure.channels import measured
from napari_denoise.measure.jensen import amplifier_shape
from napari_denoise.measure.mappings import AffineMapping, AnscombeMapping, Mapping
from napari_denoise.settings.denoise import DenoiseSettings
from napari_denoise.settings.noise import NoiseModel
from napari_denoise.settings.recipe import NoiseRecipe
from napari_denoise.training.data.camera import draw_camera, photograph
from napari_denoise.training.data.mapped import map_frame
from napari_denoise.weights.card import WeightsCard

Patch = NDArray[np.float32]
"""(C, Y, X), about [0, 1]."""

UNIT = AffineMapping(0.0, 1.0)
"""Of patches whose values are intensities."""

_BEYOND = 3.0
"""Noise standard deviations by which the range of an image may exceed that of the clean one."""
_UNCERTAINTY = 0.4
"""Standard deviation of the logarithm of what a camera is told beside its estimate: estimates of
real cameras' noise may be off otherwise than those of simulated ones."""


@dataclass(frozen=True)
class Degraded:
    """A noisy patch, what a network should make of it, and the noise level it is told."""

    noisy: Patch
    target: Patch
    sigma: float
    mapping: Mapping = UNIT
    squeeze: float = 1.0
    """Factor around 1/2 after the mapping, as inference has it for more noise than is learnt."""


def degrade(clean: Patch, recipe: NoiseRecipe, rng: np.random.Generator) -> Degraded:
    """Add noise of a kind drawn by the recipe's shares."""
    draw = rng.random()
    for share, kind in (
        (recipe.poisson, poisson_gaussian),
        (recipe.correlated, correlated),
        (recipe.camera, camera),
    ):
        if draw < share:
            return kind(clean, recipe, rng)
        draw -= share
    return gaussian(clean, recipe, rng)


def without_camera(recipe: NoiseRecipe) -> NoiseRecipe:
    """Return the kinds of noise that no camera makes, their shares adding up again."""
    rest = 1 - recipe.camera
    if not recipe.camera or not rest:
        return replace(recipe, camera=0.0)
    shares = recipe.poisson / rest, recipe.correlated / rest
    return replace(recipe, camera=0.0, poisson=shares[0], correlated=shares[1])


def gaussian(clean: Patch, recipe: NoiseRecipe, rng: np.random.Generator) -> Degraded:
    """White noise of one level."""
    sigma = np.float32(draw_sigma(recipe, rng))
    noise = rng.standard_normal(clean.shape, dtype=np.float32)
    return Degraded(clean + sigma * noise, clean, float(sigma))


def poisson_gaussian(clean: Patch, recipe: NoiseRecipe, rng: np.random.Generator) -> Degraded:
    """Photons counted, read noise added, and the Anscombe transform, as before inference.

    The target is the mean of the transformed noisy values: what the mapping's inverse expects.
    """
    peak = _evenly_in_logarithm(*recipe.photons, rng)
    read = round(4 * rng.uniform(*recipe.read_noise)) / 4  # few values: tables are cached
    # Most of a fluorescence image is far darker than its brightest spot, which sets the range.
    photons = clean * np.float32(peak * _evenly_in_logarithm(recipe.dimmest, 1.0, rng))
    skewness = round(4 * rng.uniform(*recipe.skewness)) / 4  # few values, as above
    counts = count(photons, skewness, rng) + read * rng.standard_normal(clean.shape)
    # Inference takes the range of noisy values: it reaches beyond that of the clean ones.
    beyond = rng.uniform(0, _BEYOND)
    dark = float(photons.min()) * rng.random()
    low, high = (v + s * beyond * np.sqrt(v + read**2) for v, s in ((dark, -1), (peak, 1)))
    mapping = AnscombeMapping(1.0, 0.0, read, low, max(high, low + 1e-3 * peak), skewness)
    most_noise = recipe.sigma[1]
    if mapping.sigma > most_noise:  # nothing to be seen in it: as inference squeezes, so here
        squeeze = np.float32(most_noise / mapping.sigma)
        noisy, target = mapping.forward(counts), mapping.forward_mean(photons)
        ends = (noisy - 0.5) * squeeze + 0.5, (target - 0.5) * squeeze + 0.5
        return Degraded(*ends, most_noise, mapping, float(squeeze))
    noisy, target = mapping.forward(counts), mapping.forward_mean(photons)
    return Degraded(noisy, target, mapping.sigma, mapping)


def count(photons: Patch, skewness: float, rng: np.random.Generator) -> NDArray[np.floating]:
    """Draw Poisson counts, or the amplified light of electrons, of that mean and variance."""
    shape = amplifier_shape(skewness)
    if np.isinf(shape):
        return np.asarray(rng.poisson(photons), np.float64)
    electrons = rng.poisson(photons * np.float32((shape + 1) / shape))
    return rng.gamma(electrons * shape) / (shape + 1)


def correlated(clean: Patch, recipe: NoiseRecipe, rng: np.random.Generator) -> Degraded:
    """Blur white noise along y and x; tell the network what inference would tell it."""
    sigma = draw_sigma(recipe, rng)
    blur_y, blur_x = rng.uniform(*recipe.correlation, 2)
    margin = 8  # taps that reach over the edge would see less noise
    shape = clean.shape[0], clean.shape[1] + 2 * margin, clean.shape[2] + 2 * margin
    white = rng.standard_normal(shape, dtype=np.float32)
    blurred = gaussian_filter(white, (0, blur_y, blur_x), mode="wrap")
    blurred = blurred[:, margin:-margin, margin:-margin] / np.sqrt(
        _energy(blur_y) * _energy(blur_x)
    )
    told = NoiseModel(
        read_noise=sigma, correlation_y=_lags(blur_y), correlation_x=_lags(blur_x)
    ).inflation
    noisy = clean + np.float32(sigma) * blurred.astype(np.float32)
    return Degraded(noisy, clean, min(sigma * told, 2 * recipe.sigma[1]))


def camera(clean: Patch, recipe: NoiseRecipe, rng: np.random.Generator) -> Degraded:
    """Photograph a colour picture; map it, and tell the network, as would be done in use.

    What is estimated of such noise is half of it or less, as its coarse part is hidden among the
    structures: the network has to learn how much more there is. The larger the picture, the
    better it is known what would be told.
    """
    codes, wanted = photograph(clean, draw_camera(recipe.full_well, recipe.jpeg_quality, rng), rng)
    image = np.moveaxis(codes, 0, -1)
    layout = Layout("YXS", image.shape)
    (channel,) = measured(image, layout, _card(recipe), DenoiseSettings())
    levels = codes.astype(np.float32), wanted * np.float32(255)
    frame = map_frame(channel, *levels, noisy_target=False)
    noisy, target = (np.ascontiguousarray(np.moveaxis(a, -1, 0)) for a in frame[:2])
    told = min(frame.sigma * float(np.exp(_UNCERTAINTY * rng.standard_normal())), recipe.sigma[1])
    return Degraded(noisy, target, told, channel.mapping, frame.factor)


def _card(recipe: NoiseRecipe) -> WeightsCard:
    """Describe the weights to be, as far as it matters to what they are told."""
    return WeightsCard(
        title="",
        architecture="",
        config={},
        domain="photo",
        channels=3,
        mapping="affine",
        noise_range=recipe.sigma,
    )


def draw_sigma(recipe: NoiseRecipe, rng: np.random.Generator) -> float:
    """Draw a noise level from the levels or the range of the recipe."""
    if recipe.levels:
        return float(rng.choice(recipe.levels))
    low, high = recipe.sigma
    return float(low + (high - low) * rng.random() ** recipe.sigma_power)


def _evenly_in_logarithm(least: float, most: float, rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(np.log(max(least, 1e-3)), np.log(max(most, 1e-3)))))


def _kernel(blur: float) -> NDArray[np.float64]:
    impulse = np.zeros(33)
    impulse[16] = 1
    return np.asarray(gaussian_filter(impulse, blur, mode="constant"))


def _energy(blur: float) -> float:
    """Variance that blurred white noise keeps, along one axis."""
    return float((_kernel(blur) ** 2).sum())


def _lags(blur: float) -> tuple[float, float]:
    """Autocorrelation of blurred white noise at lags 1 and 2."""
    full = np.correlate(_kernel(blur), _kernel(blur), "full")
    centre = len(full) // 2
    return float(full[centre + 1] / full[centre]), float(full[centre + 2] / full[centre])
