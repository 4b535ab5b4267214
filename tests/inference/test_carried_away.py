"""With the bundled weights: what data may hold without carrying the result away."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.ndimage import binary_erosion, gaussian_filter

from napari_denoise import Denoiser, NoiseModel

SIDE = 160
pytestmark = pytest.mark.filterwarnings("ignore::napari_denoise.DenoiseWarning")


@pytest.fixture(scope="module")
def model() -> Denoiser:
    return Denoiser.load("microscopy", "cpu", "float32")


@pytest.fixture(scope="module")
def render() -> Denoiser:
    return Denoiser.load("render", "cpu", "float32")


def light() -> Any:
    """Photons of sparse, thin structures on a dark ground."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[:SIDE, :SIDE]
    image = np.zeros((SIDE, SIDE))
    for _ in range(16):
        cy, cx = rng.uniform(20, SIDE - 20, 2)
        angle = rng.uniform(0, np.pi)
        across = -(x - cx) * np.sin(angle) + (y - cy) * np.cos(angle)
        along = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
        image += rng.uniform(5, 30) * np.exp(-(across**2) / 3.4 - (along / 40) ** 4)
    return image


def camera(photons: Any, seed: int = 1) -> Any:
    rng = np.random.default_rng(seed)
    noisy = rng.poisson(photons) * 2.2 + 100 + rng.normal(0, 3, photons.shape)
    return np.clip(np.rint(noisy), 0, 65535).astype(np.uint16)


def decibels(image: Any, where: Any = slice(None)) -> float:
    error = (np.asarray(image, float) - (light() * 2.2 + 100))[where]
    return float(10 * np.log10(66**2 / np.mean(error**2)))


def away_from(marked: Any, pixels: int) -> Any:
    return binary_erosion(~marked, iterations=pixels, border_value=1)


@pytest.fixture(scope="module")
def clean(model: Denoiser) -> Any:
    return model(camera(light()), axes="YX")


@pytest.mark.parametrize(("count", "value"), [(1, 4095), (3, 65535), (15, 65535)])
def test_hot_pixels_harm_no_other_pixel(
    model: Denoiser, clean: Any, count: int, value: int
) -> None:
    image = camera(light())
    hot = np.zeros(image.shape, bool)
    rows, columns = np.random.default_rng(2).integers(0, SIDE, (2, count))
    hot[rows, columns] = True
    image[hot] = value
    far = away_from(hot, 3)
    job = model.prepare(image, "YX")
    result = model(image, axes="YX")
    assert decibels(result, far) > decibels(clean, far) - 0.7
    assert result[far].mean() == pytest.approx(image[far].mean(), rel=0.01)
    assert (result[hot] == value).all()  # kept, as they were measured
    assert any("isolated outlier" in text for text in job.warnings)
    replaced = model(image, axes="YX", outliers="replace")
    assert replaced.max() < 400
    assert np.array_equal(replaced[~hot], result[~hot])


def test_hot_pixels_that_are_kept_do_not_depend_on_the_tiles(model: Denoiser) -> None:
    image = camera(light()).astype(np.float32)
    image[[63, 64, 65, 130], [64, 20, 127, 63]] = 9000
    whole, tiled = (model(image, axes="YX", tile=tile) for tile in (1024, 64))
    assert np.abs(whole - tiled).max() <= 1e-5 * 9000


@pytest.mark.parametrize("value", [0, 65535])
@pytest.mark.parametrize("frames", [1, 4])
def test_a_filled_canvas_changes_nothing_inside(
    model: Denoiser, clean: Any, value: int, frames: int
) -> None:
    y, x = np.mgrid[:SIDE, :SIDE]
    inside = np.abs(y - 70) + np.abs(x - 70) < 95
    stack = np.stack([camera(light(), seed) for seed in range(1, frames + 1)])
    stack = np.where(inside, stack, value).astype(np.uint16)
    result = model(stack, axes="TYX")
    far = away_from(~inside, 8)
    assert decibels(result[0], far) > decibels(clean, far) - 0.7
    assert (result[:, ~inside] == value).mean() > 0.98
    assert result[0][far].mean() == pytest.approx(stack[0][far].mean(), rel=0.01)


