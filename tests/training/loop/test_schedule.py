"""Learning rate, clipped gradients, averaged weights, and the loss of the last steps."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from _tiny import ADVERSARIAL, TINY, fresh, synthetic, tiny, trained

from napari_denoise.training.loop import losses
from napari_denoise.training.loop.stages import adversarial_step, distortion_step, learning_rate


@pytest.mark.parametrize("stage", [TINY.distortion, ADVERSARIAL])
def test_the_learning_rate_rises_stays_and_falls_to_zero(stage):
    plan = replace(stage, steps=100, warmup=10, decay=40, learning_rate=2.0)
    rates = [learning_rate(step, plan) for step in range(101)]
    assert rates[:10] == pytest.approx([0.2 * n for n in range(1, 11)])
    assert set(rates[10:61]) == {2.0}
    assert rates[80] == pytest.approx(1)  # half of the cosine
    assert rates[70] == pytest.approx(1 + 2**-0.5)
    assert rates[60:] == sorted(rates[60:], reverse=True)
    assert 0 < rates[99] < 0.01
    assert rates[100] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("stage", [TINY.distortion, ADVERSARIAL])
def test_without_warm_up_and_decay_the_rate_is_constant(stage):
    plan = replace(stage, steps=5, warmup=0, decay=0, learning_rate=0.5)
    assert {learning_rate(step, plan) for step in range(5)} == {0.5}


def test_the_rate_falls_twice_where_the_variance_settles():
    plan = replace(
        TINY.distortion,
        steps=100,
        settle=20,
        settle_rate=2.0,
        spread=0.1,
        warmup=0,
        decay=40,
        learning_rate=1.0,
    )
    rates = [learning_rate(step, plan) for step in range(100)]
    assert set(rates[:41]) == {1.0}
    assert rates[79] < 0.01 and rates[80] == 2.0
    assert rates[90] == pytest.approx(1) and rates[99] < 0.02


def test_both_stages_warm_up_and_decay_by_their_own_steps(tmp_path):
    settings = tiny(
        distortion={"steps": 6, "warmup": 2, "decay": 2, "learning_rate": 1e-3},
        adversarial={"steps": 6, "warmup": 2, "decay": 2, "learning_rate": 1e-4},
    )
    rates = [r.learning_rate for r in trained(settings, tmp_path / "c.pt")]
    shape = [0.5, 1, 1, 1, 1, 0.5]
    assert rates == pytest.approx([1e-3 * s for s in shape] + [1e-4 * s for s in shape])


def test_the_rate_of_the_discriminator_follows_that_of_the_generator():
    settings = tiny(adversarial={"learning_rate": 1e-4, "discriminator_rate": 3e-3})
    state = fresh(settings)
    for expected in (0.5, 1, 1):
        adversarial_step(state, synthetic(settings).batch(state.step))
        state.step += 1
        assert state.optimiser.param_groups[0]["lr"] == pytest.approx(1e-4 * expected)
        assert state.adversary.optimiser.param_groups[0]["lr"] == pytest.approx(3e-3 * expected)


def norm_of_gradients(network):
    return torch.stack([p.grad.norm() for p in network.parameters()]).norm().item()


@pytest.mark.parametrize("clip", [1e-3, 1e6])
def test_gradients_are_clipped_in_both_stages(clip):
    state = fresh(tiny(clip=clip))
    reported = distortion_step(state, synthetic(TINY).batch(0))["gradient_norm"]
    assert reported > 1e-2  # told as it was before
    assert norm_of_gradients(state.network) == pytest.approx(min(clip, reported), rel=1e-3)
    state = fresh(tiny(clip=clip, adversarial={}))
    reported = adversarial_step(state, synthetic(TINY).batch(0))["gradient_norm"]
    assert norm_of_gradients(state.network) == pytest.approx(min(clip, reported), rel=1e-3)
    of_discriminator = norm_of_gradients(state.adversary.network)
    assert (
        of_discriminator == pytest.approx(clip, rel=1e-3) if clip < 1 else of_discriminator > 1e-2
    )


def test_the_average_follows_the_weights_and_trusts_early_steps_less():
    state = fresh(tiny(ema=0.5))
    wanted = {name: p.detach().clone() for name, p in state.network.named_parameters()}
    for step in range(1, 8):
        with torch.no_grad():
            for parameter in state.network.parameters():
                parameter.add_(step)
        state.step = step
        state.update_average()
        kept = min(0.5, (1 + step) / (10 + step))
        for name, parameter in state.network.named_parameters():
            wanted[name] = kept * wanted[name] + (1 - kept) * parameter.detach()
    for name, parameter in state.average.named_parameters():
        assert torch.allclose(parameter, wanted[name], atol=1e-5), name
        assert not parameter.requires_grad


def test_the_average_starts_anew_with_the_adversarial_stage():
    state = fresh(tiny(adversarial={}, ema=0.999))
    before = state.average.tail.bias.clone()
    assert torch.equal(state.network.tail.bias, before)  # the stage goes on from the average
    with torch.no_grad():
        state.network.tail.bias.add_(1)
    state.step += 1
    state.update_average()
    assert torch.allclose(state.average.tail.bias, before + 1 - 2 / 11)


def test_the_final_loss_takes_over_when_the_rate_falls():
    settings = tiny(distortion={"steps": 6, "loss": "l1", "final_loss": "l2", "decay": 3})
    state, pairs = fresh(settings), synthetic(settings)
    for step in range(6):
        batch = pairs.batch(step)
        noisy, target, sigma = map(torch.from_numpy, (batch.noisy, batch.target, batch.sigma))
        with torch.no_grad():
            output = state.network(noisy, sigma)
        falls = step >= 3
        wanted = losses.l2(output, target, sigma) if falls else losses.l1(output, target)
        assert distortion_step(state, batch)["pixel"] == pytest.approx(wanted.item(), rel=1e-5)
        state.step += 1
