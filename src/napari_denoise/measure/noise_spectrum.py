"""Spatial correlation of noise, from the mean cosine spectrum of its blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from napari_denoise.measure.noise_blocks import BASIS, ORDER, SIZE

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


def _overlaps() -> FloatArray:
    """(h, u): sum over i of phi_u(i) phi_u(i + h)."""
    return np.array(
        [(BASIS[:, : SIZE - h] * BASIS[:, h:]).sum(axis=1) for h in range(5)], np.float64
    )


_OVERLAPS = _overlaps()


@dataclass(frozen=True)
class Correlation:
    """Noise made by a separable kernel [c2 c1 1 c1 c2] from white noise."""

    kernel_y: tuple[float, float] = (0.0, 0.0)
    kernel_x: tuple[float, float] = (0.0, 0.0)

    @property
    def rho_y(self) -> tuple[float, float]:
        """Autocorrelation at lags 1 and 2 along y."""
        rho = _autocorrelation(*self.kernel_y)
        return float(rho[1]), float(rho[2])

    @property
    def rho_x(self) -> tuple[float, float]:
        """Autocorrelation at lags 1 and 2 along x."""
        rho = _autocorrelation(*self.kernel_x)
        return float(rho[1]), float(rho[2])

    @property
    def spectrum(self) -> FloatArray:
        """(u, v): mean energy of each cosine for noise of variance 1."""
        return _spectrum(np.array([*self.kernel_y, *self.kernel_x]))


def spectrum_of(along_y: Sequence[float], along_x: Sequence[float]) -> FloatArray:
    """Return the mean energy of each cosine, (u, v), for noise of variance 1.

    Parameters
    ----------
    along_y, along_x
        Autocorrelation along each axis at lags 1, 2 and so on.
    """
    return np.outer(_energies(along_y), _energies(along_x))


def _energies(lags: Sequence[float]) -> FloatArray:
    """(u,) mean energy along one axis."""
    known = lags[: SIZE - 1]
    overlaps = [(BASIS[:, : SIZE - h] * BASIS[:, h:]).sum(axis=1) for h in range(len(known) + 1)]
    return np.asarray(np.maximum(np.array([1.0, *(2 * r for r in known)]) @ overlaps, 1e-4))


def _autocorrelation(c1: float, c2: float) -> FloatArray:
    """(5,) autocorrelation at lags 0 to 4."""
    kernel = np.array([c2, c1, 1.0, c1, c2])
    full = np.convolve(kernel, kernel)[4:]
    return np.asarray(full / full[0])


def _gains(c1: float, c2: float) -> FloatArray:
    """(u,) mean energy along one axis."""
    rho = _autocorrelation(c1, c2)
    rho = rho * np.array([1, 2, 2, 2, 2])
    return np.asarray(np.maximum(rho @ _OVERLAPS, 1e-4))


def _spectrum(kernels: FloatArray) -> FloatArray:
    return np.outer(_gains(kernels[0], kernels[1]), _gains(kernels[2], kernels[3]))


def fit_correlation(
    energy: FloatArray,
    orders: BoolArray = ORDER >= 3,
    tilt: float = 0.0,
    insignificant: float = 0.03,
) -> Correlation:
    """Fit the kernel to a mean spectrum.

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

    def misfit(p: FloatArray) -> FloatArray:
        logs = np.log(_spectrum(p[1:]))[orders] + p[0]
        return np.asarray((logs - wanted[orders]) * weight)

    start = [*start_y, *start_x]
    scale = float(np.mean(wanted[orders] - np.log(_spectrum(np.array(start)))[orders]))
    fit = least_squares(misfit, [scale, *start], loss="soft_l1", max_nfev=20, ftol=1e-4)
    best = [float(value) for value in fit.x]
    found = Correlation((best[1], best[2]), (best[3], best[4]))
    strongest = max(abs(r) for r in (*found.rho_y, *found.rho_x))
    return Correlation() if strongest <= insignificant else found


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
_LOG_GAINS: FloatArray = np.log([_gains(c1, c2) for c1, c2 in _KERNELS])
