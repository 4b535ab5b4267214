"""Features of VGG16 up to conv2_2, before its activation."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import as_file, files

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

_MEAN = (123.68, 116.779, 103.939)
_FILE = "vgg16_conv2_2.safetensors"
_LAYERS = (("conv1_1", 3, 64), ("conv1_2", 64, 64), ("conv2_1", 64, 128), ("conv2_2", 128, 128))


class Vgg16Features(nn.Module):
    """Map (N, C, Y, X) in [0, 1] to (N, 128, Y / 2, X / 2); C is 1 or 3.

    Weights: Simonyan and Zisserman, "Very Deep Convolutional Networks", arXiv 1409.1556,
    Visual Geometry Group, University of Oxford, CC BY 4.0.
    """

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name, before, after in _LAYERS:
            self.add_module(name, nn.Conv2d(before, after, 3, padding=1))
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Gray is shown as colour."""
        x = image.expand(-1, 3, -1, -1) * 255 - self.mean
        x = torch.relu(self.get_submodule("conv1_1")(x))
        x = torch.relu(self.get_submodule("conv1_2")(x))
        x = nn.functional.max_pool2d(x, 2)
        x = torch.relu(self.get_submodule("conv2_1")(x))
        result: Tensor = self.get_submodule("conv2_2")(x)
        return result


@lru_cache(maxsize=1)
def vgg16_features() -> Vgg16Features:
    """Build the bundled network, fixed, on the CPU."""
    network = Vgg16Features()
    with as_file(files("napari_denoise.training.loop") / _FILE) as path:
        network.load_state_dict(load_file(path))
    return network.eval().requires_grad_(False)
