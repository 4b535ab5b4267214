"""Loss terms, each a pure function of tensors and a mean, so that sizes do not change weights.

Images are (N, C, Y, X) in the network's units; every function returns a scalar.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_denoise.measure.mappings import Mapping, inverse_mean
from napari_denoise.models.network import VARIANCE_FLOOR
from napari_denoise.settings.recipe import SSIM_WINDOW

SIGMA_FLOOR = 0.01
"""Added to the noise level where a term is divided by it."""
SHOTS_FLOOR = 0.1
"""Mean shots of a batch below which it counts less: what a few pixels say is no more than that."""
EVEN_LEVEL, EVEN_POWER = 0.1, 0.7
"""Noise at which `even_l1` is `l1`, and how the error grows with the noise."""
_SSIM_SIGMA = 1.5


def l1(output: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error; aims at the median."""
    return (output - target).abs().mean()


def l2(output: Tensor, target: Tensor, sigma: Tensor, shots: Tensor | None = None) -> Tensor:
    """Mean squared error over the noise level, which evens out patches; aims at the mean.

    Pixels count by the shots that their target is the mean of, (N, 1, Y, X); all alike if None.
    """
    return _mean((output - target).square() / (sigma + SIGMA_FLOOR), shots)


def even_l1(output: Tensor, target: Tensor, noisy: Tensor) -> Tensor:
    """Mean absolute error over a power of the noise that each patch really has.

    The absolute error grows with about the 0.7th power of the noise, so patches of weak and of
    strong noise count alike in decibels. What the network was told may be wrong; this is not.
    """
    noise = (noisy - target).square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
    weight = (EVEN_LEVEL / (noise + SIGMA_FLOOR)) ** EVEN_POWER
    return ((output - target).abs() * weight).mean()


def relative(output: Tensor, target: Tensor, log_width: float | None) -> Tensor:
    """Squared error in radiance over the squared output; aims at the mean of radiance.

    The denominator is detached, else the loss would be lowered by brightening the output
    (Lehtinen et al. 2018, Noise2Noise, arXiv 1803.04189).
    """
    if log_width is not None:
        output, target = (torch.expm1(image * log_width) for image in (output, target))
    return ((output - target).square() / (output.detach().square() + SIGMA_FLOOR)).mean()


def spread(
    output: Tensor,
    variance: Tensor,
    target: Tensor,
    sigma: Tensor,
    noisy: Tensor | None = None,
    shots: Tensor | None = None,
) -> Tensor:
    """Squared difference of the stated variance to the squared error, in noise variances.

    The error is detached: the term teaches the variance alone, whose best value is the
    expected squared error.

    Parameters
    ----------
    output, variance, target, sigma
        (N, C, Y, X), sigma (N, 1, Y, X).
    noisy
        The input, where the target is a second shot as noisy as it is. Half the squared
        difference of two shots has the variance of one as its mean; that much of the squared
        error is the target's, not the output's.
    shots
        (N, 1, Y, X), where the target is the mean of so many shots: the less of the difference
        is the target's. None for one.
    """
    unit = sigma.square() + VARIANCE_FLOOR
    error = (output.detach() - target).square()
    if noisy is not None:
        share = 0.5 if shots is None else 1 / (1 + shots)
        error = error - share * (noisy - target).square()
    return _mean(((variance - error) / unit).square(), shots)


def _mean(values: Tensor, shots: Tensor | None) -> Tensor:
    """Mean of (N, C, Y, X), all alike or by the shots of (N, 1, Y, X)."""
    if shots is None:
        return values.mean()
    return (values * shots).mean() / shots.mean().clamp_min(SHOTS_FLOOR)


def spread_deviance(variance: Tensor, output: Tensor, target: Tensor, sigma: Tensor) -> Tensor:
    """Poisson deviance of the stated variance from the squared error, in noise variances.

    Least where the variance is the expected squared error, as `spread`, but small variances
    count as much as large ones. Too steep to share a network with the image.
    """
    unit = sigma.square() + VARIANCE_FLOOR
    stated, error = variance / unit, (output.detach() - target).square() / unit
    return (stated - error * torch.log(stated + VARIANCE_FLOOR)).mean()


