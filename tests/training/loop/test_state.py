"""Weights to start from: what is added to them changes no image."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from _tiny import fresh, synthetic, tiny
from lightning_fabric import Fabric

from napari_denoise.models.architectures.grow import grow_into
from napari_denoise.models.registry import build
from napari_denoise.training.loop.stages import distortion_step
from napari_denoise.training.loop.state import TrainingState

SMALL = {"channels": 1, "widths": (8, 12), "blocks": (1, 1, 1)}


def network(architecture="two-scale", seed=0, **changes):
    torch.manual_seed(seed)
    config = {**SMALL, **changes} if architecture == "two-scale" else changes
    built = build(architecture, config)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.mul_(2)  # so that the network does something
    return built


def inputs(channels=1, features=0):
    torch.manual_seed(9)
    image, sigma = torch.rand(2, channels, 16, 20), torch.rand(2, 1, 16, 20) * 0.3
    return image, sigma, torch.rand(2, features, 16, 20) if features else None


def run(built, image, sigma, features=None):
    with torch.no_grad():
        return built(image, sigma, features)


def test_equal_networks_are_copied():
    base, grown = network(), network(seed=1)
    grow_into(grown, base.state_dict())
    image, sigma, _ = inputs()
    assert torch.equal(run(grown, image, sigma), run(base, image, sigma))


@pytest.mark.parametrize("before", [0, 3])
def test_features_that_are_added_change_no_image(before):
    base, grown = network(features=before), network(seed=1, features=8)
    grow_into(grown, base.state_dict())
    image, sigma, features = inputs(features=8)
    known = features[:, :before] if before else None
    wanted = run(base, image, sigma, known)
    assert torch.allclose(run(grown, image, sigma, features), wanted, atol=1e-5)
    assert (wanted - image).abs().max() > 0.1


@pytest.mark.parametrize("blocks", [(2, 1, 1), (1, 3, 1), (1, 1, 2), (2, 2, 2)])
def test_blocks_that_are_added_change_no_image_and_learn(blocks):
    base = network().state_dict()
    settings = tiny(config={**SMALL, "blocks": blocks})
    state = TrainingState(settings, Fabric(accelerator="cpu", devices=1), base)
    image, sigma, _ = inputs()
    smaller = network().to(memory_format=torch.channels_last)  # as it is trained, to the bit
    assert torch.equal(run(state.network, image, sigma), run(smaller, image, sigma))
    added = {n: v.clone() for n, v in state.network.state_dict().items() if n not in base}
    assert len(added) == 4 * (sum(blocks) - 3)
    for step in range(2):  # the second layer moves first: until then nothing reaches the first
        distortion_step(state, synthetic(settings).batch(step))
    learnt = state.network.state_dict()
    assert not any(torch.equal(learnt[name], value) for name, value in added.items())


@pytest.mark.parametrize("features", [0, 8])
def test_channels_that_are_added_change_no_image_and_pass_through(features):
    base, grown = network(features=features), network(seed=1, channels=3, features=features)
    grow_into(grown, base.state_dict())
    image, sigma, planes = inputs(3, features)
    found = run(grown, image, sigma, planes)
    wanted = run(base, image[:, :1], sigma, planes)
    assert torch.allclose(found[:, :1], wanted, atol=1e-5)
    assert torch.allclose(found[:, 1:], image[:, 1:], atol=1e-6)


@pytest.mark.parametrize("architecture", ["thomas2017", "iteapoy2018"])
def test_other_architectures_gain_channels_as_well(architecture):
    shape = {"width": 8, "blocks": 1} if architecture == "iteapoy2018" else {}
    base = network(architecture, channels=1, **shape)
    grown = network(architecture, seed=1, channels=3, **shape)
    grow_into(grown, base.state_dict())
    image, sigma, _ = inputs(3)
    found = run(grown, image, sigma)
    assert torch.allclose(found[:, :1], run(base, image[:, :1], sigma), atol=1e-4)
    assert torch.allclose(found[:, 1:], image[:, 1:], atol=1e-4)


def test_what_is_added_learns():
    settings = tiny(config={**SMALL, "features": 8})
    base = network().state_dict()
    state = TrainingState(settings, Fabric(accelerator="cpu", devices=1), base)
    batch = synthetic(settings).batch(0)
    with_features = type(batch)(
        batch.noisy, batch.target, batch.sigma, batch.noisy.repeat(8, axis=1)
    )
    distortion_step(state, with_features)
    assert (state.network.head.weight[:, 8:] != 0).all()


def test_a_network_that_comes_to_state_its_error_keeps_its_image():
    base, grown = network(), network(seed=1, spread=True)
    head = [p.clone() for p in grown.error.parameters()]
    grow_into(grown, base.state_dict())
    image, sigma, _ = inputs()
    mean, variance = grown.split(run(grown, image, sigma))
    assert torch.allclose(mean, run(base, image, sigma), atol=1e-6)
    assert (variance > 0).all()
    assert all(map(torch.equal, grown.error.parameters(), head))


def test_a_stated_error_is_kept_with_its_network_and_may_be_left_out():
    base = network(spread=True)
    image, sigma, _ = inputs()
    same, without = network(seed=1, spread=True), network(seed=1)
    grow_into(same, base.state_dict())
    grow_into(without, base.state_dict())
    output = run(base, image, sigma)
    assert torch.equal(run(same, image, sigma), output)
    assert torch.allclose(run(without, image, sigma), base.split(output)[0], atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"widths": (4, 12)}, r"'head\.weight' is \(4, 8, 3, 3\).* it is \(8, 8, 3, 3\)"),
        ({"widths": (8, 8)}, r"'down\.weight' is \(8, 8, 2, 2\)"),
        ({"blocks": (1, 2, 1)}, r"'middle\.1\.conv1\.weight' is .* it is missing"),
        ({"channels": 3}, r"'head\.weight' is \(8, 16, 3, 3\)"),
        ({"features": 8}, r"'head\.weight' is \(8, 40, 3, 3\)"),
    ],
)
def test_weights_of_another_shape_are_refused_and_nothing_is_loaded(changes, name):
    grown = network(seed=1)
    before = {key: value.clone() for key, value in grown.state_dict().items()}
    with pytest.raises(ValueError, match=f"weights to start from: {name}.*same architecture"):
        grow_into(grown, network(**changes).state_dict())
    assert all(torch.equal(value, before[key]) for key, value in grown.state_dict().items())


def test_weights_that_lack_a_part_of_a_block_are_refused():
    base = network().state_dict()
    del base["middle.0.conv1.weight"]
    with pytest.raises(ValueError, match=r"'middle\.0\.conv1\.weight' is missing.*same archi"):
        grow_into(network(seed=1), base)


@pytest.mark.parametrize("architecture", ["thomas2017", "iteapoy2018"])
def test_weights_of_another_architecture_are_refused(architecture):
    with pytest.raises(ValueError, match="weights to start from"):
        grow_into(network(), network(architecture, channels=1).state_dict())


def test_a_discriminator_that_cannot_score_a_patch_is_refused_at_the_start():
    with pytest.raises(
        ValueError, match=r"patch = 4: the discriminator 'thomas2017' needs at least"
    ):
        fresh(tiny(adversarial={"discriminator": "thomas2017"}, patch=4))
    with pytest.raises(ValueError, match="discriminator 'pach' is not known"):
        TrainingState(
            tiny(adversarial={"discriminator": "pach"}), Fabric(accelerator="cpu", devices=1)
        )


def test_the_adversarial_stage_goes_on_from_the_average_which_it_keeps():
    settings = tiny(adversarial={})
    state = TrainingState(settings, Fabric(accelerator="cpu", devices=1))
    with torch.no_grad():
        state.average.tail.bias.fill_(0.5)
    state.step = 4
    state.enter_adversarial(settings.adversarial)
    assert state.stage_step == 0
    assert (state.network.tail.bias == 0.5).all()
    with torch.no_grad():
        state.network.tail.bias.fill_(1)
        state.average.tail.bias.fill_(2)
    assert (state.faithful["tail.bias"] == 0.5).all()


def test_moments_saved_in_another_layout_are_taken_for_the_same_weights():
    settings = tiny(config=SMALL)
    pairs = synthetic(settings)
    state, other = fresh(settings), fresh(settings)
    distortion_step(state, pairs.batch(0))
    saved = deepcopy(state.state_dict())
    for moments in saved["optimiser"]["state"].values():
        for name, value in moments.items():
            moments[name] = value.contiguous()
    other.load_state_dict(saved)
    for one in (state, other):
        distortion_step(one, pairs.batch(1))
    wanted = state.network.state_dict()
    for name, value in other.network.state_dict().items():
        assert torch.allclose(value, wanted[name], atol=1e-6), name
    assert not wanted["middle.0.conv1.weight"].is_contiguous()
