"""What is fixed once per stack and channel: the noise, the mapping, the network's scale.

`measure` is the one door to it: whoever needs to know a stack asks here.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_denoise.image.axes import Layout
from napari_denoise.image.long_work import finished
from napari_denoise.image.values import Float32Array
from napari_denoise.measure.kind import is_radiance
from napari_denoise.measure.mappings import (
    AffineMapping,
    LogMapping,
    Mapped,
    Mapping,
    fit_mapping,
)
from napari_denoise.measure.noise_estimation import roughness
from napari_denoise.measure.sampled import SampledFrames
from napari_denoise.measure.saturation import camera_maximum
from napari_denoise.settings.denoise import ChannelNoise, DenoiseSettings
from napari_denoise.settings.noise import LARGEST, NoiseModel

MappingKind = Literal["affine", "anscombe", "log"]
HEAVY_TAILS = 1.75
"""Path-traced noise has fireflies; a denoiser made for Gaussian noise must be told more than
its sd. Best of 1, 1.5, 2, 2.5, 3 is between 1.5 and 2, on random procedural scenes."""
WIDEST = 1e5
"""Data in a smaller part of the intensity range would be lost to the rounding of float32."""


class MadeFor(Protocol):
    """What weights were made for; the card of a weights file says it."""

    @property
    def mapping(self) -> MappingKind:
        """How data go to the network."""

    @property
    def noise_range(self) -> tuple[float, float]:
        """Least and most noise seen in training, in mapped units."""


@dataclass(frozen=True)
class NetworkScale:
    """Noise level for the network, and a linear squeeze that keeps it in its range.

    Noise beyond what the network saw in training is brought into range by shrinking
    the image around its middle: a denoiser sees the same signal-to-noise ratio.
    """

    sigma: float
    factor: float = 1.0


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
    largest
        The camera's largest value, in the data's units: no result goes beyond. None where it is
        not known, or that of the data type.
    """

    noise: NoiseModel
    mapping: Mapping
    scale: NetworkScale
    largest: float | None = None

    def to_network(self, window: NDArray[Any]) -> Mapped:
        """Map (C, Y, X) of the data, squeezed where its noise is more than the network knows.

        8 and 16 bit data stay codes, so that a device gets them as small as they are.
        """
        if window.dtype in (np.uint8, np.uint16):
            return Mapped(window, _table(self.mapping, self.scale.factor, window.dtype.str))
        return Mapped(_squeezed(self.mapping.forward(window), self.scale.factor))

    def sigma_map(self, rows: int, columns: int) -> Float32Array:
        """Noise level of every pixel for the network, (1, Y, X): the same everywhere."""
        level = np.float32(self.scale.sigma * self.scale.factor)
        return np.broadcast_to(level, (1, rows, columns))

    def from_network(
        self, mean: Float32Array, variance: Float32Array | None
    ) -> tuple[Float32Array, Float32Array | None]:
        """Bring an estimate and the variance of its error back to mapped units."""
        factor = self.scale.factor
        if factor == 1:
            return mean, variance
        mean = (mean - np.float32(0.5)) / np.float32(factor) + np.float32(0.5)
        return mean, None if variance is None else variance / np.float32(factor**2)

    def to_json(self) -> dict[str, Any]:
        """Return plain values for the provenance."""
        return {
            "noise": vars(self.noise),
            "mapping": self.mapping.to_json(),
            "network_sigma": self.scale.sigma,
            "network_factor": self.scale.factor,
            "largest": self.largest,
        }


@lru_cache(maxsize=8)
def _table(mapping: Mapping, factor: float, dtype: str) -> Float32Array:
    """List what every code of an 8 or 16 bit dtype becomes for the network."""
    return _squeezed(mapping.forward(np.arange(np.iinfo(dtype).max + 1)), factor)


def _squeezed(values: Float32Array, factor: float) -> Float32Array:
    if factor == 1:
        return values
    return (values - np.float32(0.5)) * np.float32(factor) + np.float32(0.5)


class Measuring(NamedTuple):
    """How often a frame of a channel was looked at so far; each is looked at two or three times."""

    channel: int
    channels: int
    times: int


def measure(
    array: Any,
    layout: Layout,
    made_for: MadeFor,
    settings: DenoiseSettings,
    *,
    bits: int | None = None,
) -> Generator[Measuring, None, tuple[Channel, ...]]:
    """Measure what the settings leave open and fix the mapping of every channel.

    Yields after every frame looked at, so that it can be left within one. `finished` runs it
    to its end.

    Parameters
    ----------
    array, layout
        The stack; at most 16 frames of a channel are read.
    made_for
        The weights' card.
    settings
        What the user chose.
    bits
        Of the camera, where the file says so.

    Raises
    ------
    ValueError
        The data are no intensities, or the settings do not fit them.
    """
    _check_dtype(np.dtype(array.dtype))
    channels = []
    for number in range(layout.size("C")):
        work = _measure_channel(array, layout, number, made_for, settings, bits)
        channels.append((yield from _counted(work, number, layout.size("C"))))
    return tuple(channels)


def measured(
    array: Any,
    layout: Layout,
    made_for: MadeFor,
    settings: DenoiseSettings,
    *,
    bits: int | None = None,
) -> tuple[Channel, ...]:
    """Do all of `measure` at once."""
    return finished(measure(array, layout, made_for, settings, bits=bits))


