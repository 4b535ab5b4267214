"""The noise model and its estimation from images."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import convolve1d, gaussian_filter, shift
from skimage import data
from skimage.color import rgb2gray

from napari_denoise.image.axes import Layout
from napari_denoise.image.long_work import finished
from napari_denoise.measure.noise_estimation import estimate_noise
from napari_denoise.measure.sampled import SampledFrames
from napari_denoise.settings.noise import NoiseModel

Image = NDArray[np.float64]


def scene(seed: int = 0, size: int = 256) -> Image:
    """Blobs of several sizes on a dark ground, mean 1."""
    rng = np.random.default_rng(seed)
    coarse = np.clip(gaussian_filter(rng.normal(0, 1, (size, size)), 20) * 40, 0, None)
    fine = gaussian_filter(rng.exponential(1, (size, size)) ** 4, 2) / 24
    image = 0.1 + coarse + 0.3 * fine
    return image / image.mean()


def expose(photons: Image, model: NoiseModel, seed: int) -> Image:
    rng = np.random.default_rng(seed)
    read = rng.normal(0, 1, photons.shape) * model.read_noise
    return model.offset + model.gain * rng.poisson(photons) + read


def blur_noise(clean: Image, sd: Image, kernel: list[float], seed: int) -> Image:
    taps = np.array(kernel) / np.linalg.norm(kernel)
    white = np.random.default_rng(seed).normal(0, 1, clean.shape)
    return clean + sd * convolve1d(convolve1d(white, taps, 0), taps, 1)


def sd_errors(found: NoiseModel, true: NoiseModel, clean: Image) -> Image:
    """Ratio of the standard deviations at three levels, less 1."""
    levels = np.percentile(clean, [10, 50, 95])
    return np.sqrt(found.variance(levels) / true.variance(levels)) - 1


@pytest.mark.parametrize("photons", [0.2, 1, 30])
def test_white_shot_noise_is_found_from_one_image(photons: float) -> None:
    model = NoiseModel(20.0, 100.0, 4.0)
    found = estimate_noise([expose(scene() * photons, model, 1)])
    clean = 100 + 20 * photons * scene()
    assert found.gain == pytest.approx(20, rel=0.12)
    assert np.abs(sd_errors(found, model, clean)).max() < 0.06
    assert found.inflation < 1.05


def test_a_twentieth_of_a_photon_per_pixel_is_still_read() -> None:
    model = NoiseModel(20.0, 100.0, 3.0)
    frames = [expose(scene() * 0.05, model, seed) for seed in range(4)]
    assert estimate_noise(frames).gain == pytest.approx(20, rel=0.25)


def amplify(photons: Image, model: NoiseModel, seed: int) -> Image:
    """Expose behind an electron multiplier: every electron's gain is exponentially distributed."""
    rng = np.random.default_rng(seed)
    electrons = rng.gamma(rng.poisson(2 * photons)) / 2
    return model.offset + model.gain * electrons + rng.normal(0, model.read_noise, photons.shape)


@pytest.mark.parametrize("photons", [1, 3, 10])
def test_multiplied_electrons_are_told_from_counted_photons(photons: float) -> None:
    model, image = NoiseModel(20.0, 100.0, 4.0), scene(size=512) * photons
    counted = estimate_noise([expose(image, model, 1)])
    multiplied = estimate_noise([amplify(image, model, 1)])
    assert counted.skewness < 1.15
    assert multiplied.skewness > 1.35
    assert multiplied.offset == pytest.approx(100, abs=0.3 * 20)


def test_without_light_to_tell_from_the_noise_is_taken_for_that_of_photons() -> None:
    bright = expose(scene() * 3000, NoiseModel(1.0, 100.0, 4.0), 1)
    assert estimate_noise([bright]).skewness < 1.2
    assert estimate_noise([np.random.default_rng(0).normal(9, 3, (256, 256))]).skewness == 1


