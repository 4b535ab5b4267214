"""Discriminators: how real the parts of an image look, as a map of raw scores."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

SLOPE = 0.2
"""Of the leaky ReLU."""


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Shape of a `PatchDiscriminator`.

    Parameters
    ----------
    channels
        Image channels.
    widths, strides
        Features out of each convolution, and its stride; the last width is that of the
        scores, 1.
    kernel
        Side of every convolution.
    spectral_norm
        Whether the weights of each layer are divided by their largest singular value. A
        critic that is trained with a gradient penalty goes without.
    contrast
        What images, 0..1, are multiplied by, around their middle grey. Sixteen stops share
        that range after a logarithm: what the eye sees well is small there.
    """

    channels: int = 3
    widths: tuple[int, ...] = (48, 96, 192, 1)
    strides: tuple[int, ...] = (2, 2, 1, 1)
    kernel: int = 4
    spectral_norm: bool = True
    contrast: float = 2.0

    def __post_init__(self) -> None:
        if len(self.widths) != len(self.strides) or self.widths[-1:] != (1,):
            raise ValueError(
                f"widths {self.widths} and strides {self.strides}: expected one of each per "
                "layer, and the last width to be 1"
            )

    @property
    def padding(self) -> int:
        """Zeros around the input of every convolution."""
        return (self.kernel - 1) // 2

    @property
    def smallest(self) -> int:
        """Least height and width of an image that has a score."""
        size = 1
        for stride in reversed(self.strides):
            size = max((size - 1) * stride + self.kernel - 2 * self.padding, 1)
        return size


class PatchDiscriminator(nn.Module):
    """Convolutions that score every patch of an image (Isola et al. 2017, arXiv 1611.07004).

    One and the same module scores real and generated images. There is no batch norm, which
    would let the scores of an image depend on the others in its batch, and no sigmoid: the
    loss takes the raw scores. Spectral norm follows Miyato et al. 2018, arXiv 1802.05957; in
    training mode every forward refines its estimate of the singular value, so scores of two
    calls may differ a little unless `torch.nn.utils.parametrize.cached` spans both.
    """

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.smallest, self.contrast = config.smallest, config.contrast
        layers: list[nn.Module] = []
        before = config.channels
        for width, stride in zip(config.widths, config.strides, strict=True):
            conv = nn.Conv2d(before, width, config.kernel, stride, config.padding)
            # PyTorch's own start shrinks the signal with every layer: scores of clean and
            # denoised patches then differ too little to learn from.
            nn.init.kaiming_normal_(conv.weight, SLOPE)
            layers += [spectral_norm(conv) if config.spectral_norm else conv, nn.LeakyReLU(SLOPE)]
            before = width
        self.layers = nn.Sequential(*layers[:-1])  # the scores are linear

    def forward(self, image: Tensor) -> Tensor:
        """(N, C, Y, X) -> scores (N, 1, Y', X'), any number, larger for more real.

        Raises
        ------
        ValueError
            The image is smaller than `smallest`.
        """
        if min(image.shape[-2:]) < self.smallest:
            raise ValueError(
                f"image of {tuple(image.shape[-2:])} pixels: this discriminator needs at least "
                f"{self.smallest} x {self.smallest}; train on larger patches"
            )
        scores: Tensor = self.layers(self.contrast * (image - 0.5))
        return scores
