"""Noisy stacks that teach themselves: what frames are to become, and what they are measured by."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from _tiny import tiny
from scipy.ndimage import gaussian_filter

from napari_denoise.inference.agreement import Other
from napari_denoise.settings.finetune import FineTuneSettings
from napari_denoise.training.data.pair_checks import check_pair
from napari_denoise.training.data.real_pairs import pair_of_stack
from napari_denoise.training.data.regions import Region, Regions
from napari_denoise.training.data.repeats import pair_of_frames
from napari_denoise.training.data.stack_pairs import StackPairs, mean_of
from napari_denoise.training.finetune.material import gather
from napari_denoise.training.loop import losses
from napari_denoise.weights.catalogue import find_weights

SIDE, FRAMES, MOTION = 96, 5, (2, -3)
NOTHING = Regions()
RECIPE = tiny(patch=16, batch=8, distortion={"loss": "l2"})
SPOT = 2, 30, 40


def scene():
    rng = np.random.default_rng(3)
    plane = gaussian_filter(rng.standard_normal((160, 160)), 3)
    return 20 + 60 * (plane - plane.min()) / np.ptp(plane)


def film(*, event=0.0, lamp=1.0):
    """Photons of a scene that moves, (T, Y, X); a spot in one frame, and a lamp that fades."""
    whole, frames = scene(), []
    for t in range(FRAMES):
        y, x = (32 - step * (t - 2) for step in MOTION)
        frames.append(whole[y : y + SIDE, x : x + SIDE] * lamp**t)
    number, top, left = SPOT
    rows, columns = np.mgrid[:SIDE, :SIDE]
    far = (rows - top) ** 2 + (columns - left) ** 2
    frames[number] = frames[number] + event * np.exp(-far / (2 * 1.6**2))
    return np.stack(frames)


def recorded(photons, seed=0):
    rng = np.random.default_rng(seed)
    return np.uint16(
        np.clip(rng.poisson(photons) + 100 + 2 * rng.normal(size=photons.shape), 0, None)
    )


def taught(photons, regions=NOTHING, seed=0):
    pair = pair_of_stack("s", recorded(photons, seed), "TYX")
    return gather([pair], regions, FineTuneSettings(), find_weights("microscopy"))


@pytest.fixture(scope="module")
def moving():
    return taught(film())


def test_moved_frames_teach_what_the_frame_shows(moving):
    sigma = moving.frames[0].sigma
    for mapped, shots in zip(moving.frames, moving.shots, strict=True):
        usual = np.median(shots)
        assert usual >= 2 and (shots > 0).mean() > 0.9
        there = shots == usual
        apart = np.square(mapped.target - mapped.noisy)[there].mean()
        # Both are noisy and nothing else differs: the target by the mean of so many shots.
        assert apart == pytest.approx(sigma**2 * (1 + 1 / usual), rel=0.1)


def test_an_event_is_not_taught_away():
    number, top, left = SPOT
    mapped = taught(film(event=60.0)).shots
    assert not mapped[number][top - 3 : top + 4, left - 3 : left + 4].any()


def test_a_lamp_that_fades_is_not_learnt():
    material = taught(film(lamp=0.9))
    apart = [
        float((f.target - f.noisy)[s > 0].mean())
        for f, s in zip(material.frames, material.shots, strict=True)
    ]
    assert max(map(abs, apart)) < 0.06 * material.frames[0].sigma


def test_flat_noise_teaches_its_mean():
    photons = np.full((FRAMES, SIDE, SIDE), 30.0)
    sums = np.zeros(3)
    for seed in range(2):
        material = taught(photons, seed=seed)
        flat = np.mean([frame.noisy.mean() for frame in material.frames])
        for frame, shots in zip(material.frames, material.shots, strict=True):
            own, wanted = frame.noisy - flat, frame.target - flat
            sums += (shots * wanted).sum(), (shots * wanted * own).sum(), shots.sum()
    sigma = material.frames[0].sigma
    shift, bound = sums[:2] / sums[2]
    assert abs(shift) < 0.01 * sigma
    # A target that was chosen by the frame's noise would hold some of it.
    assert abs(bound) < 0.01 * sigma**2


TRIANGLE = Region("validate", polygon=((0, 40), (60, 40), (0, 90)))


@pytest.mark.parametrize(
    ("frames", "regions", "closed"),
    [
        (5, NOTHING, np.s_[:, :, 72:]),
        (12, NOTHING, np.s_[4:7]),
        (5, Regions((TRIANGLE,)), np.s_[:, TRIANGLE.mask((SIDE, SIDE))]),
    ],
    ids=["a part of each", "whole frames", "a polygon"],
)
def test_nothing_that_is_held_out_changes_what_is_learnt(frames, regions, closed):
    photons = np.tile(film()[:1], (frames, 1, 1))
    stack, other = recorded(photons), recorded(photons)
    other[closed] = recorded(1.2 * photons, seed=1)[closed]
    before, after = (
        gather(
            [pair_of_stack("s", array, "TYX")],
            regions,
            FineTuneSettings(),
            find_weights("microscopy"),
        )
        for array in (stack, other)
    )
    assert len(before.frames) == len(after.frames) > 0
    for one, two in zip(before.frames, after.frames, strict=True):
        assert np.array_equal(one.noisy, two.noisy) and np.array_equal(one.target, two.target)
        assert one.sigma == two.sigma
    for one, two in zip(before.shots, after.shots, strict=True):
        assert np.array_equal(one, two) and one.any()
    for held in before.held_out:
        outside = np.ones(stack.shape, bool)
        outside[closed] = False
        assert held.mask.any() and not (held.mask & outside[held.frame]).any()


def test_two_shots_measure_a_frame_without_their_noise(moving):
    photons = film()
    own, across = [], []
    for held in moving.held_out:
        clean = photons[held.frame] + 100
        one, two, frame = (
            s[0][held.mask] - clean[held.mask] for s in (held.target, held.second, held.noisy)
        )
        own.append(np.square(frame).mean())
        across += [(one * two).mean(), (one * frame).mean(), (two * frame).mean()]
        held_out = [(frame - one) * (frame - two)]
        assert np.mean(held_out) == pytest.approx(own[-1], rel=0.25)
    assert max(map(abs, across)) < 0.1 * np.mean(own)


def test_a_stack_that_cannot_teach_is_refused():
    short = check_pair(pair_of_stack("s", recorded(film())[:2], "TYX"))
    assert not short.usable and "2 frames" in str(short.findings[0])
    rng = np.random.default_rng(0)
    unlike = np.stack([gaussian_filter(rng.standard_normal((SIDE, SIDE)), 2) for _ in range(5)])
    with pytest.raises(ValueError, match="do not show the same"):
        taught(50 + 400 * np.maximum(unlike, -0.1))


def test_repeated_frames_and_a_stack_are_told_apart_by_the_data():
    assert pair_of_frames("s", recorded(np.tile(film()[:1], (5, 1, 1))), "TYX").stack is False
    moving = pair_of_frames("s", recorded(film()), "TYX")
    assert moving.stack and moving.scene(0) != moving.scene(1)
    assert "as a noisy stack" in str(check_pair(moving).findings[0])
    assert check_pair(moving).usable


def test_repeated_and_blank_frames_teach_nothing():
    stack = recorded(film())
    stack[1], stack[3] = stack[0], 0
    material = gather(
        [pair_of_stack("s", stack, "TYX")], NOTHING, FineTuneSettings(), find_weights("microscopy")
    )
    # Frames 0, 1, 2 and 4 have others; 0 and 1 share their noise, and have frame 2 alone.
    assert [int(shots.max()) for shots in material.shots] == [1, 1, 3, 1]


def test_only_neighbours_that_agree_are_averaged():
    left = np.zeros((4, 4), bool)
    left[:, :2] = True
    others = [
        Other(1, np.full((1, 4, 4), 2.0, np.float32), left),
        Other(2, np.full((1, 4, 4), 6.0, np.float32), ~left | left),
    ]
    mean = mean_of(others, (1, 4, 4))
    assert mean.values[0, 0].tolist() == [4, 4, 6, 6]
    assert mean.shots[0].tolist() == [2, 2, 1, 1]
    nothing = mean_of(
        [Other(1, np.full((1, 4, 4), np.nan, np.float32), np.zeros((4, 4), bool))], (1, 4, 4)
    )
    assert not nothing.there.any() and np.isfinite(nothing.values).all()


def test_pixels_count_by_their_shots():
    output, sigma = torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 0.99)
    target = torch.tensor([[[[1.0, 2.0], [3.0, 100.0]]]])
    shots = torch.tensor([[[[1.0, 2.0], [1.0, 0.0]]]])
    assert losses.l2(output, target, sigma, shots).item() == pytest.approx((1 + 2 * 4 + 9) / 4)


def test_the_stated_error_is_that_of_the_output_alone():
    torch.manual_seed(0)
    shape = (1, 1, 400, 400)
    noisy, count = 0.1 * torch.randn(shape), 4
    target = torch.stack([0.1 * torch.randn(shape) for _ in range(count)]).mean(0)
    output, sigma = torch.full(shape, 0.03), torch.full(shape, 0.1)
    shots = torch.full(shape, float(count))
    stated = torch.full(shape, 0.0, requires_grad=True)
    (gradient,) = torch.autograd.grad(
        losses.spread(output, stated, target, sigma, noisy, shots), stated
    )
    right = torch.full(shape, 0.03**2, requires_grad=True)
    (least,) = torch.autograd.grad(losses.spread(output, right, target, sigma, noisy, shots), right)
    assert abs(least.mean()) < 0.1 * abs(gradient.mean())


def test_a_frame_is_never_exchanged_for_the_mean_of_others():
    noisy, target = np.zeros((32, 32, 1), np.float32), np.ones((32, 32, 1), np.float32)
    pairs = StackPairs([noisy], [target], [3 * target], [0.1], RECIPE)
    for step in range(8):
        batch = pairs.batch(step)
        assert not batch.noisy.any() and (batch.target == 1).all() and (batch.shots == 3).all()
        assert batch.features is None
