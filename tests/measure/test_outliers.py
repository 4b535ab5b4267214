"""What is found before anything is measured: outliers, fill, blank and repeated frames, flashes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_denoise.image.axes import Layout
from napari_denoise.image.long_work import finished
from napari_denoise.measure.channels import measured
from napari_denoise.measure.outliers import (
    NoiseRule,
    RadianceRule,
    fill_area,
    find_fill,
    find_outliers,
    replace_outliers,
)
from napari_denoise.measure.sampled import SampledFrames
from napari_denoise.settings.denoise import DenoiseSettings
from napari_denoise.weights.catalogue import find_weights


def camera(light: Any, seed: int = 0, gain: float = 2.2) -> Any:
    """Photons on an offset of 100 with read noise 3, uint16."""
    rng = np.random.default_rng(seed)
    noisy = rng.poisson(light) * gain + 100 + rng.normal(0, 3, light.shape)
    return np.clip(np.rint(noisy), 0, 65535).astype(np.uint16)


def waves(size: int = 160) -> Any:
    y, x = np.mgrid[:size, :size]
    return 12 + 10 * np.sin(y / 9) * np.cos(x / 13)


def found_in(frame: Any) -> set[tuple[int, int]]:
    rule = NoiseRule.of([frame])
    assert rule is not None
    return {(int(y), int(x)) for y, x in find_outliers(frame, rule)}


@pytest.mark.parametrize("value", [400, 4095, 65535])
def test_hot_pixels_are_found_and_nothing_else(value: int) -> None:
    frame = camera(waves())
    assert found_in(frame) == set()
    places = {(0, 0), (3, 77), (80, 159), (100, 40), (159, 12)}
    for place in places:
        frame[place] = value
    assert found_in(frame) == places


def test_dead_pixels_are_found() -> None:
    frame = camera(waves() * 50)
    frame[40, 50] = frame[90, 20] = 0
    assert found_in(frame) == {(40, 50), (90, 20)}


@pytest.mark.parametrize("width", [0.8, 1.0, 1.3])
@pytest.mark.parametrize("height", [1000, 20000])
def test_a_spot_that_optics_draw_is_no_outlier(width: float, height: int) -> None:
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:160, :160]
    light = np.full((160, 160), 20.0)
    for _ in range(25):
        cy, cx = rng.uniform(10, 150, 2)
        light += height / 2.2 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 2 / width**2)
    assert found_in(camera(light)) == set()


@pytest.mark.parametrize("photons", [0.02, 0.3, 1.0])
def test_single_photons_are_no_faults(photons: float) -> None:
    frame = camera(np.full((200, 200), photons), gain=40.0)
    card = find_weights("microscopy").card
    (channel,) = measured(frame, Layout("YX", frame.shape), card, DenoiseSettings())
    found = [] if channel.outliers is None else find_outliers(frame, channel.outliers)
    assert len(found) <= 2  # of 40,000


def test_outliers_are_replaced_by_a_neighbour_and_the_rest_is_untouched() -> None:
    frame = camera(waves())
    places = np.array([[0, 0], [50, 60], [159, 159]])
    hot = frame.copy()
    hot[tuple(places.T)] = 60000
    calm = replace_outliers(hot, places)
    assert np.abs(calm[tuple(places.T)].astype(float) - frame[tuple(places.T)]).max() < 40
    calm[tuple(places.T)] = hot[tuple(places.T)]
    assert np.array_equal(calm, hot)
    assert replace_outliers(hot, places[:0]) is hot


def test_a_firefly_is_told_from_the_noise_of_paths() -> None:
    rng = np.random.default_rng(0)
    light = 0.5 + 0.3 * np.sin(np.mgrid[:90, :90][1] / 10)
    noisy = (light * rng.gamma(2.8, 1 / 2.8, light.shape)).astype(np.float32)
    noisy[20, 30] = 60.0
    assert find_outliers(noisy, RadianceRule(0.5)).tolist() == [[20, 30]]


@pytest.mark.parametrize("value", [0, 77, 65535])
def test_fill_of_any_value_is_found(value: int) -> None:
    y, x = np.mgrid[:160, :160]
    turned = np.abs(y - 80) + np.abs(x - 80) < 110
    for inside in (x < 100, turned):
        frame = np.where(inside, camera(waves()), value).astype(np.uint16)
        assert find_fill(frame) == (value,)
        area = fill_area(frame, (value,))
        assert area is not None
        assert np.array_equal(area, ~inside)


def test_pixels_without_a_photon_are_no_fill() -> None:
    rng = np.random.default_rng(0)
    frame = rng.poisson(0.02, (200, 200)).astype(np.uint8)
    assert find_fill(frame) == ()
    assert find_fill(camera(waves())) == ()


def read(stack: Any) -> SampledFrames:
    return SampledFrames.of(stack, Layout("TYX", stack.shape))


@pytest.mark.parametrize("blank", [[6, 7], [1, 3, 5, 7], [2]])
@pytest.mark.parametrize("value", [0, 65535])
def test_blank_frames_are_left_out_and_named(blank: list[int], value: int) -> None:
    stack = np.stack([camera(waves(), seed) for seed in range(8)])
    stack[blank] = value
    samples = read(stack)
    assert samples.findings.blank == tuple(blank)
    assert len(samples.frames) == 8 - len(blank)
    noise = finished(samples.estimating_noise())
    assert noise.gain == pytest.approx(2.2, rel=0.1)
    assert "blank" in samples.findings.describe()


def test_a_flash_is_left_out_and_named() -> None:
    stack = np.stack([camera(waves(), seed) for seed in range(6)])
    stack[3] = camera(waves() + 3000)
    samples = read(stack)
    assert samples.findings.flashes == (3,)
    assert samples.range()[1] < 200
    assert samples.findings.describe() == "frame 3 is a flash"


def test_repeated_frames_are_named_and_their_zero_difference_does_not_count() -> None:
    single = np.stack([camera(waves(), seed) for seed in range(4)])
    samples = read(np.repeat(single, 2, axis=0))
    assert (1, 0) in samples.findings.repeats
    assert "frame 1 repeats frame 0" in samples.findings.describe()
    assert finished(samples.estimating_noise()).gain == pytest.approx(2.2, rel=0.1)


def test_frames_that_share_noise_tell_what_one_of_them_tells() -> None:
    raw = np.stack([camera(waves(), seed) for seed in range(9)]).astype(np.float32)
    mean = (raw[1:] + raw[:-1]) / 2
    found = finished(read(mean).estimating_noise())
    variance = float(found.variance(126.0))
    true = (2.2**2 * 12 + 9) / 2  # of the mean of two, where the light is 12 photons
    assert variance == pytest.approx(true, rel=0.25)


def test_a_lamp_in_the_picture_does_not_set_the_exposure() -> None:
    rng = np.random.default_rng(0)
    light = rng.gamma(3, 0.1, (128, 128, 3)).astype(np.float32)
    plain = SampledFrames.of(light, Layout("YXS", light.shape)).exposure()
    light[10:14, 20:23] = 1e6
    lit = SampledFrames.of(light, Layout("YXS", light.shape)).exposure()
    assert lit == pytest.approx(plain, rel=0.05)


def test_large_frames_are_measured_by_windows_that_hold_little() -> None:
    stack = np.stack([camera(np.full((1200, 1300), 20.0), seed) for seed in range(2)])
    stack[0, 700, 900] = 60000
    samples = read(stack)
    assert {frame.shape for frame in samples.frames} == {(256, 256)}
    assert samples.brightest < 1000
    noise = finished(samples.estimating_noise())
    assert float(noise.variance(144.0)) == pytest.approx(2.2**2 * 20 + 9, rel=0.1)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_looking_at_a_stack_never_writes_into_it(dtype: Any) -> None:
    stack = np.stack([camera(waves(), seed) for seed in range(3)]).astype(dtype)
    stack[:, :60] = 0
    stack[1, 100, 100] = 9000
    before = stack.copy()
    samples = read(stack)
    assert samples.findings.fill == (0,) and samples.findings.outliers == 1
    assert np.array_equal(stack, before)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_quiet_areas_of_several_levels_are_no_fill(dtype: type) -> None:
    rng = np.random.default_rng(0)
    image = np.rint(rng.normal(120, 10, (160, 160)))
    dark = rng.integers(5, 8, (20, 8)).repeat(8, 0).repeat(8, 1)  # as JPEG leaves darkness
    image[:, :64] = dark
    assert find_fill(image.astype(dtype)) == ()
    image[:, :64] = 5
    assert find_fill(image.astype(dtype)) == (5.0,)
