"""A check of the estimate before it is used: what a network takes out has to be what was foretold.

Some windows of one frame are denoised while a stack is prepared. Two witnesses have to speak
against an estimate of the noise before it falls: what the network does with it, and the fine
detail of the data themselves. A network that is no good, or a texture, is one of them at most.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn

from napari_denoise.engines.device import is_out_of_memory, release_memory
from napari_denoise.image.axes import Index
from napari_denoise.image.frames import evenly
from napari_denoise.image.values import Float32Array
from napari_denoise.inference.few_photons import sampled_tiles, with_error_share
from napari_denoise.inference.frame_source import LargeFrame, WholeFrame, open_frame
from napari_denoise.measure.channels import Channel, noise_of, with_noise
from napari_denoise.measure.mappings import LogMapping, inverse_mean
from napari_denoise.measure.noise_blocks import ORDER, SIZE
from napari_denoise.measure.noise_spectrum import spectrum_of
from napari_denoise.settings.noise import NoiseModel

if TYPE_CHECKING:
    from napari_denoise.inference.stack import StackJob

FloatArray = NDArray[np.float64]

_WINDOWS, _FRAMES = 4, 16
_FEWEST = 16
"""Blocks that tell nothing if there are fewer."""
_GROUPS = 4
"""Of blocks, from dark to bright."""
_SATURATED = 0.02
"""Share of the pixels of a block at the highest value, from which on it is left out."""
_FINE, _MIDDLE = ORDER >= 8, (ORDER >= 3) & (ORDER <= 5)
_TOO_MUCH = 0.2
"""Of the variance that was foretold: what is taken out, and what there is, where it is too much."""
_TOO_LITTLE, _LEFT = 4.0, 2.0
"""Of the noise: what there is in a block, and what stays, where too little was foretold."""
_WHITE, _SHARE = 2.0, 0.4
"""Middle over fine detail of noise at most, texture has more; and share of such blocks."""
_MOVED, _SAMPLED = 0.05, 5.0
"""Shift of the mean that an estimate answers for: of the light and of the noise, and in standard
errors."""
_CERTAIN = 0.2
"""Of the noise: what is taken out at least, whatever error the network states."""


class Seen(NamedTuple):
    """(n,) blocks of a denoised window, in the data's units; of linear HDR in mapped units."""

    found: FloatArray
    """Fine energy of the data, relative to that of noise of this spectrum and variance 1."""
    slope: FloatArray
    """Energy of coarser detail over that of the fine: 1 of white noise."""
    left: FloatArray
    """Fine energy of the result."""
    removed: FloatArray
    """Mean square of what was taken out."""
    variance: FloatArray
    """Of the noise, as foretold."""
    error: FloatArray
    """Variance of the error that the network states."""
    light: FloatArray
    """Mean of the data."""
    shift: FloatArray
    """Mean of the result less that of the data."""
    mapped: FloatArray
    """The same in mapped units, relative to the noise there."""
    flat: NDArray[np.bool_]
    """One value alone: it tells of the mean, and not of the noise."""


@dataclass(frozen=True)
class Verdict:
    """What speaks against an estimate of the noise.

    Parameters
    ----------
    removed
        Variance that the network takes out, over what it would take out of such noise.
    found
        Variance of the data's fine detail, over that of such noise.
    unlike
        Share of the blocks that hold far more white noise than foretold, and keep it.
    excess
        How much more those hold; 1 without any.
    moved
        The estimate, by how it bends the data, shifts their mean.
    sd
        Of the fine detail of the usual block, in the data's units.
    misfit
        How far the fine detail is from what was foretold, from dark to bright; 0 at best.
    """

    removed: float = 1.0
    found: float = 1.0
    unlike: float = 0.0
    excess: float = 1.0
    moved: bool = False
    sd: float = 0.0
    misfit: float = 0.0

    @classmethod
    def of(cls, seen: Seen) -> Verdict:
        """Judge by what was seen."""
        told = Seen._make(side[~seen.flat] for side in seen)
        if len(told.found) < _FEWEST or not told.variance.mean() > 0:
            return cls()
        variance, error = told.variance.mean(), told.error.mean()
        unlike = (told.found > _TOO_LITTLE * told.variance) & (told.left > _LEFT * told.variance)
        unlike &= told.slope < _WHITE  # texture and correlated noise are not told from each other
        excess = told.found[unlike] / np.maximum(told.variance[unlike], 1e-6 * variance)
        noisy = told.found[unlike] if unlike.mean() > _SHARE else told.found
        return cls(
            removed=float(told.removed.mean() / max(variance - error, _CERTAIN * variance)),
            found=float(told.found.mean() / variance),
            unlike=float(unlike.mean()),
            excess=float(np.median(excess)) if excess.size else 1.0,
            moved=_is_moved(seen),
            sd=float(np.sqrt(np.median(noisy))),
            misfit=_misfit(told),
        )

    @property
    def too_much(self) -> bool:
        """Whether far less noise is there than was foretold."""
        return self.removed < _TOO_MUCH and self.found < _TOO_MUCH

    @property
    def too_little(self) -> bool:
        """Whether far more is."""
        return self.unlike > _SHARE

    @property
    def fits(self) -> bool:
        """Whether nothing speaks against the estimate."""
        return not (self.too_much or self.too_little or self.moved)

    @property
    def factor(self) -> float:
        """What the variance of the noise is to be multiplied by."""
        return self.excess if self.too_little else self.found