def test_gaussian_noise_has_no_gain() -> None:
    noisy = 50 * scene() + np.random.default_rng(0).normal(0, 12, (256, 256))
    found = estimate_noise([noisy])
    assert found.gain == 0
    assert found.read_noise == pytest.approx(12, rel=0.04)


@pytest.mark.parametrize("kernel", [[0.05, 0.3, 1, 0.3, 0.05], [0.25, 0.7, 1, 0.7, 0.25]])
def test_correlated_noise_and_its_correlation_are_found(kernel: list[float]) -> None:
    model = NoiseModel(2.0, 100.0, 3.0)
    clean = 100 + 2 * 30 * scene()
    noisy = blur_noise(clean, np.sqrt(model.variance(clean)), kernel, 3)
    rho = np.correlate(kernel, kernel, "full")[5:7] / np.dot(kernel, kernel)
    found = estimate_noise([noisy])
    assert np.array(found.correlation_y[:2]) == pytest.approx(rho, abs=0.08)
    assert np.array(found.correlation_x[:2]) == pytest.approx(rho, abs=0.08)
    assert np.abs(sd_errors(found, model, clean)).max() < 0.12


def reaching_noise(shape: tuple[int, int], seed: int) -> Image:
    """Noise of variance 1: correlated near by, and smooth over more than four pixels beside."""
    rng = np.random.default_rng(seed)
    taps = np.array([0.5, 1, 0.5]) / np.linalg.norm([0.5, 1, 0.5])
    near = convolve1d(convolve1d(rng.normal(0, 1, shape), taps, 0), taps, 1)
    far = gaussian_filter(rng.normal(0, 1, shape), 1.7, mode="wrap")
    return np.sqrt(0.8) * near + np.sqrt(0.2) * far / far.std()


def lags_of_reaching_noise(count: int = 6) -> Image:
    near = np.zeros(count)
    near[:2] = 2 / 3, 1 / 6
    return 0.8 * near + 0.2 * np.exp(-(np.arange(1, count + 1) ** 2) / (4 * 1.7**2))


def test_correlation_beyond_two_lags_is_found_from_one_image() -> None:
    clean = 100 + 200 * gaussian_filter(scene(size=512), 10)
    model = NoiseModel(
        read_noise=15,
        correlation_y=tuple(lags_of_reaching_noise()),
        correlation_x=tuple(lags_of_reaching_noise()),
    )
    for seed in range(3):
        found = estimate_noise([clean + 15 * reaching_noise(clean.shape, seed)])
        assert min(len(found.correlation_y), len(found.correlation_x)) > 2
        told = float(np.sqrt(found.variance(np.median(clean)))) * found.inflation
        assert told == pytest.approx(15 * model.inflation, rel=0.13)  # 8 x 8 pixels show 0.77 of it


def test_texture_does_not_pass_for_noise_that_reaches_far() -> None:
    fur = rgb2gray(data.chelsea()) * 255
    found = estimate_noise([fur + np.random.default_rng(4).normal(0, 2, fur.shape)])
    assert np.sqrt(found.variance(np.median(fur))) < 2 * 1.5  # 5.1 from blocks of 16 x 16 pixels
    dense = 100 + 60 * scene()
    found = estimate_noise([blur_noise(dense, np.full_like(dense, 12.0), [0.3, 1, 0.3], 3)])
    assert np.sqrt(found.variance(100)) == pytest.approx(12, rel=0.15)


def two_lags(model: NoiseModel) -> dict[str, tuple[float, ...]]:
    return {"correlation_y": model.correlation_y[:2], "correlation_x": model.correlation_x[:2]}


