"""What the engine and the training loop ask of any denoising network."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn


class Network(nn.Module):
    """A network whose output at a pixel depends on a known neighbourhood alone."""

    radius: int
    """Receptive field radius, pixels."""
    multiple: int
    """Height and width of the input must be multiples of this."""

    @abstractmethod
    def forward(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        """(N, C, Y, X) and the noise sd (N, 1, Y, X) -> denoised (N, C, Y, X)."""
