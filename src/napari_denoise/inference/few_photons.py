"""The mean of photons: how much of the stated error its inverse may count.

Where nearly every pixel is empty, the error that a network states is as large as the signal, and
the inverse of the Anscombe transform adds what it is worth: dark areas come out too bright. Beside
areas without any light structure comes out too dark, as what the network spreads into them is taken
away. What share of the error keeps the mean is measured on some windows of the stack itself.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from napari_denoise.image.axes import Index
from napari_denoise.image.frames import evenly, is_large
from napari_denoise.image.planes import color_samples
from napari_denoise.image.tiles import Tile, plan_tiles
from napari_denoise.image.values import Float32Array
from napari_denoise.inference.frame_source import open_frame
from napari_denoise.measure.channels import Channel
from napari_denoise.measure.mappings import AnscombeMapping, inverse_mean

if TYPE_CHECKING:
    from napari_denoise.inference.stack import StackJob

FEW, FEW_BESIDE_NONE = 10.0, 200.0
"""Photons at the middle of the range, and the same where the image fades to areas without any; with
more the mean is kept as it is, within 0.5 %."""
_SIDE, _WINDOWS = 128, 16
_OFF, _OFF_BESIDE_NONE = 0.005, 0.003
"""Relative change of the mean that is left alone."""
_ROUNDS = 16
_MOST, _MOST_BESIDE_NONE = 1.0, 16.0
"""Largest share."""


def with_error_share(
    job: StackJob, number: int, channel: Channel
) -> Generator[None, None, Channel]:
    """Return a channel of a job, of few photons with the share that keeps their mean.

    Yields after every window.
    """
    share = 1.0
    if has_few_photons(channel):
        share = yield from _share(job, number, channel)
    return channel if share == 1 else replace(channel, error_share=share)


def has_few_photons(channel: Channel) -> bool:
    """Whether the middle of a channel's range is only some photons."""
    mapping = channel.mapping
    if not isinstance(mapping, AnscombeMapping) or channel.scale.sigma == 0:
        return False
    return mapping.brightest / 2 < (FEW_BESIDE_NONE if _fades(channel) else FEW)


def _fades(channel: Channel) -> bool:
    """Whether the image fades to areas that are constant."""
    return channel.ground in channel.fill


def _share(job: StackJob, number: int, channel: Channel) -> Generator[None, None, float]:
    series = job.layout.series(number)
    index = job.frames[series[len(series) // 2]]
    frame = open_frame(job.array, job.layout, index, channel)
    if frame.empty:
        return 1.0
    noisy, estimates = 0.0, []
    for tile in sampled_tiles(job, index, _WINDOWS):
        part = frame.part(tile)
        sigma = channel.sigma_map(*part.window.shape[1:], where=tile.read)
        found = job.engine.run(channel.to_network(part.window), sigma, None, tile.keep)
        mean, variance = channel.from_network(*found)
        if variance is None:
            return 1.0
        light = part.window[:, *tile.keep] - channel.noise.offset
        told = ~part.outliers.any(axis=0)
        for aside in (part.fill, part.bad):
            told &= True if aside is None else ~aside
        mean, variance, light = mean[:, told], variance[:, told], light[:, told]
        estimates.append((mean, variance))
        noisy += float((-light if channel.noise.inverted else light).sum(dtype=np.float64))
        yield
    return _balanced(channel, estimates, noisy)


def _balanced(
    channel: Channel, estimates: list[tuple[Float32Array, Float32Array]], noisy: float
) -> float:
    """Find the share with which the estimates hold as much light as the noisy windows."""
    sign = -1 if channel.noise.inverted else 1

    def light(share: float) -> float:
        return sum(
            float(
                sign
                * (
                    inverse_mean(channel.mapping, mean, variance * np.float32(share))
                    - channel.noise.offset
                ).sum(dtype=np.float64)
            )
            for mean, variance in estimates
        )

    off, most = (_OFF_BESIDE_NONE, _MOST_BESIDE_NONE) if _fades(channel) else (_OFF, _MOST)
    if noisy <= 0 or abs(light(1.0) - noisy) <= off * noisy:
        return 1.0
    low, high = 0.0, most
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        low, high = (low, middle) if light(middle) > noisy else (middle, high)
    return (low + high) / 2


def sampled_tiles(job: StackJob, index: Index, most: int) -> list[Tile]:
    """Choose windows of a frame, on the network's grid: of little, some, more and much light."""
    halo, multiple = job.engine.halo, job.engine.multiple
    rows, columns = (
        [slice(start, min(start + _SIDE, length)) for start in range(0, length, _SIDE)]
        for length in job.size
    )
    cells = [
        plan_tiles(job.size, _SIDE, halo, multiple, region)[0] for region in product(rows, columns)
    ]
    if len(cells) <= most:
        return cells
    if is_large(job.array, job.layout.axes):
        return evenly(cells, most)
    colors = color_samples(np.asarray(job.array[index]), job.layout)[0]
    light = [colors[:, *cell.write].mean(dtype=np.float64) for cell in cells]
    ranked = [cells[place] for place in np.argsort(light, kind="stable")]
    ranks = ((np.arange(most) + 0.5) / most * len(ranked)).astype(int)
    return [ranked[rank] for rank in ranks]
