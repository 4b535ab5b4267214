"""The error that a network states: learnt without touching its image, and used without bias."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from _tiny import fresh, synthetic, tiny

from napari_denoise.measure.mappings import AffineMapping, AnscombeMapping, LogMapping, inverse_mean
from napari_denoise.models.network import VARIANCE_FLOOR
from napari_denoise.training.loop import losses
from napari_denoise.training.loop.stages import adversarial_step, distortion_step

STATING = {"channels": 1, "widths": (8, 8), "blocks": (1, 1, 1), "spread": True}


def test_learning_the_error_gives_the_image_no_gradient():
    settings = tiny(config=STATING, distortion={"spread": 0.1})
    network = fresh(settings).network
    noisy, target = torch.rand(2, 1, 16, 16), torch.rand(2, 1, 16, 16)
    sigma = torch.full((2, 1, 16, 16), 0.1)
    mean, variance = network.split(network(noisy, sigma))
    losses.spread(mean, variance, target, sigma).backward()
    for name, parameter in network.named_parameters():
        touched = parameter.grad is not None and parameter.grad.abs().sum() > 0
        assert touched == name.startswith("error."), name


def test_training_with_and_without_a_stated_error_gives_the_same_image():
    batch = synthetic(tiny()).batch(0)
    after = []
    for weight in (0.05, 1e-9):
        settings = tiny(config=STATING, distortion={"spread": weight}, clip=1e9)
        state = fresh(settings)
        distortion_step(state, batch)
        after.append(state.network.state_dict())
    for name, value in after[0].items():
        if not name.startswith("error."):
            assert torch.equal(value, after[1][name]), name


def test_the_variance_is_positive_and_starts_at_a_share_of_the_noise():
    network = fresh(tiny(config=STATING, distortion={"spread": 0.1})).network
    noisy = torch.rand(1, 1, 16, 16)
    for level in (0.0, 0.1, 0.5):
        sigma = torch.full((1, 1, 16, 16), level)
        with torch.no_grad():
            _, variance = network.split(network(noisy, sigma))
        share = variance / (level**2 + VARIANCE_FLOOR)
        assert (share > 0).all()
        assert share.mean().item() == pytest.approx(0.13, abs=0.05)  # softplus(-2)


def test_the_variance_learns_what_makes_the_mean_intensity_right():
    """Mostly dark, some bright: the squared error alone is right to second order only."""
    mapping = AnscombeMapping(1.0, 0.0, 0.0, 0.0, 10.0)
    photons = np.resize(np.float32([0.0, 0.0, 0.0, 4.0]), (1, 1, 8, 8))
    squeeze = 0.5
    target = (torch.from_numpy(mapping.forward_mean(photons)) - 0.5) * squeeze + 0.5
    output = torch.full_like(target, target.mean().item())
    sigma = torch.full_like(target, mapping.sigma * squeeze)
    share = torch.tensor(-2.0, requires_grad=True)
    optimiser = torch.optim.Adam([share], lr=0.02)
    mappings = ((mapping, squeeze),)
    for _ in range(400):
        optimiser.zero_grad()
        variance = torch.nn.functional.softplus(share) * torch.ones_like(target) * 0.05
        losses.intensity_error(output, variance, target, sigma, mappings).backward()
        optimiser.step()
    found = inverse_mean(
        mapping,
        ((output - 0.5) / squeeze + 0.5).numpy(),
        (variance.detach() / squeeze**2).numpy(),
    )
    assert found.mean() == pytest.approx(photons.mean(), rel=1e-3)
    second_order = inverse_mean(
        mapping,
        ((output - 0.5) / squeeze + 0.5).numpy(),
        ((target - output).square() / squeeze**2).numpy(),
    )
    assert abs(second_order.mean() - photons.mean()) > 0.01 * photons.mean()


def test_images_without_a_bend_keep_their_stated_variance():
    variance = torch.full((1, 1, 8, 8), 0.01, requires_grad=True)
    image = torch.rand(1, 1, 8, 8)
    mappings = ((AffineMapping(0.0, 1.0), 1.0),)
    losses.intensity_error(image, variance, image + 0.1, variance.sqrt(), mappings).backward()
    assert not variance.grad.any()


def test_the_best_variance_is_the_expected_squared_error():
    torch.manual_seed(0)
    target = 0.1 * torch.randn(4, 1, 64, 64)
    output, sigma = torch.zeros_like(target), torch.full((4, 1, 64, 64), 0.2)
    variance = torch.tensor(0.05, requires_grad=True)
    optimiser = torch.optim.LBFGS([variance], line_search_fn="strong_wolfe")

    def closure():
        optimiser.zero_grad()
        loss = losses.spread(output, variance.expand_as(target), target, sigma)
        loss.backward()
        return loss

    optimiser.step(closure)
    assert variance.item() == pytest.approx(target.square().mean().item(), rel=1e-3)


def test_a_network_learns_to_state_its_error():
    settings = tiny(
        config=STATING,
        distortion={"steps": 150, "decay": 75, "loss": "l2", "spread": 0.3, "learning_rate": 3e-3},
        noise={"sigma": (0.2, 0.2)},
        batch=4,
    )
    state, pairs = fresh(settings), synthetic(settings)
    torch.nn.init.constant_(state.network.error[-1].bias, 3)  # ten times too much at first
    for _ in range(150):
        distortion_step(state, pairs.batch(state.step))
        state.step += 1
    stated, squared = stated_and_squared_error(state, pairs)
    assert stated == pytest.approx(squared, rel=0.25)


def stated_and_squared_error(state, pairs):
    stated, squared = [], []
    for step in range(1000, 1010):
        batch = pairs.batch(step)
        noisy, target, sigma = map(torch.from_numpy, (batch.noisy, batch.target, batch.sigma))
        with torch.no_grad():
            mean, variance = state.network.split(state.network(noisy, sigma))
        stated.append(variance.mean().item())
        squared.append((mean - target).square().mean().item())
    return np.mean(stated), np.mean(squared)


def test_settling_changes_the_variance_alone_and_towards_the_error():
    settings = tiny(
        config=STATING,
        distortion={
            "steps": 151,
            "settle": 150,
            "spread": 0.1,
            "learning_rate": 1e-2,
            "settle_rate": 1e-2,
        },
        noise={"sigma": (0.2, 0.2)},
        batch=4,
    )
    state, pairs = fresh(settings), synthetic(settings)
    distortion_step(state, pairs.batch(0))  # gives the optimiser momentum
    state.step = 1
    torch.nn.init.constant_(state.network.error[-1].bias, 8)  # far too much at first
    before = {name: value.clone() for name, value in state.network.state_dict().items()}
    for step in range(1, 151):
        distortion_step(state, pairs.batch(step))
        state.step += 1
    changed = {n for n, v in state.network.state_dict().items() if not torch.equal(v, before[n])}
    assert changed and all(name.startswith("error.") for name in changed)
    stated, squared = stated_and_squared_error(state, pairs)
    assert stated == pytest.approx(squared, rel=0.25)


def test_the_best_variance_by_deviance_is_the_expected_squared_error_too():
    torch.manual_seed(0)
    target = 0.1 * torch.randn(4, 1, 64, 64)
    output, sigma = torch.zeros_like(target), torch.full((4, 1, 64, 64), 0.2)
    guesses = torch.linspace(0.5, 2, 31) * target.square().mean()
    found = [
        losses.spread_deviance(guess.expand_as(target), output, target, sigma).item()
        for guess in guesses
    ]
    best = guesses[int(np.argmin(found))].item()
    assert best == pytest.approx(target.square().mean().item(), rel=0.03)


def test_settling_needs_a_stated_variance_and_some_steps_before_it():
    for wrong in ({"steps": 5, "settle": 5, "spread": 0.1}, {"steps": 5, "settle": 2}):
        with pytest.raises(ValueError, match=r"settle = \d of steps = 5.*needs fewer"):
            tiny(config=STATING, distortion=wrong)


EVEN, SKEWED = 0.01, 0.02  # two points stand for the law, which is exact to second order
MIXTURES = [
    (0.5, 2.0, 20.0, EVEN),
    (0.5, 0.2, 6.0, EVEN),
    (0.3, 5.0, 30.0, EVEN),
    (0.1, 1.0, 8.0, SKEWED),
]
ANSCOMBE = AnscombeMapping(gain=2.0, offset=100.0, read_noise=2.0, low=100.0, high=200.0)


@pytest.mark.parametrize(("share", "dark", "bright", "bound"), MIXTURES)
def test_a_known_variance_takes_the_bias_off_the_inverse_of_the_anscombe_transform(
    share, dark, bright, bound
):
    """A network that cannot tell two intensities apart gives the mean of what they map to."""
    rng = np.random.default_rng(0)
    intensities = np.float32(100 + 2 * np.where(rng.random(100_000) < share, bright, dark))
    mapped = ANSCOMBE.forward_mean(intensities).astype(np.float64)
    mean, variance = np.float32([mapped.mean()]), np.float32([mapped.var()])
    wanted = intensities.mean(dtype=np.float64) - 100
    assert inverse_mean(ANSCOMBE, mean, variance)[0] - 100 == pytest.approx(wanted, rel=bound)
    assert inverse_mean(ANSCOMBE, mean, None)[0] - 100 < 0.97 * wanted


def test_noisy_photons_averaged_after_the_transform_come_back_to_their_mean():
    rng = np.random.default_rng(0)
    photons = np.where(rng.random(400_000) < 0.5, 2.0, 20.0)
    noisy = np.float32(2 * rng.poisson(photons) + 100 + rng.normal(0, 2, photons.shape))
    mean = np.float32([ANSCOMBE.forward(noisy).mean(dtype=np.float64)])
    variance = np.float32([ANSCOMBE.forward_mean(np.float32(100 + 2 * photons)).var()])
    assert inverse_mean(ANSCOMBE, mean, variance)[0] - 100 == pytest.approx(22, rel=0.01)


def test_radiance_comes_back_from_the_logarithm():
    mapping = LogMapping.of_exposure(1.0)
    dark, bright = mapping.forward(np.float32([0.2, 1.4]))
    mean, variance = np.float32([(dark + bright) / 2]), np.float32([((bright - dark) / 2) ** 2])
    assert inverse_mean(mapping, mean, variance)[0] == pytest.approx(0.8, rel=0.01)
    assert inverse_mean(mapping, mean, None)[0] < 0.65


@pytest.mark.parametrize("mapping", [ANSCOMBE, LogMapping.of_exposure(1.0)])
def test_without_a_variance_the_inverse_is_the_plain_one(mapping):
    mean = np.linspace(0, 1, 50, dtype=np.float32).reshape(1, 5, 10)
    assert np.array_equal(inverse_mean(mapping, mean, None), mapping.inverse(mean))
    certain = inverse_mean(mapping, mean, np.zeros_like(mean))
    assert np.allclose(certain, mapping.inverse(mean), rtol=1e-6)


def test_an_affine_mapping_needs_no_variance():
    mapping = AffineMapping(10.0, 250.0)
    mean = np.linspace(0, 1, 50, dtype=np.float32)
    variance = np.full_like(mean, 0.3)
    assert np.array_equal(inverse_mean(mapping, mean, variance), mapping.inverse(mean))


def test_at_the_end_of_the_adversarial_stage_only_the_variance_learns():
    settings = tiny(
        config=STATING, distortion={"spread": 0.1}, adversarial={"steps": 4, "settle": 2}
    )
    state, batches = fresh(settings), synthetic(settings)
    state.step += 2
    before = {name: value.clone() for name, value in state.network.state_dict().items()}
    critic = [value.clone() for value in state.adversary.network.parameters()]
    terms = adversarial_step(state, batches.batch(state.step))
    moved = {
        name for name, value in state.network.state_dict().items() if not value.equal(before[name])
    }
    assert moved and all(name.startswith("error.") for name in moved)
    assert all(map(torch.equal, state.adversary.network.parameters(), critic))
    assert "adversarial" not in terms


def test_a_variance_that_there_is_not_cannot_settle():
    with pytest.raises(ValueError, match=r"adversarial.settle = 2 with distortion.spread = 0"):
        tiny(adversarial={"steps": 4, "settle": 2})
    with pytest.raises(ValueError, match="settle = 4 of steps = 4"):
        tiny(config=STATING, distortion={"spread": 0.1}, adversarial={"steps": 4, "settle": 4})
