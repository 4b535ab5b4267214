"""Estimate Poisson-Gaussian, possibly correlated noise from the images themselves.

The noise is measured in fine cosine coefficients of 8 x 8 blocks. Blocks are chosen by
their coarse coefficients, so that choosing does not bias the measurement, and averaged by
plain means: robust statistics of pixels or coefficients fail below a few photons per pixel,
where both are discrete and spiked.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_denoise.image.long_work import finished
from napari_denoise.measure.noise_blocks import (
    ORDER,
    SIZE,
    WIDE,
    Blocks,
    Extremes,
    cut_blocks,
    find_extremes,
)
from napari_denoise.measure.noise_line import fit_line, lifted
from napari_denoise.measure.noise_reach import measure_far
from napari_denoise.measure.noise_spectrum import Correlation, fit_correlation
from napari_denoise.settings.noise import MOST_SKEWED, NoiseModel

FloatArray = NDArray[np.float64]
FramePair = tuple[NDArray[Any], NDArray[Any]]

_SMALLEST = 16
_BUDGET = 16_000
_LOW = (ORDER >= 1) & (ORDER <= 2)
_MID = (ORDER >= 3) & (ORDER <= 5)
_HIGH = ORDER >= 6
_FINE = (ORDER >= 8) & (ORDER <= 10)
_FINEST = ORDER >= 11


@dataclass(frozen=True)
class Selection:
    """Which blocks and cosines to measure."""

    share: float
    """Share of each bin's blocks, those with the least coarse detail."""
    fit: NDArray[np.bool_]
    """Cosines that tell the correlation."""
    orders: NDArray[np.bool_]
    """Cosines that tell the variance."""
    tilt: float
    """See `fit_correlation`."""


FLATTEST = Selection(0.1, ORDER >= 3, ORDER >= 4, tilt=0.0)
WHITE = Selection(0.1, ORDER >= 3, ORDER >= 8, tilt=0.0)
SPARSE = Selection(1.0, ORDER >= 3, ORDER >= 8, tilt=0.0)
"""For amplified light: its rare bright pixels raise the coarse detail of a block with the fine,
so that the flattest blocks are those without; at so few photons texture is drowned."""
EVERYTHING = Selection(1.0, ORDER >= 1, ORDER >= 1, tilt=0.5)

_SKEWNESS_SPREAD = 0.25
"""Of the skewness of cameras and photomultipliers."""
_SKEWED = 1.15
"""Above it, light is taken for amplified."""
_PIXELS_OF_A_BLOCK = 18
"""Independent ones of the 36 inner pixels: blocks overlap."""

_POISSON = 0.7, 1.4
"""Variance over mean and step of counted photons, from which texture takes or adds a little."""
_JUDGED, _LEAST_JUDGED, _SHARED = 16_000, 200, 0.75
"""Blocks that all pairs are judged by, and one at least; fine detail of its difference at least,
in that of frames two apart."""
_FALLS, _FALLS_FAR, _SCATTER = 1.5, 2.5, 0.12
"""Variance in the dark over that in the bright, of data that are a negative of light: at least, and
in single frames; and how far from a line it is there. Of negatives it is 0.02 to 0.09, of textured
photographs 0.19 to 0.9."""
_MOVED = 1.5
"""Coarse energy of differences, relative to that of noise, that means motion."""


@dataclass(frozen=True)
class Bins:
    """The flattest blocks at each of (n,) levels."""

    level: FloatArray
    energy: FloatArray
    """(n, 8, 8) mean energies."""
    third: FloatArray
    count: FloatArray
    half: FloatArray
    """(n, 3) of the flatter half of the blocks: level, fine third moment and their number. The
    very flattest have fewer outliers, which a third moment is made of."""

    @property
    def ratio(self) -> FloatArray:
        """(n,) mid over high energy; raised by texture."""
        return np.asarray(self.energy[:, _MID].mean(1) / self.energy[:, _HIGH].mean(1))

    def take(self, chosen: NDArray[np.bool_]) -> Bins:
        """Return the chosen bins."""
        return Bins(*(getattr(self, field.name)[chosen] for field in fields(self)))


