"""The networks of the two older systems: their shape is kept, their faults are not."""

import numpy as np
import pytest
import torch
from PIL import Image

import _repository  # noqa: F401

# isort: split
from benchmarks import colour_shift

from napari_denoise import Denoiser
from napari_denoise.image.values import restore_dtype
from napari_denoise.measure.mappings import fit_mapping
from napari_denoise.measure.sampled import robust_range
from napari_denoise.models.registry import build
from napari_denoise.settings.noise import NoiseModel
from napari_denoise.weights.card import WeightsCard
from napari_denoise.weights.files import save_weights

NETWORKS = [
    ("thomas2017", {"strided": True}),
    ("thomas2017", {"strided": False}),
    ("iteapoy2018", {"width": 8}),
]
each_network = pytest.mark.parametrize(("architecture", "config"), NETWORKS)


def seeded(architecture, config):
    torch.manual_seed(0)
    return build(architecture, config).double()


def picture(*shape, seed=0):
    return torch.rand(*shape, dtype=torch.double, generator=torch.Generator().manual_seed(seed))


def level(image, value=0.1):
    return torch.full((len(image), 1, *image.shape[2:]), value, dtype=torch.double)


@pytest.mark.parametrize(
    ("architecture", "config", "count"),
    [
        ("thomas2017", {}, 1_085_699),
        ("thomas2017", {"strided": False}, 1_085_699),
        ("iteapoy2018", {}, 1_111_363),
    ],
)
def test_the_number_of_parameters_is_that_of_the_original(architecture, config, count):
    network = build(architecture, config)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


@each_network
def test_the_stated_radius_is_the_farthest_pixel_that_counts(architecture, config):
    network = seeded(architecture, config)
    assert network.radius <= 48
    size, centre = 4 * (network.radius // 2 + 4), 4 * (network.radius // 4 + 2)
    image = picture(1, 3, size, size).requires_grad_()
    output, reach = network(image, level(image)), []
    for place in range(centre, centre + network.multiple):
        at_place = output[..., place, place].sum()
        (gradient,) = torch.autograd.grad(at_place, image, retain_graph=True)
        for axis in (2, 3):
            touched = torch.nonzero(gradient.abs().amax([d for d in range(4) if d != axis])).ravel()
            reach += [int(place - touched[0]), int(touched[-1] - place)]
    assert max(reach) == network.radius


@each_network
def test_no_network_normalises_by_statistics(architecture, config):
    kinds = {type(module).__name__ for module in build(architecture, config).modules()}
    assert not [kind for kind in kinds if "Norm" in kind]


@each_network
def test_training_and_evaluation_mode_give_the_same_output(architecture, config):
    network, image = seeded(architecture, config), picture(2, 3, 24, 32)
    network.train()(picture(2, 3, 24, 32, seed=1), level(image))  # leaves no statistics behind
    assert torch.equal(network.train()(image, level(image)), network.eval()(image, level(image)))


@each_network
def test_an_image_comes_out_alike_whatever_else_is_in_its_batch(architecture, config):
    network, batch = seeded(architecture, config).train(), picture(3, 3, 24, 32)
    batch[1:] *= 100
    alone = network(batch[:1], level(batch[:1]))
    assert torch.allclose(network(batch, level(batch))[:1], alone, atol=1e-12)


@each_network
def test_the_output_is_the_image_plus_a_residual_without_bounds(architecture, config):
    network, image = seeded(architecture, config), picture(1, 3, 24, 32) * 1000
    with torch.no_grad():
        network.tail.weight.zero_()
        for wanted in (0.0, 700.0, -700.0):
            network.tail.bias.fill_(wanted)
            change = network(image, level(image)) - image
            assert torch.allclose(change.abs(), torch.full_like(image, abs(wanted)), atol=1e-9)


@each_network
def test_the_noise_map_is_not_looked_at(architecture, config):
    network, image = seeded(architecture, config), picture(1, 3, 24, 32)
    assert torch.equal(network(image, level(image, 0.0)), network(image, level(image, 0.5)))


@pytest.mark.parametrize("architecture", ["thomas2017", "iteapoy2018"])
def test_every_weight_learns(architecture):
    network, image = seeded(architecture, {}), picture(1, 3, 16, 16)
    network(image, level(image)).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in network.parameters())


