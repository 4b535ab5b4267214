import pytest
import torch
from torch.nn.utils import parametrize

from napari_denoise.models.architectures.discriminator import (
    DiscriminatorConfig,
    PatchDiscriminator,
)
from napari_denoise.models.registry import DISCRIMINATORS, build_discriminator

each_discriminator = pytest.mark.parametrize("name", list(DISCRIMINATORS))


def seeded(name, channels=3):
    torch.manual_seed(0)
    return build_discriminator(name, channels)


def patches(count=4, size=64, channels=3, seed=1):
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("thomas2017", 1_557_457),
        ("iteapoy2018", 1_147_713),
        ("patch", 147_601),
        ("patch-log", 147_601),
    ],
)
def test_the_number_of_parameters_is_the_stated_one(name, count):
    assert sum(parameter.numel() for parameter in seeded(name).parameters()) == count


@pytest.mark.parametrize(
    ("name", "side"), [("thomas2017", 6), ("iteapoy2018", 8), ("patch", 16), ("patch-log", 16)]
)
def test_the_scores_of_a_patch_form_a_map(name, side):
    assert seeded(name)(patches(2)).shape == (2, 1, side, side)


@pytest.mark.parametrize("channels", [1, 3])
@each_discriminator
def test_gray_and_colour_are_scored(name, channels):
    assert seeded(name, channels)(patches(1, 50, channels)).isfinite().all()


@each_discriminator
def test_scores_are_raw(name):
    # A sigmoid would keep them in 0..1, a batch norm within a few units.
    images = (patches(8) - 0.5) * torch.tensor([1e6, -1e6] * 4)[:, None, None, None]
    scores = seeded(name)(images)
    assert scores.min() < -100
    assert scores.max() > 100


@each_discriminator
def test_no_discriminator_normalises_by_statistics(name):
    kinds = {type(module).__name__ for module in seeded(name).modules()}
    assert not [kind for kind in kinds if "BatchNorm" in kind or "InstanceNorm" in kind]


@each_discriminator
def test_an_image_is_scored_alike_whatever_else_is_in_its_batch(name):
    discriminator, images = seeded(name).train(), patches()
    images[1:] *= 30
    with parametrize.cached():
        alone, among = discriminator(images[:1]), discriminator(images)[:1]
    assert torch.allclose(alone, among, atol=1e-5)


@each_discriminator
def test_one_set_of_weights_scores_real_and_generated_images(name):
    discriminator, real, fake = seeded(name).train(), patches(2, seed=1), patches(2, seed=2) ** 4
    before = [id(parameter) for parameter in discriminator.parameters()]
    with parametrize.cached():
        together = discriminator(torch.cat([real, fake]))
        apart = torch.cat([discriminator(real), discriminator(fake)])
        swapped = torch.cat([discriminator(fake), discriminator(real)])
    assert torch.allclose(together, apart, atol=1e-6)
    assert torch.allclose(apart, swapped.roll(2, 0), atol=1e-6)
    assert before == [id(parameter) for parameter in discriminator.parameters()]


@each_discriminator
def test_batches_of_different_images_keep_different_mean_scores(name):
    # Batch norm on the scores would give every batch the same mean: nothing could be learnt.
    discriminator = seeded(name).train()
    dark, bright = (discriminator(images).mean() for images in (patches() * 0.1, patches() * 10))
    assert abs(dark - bright) > 1e-3


def test_spectral_norm_keeps_the_largest_singular_value_at_one():
    discriminator = PatchDiscriminator(DiscriminatorConfig(spectral_norm=True)).train()
    with torch.no_grad():
        for parameter in discriminator.parameters():
            parameter.mul_(5)
        for _ in range(30):
            discriminator(patches(1))  # refines the estimate
        for conv in discriminator.layers[::2]:
            assert torch.linalg.matrix_norm(conv.weight.flatten(1), 2) == pytest.approx(1, abs=0.02)


@each_discriminator
def test_at_the_start_scores_differ_enough_to_learn_from(name):
    scores = seeded(name)(patches(4, 48))
    assert scores.std() > 0.3


@each_discriminator
def test_the_critics_are_free_of_spectral_norm_and_their_slope_can_be_trained(name):
    critic, images = seeded(name), patches(2, 32).requires_grad_()
    assert not any(parametrize.is_parametrized(module) for module in critic.modules())
    slopes = torch.autograd.grad(critic(images).mean((1, 2, 3)).sum(), images, create_graph=True)
    ((slopes[0].flatten(1).norm(dim=1) - 1) ** 2).mean().backward()
    weights = [p for p in critic.parameters() if p.ndim == 4]
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in weights)


@each_discriminator
def test_the_smallest_image_has_one_score_and_a_smaller_one_is_refused(name):
    discriminator = seeded(name)
    size = discriminator.smallest
    assert discriminator(patches(1, size)).shape == (1, 1, 1, 1)
    if size > 1:
        with pytest.raises(ValueError, match=f"at least {size} x {size}"):
            discriminator(patches(1, size - 1))


def test_an_unknown_discriminator_is_named():
    with pytest.raises(ValueError, match=r"'vgg'.*patch, patch-log, thomas2017, iteapoy2018"):
        build_discriminator("vgg", 3)


def test_widths_and_strides_must_fit():
    with pytest.raises(ValueError, match="one of each per layer"):
        DiscriminatorConfig(widths=(8, 1), strides=(2, 2, 1))
    with pytest.raises(ValueError, match="last width"):
        DiscriminatorConfig(widths=(8, 2), strides=(2, 1))
