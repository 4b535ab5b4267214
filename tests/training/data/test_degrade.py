"""Noise that a recipe asks for has the level that the network is told, and moves no mean."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from napari_denoise.image.axes import Layout
from napari_denoise.measure.channels import measured
from napari_denoise.measure.mappings import AnscombeMapping
from napari_denoise.settings.denoise import DenoiseSettings
from napari_denoise.settings.noise import NoiseModel
from napari_denoise.settings.recipe import NoiseRecipe
from napari_denoise.training.data import degrade
from napari_denoise.training.data.camera import Camera
from napari_denoise.training.data.degrade import (
    camera,
    correlated,
    count,
    gaussian,
    poisson_gaussian,
    without_camera,
)
from napari_denoise.weights.card import WeightsCard

KINDS = ("gaussian", "poisson_gaussian", "correlated", "camera")
GRAY = np.tile(np.linspace(0, 1, 256, dtype=np.float32), (1, 256, 1))
COLOUR = np.stack([GRAY[0], GRAY[0].T, GRAY[0, ::-1, ::-1]])


def rng(seed=0):
    return np.random.default_rng(seed)


def correlation(noise, axis):
    """At lag 1, along y or x of (C, Y, X)."""
    after, before = np.delete(noise, 0, axis), np.delete(noise, -1, axis)
    return (after * before).mean() / (noise**2).mean()


@pytest.mark.parametrize("kind", KINDS)
def test_results_are_float32_of_the_same_shape_and_repeat(kind):
    clean = COLOUR[:, :32, :32]
    one, other = (getattr(degrade, kind)(clean, NoiseRecipe(), rng(3)) for _ in range(2))
    for name in ("noisy", "target"):
        array = getattr(one, name)
        assert (array.dtype, array.shape) == (np.float32, clean.shape)
        assert np.array_equal(array, getattr(other, name))
    assert one.sigma == other.sigma
    assert not np.array_equal(one.noisy, getattr(degrade, kind)(clean, NoiseRecipe(), rng(4)).noisy)


def test_white_noise_has_its_level_and_no_correlation():
    done = gaussian(GRAY, NoiseRecipe(sigma=(0.1, 0.1)), rng())
    noise = done.noisy - done.target
    assert done.target is GRAY
    assert done.sigma == pytest.approx(0.1)
    assert noise.std() == pytest.approx(0.1, rel=0.01)
    assert abs(noise.mean()) < 4 * 0.1 / 256
    assert all(abs(correlation(noise, axis)) < 4 / 256 for axis in (1, 2))


def test_levels_come_from_the_range_of_the_recipe_or_from_its_list():
    recipe = NoiseRecipe(sigma=(0.05, 0.2))
    drawn = [gaussian(GRAY[:, :4, :4], recipe, rng(n)).sigma for n in range(400)]
    assert 0.05 <= min(drawn) < 0.055
    assert 0.195 < max(drawn) <= 0.2
    assert np.median(drawn) == pytest.approx(0.125, abs=0.015)
    low = [gaussian(GRAY[:, :4, :4], replace(recipe, sigma_power=3.0), rng(n)) for n in range(400)]
    assert np.median([d.sigma for d in low]) == pytest.approx(0.05 + 0.15 / 8, abs=0.01)
    listed = replace(recipe, levels=(0.1, 0.2))
    chosen = Counter(round(gaussian(GRAY[:, :4, :4], listed, rng(n)).sigma, 6) for n in range(400))
    assert set(chosen) == {0.1, 0.2}
    assert chosen[0.1] == pytest.approx(200, abs=50)


@pytest.mark.parametrize("read", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("photons", [10.0, 40.0, 300.0])
def test_counted_photons_have_the_told_noise_after_the_anscombe_transform(photons, read):
    bright = 0.3 + 0.7 * GRAY
    recipe = NoiseRecipe(photons=(photons, photons), read_noise=(read, read))
    done = poisson_gaussian(bright, recipe, rng())
    assert (done.noisy - done.target).std() == pytest.approx(done.sigma, rel=0.05)


@pytest.mark.parametrize("read", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("photons", [0.5, 3.0, 100.0])
@pytest.mark.parametrize("most", [0.1, 0.5])
def test_the_target_is_the_mean_of_the_noisy_values_even_in_the_dark(photons, read, most):
    flat = np.full((1, 400, 400), 1.0, np.float32)
    flat[:, :, :8] = 0  # black, so that the range is that of an image
    recipe = NoiseRecipe(sigma=(0.0, most), photons=(photons, photons), read_noise=(read, read))
    done = poisson_gaussian(flat, recipe, rng())
    noise = (done.noisy - done.target)[..., 8:]
    assert abs(noise.mean()) < 4 * noise.std() / np.sqrt(noise.size)
    assert done.sigma <= most + 1e-6


def test_the_target_is_what_the_inverse_of_the_mapping_expects():
    recipe = NoiseRecipe(sigma=(0.0, 10.0), photons=(2.0, 2.0), read_noise=(1.0, 1.0))
    done = poisson_gaussian(GRAY, recipe, rng())
    # The range that [0, 1] stands for is random: only differences in units of the noise are not.
    mapping = AnscombeMapping(1.0, 0.0, 1.0, 0.0, 2.0)
    expected = mapping.forward_mean(2 * GRAY)
    assert np.allclose(
        np.ptp(done.target) / done.sigma, np.ptp(expected) / mapping.sigma, rtol=1e-4
    )
    assert np.allclose(
        (done.target - done.target.min()) / done.sigma,
        (expected - expected.min()) / mapping.sigma,
        atol=1e-4,
    )


@pytest.mark.parametrize("skewness", [1.0, 1.25, 1.5])
def test_amplified_light_has_the_mean_variance_and_skewness_of_the_model(skewness):
    light = count(np.full((1, 600, 600), 3, np.float32), skewness, rng())
    centred = light - light.mean()
    assert light.mean() == pytest.approx(3, rel=0.01)
    assert (centred**2).mean() == pytest.approx(3, rel=0.02)
    assert (centred**3).mean() == pytest.approx(3 * skewness, rel=0.05)


def test_the_target_is_the_mean_behind_an_amplifier_too():
    recipe = NoiseRecipe(photons=(0.5, 0.5), read_noise=(0.0, 0.0), skewness=(1.5, 1.5))
    done = poisson_gaussian(np.ones((1, 400, 400), np.float32), recipe, rng())
    noise = done.noisy - done.target
    assert abs(noise.mean()) < 4 * noise.std() / 400
    with pytest.raises(ValueError, match=r"skewness \(0.5, 1.0\): expected"):
        NoiseRecipe(skewness=(0.5, 1.0))


def test_dim_patches_of_a_bright_image_have_its_range():
    recipe = NoiseRecipe(photons=(100.0, 100.0), read_noise=(1.0, 1.0), dimmest=0.01)
    targets = [poisson_gaussian(GRAY, recipe, rng(n)).target for n in range(200)]
    reached = np.array([np.ptp(target) for target in targets])
    # The transform is about a root: a hundredth of the light is a tenth of the range.
    assert reached.min() < 0.2
    assert reached.max() > 0.7
    assert np.median(reached) == pytest.approx(0.3, abs=0.1)


def test_the_range_reaches_beyond_the_clean_values_as_that_of_a_noisy_image_does():
    recipe = NoiseRecipe(photons=(1.0, 1.0), read_noise=(2.0, 2.0), sigma=(0.0, 10.0))
    shares = [np.ptp(poisson_gaussian(GRAY, recipe, rng(n)).target) for n in range(100)]
    assert min(shares) < 0.2
    assert max(shares) > 0.7


def test_more_noise_than_the_network_knows_is_squeezed_with_its_image():
    dark = NoiseRecipe(sigma=(0.0, 0.2), photons=(0.5, 0.5), read_noise=(1.0, 1.0))
    squeezed = poisson_gaussian(GRAY, dark, rng())
    whole = poisson_gaussian(GRAY, replace(dark, sigma=(0.0, 50.0)), rng())
    factor = 0.2 / whole.sigma
    assert factor < 1
    assert squeezed.sigma == pytest.approx(0.2)
    for name in ("noisy", "target"):
        expected = (getattr(whole, name) - 0.5) * factor + 0.5
        assert np.allclose(getattr(squeezed, name), expected, atol=1e-5)


@pytest.mark.parametrize("blur", [0.3, 0.6, 1.1])
def test_correlated_noise_has_the_drawn_level_and_tells_its_inflation(blur):
    recipe = NoiseRecipe(sigma=(0.1, 0.1), correlation=(blur, blur))
    done = correlated(GRAY, recipe, rng())
    noise = (done.noisy - done.target).astype(np.float64)
    assert noise.std() == pytest.approx(0.1, rel=0.02)
    kernel = np.exp(-0.5 * (np.arange(-8, 9) / blur) ** 2)
    theory = [
        float(kernel[lag:] @ kernel[: len(kernel) - lag] / (kernel @ kernel)) for lag in (1, 2)
    ]
    assert correlation(noise, 1) == pytest.approx(theory[0], abs=0.02)
    assert correlation(noise, 2) == pytest.approx(theory[0], abs=0.02)
    model = NoiseModel(correlation_y=tuple(theory), correlation_x=tuple(theory))
    assert done.sigma == pytest.approx(min(0.1 * model.inflation, 0.2), rel=0.01)
    edge = noise[:, :, [0, -1]].std() / noise.std()
    assert edge == pytest.approx(1, abs=0.15)  # the border sees as much noise as the middle


def test_correlation_is_drawn_apart_for_y_and_x():
    recipe = NoiseRecipe(sigma=(0.1, 0.1), correlation=(0.3, 1.1))
    noises = [(d := correlated(GRAY, recipe, rng(n))).noisy - d.target for n in range(6)]
    differences = [correlation(noise, 1) - correlation(noise, 2) for noise in noises]
    assert min(differences) < -0.1
    assert max(differences) > 0.1


SETTINGS = DenoiseSettings()
CARD = WeightsCard("", "", {}, "photo", 3, "affine", (0.0, 0.22))


def scene():
    """A picture of flat parts, ramps and edges, (3, 192, 192)."""
    y, x = np.mgrid[:192, :192] / 192
    planes = 0.2 + 0.5 * x, 0.3 + 0.3 * y, 0.6 - 0.4 * x * y
    return np.float32(planes) + np.float32(0.2) * ((y > 0.3) & (x > 0.6))


@pytest.mark.parametrize("seed", range(6))
def test_a_camera_tells_what_inference_would_tell_of_the_same_picture(seed, monkeypatch):
    monkeypatch.setattr(degrade, "_UNCERTAINTY", 0.0)
    done = camera(scene(), NoiseRecipe(), rng(seed))
    codes = done.mapping.inverse((done.noisy - 0.5) / done.squeeze + 0.5)
    assert np.allclose(codes, np.round(codes), atol=1e-3)  # 8 bits
    image = np.moveaxis(np.round(codes), 0, -1).astype(np.uint8)
    (channel,) = measured(image, Layout("YXS", image.shape), CARD, SETTINGS)
    assert channel.mapping == done.mapping
    told = min(channel.scale.sigma, 0.22)
    assert done.sigma == pytest.approx(told, rel=1e-6)


def test_what_a_camera_is_told_varies_about_the_estimate(monkeypatch):
    plain = Camera(full_well=500.0)
    monkeypatch.setattr(degrade, "draw_camera", lambda *_: plain)
    part, seeds = scene()[:, :64, :64], range(30)
    told = np.log([camera(part, NoiseRecipe(), rng(n)).sigma for n in seeds])
    monkeypatch.setattr(degrade, "_UNCERTAINTY", 0.0)
    read = np.log([camera(part, NoiseRecipe(), rng(n)).sigma for n in seeds])
    assert (told - read).std() == pytest.approx(0.4, rel=0.3)
    assert abs((told - read).mean()) < 0.2
    assert np.exp(told.max()) <= 0.22


def test_the_target_of_a_camera_has_the_mean_of_what_it_made():
    for seed in range(6):
        done = camera(scene(), NoiseRecipe(), rng(seed))
        assert abs((done.noisy - done.target).mean()) < 0.05 * max(done.sigma, 0.02)


def test_the_light_that_a_camera_gets_decides_its_noise():
    def noise(photons):
        recipe = NoiseRecipe(full_well=(photons, photons), jpeg_quality=(95, 95))
        done = [camera(scene(), recipe, rng(n)) for n in range(4)]
        return np.mean([d.mapping.width * (d.noisy - d.target).std() for d in done])

    assert noise(100.0) > 2 * noise(2000.0)


def test_without_cameras_the_other_shares_stay_as_they_are_to_each_other():
    others = without_camera(NoiseRecipe(poisson=0.1, correlated=0.2, camera=0.5))
    assert (others.poisson, others.correlated, others.camera) == (0.2, 0.4, 0.0)
    assert without_camera(NoiseRecipe(camera=1.0)).camera == 0.0
    assert without_camera(NoiseRecipe(poisson=0.3)) == NoiseRecipe(poisson=0.3)


def test_shares_are_respected(monkeypatch):
    drawn = Counter()

    def counting(kind, function):
        def count(*arguments):
            drawn[kind] += 1
            return function(*arguments)

        return count

    for kind in KINDS:
        monkeypatch.setattr(degrade, kind, counting(kind, getattr(degrade, kind)))
    recipe = NoiseRecipe(poisson=0.4, correlated=0.2, camera=0.1)
    numbers = rng()
    for _ in range(1500):
        degrade.degrade(COLOUR[:, :8, :8], recipe, numbers)
    shares = {kind: drawn[kind] / 1500 for kind in KINDS}
    wanted = {"poisson_gaussian": 0.4, "correlated": 0.2, "camera": 0.1, "gaussian": 0.3}
    assert shares == pytest.approx(wanted, abs=0.045)  # over three standard deviations
    drawn.clear()
    for _ in range(100):
        degrade.degrade(COLOUR[:, :8, :8], NoiseRecipe(), numbers)
    assert drawn == {"gaussian": 100}