def _misfit(told: Seen) -> float:
    """Mean size of the logarithm of found over foretold variance, of groups of equal light."""
    groups = np.array_split(np.argsort(told.light), _GROUPS)
    ratios = [told.found[part].mean() / max(told.variance[part].mean(), 1e-300) for part in groups]
    return float(np.abs(np.log(np.maximum(ratios, 1e-12))).mean())


def _is_moved(seen: Seen) -> bool:
    """Whether the mean is shifted, and not by the network itself."""
    shift, sd = abs(float(seen.shift.mean())), float(np.sqrt(seen.variance.mean()))
    light = float(seen.light.mean() - seen.light.min())
    error = float(seen.shift.std()) / np.sqrt(len(seen.shift))
    itself = abs(float(seen.mapped.mean())) * sd
    return shift > max(_MOVED * light, _MOVED * sd, _SAMPLED * error) and itself < shift / 2


def checked_channels(job: StackJob) -> Generator[None, None, tuple[Channel, ...]]:
    """Return the channels of a job as they are used: an estimate that is far off is replaced.

    Noise that was given is not, and where nothing else fits either, that is said. Weights whose
    card tells of no training are no witness. Yields after every window.
    """
    channels = []
    trained = bool(job.info.card.recipe)  # others say nothing of an estimate
    for number, measured in enumerate(job.channels):
        channel = yield from with_error_share(job, number, measured)
        verdict = (yield from _judged(job, number, channel)) if trained else Verdict()
        if not verdict.fits:
            given = _is_given(job, number, channel)
            work = _said(channel, verdict) if given else _replaced(job, number, channel, verdict)
            channel = yield from work
        channels.append(channel)
    return tuple(channels)


def _is_given(job: StackJob, number: int, channel: Channel) -> bool:
    """Whether the noise was not estimated on these data."""
    asked = noise_of(job.settings, number, len(job.channels))
    return asked != "auto" or job.settings.noise_from is not None or channel.maps.sigma is not None


def _judged(job: StackJob, number: int, channel: Channel) -> Generator[None, None, Verdict]:
    try:
        seen = yield from seen_in(job, number, channel)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        release_memory(job.engine.device)  # smaller tiles than these will be tried
        return Verdict()
    return Verdict() if seen is None else Verdict.of(seen)


def _replaced(
    job: StackJob, number: int, channel: Channel, verdict: Verdict
) -> Generator[None, None, Channel]:
    """Try the noise scaled by what was seen, then white noise, and say what came of it."""
    others = [channel.noise.scaled(verdict.factor)]
    if not isinstance(channel.mapping, LogMapping):
        others.append(NoiseModel(read_noise=verdict.sd))
    fitting = []
    for noise in others:
        other = with_noise(channel, noise, job.info.card)
        other = yield from with_error_share(job, number, other)
        found = yield from _judged(job, number, other)
        if found.fits:
            fitting.append((found.misfit, other))
    said = f"the noise that was estimated ({channel.noise.describe()}) {_why(verdict)}"
    if fitting:
        _, chosen = min(fitting, key=lambda pair: pair[0])
        said += f": {chosen.noise.describe()} is used in its place; state the noise if you know it"
    else:
        chosen = channel
        said += ", and no other was found that fits: look at the result closely, or state the noise"
    return replace(chosen, notes=(*chosen.notes, said))


def _said(channel: Channel, verdict: Verdict) -> Generator[None, None, Channel]:
    """Say that the noise that was given does not fit, and keep it."""
    yield
    note = f"the noise that was given {_why(verdict)}: look at the result closely"
    return replace(channel, notes=(*channel.notes, note))


def _why(verdict: Verdict) -> str:
    if verdict.too_much:
        return f"is some {1 / np.sqrt(max(verdict.factor, 1e-12)):.2g} times what the data hold"
    if verdict.too_little:
        return f"is some {np.sqrt(verdict.factor):.2g} times less than the data hold"
    return "shifts the mean of the result"


