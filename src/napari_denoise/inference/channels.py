"""What is fixed once per stack and channel: the noise, the mapping, the network's scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_denoise.engines.torch import NetworkScale
from napari_denoise.image.axes import Layout
from napari_denoise.measure.kind import is_radiance
from napari_denoise.measure.mappings import AffineMapping, LogMapping, Mapping, fit_mapping
from napari_denoise.measure.noise_estimation import roughness
from napari_denoise.measure.sampled import SampledFrames
from napari_denoise.settings.denoise import ChannelNoise, DenoiseSettings
from napari_denoise.settings.noise import LARGEST, NoiseModel
from napari_denoise.weights.card import WeightsCard

HEAVY_TAILS = 1.75
"""Path-traced noise has fireflies; a denoiser made for Gaussian noise must be told more than
its sd. Best of 1, 1.5, 2, 2.5, 3 is between 1.5 and 2, on random procedural scenes."""
WIDEST = 1e5
"""Data in a smaller part of the intensity range would be lost to the rounding of float32."""


@dataclass(frozen=True)
class Channel:
    """How one channel of a stack goes to the network and back.

    Parameters
    ----------
    noise
        In the data's units, as used.
    mapping
        Data units to network units.
    scale
        Noise level that the network is told.
    """

    noise: NoiseModel
    mapping: Mapping
    scale: NetworkScale

    def to_json(self) -> dict[str, Any]:
        """Return plain values for the provenance."""
        return {
            "noise": vars(self.noise),
            "mapping": self.mapping.to_json(),
            "network_sigma": self.scale.sigma,
            "network_factor": self.scale.factor,
        }


def prepare_channels(
    array: Any, layout: Layout, card: WeightsCard, settings: DenoiseSettings
) -> tuple[Channel, ...]:
    """Measure what the settings leave open and fix the mapping of every channel.

    Raises
    ------
    ValueError
        The data are no intensities, or the settings do not fit them.
    """
    dtype = np.dtype(array.dtype)
    if dtype.kind not in "iuf":
        raise ValueError(
            f"data of dtype {dtype} cannot be denoised: expected integers or floating point; "
            "convert it, for example with array.astype('float32')"
        )
    return tuple(
        _prepare_channel(SampledFrames(array, layout, c), layout, c, card, settings)
        for c in range(layout.size("C"))
    )


def _prepare_channel(
    samples: SampledFrames,
    layout: Layout,
    channel: int,
    card: WeightsCard,
    settings: DenoiseSettings,
) -> Channel:
    _check_values(samples.extent, settings.intensity_range)
    low, high = settings.intensity_range or samples.range()
    wanted = _noise_of(settings, channel, layout.size("C"))
    kind = _kind(settings.mapping, card, layout, samples.frames)
    if kind == "log":
        return _prepare_log(samples, wanted, low, high, card)
    noise = _resolve(wanted, samples)
    mapping = fit_mapping(kind, noise, low, high)
    sigma = mapping.sigma
    if isinstance(mapping, AffineMapping):
        sigma = _typical_sd(noise, samples.frames) / mapping.width
    return Channel(noise, mapping, _scale(sigma * noise.inflation, card))


def _check_values(extent: tuple[float, float] | None, wanted: tuple[float, float] | None) -> None:
    """Refuse values that there is no computing with, and a range that is not theirs."""
    if extent is None:
        raise ValueError(
            "the data holds only NaN or infinity in the frames looked at: nothing can be "
            "denoised; look at where it comes from, or leave those frames or channels out"
        )
    low, high = extent
    if max(-low, high) > LARGEST:
        raise ValueError(
            f"the data reaches from {low:g} to {high:g}, beyond {LARGEST:g}: set fill values "
            "to NaN, or scale the data down"
        )
    if wanted is None or low == high:
        return
    apart = wanted[0] >= high or wanted[1] <= low
    if apart or wanted[1] - wanted[0] > WIDEST * (high - low):
        raise ValueError(
            f"intensity_range {wanted} does not fit data from {low:g} to {high:g}: give about "
            "their darkest and brightest intensity, or leave it out to have it measured"
        )


def _prepare_log(
    samples: SampledFrames, wanted: ChannelNoise, low: float, high: float, card: WeightsCard
) -> Channel:
    """Path-traced noise grows with the signal: it is measured after the logarithm."""
    noise = NoiseModel() if wanted == "auto" else _resolve(wanted, samples)
    made_for_renders = card.mapping == "log"
    if made_for_renders:
        mapping: Mapping = LogMapping.of_exposure(samples.mean())
    else:
        mapping = fit_mapping("log", noise, low, high)
    if wanted != "auto":
        return Channel(noise, mapping, _scale(mapping.sigma * noise.inflation, card))
    sigma = roughness([mapping.forward(frame) for frame in samples.frames])
    middle = mapping.inverse(np.array([0.5 - 1e-3, 0.5 + 1e-3], np.float32))
    slope = float(middle[1] - middle[0]) / 2e-3
    in_data = NoiseModel(read_noise=sigma * slope)
    told = sigma if made_for_renders else sigma * HEAVY_TAILS
    return Channel(in_data, mapping, _scale(told, card))


def _scale(sigma: float, card: WeightsCard) -> NetworkScale:
    most = card.noise_range[1]
    return NetworkScale(sigma, min(1.0, most / sigma) if sigma > 0 else 1.0)


def _noise_of(settings: DenoiseSettings, channel: int, channels: int) -> ChannelNoise:
    if not isinstance(settings.noise, tuple):
        return settings.noise
    if len(settings.noise) != channels:
        raise ValueError(
            f"noise gives {len(settings.noise)} values but the data has {channels} channels: "
            "pass one value for all, or one per channel"
        )
    return settings.noise[channel]


def _resolve(wanted: ChannelNoise, samples: SampledFrames) -> NoiseModel:
    if isinstance(wanted, NoiseModel):
        return wanted
    if isinstance(wanted, str):
        return samples.noise()
    return NoiseModel(read_noise=float(wanted))


def _kind(
    wanted: Literal["auto", "affine", "anscombe", "log"],
    card: WeightsCard,
    layout: Layout,
    frames: Sequence[NDArray[Any]],
) -> Literal["affine", "anscombe", "log"]:
    """Follow the weights, except that linear HDR colour gets the logarithm."""
    if wanted != "auto":
        return wanted
    if "S" in layout.axes and card.mapping == "affine" and is_radiance(frames):
        return "log"
    return card.mapping


def _typical_sd(noise: NoiseModel, frames: Sequence[NDArray[Any]]) -> float:
    """Root of the mean noise variance over the brightness of the frames."""
    values = np.concatenate([np.ravel(frame[::8, ::8]) for frame in frames])
    return float(np.sqrt(noise.variance(values).mean()))
