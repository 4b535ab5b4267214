"""The noise of an image: its model, and its estimation from the image itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class NoiseModel:
    """Poisson-Gaussian noise, white or spatially correlated, in the data's own units.

    ``variance(mean) = gain * (mean - offset) + read_noise ** 2``

    Parameters
    ----------
    gain
        Data units per photo-electron; 0 for purely Gaussian noise.
    offset
        Mean of an unexposed pixel.
    read_noise
        Standard deviation of an unexposed pixel.
    correlation_y, correlation_x
        Autocorrelation of the noise at lags 1 and 2 along each axis; zeros if white.
    """

    gain: float = 0.0
    offset: float = 0.0
    read_noise: float = 0.0
    correlation_y: tuple[float, float] = (0.0, 0.0)
    correlation_x: tuple[float, float] = (0.0, 0.0)

    @property
    def intercept(self) -> float:
        """The b of ``variance = gain * mean + b``; negative where offset dominates."""
        return self.read_noise**2 - self.gain * self.offset

    def variance(self, mean: ArrayLike) -> NDArray[np.float64]:
        """Noise variance at a noise-free intensity, never negative."""
        line = self.gain * np.asarray(mean, np.float64) + self.intercept
        return np.maximum(line, 0.0)

    @property
    def inflation(self) -> float:
        """Factor on sigma that a denoiser made for white noise must be told; 1 if white."""
        return 1.0
