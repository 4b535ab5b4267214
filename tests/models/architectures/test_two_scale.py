import pytest
import torch

from napari_denoise.measure.mappings import LOG_WIDTH
from napari_denoise.models.registry import build

CONFIGS = [
    {"channels": 1, "widths": [8, 8], "blocks": [1, 1, 1]},
    {"channels": 3, "widths": [8, 12], "blocks": [0, 2, 1]},
]


@pytest.mark.parametrize("config", CONFIGS)
def test_no_pixel_beyond_the_stated_radius_changes_the_output(config):
    torch.manual_seed(0)
    network = build("two-scale", config).double()
    size, centre = 4 * (network.radius // 2 + 8), 4 * (network.radius // 4 + 4)
    image = torch.rand(1, config["channels"], size, size, dtype=torch.double)
    image.requires_grad_()
    sigma = torch.full((1, 1, size, size), 0.1, dtype=torch.double)
    reached = torch.zeros(size, size, dtype=torch.bool)
    for phase in range(network.multiple):
        place = centre + phase
        (gradient,) = torch.autograd.grad(network(image, sigma)[..., place, place].sum(), image)
        touched = gradient[0].abs().sum(0) > 0
        rows = torch.nonzero(touched.any(1)).ravel()
        assert max(place - rows[0], rows[-1] - place) <= network.radius
        reached |= touched
    assert reached.sum() > (2 * network.radius - 8) ** 2 / 2  # the bound is not idle


@pytest.mark.parametrize("keep", [(61, 64, 57, 91), (0, 5, 60, 160), (150, 160, 0, 160)])
def test_a_part_comes_out_as_in_the_whole(keep):
    """Also where it touches a border, and where nothing of it lies on whole cells."""
    torch.manual_seed(0)
    config = {"channels": 1, "widths": [8, 8], "blocks": [2, 3, 1], "spread": True, "features": 2}
    network = build("two-scale", config).double()
    image, sigma, features = (torch.rand(1, c, 160, 160, dtype=torch.double) for c in (1, 1, 2))
    rows, columns = slice(*keep[:2]), slice(*keep[2:])
    part = network.within(image, sigma, features, (rows, columns))
    whole = network(image, sigma, features)[:, :, rows, columns]
    assert part.shape == whole.shape
    assert torch.allclose(part, whole, rtol=0, atol=1e-12)


def test_the_output_is_the_input_plus_a_residual_without_bounds():
    torch.manual_seed(0)
    network = build("two-scale", CONFIGS[0])
    with torch.no_grad():
        network.tail.weight.zero_()
        network.tail.bias.zero_()
    image = torch.rand(2, 1, 16, 20) * 1000
    assert torch.equal(network(image, torch.zeros(2, 1, 16, 20)), image)


def test_the_noise_level_changes_the_result():
    torch.manual_seed(0)
    network = build("two-scale", CONFIGS[0])
    image = torch.rand(1, 1, 16, 16)
    low, high = (network(image, torch.full((1, 1, 16, 16), s)) for s in (0.0, 0.5))
    assert not torch.allclose(low, high)


def test_an_unknown_architecture_or_setting_is_named():
    with pytest.raises(ValueError, match="known: two-scale"):
        build("unet", {})
    with pytest.raises(ValueError, match="depth"):
        build("two-scale", {"depth": 3})


LIT = {
    "channels": 3,
    "widths": [8, 8],
    "blocks": [2, 3, 1],
    "spread": True,
    "features": 8,
    "demodulate": True,
}


def lit(size=32, albedo=None, there=1.0):
    """Return a network that changes nothing, an image, a level, and features."""
    torch.manual_seed(0)
    network = build("two-scale", LIT)
    image, sigma, features = (torch.rand(1, c, size, size) for c in (3, 1, 8))
    if albedo is not None:
        features[:, :3] = albedo
    features[:, 6:] = there
    return network, image, sigma, features


def test_light_multiplied_by_the_albedo_again_is_the_image():
    network, image, sigma, features = lit()
    torch.nn.init.zeros_(network.tail.weight)
    torch.nn.init.zeros_(network.tail.bias)
    image = 2 * image - 0.2  # sums of few samples may be a little negative
    mean, _ = network.split(network(image, sigma, features))
    assert torch.allclose(mean, image, rtol=1e-4, atol=1e-5)


def test_a_pattern_of_the_albedo_is_gone_from_what_is_denoised():
    network, _, sigma, features = lit()
    light = 0.3 + torch.rand(1, 1, 8, 8).repeat_interleave(4, 2).repeat_interleave(4, 3)
    radiance = light * 2 * (features[:, :3] + 0.04)
    seen = []
    network.head.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    network(torch.log1p(radiance) / LOG_WIDTH, sigma, features)
    given = torch.nn.functional.pixel_shuffle(seen[0], 2)
    assert torch.allclose(given[:, :3], (torch.log1p(light) / LOG_WIDTH).expand(-1, 3, -1, -1))


def test_without_an_albedo_nothing_is_divided():
    network, image, sigma, features = lit(there=0.0)
    dark, bright = features.clone(), features.clone()
    seen = []
    network.head.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    for number, planes in enumerate((dark, bright)):
        planes[:, :3] = number
        network(image, sigma, planes)
    first, second = (torch.nn.functional.pixel_shuffle(given, 2) for given in seen)
    assert torch.allclose(first[:, :3], image, rtol=1e-5)
    assert torch.equal(first[:, :3], second[:, :3])
    assert not first[:, -3:].any()


@pytest.mark.parametrize("albedo", [0.0, 1.0, -1.0])
def test_any_albedo_gives_numbers_and_gradients(albedo):
    network, image, sigma, features = lit(albedo=albedo)
    image = (1e3 * image - 1).requires_grad_()
    output = network(0.01 * image, sigma, features)
    assert torch.isfinite(output).all()
    output.mean().backward()
    assert torch.isfinite(image.grad).all()


def test_a_part_of_what_is_lit_comes_out_as_in_the_whole():
    network, image, sigma, features = lit(160)
    network, *planes = network.double(), *(p.double() for p in (image, sigma, features))
    rows, columns = slice(61, 64), slice(57, 91)
    part = network.within(*planes, (rows, columns))
    assert torch.allclose(part, network(*planes)[:, :, rows, columns], rtol=0, atol=1e-12)