def test_blank_frames_and_a_flash_change_nothing_in_the_good_ones(
    model: Denoiser, clean: Any
) -> None:
    stack = np.stack([camera(light(), seed) for seed in range(1, 9)])
    stack[5:] = 0
    stack[3] = 60000
    assert decibels(model(stack, axes="TYX")[0]) > decibels(clean) - 0.7
    assert (model(stack, axes="TYX")[5:] == 0).all()


@pytest.mark.parametrize(("height", "kept"), [(1000, 0.95), (20000, 0.98)])
def test_few_bright_spots_keep_their_height_and_the_ground_gets_calm(
    model: Denoiser, height: int, kept: float
) -> None:
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:256, :256]
    truth = np.full((256, 256), 100.0)
    for _ in range(25):
        cy, cx = rng.uniform(20, 236, 2)
        truth += height * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 2)
    noisy = rng.poisson((truth - 50) / 2.2) * 2.2 + 50 + rng.normal(0, 3, truth.shape)
    result = model(np.clip(np.rint(noisy), 0, 65535).astype(np.uint16), axes="YX").astype(float)
    peaks, ground = truth > 0.7 * height + 100, truth < 105
    assert ((result - 100)[peaks] / (truth - 100)[peaks]).mean() >= kept
    assert (result - truth)[ground].std() < 3  # 11 before


@pytest.mark.parametrize("photons", [0.3, 1.0, 10.0])
def test_the_mean_of_few_photons_is_kept(model: Denoiser, photons: float) -> None:
    truth = np.tile(light() / 45, (2, 2)) * photons + 0.002
    counts = np.random.default_rng(0).poisson(truth).astype(np.float32)
    result = model(counts, axes="YX")
    assert result.mean() == pytest.approx(counts.mean(), rel=0.01)
    assert result.min() >= 0


def test_photons_beside_truly_empty_areas_keep_their_mean(model: Denoiser) -> None:
    rng = np.random.default_rng(0)
    structure = gaussian_filter(rng.standard_normal((384, 384)), 6)
    photons = 8 * np.clip(structure / structure.std() + 0.5, 0, None)
    noisy = rng.poisson(photons).astype(np.float32)
    result = model(noisy, axes="YX")
    assert (photons == 0).mean() > 0.25
    assert result.mean() == pytest.approx(noisy.mean(), rel=5e-3)
    empty = binary_erosion(photons == 0, iterations=8)
    assert not result[empty].any()


def test_few_photons_are_denoised_alike_whatever_the_order_of_axes(model: Denoiser) -> None:
    truth = np.tile(light() / 45, (4, 4))[:, :560]
    counts = np.random.default_rng(0).poisson(truth).astype(np.float32)
    upright, lying = model(counts, axes="YX"), model(np.ascontiguousarray(counts.T), axes="XY")
    assert np.abs(lying.T - upright).max() <= 1e-5 * np.ptp(counts)


