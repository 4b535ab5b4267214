"""What is no number stops a run, before it reaches a weight."""

from __future__ import annotations

import math

import pytest
import torch
from _tiny import CRITIC, Poisoned, assert_equal_states, fresh, synthetic, tiny, trained

from napari_denoise.training.loop.checkpoints import load_checkpoint
from napari_denoise.training.loop.stages import NotFinite, adversarial_step, distortion_step
from napari_denoise.training.loop.train import train

NAN = math.nan
ONLY_THE_GENERATOR = {"loss": "relative"}
"""With a width of infinity this loss is NaN, and the discriminator never sees it."""


def copied(state):
    """Parameters and optimiser states of a training, apart from it."""
    networks = [state.network, state.average]
    optimisers = [state.optimiser.state_dict()["state"]]
    if state.adversary is not None:
        networks.append(state.adversary.network)
        optimisers.append(state.adversary.optimiser.state_dict()["state"])
    weights = [dict(network.named_parameters()) for network in networks]
    return [{name: value.detach().clone() for name, value in part.items()} for part in weights] + [
        {(k, name): torch.as_tensor(v).clone() for k, s in part.items() for name, v in s.items()}
        for part in optimisers
    ]


@pytest.mark.parametrize(
    ("adversarial", "poison", "term"),
    [
        (None, {"target": NAN}, "pixel"),
        (None, {"noisy": math.inf}, "pixel"),
        ({}, {"noisy": NAN}, "discriminator"),
        (CRITIC, {"target": NAN}, "discriminator"),
        (ONLY_THE_GENERATOR, {"log_width": math.inf}, "pixel"),
    ],
)
def test_the_report_of_the_failed_step_comes_first_and_then_the_error(
    adversarial, poison, term, tmp_path
):
    settings = tiny(adversarial=adversarial, save_every=1)
    at = 2 if adversarial is None else 6
    pairs = Poisoned(synthetic(settings), at, **poison)
    run = train(settings, pairs, tmp_path / "c.pt")
    reports = [next(run) for _ in range(at)]
    assert all(all(report.finite.values()) for report in reports)
    good = load_checkpoint(tmp_path / "c.pt")
    failed = next(run)
    assert (failed.step, failed.finite[term], failed.saved) == (at, False, None)
    message = rf"step {at}: .*{term} is (nan|inf).*c\.pt holds the last good state"
    with pytest.raises(NotFinite, match=message):
        next(run)
    kept = load_checkpoint(tmp_path / "c.pt")
    assert kept["step"] == at
    assert_equal_states(kept, good)
    for part in ("model", "average", *(["discriminator", "faithful"] if adversarial else [])):
        assert all(torch.isfinite(value).all() for value in kept[part].values())
    rest = trained(settings, tmp_path / "c.pt", resume=True)  # the images were mended
    assert rest[-1].step == settings.steps


@pytest.mark.parametrize("value", [NAN, math.inf, -math.inf])
@pytest.mark.parametrize("array", ["noisy", "target", "sigma"])
def test_a_failed_step_of_the_first_stage_touches_nothing(array, value):
    settings = tiny(distortion={"loss": "l2"})
    state, pairs = fresh(settings), Poisoned(synthetic(settings), 1, **{array: value})
    distortion_step(state, pairs.batch(0))
    before = copied(state)
    with pytest.raises(NotFinite) as caught:
        distortion_step(state, pairs.batch(1))
    assert not math.isfinite(caught.value.values.get("pixel", NAN))
    assert_equal_states(copied(state), before)
    assert math.isfinite(distortion_step(state, pairs.batch(2))["pixel"])


@pytest.mark.parametrize("kind", [{}, CRITIC])
def test_a_failed_step_of_the_second_stage_touches_nothing(kind):
    settings = tiny(adversarial=kind)
    state, pairs = fresh(settings), Poisoned(synthetic(settings), 1, noisy=NAN)
    adversarial_step(state, pairs.batch(0))
    before = copied(state)
    with pytest.raises(NotFinite, match="discriminator is nan"):
        adversarial_step(state, pairs.batch(1))
    assert_equal_states(copied(state), before)
    assert math.isfinite(adversarial_step(state, pairs.batch(2))["adversarial"])


def test_a_failed_term_of_the_generator_leaves_the_generator_and_a_usable_discriminator():
    settings = tiny(adversarial=ONLY_THE_GENERATOR)
    state, pairs = fresh(settings), Poisoned(synthetic(settings), 1, log_width=math.inf)
    adversarial_step(state, pairs.batch(0))
    model, average, _, optimiser, _ = copied(state)
    with pytest.raises(NotFinite) as caught:
        adversarial_step(state, pairs.batch(1))
    assert "pixel is nan" in str(caught.value)
    after = copied(state)
    assert_equal_states([after[0], after[1], after[3]], [model, average, optimiser])
    assert all(torch.isfinite(value).all() for value in after[2].values())
    assert all(p.requires_grad for p in state.adversary.network.parameters())


def test_an_infinite_gradient_of_finite_terms_is_caught_before_the_step():
    settings = tiny(distortion={"loss": "l2"}, noise={"sigma": (0.0, 0.0)})
    pairs = Poisoned(synthetic(settings), 1, noisy=1e9, target=1e15)
    state = fresh(settings)
    before = copied(state)
    with pytest.raises(NotFinite, match=r"step 0: gradient_norm is (inf|nan)") as caught:
        distortion_step(state, pairs.batch(1))
    assert math.isfinite(caught.value.values["pixel"])
    assert_equal_states(copied(state), before)


def test_before_the_first_checkpoint_none_is_promised(tmp_path):
    pairs = Poisoned(synthetic(tiny()), 0, noisy=NAN)
    with pytest.raises(NotFinite) as caught:
        trained(tiny(), tmp_path / "c.pt", pairs)
    assert "last good state" not in str(caught.value)
    assert "Lower the learning rate, or look for NaN" in str(caught.value)
    assert not (tmp_path / "c.pt").exists()
