"""Frames of a pair in the network's units: mapped as inference maps the noisy one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_denoise.measure.channels import Channel
from napari_denoise.measure.mappings import AnscombeMapping, LogMapping, Mapping


class MappedFrame(NamedTuple):
    """What a network is given and should give, (Y, X, C), and the noise level it is told."""

    noisy: NDArray[np.float32]
    target: NDArray[np.float32]
    sigma: float
    log_width: float | None
    """What the logarithm of radiance was divided by; None for other mappings."""
    factor: float = 1.0
    """Of the squeeze around 1/2 after the mapping."""


def map_frame(
    channel: Channel, noisy: NDArray[Any], target: NDArray[Any], *, noisy_target: bool
) -> MappedFrame:
    """Map both images of a pair, (C, Y, X) in the data's units.

    A clean target becomes the mean of what its noisy shots map to, which is what the inverse
    of the mapping expects of a denoiser.
    """
    mapping, scale = channel.mapping, channel.scale
    wanted = mapping.forward(target) if noisy_target else _forward_clean(mapping, target)
    given, wanted = (_squeezed(planes, scale.factor) for planes in (mapping.forward(noisy), wanted))
    sigma = scale.sigma * scale.factor
    sides = _samples_last(given), _samples_last(wanted)
    return MappedFrame(*sides, sigma, _log_width(mapping), scale.factor)


def common_width(frames: Sequence[MappedFrame]) -> float | None:
    """Return the `log_width` of all frames.

    Raises
    ------
    ValueError
        Some hold linear HDR and others do not.
    """
    widths = {frame.log_width for frame in frames}
    if len(widths) > 1:
        raise ValueError("linear HDR among other images; train on one kind at a time")
    return widths.pop() if widths else None


def as_network_takes(planes: NDArray[Any], channels: int) -> list[NDArray[Any]]:
    """Adapt (S, Y, X) to a network as the engine does: samples one by one, or gray as colour."""
    if len(planes) == channels:
        return [planes]
    if channels == 1:
        return [plane[None] for plane in planes]
    return [np.repeat(plane[None], channels, axis=0) for plane in planes]


def _samples_last(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.ascontiguousarray(np.moveaxis(planes, 0, -1))


def _log_width(mapping: Mapping) -> float | None:
    if not isinstance(mapping, LogMapping):
        return None
    return round(float(np.log1p(mapping.high / mapping.level)), 6)


def _squeezed(planes: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """Shrink around the middle, as the engine does with more noise than the network knows."""
    half = np.float32(0.5)
    return planes if factor == 1 else (planes - half) * np.float32(factor) + half


def _forward_clean(mapping: Mapping, clean: NDArray[Any]) -> NDArray[np.float32]:
    if isinstance(mapping, AnscombeMapping):
        return mapping.forward_mean(clean)
    return mapping.forward(clean)