def paths(seed: int = 0) -> tuple[Any, Any]:
    """Radiance of a lit scene, and a path-traced picture of it."""
    y, x = np.mgrid[:128, :128].astype(np.float32)
    lit = 0.15 + 0.5 * np.exp(-((y - 40) ** 2 + (x - 45) ** 2) / 2000)
    colour = np.where((x // 16 % 2 == 0)[..., None], (0.6, 0.5, 0.3), (0.2, 0.4, 0.6))
    radiance = (lit[..., None] * colour).astype(np.float32)
    noise = np.random.default_rng(seed).gamma(2.8, 1 / 2.8, (128, 128, 1))
    return radiance, (radiance * noise).astype(np.float32)


def shown(reference: Any, image: Any, where: Any = slice(None)) -> float:
    a, b = (np.clip(np.asarray(v, float), 0, 1) ** (1 / 2.2) for v in (reference, image))
    return float(-10 * np.log10(np.mean((a - b)[where] ** 2)))


@pytest.mark.parametrize(("radius", "value"), [(2, 1e6), (6, 6e4)])
def test_a_lamp_in_the_picture_harms_nothing_far_from_it(
    render: Denoiser, radius: int, value: float
) -> None:
    radiance, noisy = paths()
    plain = render(noisy, axes="YXS")
    y, x = np.mgrid[:128, :128]
    distance = np.hypot(y - 100, x - 100)
    noisy[distance <= radius] = value
    far = distance > radius + 12
    assert shown(radiance, render(noisy, axes="YXS"), far) > shown(radiance, plain, far) - 0.7


@pytest.mark.parametrize("factor", [200, 1000])
def test_fireflies_leave_nothing_behind(render: Denoiser, factor: int) -> None:
    radiance, noisy = paths()
    plain = render(noisy, axes="YXS")
    rng = np.random.default_rng(1)
    rows, columns = rng.integers(3, 125, (2, 12))
    noisy[rows, columns] = factor * radiance.mean() * rng.uniform(0.7, 1.3, (12, 3))
    result = render(noisy, axes="YXS")
    assert shown(radiance, result) > shown(radiance, plain) - 0.1
    assert np.abs(result - plain).max() < 0.5 * radiance.mean()
    kept = render(noisy, axes="YXS", outliers="keep")
    assert np.array_equal(kept[rows, columns], noisy[rows, columns])


def test_a_black_background_stays_black_and_nothing_gets_negative(render: Denoiser) -> None:
    _, noisy = paths()
    y, x = np.mgrid[:128, :128]
    outside = np.hypot(y - 64, x - 64) > 45
    noisy[outside] = 0
    result = render(noisy, axes="YXS")
    assert (result[outside] == 0).all()
    assert result.min() >= 0


def test_data_of_both_signs_are_no_light(render: Denoiser) -> None:
    y, x = np.mgrid[:96, :96]
    truth = np.stack([np.sin(x / 20), np.cos(y / 15), np.sin((x + y) / 30)], -1) * 0.5
    truth -= truth.mean()
    noisy = (truth + np.random.default_rng(0).normal(0, 0.05, truth.shape)).astype(np.float32)
    job = render.prepare(noisy, "YXS")
    result = render(noisy, axes="YXS")
    assert np.sqrt(np.mean((result - truth) ** 2)) < 0.025
    assert any("both signs" in text for text in job.warnings)


@pytest.mark.parametrize("frames", [1, 3])
def test_a_negative_of_light_is_denoised_as_the_light_itself(model: Denoiser, frames: int) -> None:
    stack = np.stack([camera(light(), seed) for seed in range(1, frames + 1)])
    job = model.prepare(400 - stack, "TYX")
    assert job.noise[0].inverted
    assert job.noise[0].offset == pytest.approx(300, abs=2)
    assert "inverted: white" in job.noise[0].describe()
    result = model((400 - stack).astype(np.float32), axes="TYX")
    mirrored = 400 - result[0]
    assert decibels(mirrored) > decibels(model(stack, axes="TYX")[0]) - 0.1
    assert not model.prepare(stack, "TYX").noise[0].inverted


def test_few_photons_keep_their_mean_in_a_negative_too(model: Denoiser) -> None:
    truth = np.tile(light() / 45, (2, 2)) + 0.002
    counts = np.random.default_rng(0).poisson(truth).astype(np.float32)
    noise = NoiseModel(gain=1, offset=50, inverted=True)
    result = model(50 - counts, axes="YX", noise=noise)
    assert (50 - result).mean() == pytest.approx(counts.mean(), rel=0.01)