def test_pairs_of_frames_give_the_correlation_at_every_lag() -> None:
    texture = 100 + 20 * np.random.default_rng(9).normal(0, 1, (256, 256))
    frames = [texture + 10 * reaching_noise(texture.shape, seed) for seed in range(4)]
    found = estimate_noise(frames, list(pairwise(frames)))
    true = lags_of_reaching_noise()[:4]
    assert np.array(found.correlation_y[:4]) == pytest.approx(true, abs=0.04)
    assert np.array(found.correlation_x[:4]) == pytest.approx(true, abs=0.04)
    assert np.sqrt(found.variance(100)) == pytest.approx(10, rel=0.04)


def test_correlation_along_x_alone_is_told_from_y() -> None:
    noise = np.random.default_rng(0).normal(0, 5, (256, 256))
    noise = convolve1d(noise, [0.5, 1, 0.5], axis=1)
    found = estimate_noise([100 + noise])
    assert found.correlation_x[0] == pytest.approx(2 / 3, abs=0.05)
    assert abs(found.correlation_y[0]) < 0.05


@pytest.mark.parametrize("sigma", [8.0, 25.0])
def test_clipping_at_both_ends_of_8_bits_does_not_lower_the_estimate(sigma: float) -> None:
    waves = gaussian_filter(np.random.default_rng(0).normal(0, 9, (256, 256)), 8)
    clean = np.clip(128 + 255 * waves, 0, 255)
    noisy = clean + np.random.default_rng(1).normal(0, sigma, clean.shape)
    data = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    assert (data == 0).mean() > 0.02
    assert (data == 255).mean() > 0.02
    found = estimate_noise([data])
    assert np.sqrt(found.variance(128)) == pytest.approx(sigma, rel=0.08)


def test_pixels_without_a_photon_are_not_taken_for_clipped_ones() -> None:
    noisy = np.clip(np.rint(expose(scene(), NoiseModel(20.0, 0.0, 1.0), 0)), 0, 255)
    found = estimate_noise([noisy.astype(np.uint8)])
    assert found.gain == pytest.approx(20, rel=0.12)


def test_few_grey_levels_do_not_pass_for_noise() -> None:
    coarse = np.rint((3000 * scene() + np.random.default_rng(0).normal(0, 20, (256, 256))) / 16)
    found = estimate_noise([coarse.astype(np.uint16) * 16])
    level = 3000.0
    assert np.sqrt(found.variance(level)) == pytest.approx(20, rel=0.08)


@pytest.mark.parametrize("scale", [1 / 65535, 1e6])
def test_the_estimate_follows_the_units_of_the_data(scale: float) -> None:
    noisy = expose(20 * scene(), NoiseModel(3.0, 100.0, 5.0), 0)
    plain, scaled = estimate_noise([noisy]), estimate_noise([noisy * scale])
    assert scaled.gain == pytest.approx(plain.gain * scale, rel=1e-3)
    assert scaled.offset == pytest.approx(plain.offset * scale, rel=1e-2)
    assert scaled.read_noise == pytest.approx(plain.read_noise * scale, rel=2e-2)


def test_pairs_of_frames_see_through_strong_texture() -> None:
    texture = 100 + 20 * np.random.default_rng(9).normal(0, 1, (256, 256))
    frames = [texture + np.random.default_rng(s).normal(0, 5, texture.shape) for s in range(3)]
    assert estimate_noise(frames).read_noise > 15
    found = estimate_noise(frames, list(pairwise(frames)))
    found_sd = np.sqrt(found.variance(100))
    assert found_sd == pytest.approx(5, rel=0.05)


def test_pairs_bear_bleaching_and_movement() -> None:
    model = NoiseModel(2.0, 100.0, 3.0)
    photons = 30 * scene()
    moved = [np.clip(shift(photons, (3 * k, k), mode="reflect"), 0, None) for k in range(3)]
    bleached = [photons * 0.85**k for k in range(3)]
    for series in (moved, bleached):
        frames = [expose(p, model, seed) for seed, p in enumerate(series)]
        found = estimate_noise(frames, list(pairwise(frames)))
        assert found.gain == pytest.approx(2, rel=0.15)
        assert np.abs(sd_errors(found, model, 100 + 2 * photons)).max() < 0.08


