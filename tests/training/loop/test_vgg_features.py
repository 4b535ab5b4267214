"""The features of the adversarial stage are those of VGG16, conv2_2 before its activation."""

from __future__ import annotations

import pytest
import torch

from napari_denoise.training.loop.losses import feature_distance
from napari_denoise.training.loop.vgg import vgg16_features


def image(channels=3):
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(48.0), indexing="ij")
    planes = [0.5 + 0.4 * torch.sin(x / (2 + c)) * torch.cos(y / (3 + c)) for c in range(channels)]
    return torch.stack(planes)[None]


def test_features_are_of_half_the_size_and_before_the_activation():
    found = vgg16_features()(image())
    assert found.shape == (1, 128, 16, 24)
    assert (found < 0).float().mean() > 0.3
    assert (found > 0).float().mean() > 0.1
    assert torch.isfinite(found).all()


def test_the_weights_are_the_published_ones_for_red_green_blue():
    # Keras applications list this filter of VGG16, made for blue, green, red, as
    # 0.42947057, 0.55037946, 0.4800154, and these biases.
    network = vgg16_features()
    assert network.conv1_1.weight[0, :, 0, 0].tolist() == pytest.approx(
        [0.4800154, 0.55037946, 0.42947057]
    )
    assert network.conv1_1.bias[:2].tolist() == pytest.approx([0.73429835, 0.093403675])
    assert network.mean.flatten().tolist() == pytest.approx([123.68, 116.779, 103.939])


def test_the_network_is_fixed_and_built_once():
    network = vgg16_features()
    assert network is vgg16_features()
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())


def test_gray_has_the_features_of_gray_shown_as_colour():
    gray = image(1)
    assert torch.allclose(vgg16_features()(gray), vgg16_features()(gray.repeat(1, 3, 1, 1)))


def test_gradients_reach_the_image_through_the_features():
    output = image().requires_grad_()
    clean = vgg16_features()(image() * 0.9)
    feature_distance(vgg16_features()(output), clean).backward()
    assert torch.isfinite(output.grad).all()
    assert output.grad.abs().sum() > 0


def test_blur_is_farther_away_than_the_colour_shift_of_equal_error():
    clean = image()
    blurred = torch.nn.functional.avg_pool2d(clean, 5, 1, 2, count_include_pad=False)
    shift = (blurred - clean).square().mean().sqrt()
    features = vgg16_features()
    to_blurred, to_shifted = (
        feature_distance(features(other), features(clean)) for other in (blurred, clean + shift)
    )
    assert to_blurred > 2 * to_shifted
