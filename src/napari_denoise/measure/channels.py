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
from napari_denoise.image.frames import is_large
from napari_denoise.image.long_work import finished
from napari_denoise.image.tiles import Window
from napari_denoise.image.values import Float32Array
from napari_denoise.measure.kind import is_radiance, is_signed
from napari_denoise.measure.line_noise import NO_LINES, LineNoise, find_lines
from napari_denoise.measure.mappings import (
    AffineMapping,
    AnscombeMapping,
    LogMapping,
    Mapped,
    Mapping,
    fit_mapping,
)
from napari_denoise.measure.noise_estimation import roughness
from napari_denoise.measure.outliers import OutlierRule
from napari_denoise.measure.pixel_maps import NO_MAPS, PixelMaps
from napari_denoise.measure.sampled import SampledFrames, plane_rule
from napari_denoise.measure.saturation import camera_maximum
from napari_denoise.settings.denoise import ChannelNoise, DenoiseSettings
from napari_denoise.settings.noise import LARGEST, NoiseModel

MappingKind = Literal["affine", "anscombe", "log"]
HEAVY_TAILS = 1.75
"""Path-traced noise has fireflies; a denoiser made for Gaussian noise must be told more than
its sd. Best of 1, 1.5, 2, 2.5, 3 is between 1.5 and 2, on random procedural scenes."""
_NOISE_ABOVE, _AT_LEAST, _CLEARLY = 1.0, 5.0, 0.3
"""The brightest pixel is so many sd of noise above its structure, for certain no more than the
second; what then exceeds the range by this part of it lets the range grow."""
_LEAST_SIGMA = 0.01
"""Of noise that does not depend on the signal: below, the ground would lose its contrast."""
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
    most: float = np.inf
    """Of a map of noise, the highest level that the network is told."""


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
    outliers
        What an isolated outlier is; None where nothing is taken for one.
    keep
        Whether outliers stay in the result.
    fill
        Values of areas that stay as they are.
    ground
        What the network sees in their place; data units.
    positive
        Whether the data have no negative value, and the result is to have none.
    notes
        What was found and done, for people.
    largest
        The camera's largest value, in the data's units: no result goes beyond. None where it is
        not known, or that of the data type.
    maps
        What is given for every pixel. Where they take offset and gain out, noise, mapping, fill and
        ground are those of what is left.
    lines
        Noise of whole rows and columns that is taken out of every frame first.
    """

    noise: NoiseModel
    mapping: Mapping
    scale: NetworkScale
    outliers: OutlierRule | None = None
    keep: bool = True
    fill: tuple[float, ...] = ()
    ground: float = 0.0
    error_share: float = 1.0
    """Share of the stated error variance that keeps the mean of few photons."""
    positive: bool = False
    notes: tuple[str, ...] = ()
    largest: float | None = None
    maps: PixelMaps = NO_MAPS
    lines: LineNoise = NO_LINES

    def to_network(self, window: NDArray[Any]) -> Mapped:
        """Map (C, Y, X) of the data, squeezed where its noise is more than the network knows.

        8 and 16 bit data stay codes, so that a device gets them as small as they are.
        """
        if window.dtype in (np.uint8, np.uint16):
            return Mapped(window, _table(self.mapping, self.scale.factor, window.dtype.str))
        return Mapped(_squeezed(self.mapping.forward(window), self.scale.factor))

    def light_of(self, mean: Float32Array) -> Float32Array:
        """Bring denoised values in the network's units to light above black, in the data's."""
        return self.above_black(self.mapping.inverse(self.from_network(mean, None)[0]))

    def network_of(self, light: Float32Array) -> Float32Array:
        """Undo `light_of`: what a denoiser gives for so much light."""
        values, mapping = self.values_of(light), self.mapping
        if isinstance(mapping, AnscombeMapping):
            return _squeezed(mapping.forward_mean(values), self.scale.factor)
        return _squeezed(mapping.forward(values), self.scale.factor)

    def above_black(self, values: Float32Array) -> Float32Array:
        """Return the light that values in the data's units stand for."""
        return (values - np.float32(self._black)) * np.float32(-1 if self._inverted else 1)

    def values_of(self, light: Float32Array) -> Float32Array:
        """Undo `above_black`."""
        return light * np.float32(-1 if self._inverted else 1) + np.float32(self._black)

    @property
    def _inverted(self) -> bool:
        return isinstance(self.mapping, AnscombeMapping) and self.mapping.inverted

    @property
    def _black(self) -> float:
        """The value without light, as far as it is known."""
        if isinstance(self.mapping, AnscombeMapping):
            return self.mapping.offset
        return self.mapping.low if isinstance(self.mapping, AffineMapping) else 0.0

    def sigma_map(self, rows: int, columns: int, *, where: Window | None = None) -> Float32Array:
        """Noise level of every pixel for the network, (1, Y, X).

        The same everywhere, unless a map of the noise is given: then that of the window.
        """
        if where is not None and self.maps.sigma is not None:
            level = self.maps.noise(where) * np.float32(self.scale.sigma / self.noise.read_noise)
            level = np.minimum(level, np.float32(self.scale.most))
            return np.asarray(level * np.float32(self.scale.factor))[None]
        even = np.float32(self.scale.sigma * self.scale.factor)
        return np.broadcast_to(even, (1, rows, columns))

    def from_network(
        self, mean: Float32Array, variance: Float32Array | None
    ) -> tuple[Float32Array, Float32Array | None]:
        """Bring an estimate and the variance of its error back to mapped units."""
        factor = self.scale.factor
        if factor != 1:
            mean = (mean - np.float32(0.5)) / np.float32(factor) + np.float32(0.5)
            variance = None if variance is None else variance / np.float32(factor**2)
        if variance is not None and self.error_share != 1:
            variance = variance * np.float32(self.error_share)
        return mean, variance

    def to_json(self) -> dict[str, Any]:
        """Return plain values for the provenance."""
        return {
            "noise": vars(self.noise),
            "mapping": self.mapping.to_json(),
            "network_sigma": self.scale.sigma,
            "network_factor": self.scale.factor,
            "largest": self.largest,
            **({"maps": self.maps.to_json()} if self.maps.to_json() else {}),
            **({"line_noise": vars(self.lines)} if self.lines else {}),
            **({"found": list(self.notes)} if self.notes else {}),
            **({"error_share": self.error_share} if self.error_share != 1 else {}),
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
    plain: bool = False,
    maps: Sequence[PixelMaps] = (),
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
    plain
        Take pixels as they are, none for an outlier or fill.
    maps
        What is given for every pixel, per channel; from `open_maps`.

    Raises
    ------
    ValueError
        The data are no intensities, or the settings do not fit them.
    """
    _check_dtype(np.dtype(array.dtype))
    channels = []
    for number in range(layout.size("C")):
        own = maps[number] if maps else NO_MAPS
        work = _measure_channel(array, layout, number, made_for, settings, bits, plain, own)
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
        if samples.extent is not None and not is_large(array, layout.axes):
            samples = samples.without(find_lines(samples.frames, samples.pairs))
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
    plain: bool,
    maps: PixelMaps,
) -> Generator[None, None, Channel]:
    stack = maps.stack(array, layout)
    samples = yield from SampledFrames.read(stack, layout, channel, plain=plain)
    extent = _check_values(samples.extent, settings.intensity_range)
    wanted = noise_of(settings, channel, layout.size("C"))
    kind, notes = _kind(settings.mapping, made_for, layout, samples)
    raw, lines = samples, NO_LINES
    if kind != "log" and not plain:
        lines = find_lines(samples.frames, samples.pairs)
    large = is_large(array, layout.axes)
    if lines and settings.line_noise == "auto" and not large:
        samples = samples.without(lines)
        yield
    if maps.sigma is not None:
        made = _with_map(maps, kind, samples, settings, made_for)
    elif kind == "log":
        made = yield from _measure_log(samples, wanted, settings.intensity_range, made_for)
    else:
        made = yield from _measure_line(samples, wanted, kind, settings, made_for)
    largest = None if maps.calibrates else camera_maximum(raw.frames, extent, bits)
    made = replace(made, largest=largest, maps=maps)
    if lines:
        taken = samples is not raw and made.scale.sigma > 0
        done = "is removed" if taken else "is kept"
        if large and settings.line_noise == "auto":
            done = "is not removed from frames too large to be held"
        made = replace(made, lines=lines if taken else NO_LINES)
        notes = (*notes, lines.describe(done))
    return _guarded(made, samples, settings.outliers, notes)


def _measure_line(
    samples: SampledFrames,
    wanted: ChannelNoise,
    kind: MappingKind,
    settings: DenoiseSettings,
    made_for: MadeFor,
) -> Generator[None, None, Channel]:
    """Noise whose variance is a line over the intensity is measured in the data's units."""
    noise = yield from _resolve(wanted, samples)
    low, high = settings.intensity_range or samples.range()
    mapping = fit_mapping(kind, noise, low, high)
    if settings.intensity_range is None and made_for.mapping == "anscombe":
        mapping = _reaching(mapping, kind, noise, samples)
    sigma = mapping.sigma
    if isinstance(mapping, AffineMapping):
        sigma = _typical_sd(noise, samples.frames) / mapping.width
    return Channel(noise, mapping, _scale(sigma * noise.inflation, made_for))


def _with_map(
    maps: PixelMaps,
    kind: MappingKind,
    samples: SampledFrames,
    settings: DenoiseSettings,
    made_for: MadeFor,
) -> Channel:
    """Fix a channel whose noise is given for every pixel: a linear mapping keeps its shares."""
    if kind == "log":
        raise ValueError(
            "sigma_map: this light goes through a logarithm, after which its noise is nearly even: "
            "leave the map out, or choose mapping = 'affine'"
        )
    mean, common, most = maps.noise_levels()
    noise = NoiseModel(read_noise=mean)
    low, high = settings.intensity_range or samples.range()
    mapping: Mapping = fit_mapping("affine", noise, low, high)
    if settings.intensity_range is None and made_for.mapping == "anscombe":
        reaching = _reaching(mapping, "affine", noise, samples)
        mapping = fit_mapping("affine", noise, low, reaching.high)
    sigma, limit = mapping.sigma, made_for.noise_range[1]
    squeezed = min(1.0, limit / (sigma * common / mean))
    # Single pixels beyond the range of the network must not squeeze all the others.
    told = min(sigma * most / mean, limit / squeezed)
    return Channel(noise, mapping, NetworkScale(sigma, squeezed, told))


def _reaching(
    mapping: Mapping, kind: MappingKind, noise: NoiseModel, samples: SampledFrames
) -> Mapping:
    """Let the range reach the brightest real structure, where it clearly exceeds it.

    Structure beyond the range would be extrapolated by the network, and lose its height. Few
    bright spots on a flat ground do not tell a gain; that they count photons may be assumed, so
    that the ground keeps its contrast.
    """
    if isinstance(mapping, LogMapping):
        return mapping
    if noise.inverted:
        return _reaching_down(mapping, kind, noise, samples)
    sd = float(np.sqrt(noise.variance(samples.brightest)))
    certain = samples.brightest - _AT_LEAST * sd
    if certain <= mapping.high + _CLEARLY * (mapping.high - mapping.low):
        return mapping
    brightest = samples.brightest - _NOISE_ABOVE * sd
    wide = fit_mapping(kind, noise, mapping.low, brightest)
    if isinstance(wide, AffineMapping) and 0 < wide.sigma < _LEAST_SIGMA:
        ground = samples.ground()
        gain = 4 * (brightest - ground) * _LEAST_SIGMA**2
        return AnscombeMapping(gain, ground, wide.noise_sd, mapping.low, brightest)
    return wide


def _reaching_down(
    mapping: AffineMapping | AnscombeMapping,
    kind: MappingKind,
    noise: NoiseModel,
    samples: SampledFrames,
) -> Mapping:
    """Do as `_reaching` for a negative, whose most light has the lowest values."""
    lowest = min(float(np.nanmin(frame)) for frame in samples.frames)
    sd = float(np.sqrt(noise.variance(lowest)))
    certain = lowest + _AT_LEAST * sd
    if certain >= mapping.low - _CLEARLY * (mapping.high - mapping.low):
        return mapping
    return fit_mapping(kind, noise, lowest + _NOISE_ABOVE * sd, mapping.high)


def _guarded(
    channel: Channel,
    samples: SampledFrames,
    outliers: Literal["auto", "replace", "keep"],
    notes: tuple[str, ...],
) -> Channel:
    """Say what an outlier of this channel is, and what of its pixels stays as it is."""
    radiance = isinstance(channel.mapping, LogMapping)
    found = samples.findings
    if found.outliers and _are_photons_apart(channel.noise, samples):
        found = replace(found, outliers=0)
    rule = plane_rule(samples.frames, radiance=radiance) if found.outliers else None
    keep = outliers == "keep" or (outliers == "auto" and not radiance)
    return replace(
        channel,
        outliers=rule,
        keep=keep,
        fill=found.fill,
        ground=samples.stand_in() if found.fill else 0.0,
        positive=samples.extent is not None and samples.extent[0] >= 0,
        notes=(*notes, *filter(None, [found.describe()])),
    )


def _are_photons_apart(noise: NoiseModel, samples: SampledFrames) -> bool:
    """Whether most pixels are without a photon and single ones stand out: each is isolated."""
    level = samples.mean() - noise.offset
    few = noise.gain > 0 and level < 2 * noise.gain and 2 * noise.read_noise < noise.gain
    return few and not noise.inverted


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
    samples: SampledFrames,
    wanted: ChannelNoise,
    given: tuple[float, float] | None,
    made_for: MadeFor,
) -> Generator[None, None, Channel]:
    """Path-traced noise grows with the signal: it is measured after the logarithm.

    In the data's units it is what it is at the intensity that becomes 1/2, measured or given.
    """
    made_for_renders = made_for.mapping == "log"
    if made_for_renders:
        mapping = LogMapping.of_exposure(samples.exposure())
    else:
        mapping = LogMapping.of_range((given or samples.range())[1])
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