def test_repeated_frames_do_not_make_the_noise_vanish() -> None:
    frame = expose(30 * scene(), NoiseModel(2.0, 100.0, 3.0), 0)
    found = estimate_noise([frame, frame], [(frame, frame)])
    assert found.gain == pytest.approx(2, rel=0.15)


def test_nan_and_infinities_are_left_out() -> None:
    noisy = expose(30 * scene(), NoiseModel(2.0, 100.0, 3.0), 0)
    good = noisy.copy()
    noisy[50, 50], noisy[100:110, 30:40], noisy[200, 7] = np.nan, np.inf, -np.inf
    assert estimate_noise([noisy]).gain == pytest.approx(2, rel=0.15)
    found = estimate_noise([noisy, good], [(noisy, good[::-1]), (noisy, noisy)])
    assert found.gain == pytest.approx(2, rel=0.15)


@pytest.mark.parametrize("shape", [(1, 1), (9, 9), (3, 700), (700, 3), (16, 16), (64, 64)])
@pytest.mark.parametrize("value", [0, 7, np.nan])
def test_a_constant_image_of_any_size_has_no_noise(shape: tuple[int, int], value: float) -> None:
    assert estimate_noise([np.full(shape, value)]) == NoiseModel()


@pytest.mark.parametrize("shape", [(9, 9), (3, 700), (16, 16), (20, 300)])
def test_small_images_get_a_sane_sigma(shape: tuple[int, int]) -> None:
    noisy = np.random.default_rng(0).normal(50, 4, shape)
    found = estimate_noise([noisy])
    assert np.sqrt(found.variance(50)) == pytest.approx(4, rel=0.4)


def test_half_saturated_and_pure_extremes_are_survived() -> None:
    halves = np.zeros((128, 128), np.uint8)
    halves[:, 64:] = 255
    assert np.sqrt(estimate_noise([halves]).variance(0)) < 5
    bits = np.random.default_rng(0).integers(0, 2, (64, 64), dtype=np.uint8) * 255
    assert np.isfinite(estimate_noise([bits]).variance(128))


def test_an_empty_sequence_is_refused() -> None:
    with pytest.raises(ValueError, match="0 frames"):
        estimate_noise([])


def test_white_noise_is_not_inflated_and_correlated_noise_is() -> None:
    assert NoiseModel(read_noise=5).inflation == 1
    nearly = NoiseModel(read_noise=5, correlation_y=(0.04, 0.0), correlation_x=(0.04, 0.0))
    assert nearly.inflation == 1
    strong = replace(nearly, correlation_y=(0.63, 0.24), correlation_x=(0.63, 0.24))
    assert strong.inflation == pytest.approx((1 + 2 * 0.87) ** 0.8)
    smooth = replace(strong, correlation_y=(0.9, 0.7, 0.5, 0.3), correlation_x=(0.9, 0.7, 0.5, 0.3))
    assert 2.51 < smooth.inflation < 3
    sharpened = replace(nearly, correlation_y=(-0.3, 0.0), correlation_x=(-0.3, 0.0))
    assert sharpened.inflation == 1


def test_the_model_describes_itself() -> None:
    assert NoiseModel().describe() == "none"
    assert NoiseModel(read_noise=24.8).describe() == "Gaussian, sigma 24.8"
    rho = (0.63, 0.24)
    text = NoiseModel(2.31, 100, 3.2, rho, rho).describe()
    assert text == "gain 2.31, offset 100, read noise 3.2, correlated (0.63 / 0.24)"
    assert NoiseModel(2, 100, 3, skewness=1.5).describe().endswith("read noise 3, skewness 1.50")
    assert "y 0.00 / 0.00, x 0.63 / 0.24" in NoiseModel(1, correlation_x=rho).describe()


