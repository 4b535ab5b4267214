"""The generator of iteapoy/GANDenoising (2018), without its faults."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from napari_denoise.models.architectures.two_scale import ResidualBlock
from napari_denoise.models.network import Network


@dataclass(frozen=True)
class Iteapoy2018Config:
    """Shape of an `Iteapoy2018`.

    Parameters
    ----------
    channels
        Image channels in and out.
    width
        Features of every layer.
    blocks
        Residual blocks.
    """

    channels: int = 3
    width: int = 64
    blocks: int = 15

    @property
    def multiple(self) -> int:
        """Height and width of the input may be anything."""
        return 1

    @property
    def radius(self) -> int:
        """Receptive field radius in pixels: one for every 3x3 convolution."""
        return 1 + 2 * self.blocks + 1


class Iteapoy2018(Network):
    """Residual blocks at full resolution estimate the noise, which is taken off the image.

    Unlike the original there is no batch norm. The network is blind: it has to see the
    noise level itself.

    Source: github.com/iteapoy/GANDenoising.
    """

    def __init__(self, config: Iteapoy2018Config) -> None:
        super().__init__()
        self.radius, self.multiple = config.radius, config.multiple
        self.bytes_per_pixel = 1150 * config.width // 64
        self.head = nn.Conv2d(config.channels, config.width, 3, padding=1)
        self.blocks = nn.Sequential(*(ResidualBlock(config.width) for _ in range(config.blocks)))
        self.tail = nn.Conv2d(config.width, config.channels, 3, padding=1)
        with torch.no_grad():
            self.tail.weight.mul_(0.1)

    def forward(self, noisy: Tensor, sigma: Tensor, features: Tensor | None = None) -> Tensor:
        """Return the denoised image.

        Parameters
        ----------
        noisy
            (N, C, Y, X), values about [0, 1].
        sigma, features
            Not looked at.
        """
        x = torch.relu_(self.head(noisy.to(self.head.weight.dtype)))
        noise: Tensor = self.tail(self.blocks(x))
        # The skip stays in the input's precision: bf16 has 8 bits of mantissa.
        return noisy - noise.to(noisy.dtype)
