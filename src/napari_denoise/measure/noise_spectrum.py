"""Spatial correlation of noise, from the mean cosine spectrum of its blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares

from napari_denoise.measure.noise_blocks import ORDER, SIZE, WIDE, cosines

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_LEAST_GAIN = 1e-4
_LEAST_LAG = 0.01
"""Correlations below it, at the end of a row of lags, are left out."""
_START_SHARE, _START_WIDTH = 0.08, 2.2
_LEAST_WIDE = [-5.0, *[-0.5] * 6, 0.0, 1.5, 1.5]
_MOST_WIDE = [5.0, *[1.3] * 6, 0.7, 4.0, 4.0]
"""Bounds of the logarithm of the scale, three taps along y and x, share and widths."""


@lru_cache(maxsize=2)
def _overlaps(size: int) -> FloatArray:
    """(h, u): sum over i of phi_u(i) phi_u(i + h), doubled for h > 0, which counts both ways."""
    basis = cosines(size)
    sums = [(basis[:, : size - h] * basis[:, h:]).sum(axis=1) for h in range(size)]
    return np.asarray(np.array(sums) * np.array([1.0, *[2.0] * (size - 1)])[:, None])


@dataclass(frozen=True)
class Correlation:
    """Noise made from white noise, by a separable kernel and, beside it, by a wide smooth one.

    Parameters
    ----------
    kernel_y, kernel_x
        c1, c2 ... of the kernel [... c2 c1 1 c1 c2 ...] along each axis.
    share
        Part of the variance whose autocorrelation is Gaussian instead.
    widths
        Standard deviations of that Gaussian along y and x, in pixels.
    """

    kernel_y: tuple[float, ...] = (0.0, 0.0)
    kernel_x: tuple[float, ...] = (0.0, 0.0)
    share: float = 0.0
    widths: tuple[float, float] = (1.0, 1.0)

    @property
    def rho_y(self) -> tuple[float, ...]:
        """Autocorrelation at lags 1, 2 ... along y; at least two."""
        return self._lags(self.kernel_y, self.widths[0])

    @property
    def rho_x(self) -> tuple[float, ...]:
        """Autocorrelation at lags 1, 2 ... along x; at least two."""
        return self._lags(self.kernel_x, self.widths[1])

    def spectrum(self, size: int = SIZE) -> FloatArray:
        """(u, v): mean energy of each cosine of a block for noise of variance 1."""
        near = np.outer(_gains(self.kernel_y, size), _gains(self.kernel_x, size))
        if self.share == 0:
            return near
        far = np.outer(*(_gains_of(_gaussian(width, size), size) for width in self.widths))
        return np.asarray((1 - self.share) * near + self.share * far)

    @property
    def coarse(self) -> float:
        """Energy of the coarsest noise, relative to that of white noise of its variance."""
        return max(1 + 2 * sum(self.rho_y), 0.0) * max(1 + 2 * sum(self.rho_x), 0.0)

    def _lags(self, kernel: Sequence[float], width: float) -> tuple[float, ...]:
        near = _autocorrelation(kernel)
        both = self.share * _gaussian(width, WIDE)
        both[: len(near)] += (1 - self.share) * near
        last = max((h for h in range(1, WIDE) if abs(both[h]) >= _LEAST_LAG), default=0)
        return tuple(float(value) for value in both[1 : max(last, 2) + 1])


def spectrum_of(along_y: Sequence[float], along_x: Sequence[float]) -> FloatArray:
    """Return the mean energy of each cosine, (u, v), for noise of variance 1.

    Parameters
    ----------
    along_y, along_x
        Autocorrelation along each axis at lags 1, 2 and so on.
    """
    return np.outer(_gains_of([1.0, *along_y], SIZE), _gains_of([1.0, *along_x], SIZE))


def _autocorrelation(kernel: Sequence[float] | FloatArray) -> FloatArray:
    """Autocorrelation at lags 0, 1 ... of what a kernel makes of white noise."""
    taps = np.array([*kernel[::-1], 1.0, *kernel])
    full = np.convolve(taps, taps)[len(taps) - 1 :]
    return np.asarray(full / full[0])


def _gaussian(width: float, lags: int) -> FloatArray:
    return np.asarray(np.exp(-0.5 * (np.arange(lags) / width) ** 2))


def _gains(kernel: Sequence[float] | FloatArray, size: int = SIZE) -> FloatArray:
    """(u,) mean energy along one axis."""
    return _gains_of(_autocorrelation(kernel), size)


def _gains_of(rho: ArrayLike, size: int) -> FloatArray:
    lags = np.asarray(rho)[:size]
    return np.asarray(np.maximum(lags @ _overlaps(size)[: len(lags)], _LEAST_GAIN))


def fit_correlation(
    energy: FloatArray,
    orders: BoolArray = ORDER >= 3,
    tilt: float = 0.0,
    insignificant: float = 0.03,
) -> Correlation:
    """Fit a kernel of five taps to a mean spectrum.

    Parameters
    ----------
    energy
        (8, 8) mean energies, any scale.
    orders
        The cosines to fit: by default not the coarsest, which hold an image's content.
    tilt
        Weights are energies to this power. 0 distrusts strong cosines most, which is
        where texture shows; above it distrusts weak ones, which is where energy of the
        strong ones leaks to if the variance differs within a block.
    insignificant
        Correlations up to this on both axes are taken as none.
    """
    if not (energy[orders] > 0).all():
        return Correlation()
    wanted = np.log(energy)
    weight = 5 * (energy[orders] / energy[orders].max()) ** tilt
    start_y, start_x = _coarse_fit(wanted, orders)

    def spectrum(p: FloatArray) -> FloatArray:
        return np.outer(_gains(p[:2]), _gains(p[2:]))

    def misfit(p: FloatArray) -> FloatArray:
        logs = np.log(spectrum(p[1:]))[orders] + p[0]
        return np.asarray((logs - wanted[orders]) * weight)

    start = np.array([*start_y, *start_x])
    scale = float(np.mean(wanted[orders] - np.log(spectrum(start))[orders]))
    fit = least_squares(misfit, [scale, *start], loss="soft_l1", max_nfev=20, ftol=1e-4)
    best = [float(value) for value in fit.x]
    found = Correlation((best[1], best[2]), (best[3], best[4]))
    strongest = max(abs(r) for r in (*found.rho_y, *found.rho_x))
    return Correlation() if strongest <= insignificant else found


def fit_far_correlation(energy: FloatArray, near: Correlation, orders: BoolArray) -> Correlation:
    """Fit a kernel of seven taps and a wide smooth part to the mean spectrum of wide blocks.

    Parameters
    ----------
    energy
        (16, 16) mean energies, all above 0, any scale.
    near
        What smaller blocks showed, to start from.
    orders
        The cosines to fit.
    """
    wanted = np.log(energy[orders])

    def made(p: FloatArray) -> Correlation:
        return Correlation(tuple(p[1:4]), tuple(p[4:7]), float(p[7]), (p[8], p[9]))

    def misfit(p: FloatArray) -> FloatArray:
        return np.asarray(5 * (np.log(made(p).spectrum(WIDE)[orders]) + p[0] - wanted))

    kernels = [*near.kernel_y[:2], 0.01, *near.kernel_x[:2], 0.01]
    wide = [_START_SHARE, _START_WIDTH, _START_WIDTH]
    start = np.clip([0.0, *kernels, *wide], np.add(_LEAST_WIDE, 1e-3), np.add(_MOST_WIDE, -1e-3))
    bounds = _LEAST_WIDE, _MOST_WIDE
    return made(least_squares(misfit, start, loss="soft_l1", bounds=bounds, max_nfev=40).x)


def _coarse_fit(wanted: FloatArray, orders: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Search a grid of kernels, first one for both axes, then each axis in turn."""
    both = _LOG_GAINS[:, :, None] + _LOG_GAINS[:, None, :]
    along_x = along_y = _LOG_GAINS[_best(both, wanted, orders)]
    for _ in range(2):
        along_y = _LOG_GAINS[_best(_LOG_GAINS[:, :, None] + along_x, wanted, orders)]
        along_x = _LOG_GAINS[_best(along_y[:, None] + _LOG_GAINS[:, None, :], wanted, orders)]
    row_y = _best(_LOG_GAINS[:, :, None] + along_x, wanted, orders)
    row_x = _best(along_y[:, None] + _LOG_GAINS[:, None, :], wanted, orders)
    return _KERNELS[row_y], _KERNELS[row_x]


def _best(candidates: FloatArray, wanted: FloatArray, orders: BoolArray) -> int:
    """Index of the candidate with the least mean absolute misfit at its best scale."""
    misfit = (wanted - candidates)[:, orders]
    misfit -= np.median(misfit, axis=1, keepdims=True)
    return int(np.argmin(np.abs(misfit).sum(axis=1)))


_KERNELS: FloatArray = np.array(
    [(c1, c2) for c1 in np.linspace(-0.3, 1.2, 26) for c2 in np.linspace(-0.2, 1, 19)]
)
_LOG_GAINS: FloatArray = np.log([_gains(kernel) for kernel in _KERNELS])