def test_a_model_holds_correlations_of_any_length() -> None:
    rho = (0.62, 0.22, 0.13, 0.09)
    model = NoiseModel(13.4, correlation_y=rho, correlation_x=rho[:3])
    assert "y 0.62 / 0.22 / 0.13 / 0.09, x 0.62 / 0.22 / 0.13" in model.describe()
    assert model.inflation == pytest.approx(((1 + 2 * sum(rho)) * (1 + 2 * sum(rho[:3]))) ** 0.4)
    assert model.inflation > NoiseModel(13.4, **two_lags(model)).inflation
    assert not model.is_white


def test_zeros_at_the_end_of_a_correlation_make_no_other_model() -> None:
    short = NoiseModel(1, correlation_y=(0.3,), correlation_x=())
    assert short == NoiseModel(1, correlation_y=(0.3, 0.0, 0.0), correlation_x=(0.0,) * 5)
    assert (short.correlation_y, short.correlation_x) == ((0.3, 0.0), (0.0, 0.0))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("gain", -1.0),
        ("gain", math.nan),
        ("read_noise", -3.0),
        ("read_noise", math.inf),
        ("offset", -math.inf),
        ("skewness", 0.9),
        ("skewness", 2.0),
        ("correlation_y", (5.0, 5.0)),
        ("correlation_x", (math.nan, 0.0)),
    ],
)
def test_a_model_that_no_noise_has_is_refused(field, value):
    with pytest.raises(ValueError, match=f"{field} .*expected") as caught:
        NoiseModel(**{field: value})
    assert str(value) in str(caught.value)


def test_a_scale_far_from_one_scales_the_estimate_too():
    image = np.random.default_rng(0).normal(500, 30, (96, 96)).astype(np.float32)
    plain = estimate_noise([image])
    for scale in (1e-25, 1e25):
        found = estimate_noise([image * np.float32(scale)])
        assert found.read_noise == pytest.approx(plain.read_noise * scale, rel=1e-3)


@pytest.mark.parametrize("empty", [np.nan, np.inf])
def test_frames_without_values_do_not_count_in_what_is_measured(empty: float) -> None:
    rng = np.random.default_rng(0)
    mean = np.broadcast_to(np.linspace(20, 200, 128), (8, 128, 128))
    stack = (rng.poisson(mean) * 2 + 100).astype(np.float32)
    stack[[0, 3, 4, 7]] = empty
    samples = SampledFrames.of(stack, Layout("TYX", stack.shape), 0)
    assert finished(samples.estimating_noise()).gain == pytest.approx(2, rel=0.1)
    assert samples.range()[0] > 100
    nothing = SampledFrames.of(stack[3:5], Layout("TYX", (2, 128, 128)), 0)
    assert nothing.extent is None


@pytest.mark.parametrize("frames", [1, 3])
def test_a_negative_of_light_has_the_noise_of_the_light(frames: int) -> None:
    model = NoiseModel(2.2, 100.0, 3.0)
    stack = [np.rint(2000 - expose(scene() * 60, model, seed)) for seed in range(frames)]
    found = estimate_noise(stack, list(pairwise(stack)))
    assert found.inverted
    assert found.gain == pytest.approx(2.2, rel=0.15)
    clean = 2000 - (100 + 2.2 * 60 * scene())
    assert np.abs(sd_errors(found, replace(model, offset=1900.0, inverted=True), clean)).max() < 0.1


@pytest.mark.parametrize("sigma", [1.0, 10.0])
@pytest.mark.parametrize("turned", [False, True])
def test_texture_in_the_dark_makes_no_negative(sigma: float, turned: bool) -> None:
    rng = np.random.default_rng(0)
    texture = gaussian_filter(rng.normal(0, 1, (256, 256)), 1.5)
    ramp = np.linspace(0, 1, 256)
    image = 60 + 150 * ramp + 60 * (1 - ramp) * texture + rng.normal(0, sigma, (256, 256))
    assert not estimate_noise([255 - image if turned else image]).inverted