def seen_in(job: StackJob, number: int, channel: Channel) -> Generator[None, None, Seen | None]:
    """Denoise some windows of one frame of a channel, yielding after each; None without any."""
    opened = _good_frame(job, number, channel) if channel.scale.sigma > 0 else None
    if opened is None:
        return None
    index, frame = opened
    parts: list[Seen] = []
    for tile in sampled_tiles(job, index, _WINDOWS):
        part = frame.part(tile)
        sigma = channel.sigma_map(*part.window.shape[1:], where=tile.read)
        found = job.engine.run(channel.to_network(part.window), sigma, None, tile.keep)
        mean, error = channel.from_network(*found)
        bad = part.outliers if part.fill is None else part.outliers | part.fill
        calm = part.window[:, *tile.keep]
        for plane in range(len(mean)):
            stated = None if error is None else error[plane]
            given = None if channel.maps.sigma is None else channel.maps.noise(tile.write)
            planes = calm[plane], mean[plane], stated, bad[plane], given
            parts.append(_compare(channel, *planes))
        yield
    return Seen._make(np.concatenate(side) for side in zip(*parts, strict=True))


def _good_frame(
    job: StackJob, number: int, channel: Channel
) -> tuple[Index, WholeFrame | LargeFrame] | None:
    """Open the middle frame of a channel, or another that holds something."""
    series = job.layout.series(number)
    middle = series[len(series) // 2]
    for frame_number in (middle, *evenly(series, _FRAMES)):
        index = job.frames[frame_number]
        frame = open_frame(job.array, job.layout, index, channel)
        if not (frame.empty or frame.blank):
            return index, frame
    return None


def _compare(
    channel: Channel,
    data: NDArray[Any],
    mean: Float32Array,
    error: Float32Array | None,
    bad: NDArray[np.bool_],
    given: Float32Array | None,
) -> Seen:
    """Compare (Y, X) of the data with what the network makes of it, block by block.

    `given` is the standard deviation of the noise, where there is a map of it.
    """
    mapping, noise = channel.mapping, channel.noise
    mapped = mapping.forward(data)
    if isinstance(mapping, LogMapping):  # its noise is measured after the logarithm
        before, after = mapped, mean
        stated = np.zeros_like(mean) if error is None else error
        variance = np.full(mean.shape, channel.scale.sigma**2)
    else:
        before, after = data, inverse_mean(mapping, mean, error)
        stated = np.zeros_like(mean)
        if error is not None:
            deviation = np.sqrt(error)
            sides = mapping.inverse(mean + deviation) - mapping.inverse(mean - deviation)
            stated = np.square(sides) / 4
        variance = noise.variance(after) if given is None else np.square(given, dtype=np.float64)
    ins, outs = _blocks(before), _blocks(after)
    chosen = ~(_blocks(bad) > 0).any(axis=(1, 2))
    chosen &= (ins == ins.max(initial=-np.inf)).mean(axis=(1, 2)) < _SATURATED
    ins, outs = ins[chosen], outs[chosen]
    spectrum = spectrum_of(noise.correlation_y, noise.correlation_x)
    energy, kept = (dctn(blocks, axes=(1, 2), norm="ortho") ** 2 for blocks in (ins, outs))

    def means(plane: NDArray[Any]) -> FloatArray:
        return np.asarray(_blocks(plane)[chosen].mean(axis=(1, 2)))

    return Seen(
        found=energy[:, _FINE].mean(axis=1) / spectrum[_FINE].mean(),
        slope=energy[:, _MIDDLE].mean(axis=1) / np.maximum(energy[:, _FINE].mean(axis=1), 1e-300),
        left=kept[:, _FINE].mean(axis=1) / spectrum[_FINE].mean(),
        removed=np.square(ins - outs).mean(axis=(1, 2)),
        variance=means(variance),
        error=means(stated),
        light=ins.mean(axis=(1, 2)),
        shift=(outs - ins).mean(axis=(1, 2)),
        mapped=means(mean - mapped) / max(channel.scale.sigma, 1e-12),
        flat=np.ptp(ins, axis=(1, 2)) == 0,
    )


def _blocks(plane: NDArray[Any]) -> FloatArray:
    """Cut (Y, X) into (n, 8, 8)."""
    rows, columns = (length // SIZE for length in plane.shape)
    cut = plane[: rows * SIZE, : columns * SIZE].reshape(rows, SIZE, columns, SIZE)
    return cut.swapaxes(1, 2).reshape(-1, SIZE, SIZE).astype(np.float64)
