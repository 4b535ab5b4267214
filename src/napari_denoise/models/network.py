"""What the engine and the training loop ask of any denoising network."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn

from napari_denoise.image.tiles import Window

VARIANCE_FLOOR = (2 / 255) ** 2
"""The variance of an error is told in units of that of the noise plus this."""


class Network(nn.Module):
    """A network whose output at a pixel depends on a known neighbourhood alone."""

    radius: int
    """Receptive field radius, pixels."""
    multiple: int
    """Height and width of the input must be multiples of this."""
    spread: bool = False
    """Whether the output carries a second set of C planes: the variance of its own error."""
    bytes_per_pixel: int = 400
    """Peak memory in float32 per pixel read, as `benchmarks/tiling.py` measured it."""
    features: int = 0
    """Planes beside the image that it takes, such as albedo and normal."""

    @abstractmethod
    def forward(self, noisy: Tensor, sigma: Tensor, features: Tensor | None = None) -> Tensor:
        """(N, C, Y, X) and the noise sd (N, 1, Y, X) -> denoised (N, C or 2C, Y, X)."""

    def within(self, noisy: Tensor, sigma: Tensor, features: Tensor | None, keep: Window) -> Tensor:
        """Return `forward` in some rows and columns; a network may leave out what they need not."""
        output: Tensor = self(noisy, sigma, features)
        return output[:, :, *keep]

    def learn_variance_alone(self, alone: bool) -> None:
        """Withhold gradients from all but the stated variance, or give them to all again.

        Zero gradients would not do: an optimiser still moves what has momentum.
        """
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(not alone or name.startswith("error."))

    def split(self, output: Tensor) -> tuple[Tensor, Tensor | None]:
        """Part an output into the denoised image and its variance, None without `spread`."""
        if not self.spread:
            return output, None
        mean, variance = output.chunk(2, dim=1)
        return mean, variance