@dataclass(frozen=True)
class Fit:
    """A line through the noise variances of the bins."""

    gain: float
    intercept: float
    correlation: Correlation
    bins: Bins
    excess: float
    """Coarse over fine energy, relative to that of the noise alone."""
    whole: bool
    """All blocks and cosines were used."""

    @property
    def white(self) -> bool:
        """The noise is not correlated."""
        return self.correlation == Correlation()

    def at(self, level: float) -> float:
        """Variance at a level, may be negative."""
        return self.gain * level + self.intercept


def estimate_noise(
    frames: Sequence[NDArray[Any]],
    pairs: Sequence[tuple[NDArray[Any], NDArray[Any]]] = (),
) -> NoiseModel:
    """Estimate the noise of one channel.

    Parameters
    ----------
    frames
        (Y, X) arrays in the data's own units and dtype; NaN and infinities are left out.
    pairs
        Adjacent frames of a stack: better, if what changes between them is mostly noise;
        they are not used otherwise.

    Returns
    -------
    NoiseModel
        In data units. The line variance(mean) alone does not tell offset from read noise:
        the offset is chosen so that the skewness of the darkest blocks is that of their
        photons, between the darkest block's mean and the level where the variance would
        become negative, and not below the lowest value of the data.

    Raises
    ------
    ValueError
        If there is no frame.
    """
    return finished(estimating_noise(frames, pairs))


def estimating_noise(
    frames: Sequence[NDArray[Any]],
    pairs: Sequence[tuple[NDArray[Any], NDArray[Any]]] = (),
) -> Generator[None, None, NoiseModel]:
    """Do as `estimate_noise`, yielding after every frame and pair."""
    if not len(frames):
        raise ValueError("estimate_noise got 0 frames: pass at least one (Y, X) frame")
    model, fit = yield from _estimating(frames, pairs)
    if model.gain == 0 and fit is not None and _falls(fit):
        return (yield from _inverted(frames, pairs)) or model
    return model