def with_noise(channel: Channel, noise: NoiseModel, made_for: MadeFor) -> Channel:
    """Return a channel with another noise, and its mapping and scale to fit.

    Parameters
    ----------
    channel
        As measured.
    noise
        In the data's units.
    made_for
        The weights' card.
    """
    before = channel.mapping
    if isinstance(before, LogMapping):
        sigma = float(np.sqrt(noise.variance(before.middle))) * noise.inflation / before.slope
        if made_for.mapping != "log":
            sigma *= HEAVY_TAILS
        return replace(channel, noise=noise, scale=_scale(sigma, made_for))
    mapping = fit_mapping(before.kind, noise, before.low, before.high)
    scale = _scale(mapping.sigma * noise.inflation, made_for)
    return replace(channel, noise=noise, mapping=mapping, scale=scale, error_share=1.0)


def _scale(sigma: float, made_for: MadeFor) -> NetworkScale:
    most = made_for.noise_range[1]
    return NetworkScale(sigma, min(1.0, most / sigma) if sigma > 0 else 1.0)


def noise_of(settings: DenoiseSettings, channel: int, channels: int) -> ChannelNoise:
    """Return what the settings say of the noise of one of some channels.

    Raises
    ------
    ValueError
        They give values for another number of channels.
    """
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
    samples: SampledFrames,
) -> tuple[MappingKind, tuple[str, ...]]:
    """Follow the weights, except that linear HDR colour gets the logarithm; notes beside."""
    if wanted != "auto":
        return wanted, ()
    if "S" in layout.axes and made_for.mapping == "affine" and is_radiance(samples.frames):
        return "log", ()
    if made_for.mapping == "log" and is_signed(samples.frames):
        note = (
            "the data have both signs, which light has not: they are denoised on a linear scale, "
            "by weights that were made for light; look at the result closely"
        )
        return "affine", (note,)
    return made_for.mapping, ()


def _typical_sd(noise: NoiseModel, frames: Sequence[NDArray[Any]]) -> float:
    """Root of the mean noise variance over the brightness of the frames."""
    values = np.concatenate([np.ravel(frame[::8, ::8]) for frame in frames])
    values = values[np.isfinite(values)]
    return float(np.sqrt(noise.variance(values).mean())) if values.size else 0.0
