"""Loss terms: what they measure, in which unit, and what they do to extreme values."""

from __future__ import annotations

import math
from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch

from napari_denoise.image.metrics import psnr, ssim
from napari_denoise.settings.recipe import AdversarialStage
from napari_denoise.training.loop import losses
from napari_denoise.training.loop.objectives import OBJECTIVES


def images(count=2, size=24, channels=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, channels, size, size, generator=generator)


def discriminator_loss(objective, real, fake):
    return OBJECTIVES[objective].discriminator(real, fake)


def generator_loss(objective, real, fake):
    return OBJECTIVES[objective].generator(real, fake)


def scores(value, count=3):
    return torch.full((count, 1, 4, 4), float(value), requires_grad=True)


PAIRWISE = {
    "l1": losses.l1,
    "even_l1": lambda a, b: losses.even_l1(a, b, b + 0.1),
    "l2": lambda a, b: losses.l2(a, b, torch.full_like(a[:, :1], 0.1)),
    "relative": lambda a, b: losses.relative(a, b, None),
    "relative of logarithms": lambda a, b: losses.relative(a, b, 1.0),
    "smoothness": lambda a, _: losses.smoothness(a),
    "mean intensity": losses.mean_intensity,
    "psnr": losses.negative_psnr,
    "ssim": losses.dissimilarity,
    "features": losses.feature_distance,
    "spread": lambda a, b: losses.spread(a, b, b, torch.full_like(a[:, :1], 0.1)),
}


@pytest.mark.parametrize("name", PAIRWISE)
def test_twice_the_batch_gives_the_same_value(name):
    a, b = images(), images(seed=1)
    once = PAIRWISE[name](a, b)
    assert once.ndim == 0
    assert PAIRWISE[name](a.repeat(2, 1, 1, 1), b.repeat(2, 1, 1, 1)) == pytest.approx(
        once.item(), rel=1e-5
    )


@pytest.mark.parametrize("name", PAIRWISE)
def test_a_larger_patch_of_the_same_kind_gives_the_same_value(name):
    a, b = images(size=48), images(size=48, seed=1)
    if name == "mean intensity":  # the mean of noise falls with the area: take constant ones
        a, b = (image.mean((-2, -1), keepdim=True).expand_as(image) for image in (a, b))
    small = PAIRWISE[name](a[..., :24, :24], b[..., :24, :24])
    assert PAIRWISE[name](a, b) == pytest.approx(small.item(), rel=0.1)


def test_every_objective_that_a_recipe_may_name_is_there():
    named = get_type_hints(AdversarialStage)["objective"]
    assert set(get_args(named)) == set(OBJECTIVES)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_more_scores_of_the_same_value_change_no_adversarial_loss(objective):
    for loss in (discriminator_loss, generator_loss):
        for real, fake in ((0.3, -0.2), (-1.0, 2.0)):
            few, many = (loss(objective, scores(real, n), scores(fake, n)).item() for n in (1, 9))
            assert few == pytest.approx(many)


@pytest.mark.parametrize("objective", ["non-saturating", "relativistic", "paired"])
def test_who_cannot_tell_real_from_fake_loses_ln_2(objective):
    assert discriminator_loss(objective, scores(0), scores(0)).item() == pytest.approx(math.log(2))
    assert generator_loss(objective, scores(0), scores(0)).item() == pytest.approx(math.log(2))
    assert OBJECTIVES[objective].chance == pytest.approx(math.log(2))
    same = scores(7)
    if OBJECTIVES[objective].compares:  # it looks at differences alone
        assert discriminator_loss(objective, same, same).item() == pytest.approx(math.log(2))
        assert generator_loss(objective, same, same).item() == pytest.approx(math.log(2))


def test_what_a_place_shows_cancels_where_its_two_scores_are_compared():
    places = torch.linspace(-9, 9, 64).reshape(1, 1, 8, 8)
    found_out = math.log1p(math.exp(-1))
    assert discriminator_loss("paired", places + 1, places).item() == pytest.approx(found_out)
    assert generator_loss("paired", places, places + 1).item() == pytest.approx(found_out)
    assert discriminator_loss("relativistic", places + 1, places).item() > 2 * math.log(2)