def _estimating(
    frames: Sequence[NDArray[Any]], pairs: Sequence[FramePair]
) -> Generator[None, None, tuple[NoiseModel, Fit | None]]:
    """Estimate the noise of data that are light, and return the line that it comes from."""
    extremes = find_extremes(frames)
    if extremes.high <= extremes.low:
        return NoiseModel(), None
    if min(frames[0].shape) < _SMALLEST:
        return NoiseModel(read_noise=_small_sigma(frames)), None
    independent = yield from _independent(pairs, extremes)
    if len(pairs) and not independent:  # frames that share noise tell no more than one of them
        frames = [frames[len(frames) // 2]]
    single = _fit_single((yield from _pool(frames, extremes)), extremes)
    paired, pairs = None, independent
    if len(pairs):
        paired = _fit_pairs((yield from _pool_pairs(pairs, extremes)), extremes)
    fit = paired if paired and _is_noise(paired, single) else single
    if fit is None:
        return NoiseModel(read_noise=_small_sigma(frames)), None
    if not fit.white:
        fit = yield from _reaching(fit, pairs if fit is paired else (), frames, extremes)
    model = _model(fit, single or fit, extremes)
    if model.gain > 0:
        return model, fit
    counts = _counts(frames, extremes)
    return (model, fit) if counts is None else (counts, None)


def _falls(fit: Fit) -> bool:
    """Whether the noise is clearly stronger in the dark: that of light is not."""
    order = np.argsort(fit.bins.level)
    fine = fit.bins.energy[order][:, _HIGH].mean(1)
    third = max(len(order) // 3, 1)
    return bool(fine[:third].mean() > _FALLS * fine[-third:].mean())


def _inverted(
    frames: Sequence[NDArray[Any]], pairs: Sequence[FramePair]
) -> Generator[None, None, NoiseModel | None]:
    """Estimate the noise of data that are a negative of light; None where that is not clear.

    Texture may grow towards the dark as noise would, but not along a line. Differences of frames
    have none.
    """
    turned = {id(frame): _negative(frame) for frame in (*frames, *chain(*pairs))}
    model, fit = yield from _estimating(
        [turned[id(frame)] for frame in frames],
        [(turned[id(one)], turned[id(two)]) for one, two in pairs],
    )
    if model.gain == 0 or fit is None or not fit.white:
        return None
    bright, dark = (max(fit.at(end), 0.0) for end in (fit.bins.level.min(), fit.bins.level.max()))
    if dark < (_FALLS if fit.whole else _FALLS_FAR) * bright:
        return None
    if not fit.whole and _scatter(fit) > _SCATTER:
        return None
    return replace(model, offset=-model.offset, inverted=True)


def _scatter(fit: Fit) -> float:
    """How far the variances of the bins are from the line, relative to it."""
    found = fit.bins.energy[:, WHITE.orders].mean(1)
    line = np.array([max(fit.at(level), 1e-6 * found.max()) for level in fit.bins.level])
    ratio = fit.bins.ratio
    trust = fit.bins.count * np.minimum(1, np.sort(ratio)[:3].mean() / ratio) ** 4
    return float(np.sqrt(np.average((found / line - 1) ** 2, weights=trust)))


def _negative(frame: NDArray[Any]) -> NDArray[Any]:
    wide = np.float32 if frame.dtype.itemsize <= 2 else np.float64
    return np.asarray(np.negative(frame, dtype=wide))


def _counts(frames: Sequence[NDArray[Any]], extremes: Extremes) -> NoiseModel | None:
    """Recognise counted photons, mostly none, by a variance that is the mean; None otherwise.

    Where nearly every pixel is empty, no block tells how the variance grows with the level.
    """
    if extremes.low != 0 or extremes.step <= 0:
        return None
    mean = float(np.mean([np.nanmean(frame, dtype=np.float64) for frame in frames]))
    if not 0 < mean < extremes.step / 2:
        return None
    gain = roughness([np.asarray(frame, np.float32) for frame in frames]) ** 2 / mean
    alike = _POISSON[0] < gain / extremes.step < _POISSON[1]
    return NoiseModel(gain=gain) if alike else None


def _reaching(
    fit: Fit, pairs: Sequence[FramePair], frames: Sequence[NDArray[Any]], extremes: Extremes
) -> Generator[None, None, Fit]:
    """Measure correlated noise once more, in wider blocks of what the fit is from."""
    if min(frames[0].shape) < 2 * WIDE:
        return fit
    pooled = _pool_pairs(pairs, extremes, WIDE) if pairs else _pool(frames, extremes, WIDE)
    blocks = yield from pooled
    far = measure_far(blocks, fit.gain, fit.intercept, fit.correlation, whole=fit.whole)
    if far is None:
        return fit
    gain, intercept, correlation = far
    return replace(fit, gain=gain, intercept=intercept, correlation=correlation)


def _pool(
    frames: Sequence[NDArray[Any]], extremes: Extremes, size: int = SIZE
) -> Generator[None, None, Blocks]:
    """Cut blocks from all frames alike."""
    share, parts = _share(len(frames), size), []
    for frame in frames:
        parts.append(cut_blocks(frame, extremes, share, size=size))
        yield
    return Blocks.join(parts)


def _pool_pairs(
    pairs: Sequence[FramePair], extremes: Extremes, size: int = SIZE
) -> Generator[None, None, Blocks]:
    """Cut blocks from differences of frames: their noise without their content."""
    share, parts = _share(len(pairs), size), []
    for pair in pairs:
        parts.append(_cut_pair(*pair, extremes, share, size))
        yield
    return Blocks.join(parts)


def _share(parts: int, size: int) -> int:
    """Blocks of each part: whatever their size, they hold the same number of pixels."""
    return _BUDGET * SIZE**2 // (size**2 * parts)


def _cut_pair(
    first: NDArray[Any], second: NDArray[Any], extremes: Extremes, budget: int, size: int = SIZE
) -> Blocks:
    """Match the brightness of the second frame, then scale to one frame's variance.

    The variance of (y1 - f y2) / sqrt(1 + f**2) is that of the level
    (m1 + f**2 m2) / (1 + f**2), as variance is linear in the level.
    """
    one, two = _with_nan(first), _with_nan(second)
    factor = _match(one, two)
    weight = 1 + factor**2
    difference = (one - factor * two) / np.sqrt(weight)
    level = (one + factor**2 * two) / weight
    return cut_blocks(difference, extremes, budget, level, (first, second), size)


def _independent(
    pairs: Sequence[FramePair], extremes: Extremes
) -> Generator[None, None, list[FramePair]]:
    """Choose the pairs whose two frames have noise of their own.

    Frames that share noise (repeated, running means, interpolated) differ by less than each does
    from the next but one, where there is one: texture, which stands still, does not.
    """
    following = {id(first): second for first, second in pairs}
    before = {id(second): first for first, second in pairs}
    chosen = []
    budget = max(_JUDGED // max(len(pairs), 1), _LEAST_JUDGED)
    for first, second in pairs:
        yield
        detail = _difference(first, second, extremes, budget)
        if (third := following.get(id(second))) is not None:
            apart = _difference(first, third, extremes, budget)
        elif (third := before.get(id(first))) is not None:
            apart = _difference(third, second, extremes, budget)
        else:
            apart = 0.0
        if detail > _SHARED * apart and detail > 0:
            chosen.append((first, second))
    return chosen


def _difference(
    first: NDArray[Any], second: NDArray[Any], extremes: Extremes, budget: int
) -> float:
    """Fine detail of the difference of two frames, where it is flat."""
    blocks = _cut_pair(first, second, extremes, budget)
    if not len(blocks):
        return 0.0
    flat = np.argsort(blocks.energy[:, _LOW].sum(1))[: max(1, len(blocks) // 2)]
    return float(blocks.energy[flat][:, _HIGH].mean())


def _with_nan(frame: NDArray[Any]) -> FloatArray:
    """As float64 with NaN for infinities, whose differences would raise warnings."""
    image = np.array(frame, np.float64)
    image[np.isinf(image)] = np.nan
    return image


def _match(one: FloatArray, two: FloatArray) -> float:
    """Contrast of the first frame relative to the second; 1 where noise hides it."""
    a, b = (_coarse_image(image) for image in (one, two))
    power = float((a * a).sum() * (b * b).sum())
    if power <= 0 or float((a * b).sum()) < 0.9 * np.sqrt(power):
        return 1.0
    factor = float(np.sqrt((a * a).sum() / (b * b).sum()))
    return factor if 0.5 < factor < 2 else 1.0


def _coarse_image(image: FloatArray, side: int = 16) -> FloatArray:
    """Means of large blocks, less their own mean."""
    rows, columns = (n // side for n in image.shape)
    blocks = np.nan_to_num(image[: rows * side, : columns * side], posinf=0, neginf=0)
    means = blocks.reshape(rows, side, columns, side).mean(axis=(1, 3))
    return np.asarray(means - means.mean())


def _is_noise(paired: Fit, single: Fit | None) -> bool:
    """Tell whether differences of frames can be trusted to hold the noise.

    Repeated or averaged frames differ by too little; moving content and other planes of
    a z-stack differ by more than a single frame's own fine detail. That detail may miss much
    of correlated noise, so that more is allowed where nothing seems to have moved.
    """
    if single is None:
        return True
    level = single.bins.level
    ratio = np.array([max(paired.at(m), 0.0) / max(single.at(m), 1e-300) for m in level])
    return bool(0.02 < np.median(ratio) < (2.5 if paired.whole else 1.15))


def _small_sigma(frames: Sequence[NDArray[Any]]) -> float:
    """Gaussian sigma from second differences, for images that hold no blocks."""
    parts = []
    for frame in frames:
        image = np.asarray(frame, np.float64)
        parts += [np.diff(image, 2, axis=axis).ravel() for axis in range(2)]
    bends = np.concatenate(parts)
    bends = bends[np.isfinite(bends)]
    return float(np.median(np.abs(bends)) / 0.6745 / np.sqrt(6)) if bends.size else 0.0


def _fit_pairs(blocks: Blocks, extremes: Extremes) -> Fit | None:
    """Use all blocks and bands of the differences, if even the coarse ones are noise.

    Otherwise something moved, and the differences are treated like a single image.
    """
    fit = _fit_blocks(blocks, extremes, EVERYTHING)
    if fit is None or fit.excess > _MOVED:
        return _fit_blocks(blocks, extremes)
    return fit


def _fit_single(blocks: Blocks, extremes: Extremes) -> Fit | None:
    fit = _fit_blocks(blocks, extremes)
    if fit is None or not fit.white or _skewness(fit) < _SKEWED:
        return fit
    return _fit_blocks(blocks, extremes, SPARSE) or fit


def _fit_blocks(blocks: Blocks, extremes: Extremes, selection: Selection = FLATTEST) -> Fit | None:
    """Leave out clipped blocks, unless what looks clipped are pixels without a photon."""
    unclipped = blocks.take(~blocks.bright)
    clear = unclipped.take(~unclipped.dark)
    if len(clear) == len(unclipped):
        return _fit_line(unclipped, selection)
    fit = _fit_line(clear, selection)
    if fit is not None and _is_clipped(fit, unclipped.take(unclipped.dark), extremes):
        return fit
    return _fit_line(unclipped, selection) or fit


def _is_clipped(fit: Fit, dark: Blocks, extremes: Extremes) -> bool:
    """Tell clipping from pixels that got no photon, by what brighter blocks foretell.

    Clipped normal noise of a level that is not itself below the end of the scale keeps
    0.34 of its variance or more; where there is none at that end, nothing was clipped.
    """
    foretold = fit.at(extremes.low)
    darkest = dark.take(dark.around <= np.percentile(dark.around, 20))
    found = darkest.energy[:, _HIGH].mean() / fit.correlation.spectrum()[_HIGH].mean()
    return bool(foretold > 0.25 * fit.gain**2 and found > 0.25 * foretold)


def _fit_line(blocks: Blocks, selection: Selection) -> Fit | None:
    if len(blocks) < 16:
        return None
    bins = _bin(blocks, selection.share)
    kept = bins.energy[:, _HIGH].mean(1) > 0
    if not kept.any():
        return None
    bins = bins.take(kept)
    relative = bins.energy / bins.energy[:, _HIGH].mean(1)[:, None, None]
    flat = _flattest(bins)
    spectrum = np.average(relative[flat], axis=0, weights=bins.count[flat])
    if selection is FLATTEST and _is_level(spectrum, bins.count[flat].sum()):
        selection = WHITE
    if selection is WHITE or selection is SPARSE:
        correlation = Correlation()
    else:
        correlation = fit_correlation(spectrum, selection.fit, selection.tilt)
    excess = _coarse(np.average(relative, axis=0, weights=bins.count))
    excess /= _coarse(correlation.spectrum())
    used = selection.orders
    variance = bins.energy[:, used].sum(1) / correlation.spectrum()[used].sum()
    usual = spectrum[_MID].mean() / spectrum[_HIGH].mean()
    trust = bins.count * np.minimum(1, usual / bins.ratio) ** 4
    gain, intercept = fit_line(bins.level, variance, trust)
    darkest = float(np.percentile(blocks.around, 1))
    gain, intercept = lifted(gain, intercept, darkest, bins.level, variance)
    return Fit(gain, intercept, correlation, bins, excess, selection is EVERYTHING)


def _is_level(spectrum: FloatArray, count: float) -> bool:
    """Tell whether the finest cosines lie level: white noise, whatever texture adds below."""
    fine, finest = spectrum[_FINE].mean(), spectrum[_FINEST].mean()
    error = np.sqrt(2 / count * (1 / _FINE.sum() + 1 / _FINEST.sum()))
    return bool(abs(fine / finest - 1) < 0.08 + 2 * error)


def _coarse(spectrum: FloatArray) -> float:
    return float(spectrum[_LOW].mean() / spectrum[_HIGH].mean())


def _bin(blocks: Blocks, share: float) -> Bins:
    """Group blocks by level and average the share of each with the least coarse detail."""
    key = blocks.around
    few = len(blocks) < 4000
    share, least = (max(share, 0.2), 60) if few else (share, 120)
    order = np.argsort(key, kind="stable")
    mean = key[order]
    edges = np.union1d(
        np.linspace(0, len(mean), 13).astype(int)[1:-1],
        np.searchsorted(mean, np.linspace(mean[0], mean[-1], 13)[1:-1]),
    )
    starts = _merge(edges, len(mean), least)
    low = blocks.energy[:, _LOW].sum(1)
    chosen, half = [], []
    for part in np.split(order, starts):
        keep = max(round(share * len(part)), min(12, len(part)))
        flattest = part[np.argsort(low[part])]
        chosen.append(flattest[:keep])
        half.append(flattest[: max(len(part) // 2, min(12, len(part)))])
    return Bins(
        level=np.array([blocks.mean[i].mean() for i in chosen]),
        energy=np.array([blocks.energy[i].mean(0) for i in chosen]),
        third=np.array([blocks.third[i].mean() for i in chosen]),
        count=np.array([len(i) for i in chosen], np.float64),
        half=np.array([(blocks.mean[i].mean(), blocks.fine_third[i].mean(), len(i)) for i in half]),
    )


def _merge(edges: NDArray[np.intp], end: int, least: int) -> list[int]:
    """Leave out edges until every group has `least` members."""
    kept: list[int] = []
    for edge in edges:
        if edge - (kept[-1] if kept else 0) >= least and end - edge >= least:
            kept.append(int(edge))
    return kept


def _flattest(bins: Bins) -> NDArray[np.intp]:
    """Return the bins with least texture: at least 3, and 30 % of all blocks."""
    order = np.argsort(bins.ratio)
    share = np.cumsum(bins.count[order]) / bins.count.sum()
    return order[: max(3, int(np.searchsorted(share, 0.3)) + 1)]


def _model(fit: Fit, single: Fit, extremes: Extremes) -> NoiseModel:
    """Split the intercept into offset and read noise by the skewness of single frames."""
    gain, intercept = fit.gain, _without_rounding(fit, extremes)
    rho = fit.correlation.rho_y, fit.correlation.rho_x
    if gain <= 0:
        return NoiseModel(0.0, 0.0, float(np.sqrt(max(intercept, 0.0))), *rho)
    skewness = _skewness(single) if fit.white else 1.0
    dark = int(np.argmin(single.bins.level))
    level, third = float(single.bins.level[dark]), float(single.bins.third[dark])
    if skewness > _SKEWED:  # all blocks were measured, those with structure too
        level, third = (float(value) for value in single.bins.half[dark, :2])
    variance = max(gain * level + intercept, 0.0)
    # An unexposed pixel's mean is not below the lowest value of all.
    most = min(variance, gain * max(level - extremes.low, 0.0))
    shot = float(np.clip(third / (skewness * gain), 0.0, most))
    read_noise = float(np.sqrt(variance - shot))
    return NoiseModel(gain, level - shot / gain, read_noise, *rho, skewness)


def _skewness(fit: Fit) -> float:
    """Slope of the third cumulant over the level, in units of the squared gain.

    The offset is in the line's intercept and does not matter. Where little light or many
    photons leave the slope uncertain, the result is drawn towards that of photons alone.
    """
    level, third, count = fit.bins.half.T
    variance = fit.gain * level + fit.intercept
    variance = np.maximum(variance, 0.1 * np.median(variance))
    # The error of a third moment of normal noise; texture lies on top of it.
    trust = np.minimum(1, np.median(fit.bins.ratio) / fit.bins.ratio) ** 4
    weight = trust * count * _PIXELS_OF_A_BLOCK / (15 * variance**3)
    level = (level - np.average(level, weights=weight)) * fit.gain**2
    third = third - np.average(third, weights=weight)
    spread = max(float((weight * level**2).sum()), 1e-300)
    slope = float((weight * level * third).sum()) / spread
    scatter = float((weight * (third - slope * level) ** 2).sum()) / max(len(level) - 2, 1)
    error = max(scatter, 1.0) / spread
    drawn = 1 + (slope - 1) * _SKEWNESS_SPREAD**2 / (_SKEWNESS_SPREAD**2 + error)
    return float(np.clip(drawn, 1.0, MOST_SKEWED))


def _without_rounding(fit: Fit, extremes: Extremes) -> float:
    """Take the rounding of the levels out, where the noise is not that of whole counts."""
    rounding = extremes.step**2 / 12
    return fit.intercept - rounding if fit.at(extremes.low) > rounding else fit.intercept


def roughness(frames: Sequence[NDArray[Any]]) -> float:
    """Root mean square of second differences across a diagonal, scaled to the sd of noise.

    For path-traced frames: fireflies are rare and strong and smooth regions quiet, so that any
    robust or selective estimate would miss what has to go.

    Parameters
    ----------
    frames
        Each (..., Y, X).
    """
    total, count = 0.0, 0
    for frame in frames:
        second = (
            frame[..., 1:, 1:] - frame[..., :-1, 1:] - frame[..., 1:, :-1] + frame[..., :-1, :-1]
        )
        finite = np.isfinite(second)
        values = second if finite.all() else second[finite]
        total += float(np.square(values, dtype=np.float64).sum()) / 4
        count += values.size
    return float(np.sqrt(total / count)) if count else 0.0