def write_weights(path, architecture, config):
    """Write random weights that change an image visibly."""
    network = seeded(architecture, config)
    with torch.no_grad():
        network.tail.weight.mul_(10)
    card = WeightsCard(
        title="Seed",
        architecture=architecture,
        config=config,
        domain="photo",
        channels=3,
        mapping="affine",
        noise_range=(0.0, 0.35),
    )
    save_weights(path, card, network.state_dict())
    return path


@pytest.fixture(scope="module", params=NETWORKS, ids=lambda pair: "-".join(map(str, pair)))
def denoiser(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "seed.safetensors"
    return Denoiser.load(write_weights(path, *request.param), "cpu", "float32")


def test_the_tile_size_does_not_change_the_result(denoiser):
    image = np.random.default_rng(0).uniform(0, 255, (117, 83, 3)).astype(np.float32)
    whole, tiled = (
        denoiser(image, axes="YXS", noise=25.0, tile=tile, intensity_range=(0, 255))
        for tile in (1024, 48)
    )
    assert np.abs(whole - image).max() > 1  # the network did something
    assert np.abs(whole - tiled).max() <= 1e-5 * 255


@pytest.mark.filterwarnings("ignore:the weights 'seed' are for colour")
@pytest.mark.parametrize("shape", [(61, 83, 3), (1, 1, 3), (3, 70, 3), (61, 83)])
def test_an_image_of_any_size_works(denoiser, shape):
    image = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    result = denoiser(image, axes="YXS"[: len(shape)], noise=25.0)
    assert (result.shape, result.dtype) == (shape, np.uint8)
    assert not np.array_equal(result, image)


def test_a_perfect_network_brings_back_the_colours_of_the_clean_picture():
    rng = np.random.default_rng(0)
    clean = rng.integers(0, 256, (40, 50, 3)) // np.array([1, 2, 6])  # little blue
    noisy = (clean + 25 * rng.standard_normal(clean.shape)).astype(np.float32)
    mapping = fit_mapping("affine", NoiseModel(read_noise=25), *robust_range([noisy]))
    # One mapping of the noisy picture serves both, so the target lies where the network does.
    target = mapping.forward(clean)
    assert np.array_equal(restore_dtype(mapping.inverse(target), np.uint8), clean)
    assert mapping.forward(noisy).mean() == pytest.approx(target.mean(), abs=0.005)


def dull_picture():
    """Warm and dark, neither black nor white in it."""
    rows, columns = np.mgrid[0:48, 0:64]
    return np.stack([60 + 2 * columns, 40 + 2 * rows, 30 + rows // 2], -1).astype(np.uint8)


def test_the_table_shows_the_shift_of_the_originals_and_none_of_ours():
    table = colour_shift.colour_shift([("dull", dull_picture())], 25)
    share, *cells = table.rows[0][1:]
    worst = [max(abs(float(v)) for v in shift.split(" / ")) for shift in cells[1::2]]
    assert float(share.removesuffix(" %")) > 20
    assert worst[0] > 5
    assert worst[1] > 5
    assert cells[4:] == ["exact", "+0.0 / +0.0 / +0.0"]


def test_a_folder_of_pictures_can_be_compared(tmp_path, capsys):
    Image.fromarray(dull_picture()).save(tmp_path / "dull.png")
    colour_shift.main(["--data", str(tmp_path), "--sigma", "15"])
    assert "| dull |" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="no picture there"):
        colour_shift.main(["--data", str(tmp_path / "empty")])
