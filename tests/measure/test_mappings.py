"""Dtypes, bad pixels, ranges and mappings."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_denoise.image.values import replace_nonfinite, restore_dtype, to_float32
from napari_denoise.measure.mappings import AffineMapping, AnscombeMapping, LogMapping, fit_mapping
from napari_denoise.measure.sampled import robust_range
from napari_denoise.settings.noise import NoiseModel

KINDS = ("affine", "anscombe", "log")


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
def test_small_integers_survive_the_way_to_float_and_back(dtype: str) -> None:
    info = np.iinfo(dtype)
    data = np.arange(info.min, info.max + 1, dtype=dtype)
    back = restore_dtype(to_float32(data), dtype)
    assert back.dtype == dtype
    assert np.array_equal(back, data)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "int32", "uint64", "int64"])
def test_values_beyond_an_integer_dtype_are_clipped_not_wrapped(dtype: str) -> None:
    info = np.iinfo(dtype)
    back = restore_dtype(np.array([-1e30, 0.4, 0.6, 1e30], np.float32), dtype)
    assert back[0] == info.min
    assert list(back[1:3]) == [0, 1]
    assert float(back[3]) >= 0.999999 * info.max


def test_floats_are_restored_exactly_and_half_floats_do_not_overflow() -> None:
    data = np.array([0.1, -3e38, np.inf], np.float32)
    assert restore_dtype(data, np.float32) is data
    half = restore_dtype(np.array([1e6, -1e6, 0.5], np.float32), np.float16)
    assert list(half) == [65504, -65504, 0.5]


def test_a_bad_pixel_becomes_like_its_neighbours() -> None:
    data = np.full((20, 30), 7.0, np.float32)
    data[:, 15:] = 90
    data[4, 5], data[4, 6], data[10, 25] = np.nan, np.inf, -np.inf
    before = data.copy()
    fixed, count = replace_nonfinite(data)
    assert count == 3
    assert (fixed[4, 5], fixed[4, 6], fixed[10, 25]) == (7, 7, 90)
    assert np.array_equal(data, before, equal_nan=True)
    good = np.isfinite(before)
    assert np.array_equal(fixed[good], before[good])


def test_bad_samples_of_a_colour_frame_take_their_own_colour() -> None:
    data = np.broadcast_to(np.array([1.0, 50.0, 200.0], np.float32), (9, 9, 3)).copy()
    data[4, 4, 1] = np.nan
    fixed, count = replace_nonfinite(data)
    assert count == 1
    assert list(fixed[4, 4]) == [1, 50, 200]


def test_whole_bad_regions_and_frames_become_finite() -> None:
    data = np.random.default_rng(0).normal(5, 1, (40, 40)).astype(np.float32)
    data[:20] = np.nan
    fixed, count = replace_nonfinite(data)
    assert count == 800
    assert np.isfinite(fixed).all()
    assert abs(fixed[0, 0] - 5) < 0.5
    assert np.array_equal(replace_nonfinite(np.full((3, 3), np.nan))[0], np.zeros((3, 3)))


def test_a_clean_frame_is_passed_on_without_a_copy() -> None:
    data = np.ones((3, 3), np.float32)
    assert replace_nonfinite(data)[0] is data
    whole = np.ones((3, 3), np.uint16)
    assert replace_nonfinite(whole)[0] is whole


def test_the_robust_range_ignores_a_few_wild_pixels_and_nan() -> None:
    rng = np.random.default_rng(0)
    frames = rng.uniform(100, 200, (40, 300, 300))
    frames[:, 0, 0] = 1e9
    frames[:, 1, 1] = np.nan
    low, high = robust_range(list(frames))
    assert low == pytest.approx(100, abs=1)
    assert high == pytest.approx(200, abs=1)


def test_the_range_of_constant_empty_and_bad_data_is_sane() -> None:
    assert robust_range([np.full((1, 1), 7, np.uint8)]) == (7, 7)
    assert robust_range([np.full((4, 4), np.nan)]) == (0, 1)
    with pytest.raises(ValueError, match="0 frames"):
        robust_range([])


@pytest.mark.parametrize("kind", KINDS)
def test_low_and_high_become_zero_and_one(kind: str) -> None:
    low = 0.0 if kind == "log" else 120.0
    mapping = fit_mapping(kind, NoiseModel(2, 100, 3), low, 900)  # type: ignore[arg-type]
    assert mapping.forward([low, 900]) == pytest.approx([0, 1], abs=1e-6)
    assert mapping.forward(np.array([5], np.uint16)).dtype == np.float32
    assert mapping.inverse(np.zeros(3)).dtype == np.float32
    assert json.loads(json.dumps(mapping.to_json()))["kind"] == kind


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("gain", [0.0, 1e-9, 1e-3, 1.0, 50.0])
def test_mappings_are_strictly_increasing_on_16_bit_data(kind: str, gain: float) -> None:
    mapping = fit_mapping(kind, NoiseModel(gain, 100, 4), 90, 60000)  # type: ignore[arg-type]
    y = mapping.forward(np.arange(65536, dtype=np.uint16))
    assert (np.diff(y) > 0).all()
    assert (np.diff(mapping.inverse(y)) > 0).all()


@given(st.floats(-50, 5e4, width=32), st.floats(1e-3, 1e3))
@settings(deadline=None)
def test_affine_and_log_invert_to_float32_accuracy(x: float, exposure: float) -> None:
    value = np.float32(x * exposure)
    low, high = 0.0, 1e4 * exposure
    for mapping in (AffineMapping(low, high), LogMapping(high / 32, high)):
        back = mapping.inverse(mapping.forward(value))
        assert abs(float(back - value)) <= 3e-6 * abs(float(value)) + 1e-9 * high


def test_the_log_mapping_does_not_see_the_exposure() -> None:
    image = np.random.default_rng(0).lognormal(-1, 1.5, (64, 64)).astype(np.float32)
    mapped = [
        fit_mapping("log", NoiseModel(), *robust_range([image * f])).forward(image * f)
        for f in (np.float32(1), np.float32(1000))
    ]
    assert mapped[0] == pytest.approx(mapped[1], abs=1e-5)


@pytest.mark.parametrize("read_noise", [0.0, 0.3, 1.0, 8.0])
@pytest.mark.parametrize("photons", [0.1, 1.0, 10.0, 300.0])
def test_the_anscombe_inverse_is_unbiased(photons: float, read_noise: float) -> None:
    gain, offset, count = 2.5, 100.0, 400_000
    rng = np.random.default_rng(1)
    noisy = offset + gain * (rng.poisson(photons, count) + rng.normal(0, read_noise, count))
    mapping = fit_mapping("anscombe", NoiseModel(gain, offset, gain * read_noise), 100, 900)
    found = mapping.inverse(mapping.forward(noisy).mean(dtype=np.float64))
    error = gain * np.sqrt((photons + read_noise**2) / count)
    assert float(found) == pytest.approx(offset + gain * photons, abs=5 * error)


@pytest.mark.parametrize("read_noise", [0.0, 1.0])
@pytest.mark.parametrize("photons", [0.1, 1.0, 10.0, 100.0])
@pytest.mark.parametrize("shape", [1.0, 3.0])
def test_the_inverse_is_unbiased_behind_an_amplifier_too(
    photons: float, read_noise: float, shape: float
) -> None:
    gain, offset, count = 2.5, 100.0, 400_000
    rng = np.random.default_rng(1)
    electrons = rng.poisson(photons * (shape + 1) / shape, count)
    light = rng.gamma(electrons * shape) / (shape + 1)
    noisy = offset + gain * (light + rng.normal(0, read_noise, count))
    model = NoiseModel(gain, offset, gain * read_noise, skewness=(shape + 2) / (shape + 1))
    mapping = fit_mapping("anscombe", model, 100, 900)
    found = mapping.inverse(mapping.forward(noisy).mean(dtype=np.float64))
    error = gain * np.sqrt((photons + read_noise**2) / count)
    assert float(found) == pytest.approx(offset + gain * photons, abs=5 * error)


@pytest.mark.parametrize("photons", [5.0, 50.0, 1000.0])
def test_the_noise_after_anscombe_has_the_stated_sigma(photons: float) -> None:
    rng = np.random.default_rng(2)
    noisy = 3.0 * rng.poisson(photons, 100_000) + rng.normal(50, 4, 100_000)
    mapping = fit_mapping("anscombe", NoiseModel(3, 50, 4), 50, 4000)
    assert mapping.forward(noisy).std() == pytest.approx(mapping.sigma, rel=0.02)


def test_anscombe_goes_smoothly_into_its_affine_limit() -> None:
    x = np.linspace(80, 400, 500)
    limit = fit_mapping("anscombe", NoiseModel(0, 0, 5), 100, 300)
    assert isinstance(limit, AffineMapping)
    for gain in (1e-5, 1e-7):
        mapping = AnscombeMapping(gain, 0, 5, 100, 300)
        assert mapping.forward(x) == pytest.approx(limit.forward(x), abs=1e-3)
        assert mapping.inverse(mapping.forward(x)) == pytest.approx(x, abs=1e-3)
        assert mapping.sigma == pytest.approx(limit.sigma, rel=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_constant_image_without_noise_comes_back(kind: str) -> None:
    for level in (0.0, 7.0):
        mapping = fit_mapping(kind, NoiseModel(), level, level)  # type: ignore[arg-type]
        assert mapping.sigma == 0
        assert mapping.inverse(mapping.forward([level])) == pytest.approx([level], abs=1e-5)


def test_wrong_kinds_and_ranges_are_refused() -> None:
    with pytest.raises(ValueError, match="choose 'affine', 'anscombe' or 'log'"):
        fit_mapping("gamma", NoiseModel(), 0, 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="finite"):
        fit_mapping("affine", NoiseModel(), 0, np.inf)


def test_a_negative_of_light_is_mapped_as_the_light() -> None:
    noise = NoiseModel(gain=2.2, offset=100, read_noise=3)
    light = np.linspace(80, 900, 500, dtype=np.float32)
    plain = fit_mapping("anscombe", noise, 90, 800)
    turned = fit_mapping("anscombe", replace(noise, offset=900, inverted=True), 200, 910)
    assert turned.sigma == pytest.approx(plain.sigma)
    assert turned.forward(1000 - light) == pytest.approx(plain.forward(light), abs=1e-5)
    assert turned.inverse(plain.forward(light)) == pytest.approx(
        1000 - plain.inverse(plain.forward(light)), abs=0.01
    )
    levels = np.array([850.0, 500.0, 950.0])
    inverted = replace(noise, offset=900, inverted=True)
    assert inverted.variance(levels) == pytest.approx(noise.variance(1000 - levels))