def intensity_error(
    output: Tensor,
    variance: Tensor,
    target: Tensor,
    sigma: Tensor,
    mappings: Sequence[tuple[Mapping, float]],
    margin: int = 0,
) -> Tensor:
    """Squared error of the intensities that output and variance stand for, in noise variances.

    The output is detached. Learnt from this, the variance is whatever makes
    `intensity.inverse_mean` give the mean intensity: the error's own variance, and what the
    bend of the mapping beyond second order and a bias of the output ask for besides.

    Parameters
    ----------
    output, variance, target, sigma
        (N, C, Y, X), sigma (N, 1, Y, X).
    mappings
        As in `Batch`.
    margin
        Pixels to leave out all around.
    """
    height, width = output.shape[2:]
    inner = slice(margin, height - margin), slice(margin, width - margin)
    means, stated, wanted = (planes[:, :, *inner] for planes in (output, variance, target))
    parts = []
    for number, known_mapping in enumerate(mappings):
        intensity = partial(_intensity, *known_mapping)
        mean, aim, spread = means[number].detach(), wanted[number], stated[number]
        known = spread.detach()
        now = intensity(mean, known)
        slope = (intensity(mean, 2 * known) - now) / known.clamp_min(1e-12)
        level, noise = aim.mean(), sigma[number].mean() / 2
        unit = (intensity(level + noise) - intensity(level - noise)).clamp_min(1e-12)
        # Its value is the squared error, its gradient that of the variance's share in it.
        parts.append(((intensity(aim) - now - slope * (spread - known)) / unit).square())
    return torch.stack(parts).mean()


def _intensity(
    mapping: Mapping, squeeze: float, mean: Tensor, variance: Tensor | None = None
) -> Tensor:
    values = ((mean - 0.5) / squeeze + 0.5).numpy(force=True)
    spread = None if variance is None else (variance / squeeze**2).numpy(force=True)
    return torch.from_numpy(inverse_mean(mapping, values, spread)).to(mean.device)


def smoothness(output: Tensor) -> Tensor:
    """Mean squared difference to the image shifted by one pixel left and down."""
    across = (output[..., 1:] - output[..., :-1]).square().mean()
    down = (output[..., 1:, :] - output[..., :-1, :]).square().mean()
    return across + down


def mean_intensity(output: Tensor, target: Tensor, margin: int = 0) -> Tensor:
    """Squared error of the mean of each patch and channel, in units of 1/255.

    Without a margin, of the width of the receptive field but at most a quarter of the patch:
    what a network makes of the zeros around a patch is no part of a large image, and an error
    of the opposite sign within would make up for it.
    """
    margin = min(margin, output.shape[-1] // 4, output.shape[-2] // 4)
    inner = slice(margin, -margin or None)
    difference = (output - target)[..., inner, inner].mean(dim=(-2, -1)) * 255
    return difference.square().mean()


def feature_distance(output: Tensor, clean: Tensor) -> Tensor:
    """Mean absolute difference of features, over the mean absolute clean feature."""
    scale = clean.abs().mean(dim=(0, 2, 3), keepdim=True) + 1e-6
    return ((output - clean).abs() / scale).mean()


def negative_psnr(output: Tensor, target: Tensor) -> Tensor:
    """PSNR of each patch with data range 1, negated, in units of 20 dB."""
    error = (output - target).square().mean(dim=(1, 2, 3)) + 1e-8
    return 0.5 * error.log10().mean()


def dissimilarity(output: Tensor, target: Tensor) -> Tensor:
    """1 - SSIM with data range 1 and Gaussian windows (Wang et al. 2004)."""
    x, y = output, target
    mean_x, mean_y = _blur(x), _blur(y)
    var_x = _blur(x * x) - mean_x * mean_x
    var_y = _blur(y * y) - mean_y * mean_y
    covariance = _blur(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    likeness = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return 1 - (likeness / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))).mean()


def _blur(image: Tensor) -> Tensor:
    """Gaussian windows that lie wholly inside the image."""
    position = torch.arange(SSIM_WINDOW, device=image.device, dtype=image.dtype)
    kernel = torch.exp(-((position - SSIM_WINDOW // 2) ** 2) / (2 * _SSIM_SIGMA**2))
    kernel = (kernel / kernel.sum()).expand(image.shape[1], 1, 1, -1)
    across = F.conv2d(image, kernel, groups=image.shape[1])
    return F.conv2d(across, kernel.transpose(-1, -2), groups=image.shape[1])


def gradient_penalty(scores: Tensor, points: Tensor) -> Tensor:
    """Squared distance from 1 of the score's gradient norm (Gulrajani et al. 2017).

    Parameters
    ----------
    scores
        Of the discriminator at `points`.
    points
        Between real and fake patches, with `requires_grad`.
    """
    norm = _gradient(scores, points).square().sum(dim=(1, 2, 3)).add(1e-12).sqrt()
    return (norm - 1).square().mean()


def r1(scores: Tensor, real: Tensor) -> Tensor:
    """Half the squared norm of the score's gradient at real patches (Mescheder et al. 2018)."""
    return 0.5 * _gradient(scores, real).square().sum(dim=(1, 2, 3)).mean()


def _gradient(scores: Tensor, points: Tensor) -> Tensor:
    # One score per patch, so that its gradient does not depend on the number of places.
    per_patch = scores.mean(dim=(1, 2, 3)).sum()
    (gradient,) = torch.autograd.grad(per_patch, points, create_graph=True)
    return gradient
