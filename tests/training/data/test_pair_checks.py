"""The verdict on a pair: what forbids it, what is worth a word, and what brings it right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from _real import camera_pair, clean_image, noisy_shot
from scipy.ndimage import gaussian_filter, shift

from napari_denoise.training.data.pair_checks import LARGEST_SHIFT, check_pair
from napari_denoise.training.data.real_pairs import pair_of, pair_of_repeats


def scene(seed: int = 0, size: int = 128) -> np.ndarray:
    """Structure of all sizes, 100 to 300."""
    rng = np.random.default_rng(seed)
    image = gaussian_filter(rng.standard_normal((size, size)), 3)
    return np.float32(200 + 60 * image / image.std()).clip(101, None)


def codes(verdict) -> dict[str, str]:
    return {finding.code: finding.severity for finding in verdict.findings}


def test_a_good_pair_has_nothing_to_be_said_of():
    verdict = check_pair(camera_pair())
    assert verdict.findings == ()
    assert verdict.usable
    assert not verdict.differs
    assert np.hypot(*verdict.shift) < LARGEST_SHIFT


def test_shapes_that_differ_are_refused_with_both():
    pair = replace(camera_pair(), target=np.zeros((64, 90), np.float32))
    verdict = check_pair(pair)
    assert codes(verdict) == {"shapes": "error"}
    assert "(64, 96)" in str(verdict.findings[0]) and "(64, 90)" in str(verdict.findings[0])
    assert not verdict.usable


def test_what_is_denoised_already_is_refused():
    assert codes(check_pair(camera_pair(denoised=True))) == {"denoised": "error"}


@pytest.mark.parametrize("side", ["noisy", "target"])
def test_constant_images_are_refused(side):
    constant = np.full((64, 96), 7, np.uint16)
    assert codes(check_pair(replace(camera_pair(), **{side: constant}))) == {"constant": "error"}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_images_without_a_value_are_refused(value):
    pair = camera_pair()
    verdict = check_pair(replace(pair, target=np.full(pair.target.shape, value, np.float32)))
    assert codes(verdict) == {"empty": "error"}


def test_identical_images_are_refused():
    pair = camera_pair()
    assert codes(check_pair(replace(pair, target=pair.noisy))) == {"identical": "error"}


def test_complex_numbers_are_refused():
    pair = camera_pair()
    assert codes(check_pair(replace(pair, noisy=pair.noisy + 1j))) == {"dtype": "error"}


@pytest.mark.parametrize("by", [(0.5, 0.0), (-1.2, 0.7), (3.0, -2.0)])
def test_a_shift_is_measured_to_a_fraction_of_a_pixel(by):
    clean = scene()
    moved = shift(clean, [-v for v in by], order=3, mode="nearest")
    verdict = check_pair(pair_of("a", noisy_shot(clean), moved, "YX"))
    assert codes(verdict) == {"shift": "warning"}
    assert verdict.shift == pytest.approx(by, abs=0.15)
    assert verdict.usable


def test_a_small_shift_is_no_matter():
    clean = scene()
    moved = shift(clean, (0.1, 0.1), order=3, mode="nearest")
    assert "shift" not in codes(check_pair(pair_of("a", noisy_shot(clean), moved, "YX")))


def test_images_stretched_separately_are_fitted_by_least_squares():
    clean = scene()
    noisy = noisy_shot(clean)
    verdict = check_pair(pair_of("a", noisy, (clean - 100) / 3, "YX"))
    assert codes(verdict) == {"intensity": "info"}
    assert verdict.differs
    assert verdict.matches[0] == pytest.approx((3, 100, True), rel=0.03)


def test_integers_that_both_fill_their_type_were_stretched():
    clean = scene()
    noisy = noisy_shot(clean).astype(float)
    stretched = [np.uint8(255 * (image - image.min()) / np.ptp(image)) for image in (noisy, clean)]
    verdict = check_pair(pair_of("a", *stretched, "YX"))
    assert verdict.differs
    factor, offset, _ = verdict.matches[0]
    off = np.float64(stretched[0]) - (factor * stretched[1] + offset)
    assert abs(off.mean()) < 1e-6


def test_a_small_difference_of_units_is_only_said():
    clean = scene()
    verdict = check_pair(pair_of("a", noisy_shot(clean), 0.9 * clean, "YX"))
    assert codes(verdict) == {"intensity": "info"}
    assert not verdict.differs
    assert "always" in verdict.findings[0].remedy


def test_every_channel_has_a_fit_of_its_own():
    clean = np.stack([scene(0), scene(1)])
    noisy = noisy_shot(clean)
    target = clean / np.float32([[[2]], [[5]]])
    first, second = check_pair(pair_of("a", noisy, target, "CYX")).matches
    assert (first.factor, second.factor) == pytest.approx((2, 5), rel=0.05)


def test_clipped_pixels_are_counted():
    clean = scene()
    noisy = np.minimum(noisy_shot(clean), 280).astype(np.uint16)
    verdict = check_pair(pair_of("a", noisy, clean, "YX"))
    assert codes(verdict)["clipped"] == "warning"
    assert "highest value, 280" in str(verdict.findings[0])


@pytest.mark.parametrize("side", ["noisy", "target"])
def test_pixels_without_a_value_are_counted(side):
    clean = scene()
    noisy = noisy_shot(clean).astype(np.float32)
    bad = noisy if side == "noisy" else clean
    bad[3:5, 7] = np.nan, np.inf
    verdict = check_pair(pair_of("p", noisy, clean, "YX"))
    (found,) = verdict.findings
    name = "noisy" if side == "noisy" else "other"
    assert (found.code, found.severity) == ("nonfinite", "warning")
    assert str(found).startswith(f"2 pixels of the {name} image NaN or infinite; ")
    assert verdict.usable


def test_images_of_different_scenes_are_noticed():
    verdict = check_pair(pair_of("a", noisy_shot(scene(0)), scene(5), "YX"))
    assert codes(verdict)["scene"] == "warning"


def test_swapped_images_are_noticed():
    clean = scene()
    assert "swapped" in codes(check_pair(pair_of("a", clean, noisy_shot(clean), "YX")))


def test_two_noisy_shots_are_a_pair():
    clean = scene()
    pair = pair_of("a", noisy_shot(clean), noisy_shot(clean, 1), "YX", noisy_target=True)
    verdict = check_pair(pair)
    assert verdict.findings == ()
    assert not verdict.differs


def test_fireflies_do_not_shift_renders():
    rng = np.random.default_rng(0)
    clean = np.repeat(scene()[..., None] / 200 - 0.5, 3, axis=-1).clip(0.01)
    shots = [np.float32(clean * rng.gamma(4, 0.25, clean.shape)) for _ in range(2)]
    for shot in shots:
        shot[rng.random(shot.shape[:2]) < 0.003] *= 60
    for target in (shots[1], np.float32(clean)):
        pair = pair_of("a", shots[0], target, "YXS", noisy_target=target is shots[1])
        assert "shift" not in codes(check_pair(pair))


def test_pixels_and_frames_outside_of_what_may_be_seen_change_nothing():
    clean = clean_image(frames=3)
    noisy = noisy_shot(clean)
    before = check_pair(pair_of("a", noisy, clean, "TYX"), (slice(0, 64), slice(0, 48)), [0, 2])
    noisy[:, :, 48:], clean[:, :, 48:] = 7, 9
    noisy[1], clean[1] = 70, 90
    after = check_pair(pair_of("a", noisy, clean, "TYX"), (slice(0, 64), slice(0, 48)), [0, 2])
    assert before == after


def test_a_hole_in_one_image_is_no_shift():
    clean = scene(size=256)
    noisy = np.random.default_rng(1).normal(clean, 20).astype(np.float32)
    noisy[30:110, 140:220] = np.nan
    verdict = check_pair(pair_of("a", noisy, clean, "YX"))
    assert np.hypot(*verdict.shift) < 0.1
    assert codes(verdict) == {"nonfinite": "warning"}


def film(speed: float, count: int = 50) -> np.ndarray:
    """Few spots that move over a still, bright ground."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:128, :128]
    ground = 50 * (np.sin(x / 30) * np.cos(y / 25) + 1) + 20
    places, paces = rng.uniform(10, 118, (12, 2)), rng.normal(0, speed, (12, 2))
    frames = []
    for time in range(count):
        spots = (np.exp(-((y - p[0]) ** 2 + (x - p[1]) ** 2) / 8) for p in places + paces * time)
        frames.append(rng.poisson(ground + 100 * sum(spots)))
    return np.array(frames, np.uint16)


