"""The noise of an image: its model. `noise_estimation.estimate_noise` measures it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import sqrt
from typing import TYPE_CHECKING, Annotated

from napari_denoise.settings.option import Option

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

LARGEST = 1e30
"""Intensities above it come too near the end of float32, 3.4e38, to be computed with."""
MOST_SKEWED = 1.5
"""Skewness behind an electron multiplier, whose gains are exponentially distributed."""

_COARSE = 10.0


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
        Autocorrelation of the noise along each axis at lags 1, 2 and so on, as many as matter;
        zeros if white. At least two are kept, and zeros beyond them are dropped.
    skewness
        Third cumulant of the noise over ``gain**2 * (mean - offset)``: 1 for photons alone;
        more where each electron is amplified by chance, up to 1.5 behind an electron
        multiplier, photomultiplier tubes lie between. Matters to means at a few photons.
    inverted
        The data are a negative of light: the more light, the lower the value. Then
        ``variance(mean) = gain * (offset - mean) + read_noise ** 2``, and `offset` is white.

    Raises
    ------
    ValueError
        A negative gain or read noise, or a value that is not finite.
    """

    gain: Annotated[
        float, Option("Gain", "Data units per photo-electron; 0 for purely Gaussian noise.")
    ] = 0.0
    offset: Annotated[
        float, Option("Offset", "Mean of an unexposed pixel, in the data's units.")
    ] = 0.0
    read_noise: Annotated[
        float,
        Option("Read noise", "Standard deviation of an unexposed pixel, in the data's units."),
    ] = 0.0
    correlation_y: tuple[float, ...] = (0.0, 0.0)
    correlation_x: tuple[float, ...] = (0.0, 0.0)
    skewness: Annotated[
        float,
        Option(
            "Skewness",
            "How lopsided the noise is: 1 for an ordinary camera, 1.5 behind an electron "
            "multiplier (EMCCD); photomultipliers lie between. It keeps the mean brightness right "
            "at a few photons per pixel. In doubt leave what was measured.",
        ),
    ] = 1.0
    inverted: bool = False

    def __post_init__(self) -> None:
        for name in ("gain", "offset", "read_noise"):
            value = getattr(self, name)
            least = -LARGEST if name == "offset" else 0.0
            if not least <= value <= LARGEST:  # NaN is not either
                raise ValueError(
                    f"{name} {value} of the noise: expected {least:g} to {LARGEST:g}, in the "
                    "data's units"
                )
        for name in ("correlation_y", "correlation_x"):
            lags = getattr(self, name)
            if not all(-1 <= value <= 1 for value in lags):
                raise ValueError(
                    f"{name} {lags} of the noise: expected values of -1 to 1, at lags 1, 2 ..."
                )
            object.__setattr__(self, name, _without_tail(lags))
        if not 1 <= self.skewness <= MOST_SKEWED:
            raise ValueError(
                f"skewness {self.skewness} of the noise: expected 1 (photons alone) to "
                f"{MOST_SKEWED} (behind an electron multiplier)"
            )

    @property
    def intercept(self) -> float:
        """The b of ``variance = slope * mean + b``; negative where offset dominates."""
        return self.read_noise**2 - self.slope * self.offset

    @property
    def slope(self) -> float:
        """How fast the variance grows with the mean: the gain, negative of inverted data."""
        return -self.gain if self.inverted else self.gain

    def variance(self, mean: ArrayLike) -> NDArray[np.float64]:
        """Noise variance at a noise-free intensity, never negative."""
        import numpy as np  # a command that shows its help needs none

        line = self.slope * np.asarray(mean, np.float64) + self.intercept
        return np.maximum(line, 0.0)

    @property
    def is_white(self) -> bool:
        """True if the noise of neighbouring pixels is independent."""
        return not any((*self.correlation_y, *self.correlation_x))

    @property
    def inflation(self) -> float:
        """Factor on sigma that a denoiser made for white noise must be told; 1 if white.

        ``M = p ** 0.4``, where ``p = max(1, (1 + 2 sum rho_y) (1 + 2 sum rho_x))`` is the energy
        of the coarsest noise, relative to that of white noise of its variance: correlated noise
        has more of it where images have theirs. Beyond p = 10 it hardly grows, as what is very
        coarse passes any denoiser. Nearly white noise is spared: M sets in between lag-1
        correlations of 0.05 and 0.15.
        """
        coarse_y = max(1 + 2 * sum(self.correlation_y), 0.0)
        coarse_x = max(1 + 2 * sum(self.correlation_x), 0.0)
        coarse = max(1.0, coarse_y * coarse_x)
        full = float(min(coarse, _COARSE) ** 0.4 * max(coarse / _COARSE, 1.0) ** 0.1)
        lag1 = max(self.correlation_y[0], self.correlation_x[0])
        return 1 + (full - 1) * float(min(max((lag1 - 0.05) / 0.1, 0.0), 1.0))

    def scaled(self, factor: float) -> NoiseModel:
        """Return the same noise with its variance multiplied by a factor."""
        read_noise = self.read_noise * sqrt(factor)
        return replace(self, gain=self.gain * factor, read_noise=read_noise)

    def describe(self) -> str:
        """Return the model in a line for people."""
        if self.gain > 0:
            start = "inverted: white" if self.inverted else "offset"
            text = (
                f"gain {self.gain:.3g}, {start} {self.offset:.4g}, read noise {self.read_noise:.3g}"
            )
            if self.skewness > 1.005:
                text += f", skewness {self.skewness:.2f}"
        elif self.read_noise > 0:
            text = f"Gaussian, sigma {self.read_noise:.3g}"
        else:
            return "none"
        return text if self.is_white else f"{text}, correlated ({self._describe_lags()})"

    def _describe_lags(self) -> str:
        along_y, along_x = (
            " / ".join(f"{value:z.2f}" for value in lags)
            for lags in (self.correlation_y, self.correlation_x)
        )
        return along_y if along_y == along_x else f"y {along_y}, x {along_x}"


def _without_tail(lags: tuple[float, ...]) -> tuple[float, ...]:
    """Write one correlation one way: no zeros at the end, but two lags at least."""
    last = max((number for number, value in enumerate(lags, 1) if value), default=0)
    return (*lags[: max(last, 2)], *(0.0,) * (2 - len(lags)))
