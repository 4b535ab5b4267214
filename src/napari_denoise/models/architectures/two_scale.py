"""The generator: a two-scale residual network with a small receptive field."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from napari_denoise.image.tiles import Window
from napari_denoise.measure.mappings import LOG_WIDTH
from napari_denoise.models.network import VARIANCE_FLOOR, Network


@dataclass(frozen=True)
class GeneratorConfig:
    """Shape of a `Generator`.

    Parameters
    ----------
    channels
        Image channels in and out.
    widths
        Features at half and at quarter resolution.
    blocks
        Residual blocks before, at and after the quarter resolution.
    spread
        Also state the variance of the error.
    features
        Planes taken beside the image.
    demodulate
        The first features are an albedo, by which the image, linear HDR through the logarithm, is
        divided on the way in and multiplied on the way out: what is left to denoise is the
        light, without the pattern of the surface.
    """

    channels: int = 1
    widths: tuple[int, int] = (48, 96)
    blocks: tuple[int, int, int] = (1, 4, 1)
    spread: bool = False
    features: int = 0
    demodulate: bool = False

    @property
    def multiple(self) -> int:
        """Height and width of the input must be multiples of this."""
        return 4

    @property
    def radius(self) -> int:
        """Receptive field radius in pixels of the input.

        Every 3x3 convolution reaches one pixel of its own scale; a pixel is
        up to three away from the border of the 4x4 cell that it is computed with.
        """
        before, middle, after = self.blocks
        half = 2 + 2 * (before + after)  # head, tail and the blocks between
        quarter = 2 * middle
        return 2 * half + 4 * quarter + self.multiple - 1


class ResidualBlock(nn.Module):
    """``x + conv(relu(conv(x)))``, started near the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        with torch.no_grad():
            self.conv2.weight.mul_(0.1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, W, Y, X) -> the same shape."""
        y: Tensor = self.conv2(torch.relu_(self.conv1(x)))
        return y.add_(x)


class Generator(Network):
    """Denoise an image whose noise level is given as a map.

    The image is folded to half resolution, so that most work happens on a quarter
    and a sixteenth of the pixels. There is no normalisation layer and no global
    pooling: the result at a pixel depends on its receptive field alone, which is
    what makes exact tiling possible. The output is linear and added to the input.

    The noise map as an input follows FFDNet (Zhang et al. 2018, arXiv 1710.04026).
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.radius, self.multiple = config.radius, config.multiple
        self.spread, self.features = config.spread, config.features
        self.demodulate = config.demodulate
        half, quarter = config.widths
        before, middle, after = config.blocks
        planes = config.channels + 1 + config.features + config.channels * config.demodulate
        self.head = nn.Conv2d(4 * planes, half, 3, padding=1)
        self.before = nn.Sequential(*(ResidualBlock(half) for _ in range(before)))
        self.down = nn.Conv2d(half, quarter, 2, stride=2)
        self.middle = nn.Sequential(*(ResidualBlock(quarter) for _ in range(middle)))
        self.up = nn.ConvTranspose2d(quarter, half, 2, stride=2)
        self.after = nn.Sequential(*(ResidualBlock(half) for _ in range(after)))
        self.tail = nn.Conv2d(half, 4 * config.channels, 3, padding=1)
        if config.spread:
            self.error = nn.Sequential(
                nn.Conv2d(half, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 4 * config.channels, 1)
            )
        with torch.no_grad():
            self.tail.weight.mul_(0.1)

    def forward(self, noisy: Tensor, sigma: Tensor, features: Tensor | None = None) -> Tensor:
        """Return the denoised image, and its variance if the configuration says `spread`.

        Parameters
        ----------
        noisy
            (N, C, Y, X), Y and X multiples of 4, values about [0, 1].
        sigma
            (N, 1, Y, X), noise standard deviation in the units of `noisy`.
        features
            (N, F, Y, X); None stands for zeros.
        """
        return self.within(noisy, sigma, features)

    def within(
        self, noisy: Tensor, sigma: Tensor, features: Tensor | None, keep: Window | None = None
    ) -> Tensor:
        """Return `forward` in some rows and columns, or in all.

        Every layer needs less of a margin around them than the one before. What no later
        layer needs is cut off twice on the way: it would cost more than the copies do.
        """
        whole = late = core = None
        deep = len(self.middle) // 2
        if keep is not None:
            whole = slice(0, noisy.shape[2]), slice(0, noisy.shape[3])
            late = _grown(keep, 2 * (2 * len(self.after) + 1), whole)
            core = _grown(late, 4 * 2 * (len(self.middle) - deep), whole)
        dtype = self.head.weight.dtype
        if self.features and features is None:
            features = noisy.new_zeros(len(noisy), self.features, *noisy.shape[2:])
        planes = [sigma] if features is None else [sigma, features]
        albedo = None
        if self.demodulate and features is not None:
            albedo = log_albedo(features)
            noisy = relit(noisy, -albedo)
            planes.append(albedo)
        x = torch.cat([noisy, *planes], dim=1).to(dtype)
        x = self.head(nn.functional.pixel_unshuffle(x, 2))
        x = self.before(x)
        y = self.middle[:deep](self.down(x))
        y = self.middle[deep:](_cut(y, core, whole, 4))
        x = self.up(_cut(y, late, core, 4)).add_(_cut(x, late, whole, 2))
        x = self.after(x)
        noisy, sigma = _cut(noisy, late, whole), _cut(sigma, late, whole)
        # The skip stays in the input's precision: bf16 has 8 bits of mantissa.
        mean = noisy + nn.functional.pixel_shuffle(self.tail(x), 2).to(noisy.dtype)
        if albedo is not None:
            mean = relit(mean, _cut(albedo, late, whole))
        if not self.spread:
            return _cut(mean, keep, late)
        # Detached: learning to state the error must not change the image.
        share = nn.functional.softplus(nn.functional.pixel_shuffle(self.error(x.detach()), 2) - 2)
        unit = sigma.square() + VARIANCE_FLOOR
        return _cut(torch.cat([mean, share.to(noisy.dtype) * unit], dim=1), keep, late)


def _grown(window: Window, margin: int, limits: Window) -> Window:
    """Widen a window to whole 4 x 4 cells with a margin, within limits."""
    rows, columns = (
        slice(
            max(w.start - margin, most.start) // 4 * 4,
            min(-(-(w.stop + margin) // 4) * 4, most.stop),
        )
        for w, most in zip(window, limits, strict=True)
    )
    return rows, columns


def _cut(planes: Tensor, window: Window | None, outer: Window | None, cell: int = 1) -> Tensor:
    """Cut a window out of planes that hold the outer one, a value for each cell."""
    if window is None or outer is None:
        return planes
    ranges = (
        slice((w.start - o.start) // cell, (w.stop - o.start) // cell)
        for w, o in zip(window, outer, strict=True)
    )
    return planes[:, :, *ranges]


DARKEST = 0.04
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
    factor = 2 * (albedo.clamp_min(0) + DARKEST)
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