@pytest.mark.parametrize(("speed", "moves"), [(0.0, False), (0.1, True), (1.0, True)])
def test_a_live_film_is_no_set_of_repeats_though_little_of_it_moves(speed: float, moves: bool):
    verdict = check_pair(pair_of_repeats("film", film(speed), "TYX"))
    assert ("motion" in codes(verdict)) is moves
    assert bool(verdict.doubts) is moves
    assert "16 of 50 frames are trained on" in " ".join(map(str, verdict.findings))


def test_coarse_noise_that_fades_and_flickers_is_not_taken_for_motion():
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(3)
    y, x = np.mgrid[:128, :128]
    ground = 50 * (np.sin(x / 30) * np.cos(y / 25) + 1) + 20
    flicker = (rng.random(ground.shape) < 0.002) * 1000
    frames = [
        ground * (1 - 0.02 * n)
        + gaussian_filter(rng.normal(0, 20, ground.shape), 1)
        + flicker * rng.random(ground.shape)
        for n in range(9)
    ]
    pair = pair_of_repeats("still", np.array(frames, np.float32), "TYX")
    assert "motion" not in codes(check_pair(pair))


def test_repeated_frames_in_which_something_moves_are_noticed():
    clean = scene()
    rng = np.random.default_rng(1)
    moved = np.stack([rng.normal(np.roll(clean, 3 * n, 1), 20) for n in range(10)])
    still = np.stack([rng.normal(clean * (1 - 0.02 * n), 20) for n in range(10)])  # it bleaches
    found = {
        name: codes(check_pair(pair_of_repeats(name, np.float32(frames), "TYX")))
        for name, frames in (("moved", moved), ("still", still))
    }
    assert found["moved"]["motion"] == "warning"
    assert "motion" not in found["still"]
