"""The generator of manumathewthomas/ImageDenoisingGAN (2017), without its faults."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu

from napari_denoise.models.network import Network

SLOPE = 0.2
"""Of the leaky ReLU."""


@dataclass(frozen=True)
class Thomas2017Config:
    """Shape of a `Thomas2017`; the widths are those of the original.

    Parameters
    ----------
    channels
        Image channels in and out.
    strided
        Whether the encoder halves the image twice, as the author's text has it, or all
        layers work at full resolution, as in the author's code.
    """

    channels: int = 3
    strided: bool = True

    @property
    def multiple(self) -> int:
        """Height and width of the input must be multiples of this."""
        return 4 if self.strided else 1

    @property
    def radius(self) -> int:
        """Receptive field radius in pixels of the input.

        9x9 reaches four pixels and 3x3 one, each of its own scale; a pixel is up to three
        away from the border of the 4x4 cell that it is computed with.
        """
        outer, blocks = 4 + 4, 6  # first and last layer; two layers in each of three blocks
        if not self.strided:
            return outer + 4 + blocks
        full, half = 1 + 1, 1 + 1  # one on the way down, one on the way up
        return outer + full + 2 * half + 4 * blocks + self.multiple - 1


class LeakyBlock(nn.Module):
    """``x + conv(leaky(conv(x)))``, started near the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        with torch.no_grad():
            self.conv2.weight.mul_(0.1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, W, Y, X) -> the same shape."""
        y: Tensor = self.conv2(_leaky(self.conv1(x)))
        return x + y


class Thomas2017(Network):
    """Encoder, three residual blocks, decoder, and a skip from the first layer.

    Enlarging is a repetition of pixels and then a convolution, against checkerboards
    (Odena et al. 2016, distill.pub/2016/deconv-checkerboard). Unlike the original there is
    no batch norm anywhere, and what the last layer adds to the image is linear. The network
    is blind: it has to see the noise level itself.

    Source: github.com/manumathewthomas/ImageDenoisingGAN.
    """

    def __init__(self, config: Thomas2017Config) -> None:
        super().__init__()
        self.radius, self.multiple = config.radius, config.multiple
        self.bytes_per_pixel = 850 if config.strided else 2300
        self.stride = 2 if config.strided else 1
        self.head = nn.Conv2d(config.channels, 32, 9, padding=4)
        self.down1 = nn.Conv2d(32, 64, 3, self.stride, padding=1)
        self.down2 = nn.Conv2d(64, 128, 3, self.stride, padding=1)
        self.blocks = nn.Sequential(*(LeakyBlock(128) for _ in range(3)))
        self.up1 = nn.Conv2d(128, 64, 3, padding=1)
        self.up2 = nn.Conv2d(64, 32, 3, padding=1)
        self.tail = nn.Conv2d(32, config.channels, 9, padding=4)
        with torch.no_grad():
            self.tail.weight.mul_(0.1)

    def forward(self, noisy: Tensor, sigma: Tensor, features: Tensor | None = None) -> Tensor:
        """Return the denoised image.

        Parameters
        ----------
        noisy
            (N, C, Y, X), Y and X multiples of `multiple`, values about [0, 1].
        sigma, features
            Not looked at.
        """
        first = _leaky(self.head(noisy.to(self.head.weight.dtype)))
        x = _leaky(self.down2(_leaky(self.down1(first))))
        x = self._enlarged(self.blocks(x))
        x = self._enlarged(_leaky(self.up1(x)))
        residual: Tensor = self.tail(_leaky(self.up2(x)) + first)
        # The skip stays in the input's precision: bf16 has 8 bits of mantissa.
        return noisy + residual.to(noisy.dtype)

    def _enlarged(self, x: Tensor) -> Tensor:
        return interpolate(x, scale_factor=2.0, mode="nearest") if self.stride > 1 else x


def _leaky(x: Tensor) -> Tensor:
    return leaky_relu(x, SLOPE, inplace=True)