def test_wasserstein_is_zero_for_equal_scores():
    assert discriminator_loss("wasserstein", scores(3), scores(3)).item() == 0
    assert OBJECTIVES["wasserstein"].chance == 0


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("real", [-1e4, 0, 1e4])
@pytest.mark.parametrize("fake", [-1e4, 0, 1e4])
def test_extreme_scores_have_finite_losses_and_gradients(objective, real, fake):
    real, fake = scores(real), scores(fake)
    for loss in (discriminator_loss(objective, real, fake), generator_loss(objective, real, fake)):
        assert torch.isfinite(loss)
        for gradient in torch.autograd.grad(loss, [real, fake], allow_unused=True):
            assert gradient is None or torch.isfinite(gradient).all()


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_discriminator_wants_real_high_and_fake_low_and_the_generator_the_reverse(objective):
    real, fake = scores(0.4), scores(-0.3)
    to_real, to_fake = torch.autograd.grad(discriminator_loss(objective, real, fake), [real, fake])
    assert (to_real < 0).all()
    assert (to_fake > 0).all()
    (to_fake,) = torch.autograd.grad(generator_loss(objective, real, fake), fake)
    assert (to_fake < 0).all()


@pytest.mark.parametrize("objective", ["non-saturating", "relativistic", "paired"])
def test_a_generator_that_is_found_out_still_learns(objective):
    real, fake = scores(30), scores(-30)
    (gradient,) = torch.autograd.grad(generator_loss(objective, real, fake), fake)
    assert gradient.abs().sum() > 0.5  # it saturates where log(1 - D) does


def test_the_penalty_is_zero_for_a_critic_of_slope_one():
    points = images(4, 8).requires_grad_()
    direction = images(1, 8, seed=3) - 0.5
    critic = (points * direction / direction.norm()).sum((1, 2, 3), keepdim=True)
    assert losses.gradient_penalty(critic, points).item() == pytest.approx(0, abs=1e-10)
    assert losses.gradient_penalty(3 * critic, points).item() == pytest.approx(4, rel=1e-5)


@pytest.mark.parametrize("penalty", [losses.gradient_penalty, losses.r1])
def test_penalties_do_not_depend_on_how_many_patches_or_places_are_scored(penalty):
    def value(count, places):
        points = images(1, 8).repeat(count, 1, 1, 1).requires_grad_()
        score = points.square().sum((1, 2, 3), keepdim=True).expand(count, 1, places, places)
        return penalty(score, points).item()

    assert value(1, 1) == pytest.approx(value(5, 1)) == pytest.approx(value(3, 6), rel=1e-5)


def test_r1_is_half_the_squared_slope():
    points = images(4, 8).requires_grad_()
    critic = 3 * points[:, :, :1, :1]
    assert losses.r1(critic, points).item() == pytest.approx(4.5)


def test_penalties_teach_the_critic():
    weight = torch.tensor(2.0, requires_grad=True)
    points = images(2, 4).requires_grad_()
    losses.gradient_penalty(weight * points[:, :, :1, :1], points).backward()
    assert weight.grad.item() == pytest.approx(2.0)  # of (w - 1)^2


@pytest.mark.parametrize("channels", [1, 3])
def test_dissimilarity_is_one_minus_the_ssim_that_is_reported(channels):
    clean = torch.nn.functional.avg_pool2d(images(1, 96, channels), 5, 1)
    noisy = clean + 0.1 * (images(1, 92, channels, seed=1) - 0.5)
    loss = losses.dissimilarity(noisy, clean).item()
    pairs = zip(clean[0].numpy(), noisy[0].numpy(), strict=True)
    # The figure's mean leaves out a border of 5 pixels, where windows would reach outside.
    assert loss == pytest.approx(1 - np.mean([ssim(c, n, 1.0) for c, n in pairs]), abs=1e-3)
    assert losses.dissimilarity(clean, clean).item() == pytest.approx(0, abs=1e-6)


