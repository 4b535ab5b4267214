"""Training against a second noisy shot: which losses land on the mean, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from _tiny import tiny

from napari_denoise.measure.mappings import LOG_WIDTH, LogMapping
from napari_denoise.training.data.pairs import RealPairs, check_unbiased
from napari_denoise.training.data.renders import RenderPairs, TrainingView
from napari_denoise.training.loop import losses


def radiance():
    """Skewed, as fireflies make it: the median is well below the mean."""
    return np.random.default_rng(0).gamma(0.5, 2.0, 20_000).astype(np.float32)


def minimiser(loss, most):
    """Where the gradient of a loss over a free constant changes its sign."""
    low, high = 0.0, most
    for _ in range(30):
        middle = (low + high) / 2
        free = torch.tensor(middle, requires_grad=True)
        (gradient,) = torch.autograd.grad(loss(free), free)
        low, high = (middle, high) if gradient < 0 else (low, middle)
    return low


def test_l2_and_relative_land_on_the_mean_of_radiance():
    target = torch.from_numpy(radiance()).reshape(5, 1, 50, 80)
    sigma = torch.full((5, 1, 50, 80), 0.3)
    mean = target.mean().item()
    for loss in (
        lambda free: losses.l2(free.expand_as(target), target, sigma),
        lambda free: losses.relative(free.expand_as(target), target, None),
    ):
        assert minimiser(loss, 10.0) == pytest.approx(mean, rel=0.01)


def test_relative_lands_on_the_mean_of_radiance_through_the_logarithm_as_well():
    data = radiance()
    mapping = LogMapping.of_exposure(float(data.mean()))
    target = torch.from_numpy(mapping.forward(data)).reshape(5, 1, 50, 80)
    found = minimiser(lambda free: losses.relative(free.expand_as(target), target, LOG_WIDTH), 2.0)
    assert mapping.inverse(np.float32(found)) == pytest.approx(data.mean(), rel=0.01)
    sigma = torch.ones_like(target)
    squares = minimiser(lambda free: losses.l2(free.expand_as(target), target, sigma), 2.0)
    assert mapping.inverse(np.float32(squares)) < 0.8 * data.mean()  # a mean of logarithms


def test_l1_lands_on_the_median():
    target = torch.from_numpy(radiance()).reshape(5, 1, 50, 80)
    found = minimiser(lambda free: losses.l1(free.expand_as(target), target), 10.0)
    assert found == pytest.approx(target.median().item(), rel=0.01)
    assert found < 0.6 * target.mean().item()


BIASED = {
    "l1": ({"loss": "l1"}, None, "'l1' with noisy targets aims at their median"),
    "l1 at the end": ({"loss": "l2", "final_loss": "l1", "decay": 2}, None, "'l1' with noisy"),
    "an adversary": ({"loss": "l2"}, {}, "adversarial stage with noisy targets"),
}


@pytest.mark.parametrize("case", BIASED)
def test_what_noisy_targets_would_bias_is_refused(case):
    distortion, adversarial, message = BIASED[case]
    settings = tiny(distortion=distortion, adversarial=adversarial)
    image = np.zeros((16, 16, 1), np.float32)
    view = TrainingView((np.ones((16, 16, 3), np.float32),) * 2, None)
    for refusing in (
        lambda: check_unbiased(settings),
        lambda: RealPairs([image], [image], [0.1], settings, noisy_target=True),
        lambda: RenderPairs([view], settings, noisy_target=True),
    ):
        with pytest.raises(ValueError, match=message):
            refusing()
    RealPairs([image], [image], [0.1], settings)  # against clean targets it may be


def test_squared_errors_of_logarithms_are_refused_for_noisy_targets():
    image, view = np.zeros((16, 16, 1), np.float32), np.ones((16, 16, 3), np.float32)
    for distortion in ({"loss": "l2"}, {"loss": "relative", "final_loss": "l2", "decay": 2}):
        settings = tiny(distortion=distortion)
        with pytest.raises(ValueError, match="mean of their logarithms"):
            RenderPairs([TrainingView((view, view), None)], settings, noisy_target=True)
        with pytest.raises(ValueError, match="mean of their logarithms"):
            RealPairs([image], [image], [0.1], settings, noisy_target=True, log_width=LOG_WIDTH)


def test_unbiased_losses_are_accepted_for_noisy_targets():
    check_unbiased(tiny(distortion={"loss": "l2"}))
    check_unbiased(tiny(distortion={"loss": "l2", "final_loss": "relative", "decay": 2}))
    check_unbiased(tiny(distortion={"loss": "relative"}), radiance=True)


def test_the_error_learnt_from_a_second_shot_is_that_of_the_output_alone():
    torch.manual_seed(0)
    clean, sigma = torch.zeros(4, 1, 128, 128), torch.full((4, 1, 128, 128), 0.2)
    one, other, error = (s * torch.randn_like(clean) for s in (0.2, 0.2, 0.05))
    best = (clean + error - other).square() - 0.5 * (one - other).square()
    free = best.mean().clone().requires_grad_(True)
    losses.spread(clean + error, free.expand_as(clean), other, sigma, one).backward()
    assert abs(free.grad) < 1e-4  # it is where the loss is least
    assert free.item() == pytest.approx(0.05**2, rel=0.15)
    assert best.mean() < 0.1 * other.square().mean()  # without the other shot's noise


def test_either_shot_serves_as_the_input():
    settings = tiny(distortion={"loss": "l2"}, batch=1)
    one, other = np.full((16, 16, 1), 0.25, np.float32), np.full((16, 16, 1), 0.75, np.float32)
    pairs = RealPairs([one], [other], [0.1], settings, noisy_target=True)
    assert pairs.noisy_target
    drawn = [pairs.batch(step) for step in range(40)]
    assert {float(b.noisy.mean()) for b in drawn} == {0.25, 0.75}
    assert all(b.noisy.mean() + b.target.mean() == 1 for b in drawn)
    clean = RealPairs([one], [other], [0.1], settings)
    assert {float(clean.batch(step).noisy.mean()) for step in range(40)} == {0.25}