def measured_noise(array: Any, layout: Layout) -> list[NoiseModel | None]:
    """Estimate the noise of every channel; None where no value is finite."""
    found: list[NoiseModel | None] = []
    for number in range(layout.size("C")):
        samples = SampledFrames.of(array, layout, number)
        found.append(None if samples.extent is None else finished(samples.estimating_noise()))
    return found


def _check_dtype(dtype: np.dtype[Any]) -> None:
    if dtype.kind not in "iuf":
        raise ValueError(
            f"data of dtype {dtype} cannot be denoised: expected integers or floating point; "
            "convert it, for example with array.astype('float32')"
        )


def _counted(
    work: Generator[None, None, Channel], channel: int, channels: int
) -> Generator[Measuring, None, Channel]:
    times = 0
    while True:
        try:
            next(work)
        except StopIteration as end:
            made: Channel = end.value
            return made
        times += 1
        yield Measuring(channel, channels, times)


def _measure_channel(
    array: Any,
    layout: Layout,
    channel: int,
    made_for: MadeFor,
    settings: DenoiseSettings,
    bits: int | None,
) -> Generator[None, None, Channel]:
    samples = yield from SampledFrames.read(array, layout, channel)
    extent = _check_values(samples.extent, settings.intensity_range)
    low, high = settings.intensity_range or samples.range()
    wanted = _noise_of(settings, channel, layout.size("C"))
    kind = _kind(settings.mapping, made_for, layout, samples.frames)
    if kind == "log":
        found = yield from _measure_log(samples, wanted, low, high, made_for)
    else:
        found = yield from _measure_line(samples, wanted, (low, high), kind, made_for)
    return replace(found, largest=camera_maximum(samples.frames, extent, bits))


def _measure_line(
    samples: SampledFrames,
    wanted: ChannelNoise,
    ends: tuple[float, float],
    kind: Literal["affine", "anscombe"],
    made_for: MadeFor,
) -> Generator[None, None, Channel]:
    """Noise whose variance is a line over the intensity is measured in the data's units."""
    noise = yield from _resolve(wanted, samples)
    mapping = fit_mapping(kind, noise, *ends)
    sigma = mapping.sigma
    if isinstance(mapping, AffineMapping):
        sigma = _typical_sd(noise, samples.frames) / mapping.width
    return Channel(noise, mapping, _scale(sigma * noise.inflation, made_for))


def _check_values(
    extent: tuple[float, float] | None, wanted: tuple[float, float] | None
) -> tuple[float, float]:
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
        return extent
    apart = wanted[0] >= high or wanted[1] <= low
    if apart or wanted[1] - wanted[0] > WIDEST * (high - low):
        raise ValueError(
            f"intensity_range {wanted} does not fit data from {low:g} to {high:g}: give about "
            "their darkest and brightest intensity, or leave it out to have it measured"
        )
    return extent


def _measure_log(
    samples: SampledFrames, wanted: ChannelNoise, low: float, high: float, made_for: MadeFor
) -> Generator[None, None, Channel]:
    """Path-traced noise grows with the signal: it is measured after the logarithm.

    In the data's units it is what it is at the intensity that becomes 1/2, measured or given.
    """
    made_for_renders = made_for.mapping == "log"
    if made_for_renders:
        mapping = LogMapping.of_exposure(samples.mean())
    else:
        mapping = LogMapping.of_range(high)
    if wanted == "auto":
        sigma = yield from _after(mapping, samples)
        noise = NoiseModel(read_noise=sigma * mapping.slope)
    else:
        noise = yield from _resolve(wanted, samples)
        mapping = replace(mapping, noise_sd=float(np.sqrt(noise.variance(mapping.middle))))
        sigma = mapping.sigma * noise.inflation
    told = sigma if made_for_renders else sigma * HEAVY_TAILS
    return Channel(noise, mapping, _scale(told, made_for))


def _after(mapping: Mapping, samples: SampledFrames) -> Generator[None, None, float]:
    """Measure the noise after a mapping, yielding after every frame."""
    mapped = []
    for frame in samples.frames:
        mapped.append(mapping.forward(frame))
        yield
    return roughness(mapped)


def _scale(sigma: float, made_for: MadeFor) -> NetworkScale:
    most = made_for.noise_range[1]
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


def _resolve(wanted: ChannelNoise, samples: SampledFrames) -> Generator[None, None, NoiseModel]:
    if isinstance(wanted, NoiseModel):
        return wanted
    if isinstance(wanted, str):
        return (yield from samples.estimating_noise())
    return NoiseModel(read_noise=float(wanted))


def _kind(
    wanted: Literal["auto"] | MappingKind,
    made_for: MadeFor,
    layout: Layout,
    frames: Sequence[NDArray[Any]],
) -> MappingKind:
    """Follow the weights, except that linear HDR colour gets the logarithm."""
    if wanted != "auto":
        return wanted
    if "S" in layout.axes and made_for.mapping == "affine" and is_radiance(frames):
        return "log"
    return made_for.mapping


def _typical_sd(noise: NoiseModel, frames: Sequence[NDArray[Any]]) -> float:
    """Root of the mean noise variance over the brightness of the frames."""
    values = np.concatenate([np.ravel(frame[::8, ::8]) for frame in frames])
    return float(np.sqrt(noise.variance(values).mean()))