def test_negative_psnr_counts_in_units_of_20_db():
    clean, noisy = images(1), images(1, seed=1)
    figure = psnr(clean[0, 0].numpy(), noisy[0, 0].numpy(), 1.0)
    assert losses.negative_psnr(noisy, clean).item() == pytest.approx(-figure / 20, rel=1e-4)
    assert math.isfinite(losses.negative_psnr(clean, clean).item())


def test_mean_intensity_counts_steps_of_one_in_255_squared():
    clean = images(2, channels=3)
    assert losses.mean_intensity(clean + 2 / 255, clean).item() == pytest.approx(4, rel=1e-4)
    one_channel = clean.clone()
    one_channel[:, 1] += 3 / 255
    assert losses.mean_intensity(one_channel, clean).item() == pytest.approx(3, rel=1e-4)
    swapped = clean.flip(-1)  # other pixels, the same mean
    assert losses.mean_intensity(swapped, clean).item() == pytest.approx(0, abs=1e-6)


def test_mean_intensity_leaves_out_what_the_end_of_a_patch_changes():
    clean = images(2, channels=3, size=32)
    output = clean + 1 / 255
    output[..., :3, :] = 0
    assert losses.mean_intensity(output, clean, 3).item() == pytest.approx(1, rel=1e-4)
    assert losses.mean_intensity(output, clean, 55).item() == pytest.approx(1, rel=1e-4)
    assert losses.mean_intensity(output, clean).item() > 2


def test_smoothness_is_zero_for_a_flat_image_and_the_squared_step_of_a_ramp():
    assert losses.smoothness(torch.full((1, 1, 8, 8), 0.3)).item() == 0
    ramp = torch.arange(8.0).expand(1, 1, 8, 8)
    assert losses.smoothness(ramp * 0.1).item() == pytest.approx(0.01)
    assert losses.smoothness(ramp.mT * 0.1).item() == pytest.approx(0.01)


def test_feature_distance_is_zero_for_equal_ones_and_free_of_scale():
    a, b = images(2, 8, 5) - 0.5, images(2, 8, 5, seed=1) - 0.5
    assert losses.feature_distance(a, a).item() == 0
    assert losses.feature_distance(a, b).item() == pytest.approx(
        losses.feature_distance(1000 * a, 1000 * b).item(), rel=1e-4
    )
    assert losses.feature_distance(b + b.abs().mean((0, 2, 3), keepdim=True), b).item() == (
        pytest.approx(1, rel=1e-4)
    )


def test_even_l1_counts_weak_and_strong_noise_alike():
    clean = torch.full((2, 1, 8, 8), 0.5)
    level = torch.tensor([0.02, 0.2])[:, None, None, None]
    noisy = clean + level * torch.tensor([1.0, -1.0]).repeat(4)  # of the very same deviation
    error = level**losses.EVEN_POWER  # as errors grow
    each = [losses.even_l1(clean[n:][:1] + error[n], clean[n:][:1], noisy[n:][:1]) for n in (0, 1)]
    assert each[0].item() == pytest.approx(each[1].item(), rel=0.3)
    same = losses.even_l1(clean[:1] + 0.1, clean[:1], clean[:1] + losses.EVEN_LEVEL - 0.01)
    assert same.item() == pytest.approx(losses.l1(clean[:1] + 0.1, clean[:1]).item(), rel=1e-4)


def test_l2_weighs_patches_by_their_noise():
    clean = torch.zeros(2, 1, 4, 4)
    sigma = torch.tensor([0.09, 0.19])[:, None, None, None].expand(2, 1, 4, 4)
    each = [losses.l2(clean[n:][:1] + 0.3, clean[n:][:1], sigma[n:][:1]).item() for n in (0, 1)]
    assert each == pytest.approx([0.9, 0.45], rel=1e-5)


def test_relative_does_not_reward_brightness():
    output = torch.tensor([[[[2.0]]]], requires_grad=True)
    losses.relative(output, torch.tensor([[[[1.0]]]]), None).backward()
    assert output.grad.item() == pytest.approx(2 / 4.01)
