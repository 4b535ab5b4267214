import pytest
import torch

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
