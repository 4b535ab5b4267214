"""One loop for both stages: what it reports, computes and saves."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from _tiny import CRITIC, fresh, synthetic, tiny, trained

from napari_denoise.models.network import Network
from napari_denoise.settings.recipe import TermWeights
from napari_denoise.training.loop import state
from napari_denoise.training.loop.checkpoints import load_checkpoint
from napari_denoise.training.loop.stages import adversarial_step, distortion_step
from napari_denoise.training.loop.vgg import vgg16_features

EVERY_TERM = TermWeights(smoothness=0.1, psnr=0.1, ssim=0.1)
OBJECTIVES = {
    "non-saturating": {"objective": "non-saturating"},
    "relativistic": {"objective": "relativistic"},
    "paired": {"objective": "paired"},
    "wasserstein": CRITIC,
}
each_objective = pytest.mark.parametrize("objective", OBJECTIVES)


def test_every_step_is_reported(tmp_path):
    settings = tiny(adversarial={}, distortion={"learning_rate": 1e-2}, save_every=3)
    reports = trained(settings, tmp_path / "c.pt")
    assert [r.step for r in reports] == list(range(1, 9))
    assert [r.stage for r in reports] == ["distortion"] * 4 + ["adversarial"] * 4
    assert [r.learning_rate for r in reports] == pytest.approx(
        [5e-3, 1e-2, 1e-2, 1e-2, 5e-5, 1e-4, 1e-4, 1e-4]
    )
    seconds = [r.seconds for r in reports]
    assert seconds == sorted(seconds)
    assert seconds[0] > 0
    assert all(r.steps_per_second == pytest.approx(r.step / r.seconds) for r in reports)
    for report in reports:
        assert report.finite == dict.fromkeys(report.terms, True)
        assert all(map(math.isfinite, report.terms.values()))
    assert [r.step for r in reports if r.saved == tmp_path / "c.pt"] == [3, 6, 8]
    assert load_checkpoint(tmp_path / "c.pt")["step"] == 8


def test_steps_per_second_of_a_resumed_run_are_its_own(tmp_path):
    trained(tiny(), tmp_path / "c.pt")
    longer = tiny(distortion={"steps": 6})
    reports = trained(longer, tmp_path / "c.pt", resume=True)
    assert [r.step for r in reports] == [5, 6]
    assert reports[-1].steps_per_second == pytest.approx(2 / reports[-1].seconds)


def test_a_compiled_run_computes_the_same(tmp_path, monkeypatch):
    compiled: list[tuple[object, int]] = []

    def backend(graph, inputs):
        compiled.append((graph, len(inputs)))
        return graph.forward

    def whole(network):  # one graph, so that nothing is left to the interpreter
        network._compiled_call_impl = torch.compile(
            network._call_impl, fullgraph=True, backend=backend
        )

    monkeypatch.setattr(Network, "compile", whole)
    monkeypatch.setattr(state, "shutil", SimpleNamespace(which=lambda name: name))
    plain = trained(tiny(adversarial={}), tmp_path / "plain.pt")
    assert not compiled
    found = trained(tiny(adversarial={}, compile=True), tmp_path / "compiled.pt")
    assert compiled
    for one, other in zip(plain, found, strict=True):
        assert one.terms == pytest.approx(other.terms, rel=1e-4, abs=1e-6)
    names = [list(load_checkpoint(tmp_path / f"{n}.pt")["model"]) for n in ("plain", "compiled")]
    assert names[0] == names[1]  # a checkpoint of one goes on as the other


def test_a_network_that_cannot_be_compiled_here_is_refused_at_the_start(tmp_path, monkeypatch):
    monkeypatch.setattr(state, "shutil", SimpleNamespace(which=lambda name: None))
    with pytest.raises(ValueError, match=r"no C\+\+ compiler .*leave compile out"):
        trained(tiny(compile=True), tmp_path / "c.pt")
    assert not (tmp_path / "c.pt").exists()


@pytest.mark.parametrize("loss", ["l1", "l2"])
def test_a_run_learns(loss, tmp_path):
    settings = tiny(
        distortion={"steps": 80, "decay": 30, "loss": loss, "learning_rate": 2e-3},
        noise={"sigma": (0.2, 0.2)},
        batch=4,
        save_every=1000,
    )
    losses = [r.terms["pixel"] for r in trained(settings, tmp_path / "c.pt")]
    share = 0.75 if loss == "l1" else 0.75**2  # at first the output is the noisy image
    assert np.mean(losses[-20:]) < share * np.mean(losses[:3])


def test_only_terms_with_a_weight_are_computed_in_the_distortion_stage():
    settings = tiny(distortion={"spread": 0.1})  # of a network that states no error
    assert set(distortion_step(fresh(settings), synthetic(settings).batch(0))) == {
        "pixel",
        "gradient_norm",
    }
    stating = tiny(
        config={**settings.config, "spread": True}, distortion={"steps": 1, "spread": 0.1}
    )
    assert set(distortion_step(fresh(stating), synthetic(stating).batch(0))) == {
        "pixel",
        "spread",
        "gradient_norm",
    }


@each_objective
def test_every_term_with_a_weight_is_reported_by_every_objective(objective):
    settings = tiny(adversarial={**OBJECTIVES[objective], "weights": EVERY_TERM})
    state, pairs = fresh(settings), synthetic(settings)
    always = {*vars(EVERY_TERM), "discriminator", "gradient_norm"}
    for number in range(3):
        terms = adversarial_step(state, pairs.batch(state.step))
        lazy = objective != "wasserstein" and number % 2
        assert set(terms) == always | (set() if lazy else {"penalty"})
        assert all(map(math.isfinite, terms.values()))
        state.step += 1


@pytest.mark.parametrize("name", vars(EVERY_TERM))
def test_a_term_without_a_weight_is_not_computed(name):
    weights = TermWeights(**{**dict.fromkeys(vars(EVERY_TERM), 0.0), name: 0.5})
    settings = tiny(adversarial={"weights": weights, "penalty": 0.0})
    terms = adversarial_step(fresh(settings), synthetic(settings).batch(0))
    assert set(terms) == {name, "discriminator", "gradient_norm"}


@each_objective
def test_generator_and_discriminator_both_move(objective):
    settings = tiny(adversarial={**OBJECTIVES[objective], "critic_steps": 2})
    state = fresh(settings)
    networks = (state.network, state.adversary.network)
    weights = [[p for p in network.parameters() if p.ndim == 4] for network in networks]
    before = [[p.detach().clone() for p in some] for some in weights]
    adversarial_step(state, synthetic(settings).batch(0))
    for some, old in zip(weights, before, strict=True):
        assert all(p.requires_grad for p in some)
        assert not any(torch.equal(p, o) for p, o in zip(some, old, strict=True))


@each_objective
def test_the_generator_runs_once_a_step(objective):
    settings = tiny(adversarial={**OBJECTIVES[objective], "critic_steps": 3})
    state, forwards = fresh(settings), []
    state.network.register_forward_hook(lambda *_: forwards.append(1))
    adversarial_step(state, synthetic(settings).batch(0))
    assert len(forwards) == 1


def test_features_of_the_clean_patches_are_computed_once_a_step():
    settings = tiny(adversarial={"critic_steps": 3})
    state, batch, seen = fresh(settings), synthetic(settings).batch(0), []
    hook = vgg16_features().register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    adversarial_step(state, batch)
    hook.remove()
    clean = [torch.equal(images, torch.from_numpy(batch.target)) for images in seen]
    assert clean == [True, False]
    assert [images.requires_grad for images in seen] == [False, True]


def test_features_go_only_to_networks_that_take_them():
    settings = tiny()
    batch = synthetic(settings).batch(0)
    planes = np.zeros((2, 8, 16, 16), np.float32)
    with_features = type(batch)(batch.noisy, batch.target, batch.sigma, planes)
    for taken in (0, 8):
        wanted = tiny(config={**settings.config, "features": taken})
        assert math.isfinite(distortion_step(fresh(wanted), with_features)["pixel"])


@pytest.mark.parametrize("changes", [{}, CRITIC], ids=["R1", "gradient penalty"])
def test_mixed_precision_takes_the_penalty_too(changes):
    state = fresh(tiny(adversarial=changes, precision="bf16-mixed"))
    terms = adversarial_step(state, synthetic(state.settings).batch(0))
    assert terms["penalty"] > 0
    exact = fresh(tiny(adversarial=changes))
    wanted = adversarial_step(exact, synthetic(exact.settings).batch(0))["penalty"]
    assert terms["penalty"] == pytest.approx(wanted, rel=0.1)
