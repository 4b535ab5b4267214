"""Light without the pattern of the surface that it falls on, for linear HDR with an albedo.

Radiance is about the albedo times the light, and light varies less from pixel to pixel (divided
out so in Bako et al. 2017, Kernel-predicting convolutional networks for denoising Monte Carlo
renderings). What an albedo of few samples has of noise comes back with it; the network is shown
its logarithm, and can take that noise off again.
"""

from __future__ import annotations

import torch
from torch import Tensor

from napari_denoise.core.intensity import LOG_WIDTH

_DARKEST = 0.04
"""Added to the albedo: what black surfaces send back is mostly no diffuse light."""
_COLOURS = 3


def log_albedo(features: Tensor) -> Tensor:
    """Return the logarithm of what the albedo does to the light, over `LOG_WIDTH`.

    Parameters
    ----------
    features
        (N, F, Y, X) as `inference.features` lays them out: the albedo first, and a plane that
        is 1 where there is one after albedo and normal.

    Returns
    -------
    (N, 3, Y, X), zero for an albedo of about one half, and where there is none.
    """
    albedo, there = features[:, :_COLOURS], features[:, 2 * _COLOURS : 2 * _COLOURS + 1]
    factor = 2 * (albedo.clamp_min(0) + _DARKEST)
    return torch.log(factor) * (there / LOG_WIDTH)


def relit(mapped: Tensor, by: Tensor) -> Tensor:
    """Multiply radiance, in the network's units, by a factor whose logarithm is given.

    Parameters
    ----------
    mapped
        (N, 3, Y, X), ``log(1 + x) / LOG_WIDTH``, odd around zero.
    by
        (N, 3, Y, X), logarithm of the factor, over `LOG_WIDTH`.
    """
    radiance = torch.expm1(mapped.abs() * LOG_WIDTH) * torch.exp(by * LOG_WIDTH)
    return torch.sign(mapped) * torch.log1p(radiance) / LOG_WIDTH
