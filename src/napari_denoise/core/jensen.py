"""What the Anscombe transform does to a mean: E[f(z)] - f(E[z]) for Poisson-Gaussian z."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from numpy.typing import NDArray
from scipy.stats import poisson

FloatArray = NDArray[np.float64]

# Above this many photons the Poisson law is taken as a normal one with two Edgeworth terms.
_MANY = 60.0
_NODES = 48


@lru_cache(maxsize=64)
def jensen_gap(read_noise: float, reach: float) -> tuple[FloatArray, FloatArray]:
    """Tabulate the gap over the mean of the transformed values.

    Parameters
    ----------
    read_noise
        Standard deviation of the Gaussian part, in photons.
    reach
        Largest transformed value of the table, in units of the noise sd.

    Returns
    -------
    tuple
        (N,) increasing means E[f(z)], and (N,) gaps E[f(z)] - f(E[z]); f is the
        transform of `intensity.AnscombeMapping` in photons. Subtract the gap at a mean
        from the mean and the algebraic inverse of f becomes the exact unbiased inverse.
        Relative to the defining integral the error is below 1e-4 of the noise sd.
    """
    t = _grid(reach)
    root = np.sqrt(read_noise**2 + 0.375)
    photons = np.where(t > 0, t * t / 4, 0) + t * root
    mean = np.empty_like(t)
    few = photons < _MANY
    mean[few] = _mean_of_few(photons[few], read_noise, root)
    mean[~few] = _mean_of_many(photons[~few], read_noise, root)
    return mean, mean - t


def _grid(reach: float) -> FloatArray:
    """Fine where the gap has features (few photons), coarse where it is smooth."""
    near = np.arange(-8, 6, 0.04)
    far = np.geomspace(6, max(reach, 12.0), 200)
    return np.concatenate([near, far])


def _transform(photons: FloatArray, root: float) -> FloatArray:
    return 2 * photons / (np.sqrt(root**2 + np.maximum(photons, 0)) + root)


def _normal() -> tuple[FloatArray, FloatArray]:
    nodes, weights = hermegauss(_NODES)
    return nodes, weights / weights.sum()


def _mean_of_few(photons: FloatArray, read_noise: float, root: float) -> FloatArray:
    """Sum over the Poisson law, integrate over the normal one.

    A mean below the offset cannot come from photons: there it is the normal law's alone.
    """
    nodes, weights = _normal()
    counts = np.arange(int(_MANY + 12 * np.sqrt(_MANY)))
    shift = np.minimum(photons, 0)[:, None]
    law = poisson.pmf(counts, np.maximum(photons, 0)[:, None])
    mean = np.zeros_like(photons)
    for node, weight in zip(nodes, weights, strict=True):
        if weight > 1e-12:
            spot = counts + shift + read_noise * node
            mean += weight * (law * _transform(spot, root)).sum(axis=1)
    return mean


def _mean_of_many(photons: FloatArray, read_noise: float, root: float) -> FloatArray:
    """Integrate over a normal law corrected for skewness and kurtosis (Edgeworth)."""
    nodes, weights = _normal()
    p = photons[:, None]
    sd = np.sqrt(p + read_noise**2)
    skew, kurtosis = p / sd**3, p / sd**4
    n2 = nodes**2
    third, fourth = nodes * (n2 - 3), n2 * n2 - 6 * n2 + 3
    sixth = n2**3 - 15 * n2**2 + 45 * n2 - 15
    density = weights * (1 + skew / 6 * third + kurtosis / 24 * fourth + skew**2 / 72 * sixth)
    return np.asarray((density * _transform(p + sd * nodes, root)).sum(axis=1))
