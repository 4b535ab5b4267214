"""Data units to network units and back: dtypes, bad pixels, ranges, invertible mappings.

A mapping is fixed once per stack and channel. Every mapping has

- ``forward(x)``: data units to float32 of about [0, 1], strictly increasing;
- ``inverse(y)``: back to float32 in data units;
- ``sigma``: standard deviation of the noise after ``forward``; for correlated noise it is
  the true one, not yet multiplied by `NoiseModel.inflation`;
- ``to_json()``: plain values for the provenance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from napari_denoise.core.jensen import jensen_gap
from napari_denoise.core.noise import NoiseModel

Float32Array = NDArray[np.float32]
_Float = TypeVar("_Float", np.float32, np.float64)

_EXPOSURE_LEVEL, _EXPOSURE_SPAN = 0.25, 128.0
LOG_WIDTH = float(np.log1p(_EXPOSURE_SPAN))
"""What `LogMapping.of_exposure` divides the logarithm by."""
_SAMPLES_PER_FRAME = 1 << 16
_MAX_FRAMES = 16


def to_float32(x: ArrayLike) -> Float32Array:
    """Return `x` as float32; a float32 array is returned itself, not a copy."""
    return np.asarray(x).astype(np.float32, copy=False)


def restore_dtype(x: ArrayLike, dtype: DTypeLike) -> NDArray[Any]:
    """Bring a float result back to the dtype of the data.

    Integers are rounded to nearest and clipped to the dtype's range; floats are cast,
    and clipped only where a narrower float would overflow to infinity.
    """
    array, wanted = np.asarray(x), np.dtype(dtype)
    if array.dtype == wanted:
        return array
    if wanted.kind in "iu":
        # float32 cannot hold the ends of 32-bit integers, nor float64 those of 64-bit ones.
        wide = array.astype(np.float64 if wanted.itemsize > 2 else np.float32, copy=False)
        info = np.iinfo(wanted)
        top = float(info.max)
        top = float(np.nextafter(top, 0)) if int(top) > info.max else top
        whole: NDArray[Any] = np.clip(np.rint(wide), float(info.min), top).astype(wanted)
        return whole
    if wanted.itemsize < array.dtype.itemsize:
        limit = np.finfo(wanted).max
        array = np.where(np.isfinite(array), np.clip(array, -limit, limit), array)
    return array.astype(wanted)


def replace_nonfinite(x: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """Replace NaN and infinities, so that one bad pixel cannot spread.

    Parameters
    ----------
    x
        (Y, X) or (Y, X, S) frame; never written to.

    Returns
    -------
    tuple
        The frame, with each bad pixel replaced by the median of the finite ones in the
        5 x 5 around it (of the frame where there are none, 0 in a frame without any), and
        the number of bad pixels. Without any, the very same array and 0.
    """
    if x.dtype.kind != "f":
        return x, 0
    finite = np.isfinite(x)
    bad = np.argwhere(~finite)
    if not len(bad):
        return x, 0
    filled = np.where(finite, x, np.nan)
    stand_in = np.median(x[finite]) if finite.any() else x.dtype.type(0)
    out = x.copy()
    for part in np.array_split(bad, len(bad) // 50_000 + 1):
        out[tuple(part.T)] = _local_medians(filled, part, stand_in)
    return out, len(bad)


def _local_medians(filled: NDArray[Any], places: NDArray[np.intp], stand_in: float) -> NDArray[Any]:
    """Median of the finite values in the 5 x 5 around each place."""
    dy, dx = (step.ravel() for step in np.mgrid[-2:3, -2:3])
    rows = np.clip(places[:, :1] + dy, 0, filled.shape[0] - 1)
    columns = np.clip(places[:, 1:2] + dx, 0, filled.shape[1] - 1)
    values = filled[(rows, columns, *(places[:, i : i + 1] for i in range(2, filled.ndim)))]
    values[np.isnan(values).all(axis=1)] = stand_in
    return np.asarray(np.nanmedian(values, axis=1))


def robust_range(frames: Sequence[Any]) -> tuple[float, float]:
    """Return the 0.1 and 99.9 percentiles of a stack, in data units.

    Looks at no more than 16 frames spread over the stack, on a grid of at most 65 536
    pixels each; frames may be lazy. NaN and infinities are left out; (0, 1) if none
    remains.

    Raises
    ------
    ValueError
        If there is no frame.
    """
    if not len(frames):
        raise ValueError("robust_range got 0 frames: pass at least one (Y, X) frame")
    chosen = np.unique(np.linspace(0, len(frames) - 1, _MAX_FRAMES).round().astype(int))
    values = np.concatenate([_thin(frames[i]) for i in chosen])
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    low, high = np.percentile(values, [0.1, 99.9])
    return float(low), float(high)


def _thin(frame: Any) -> NDArray[np.float64]:
    """Take an even grid of at most `_SAMPLES_PER_FRAME` pixels."""
    step = int(np.ceil(np.sqrt(frame.shape[0] * frame.shape[1] / _SAMPLES_PER_FRAME)))
    return np.asarray(frame[:: max(step, 1), :: max(step, 1)], np.float64).ravel()


@dataclass(frozen=True)
class AffineMapping:
    """``y = (x - low) / (high - low)``, for noise that does not depend on the signal.

    Parameters
    ----------
    low, high
        Intensities, in data units, that become 0 and 1.
    noise_sd
        Standard deviation of the noise in data units.
    """

    kind: ClassVar[str] = "affine"
    low: float
    high: float
    noise_sd: float = 0.0

    @property
    def width(self) -> float:
        """Data units per network unit; 1 for a constant image."""
        return self.high - self.low if self.high > self.low else 1.0

    @property
    def sigma(self) -> float:
        """Noise standard deviation in network units."""
        return self.noise_sd / self.width

    def forward(self, x: ArrayLike) -> Float32Array:
        """Map data units to network units."""
        y = np.array(x, np.float32)
        y -= np.float32(self.low)
        y *= np.float32(1 / self.width)
        return y

    def inverse(self, y: ArrayLike) -> Float32Array:
        """Map network units to data units."""
        x = np.array(y, np.float32)
        x *= np.float32(self.width)
        x += np.float32(self.low)
        return x

    def to_json(self) -> dict[str, Any]:
        """Return kind and parameters."""
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True)
class AnscombeMapping:
    """Generalised Anscombe transform: Poisson-Gaussian noise of nearly constant sd.

    Written relative to the offset, with d = x - offset and k = read_noise**2 + 3/8 gain**2,
    ``t = 2 d / (sqrt(k + gain max(d, 0)) + sqrt(k))``. For d >= 0 this is the transform
    ``2 / gain * sqrt(gain d + k)`` less its value at d = 0, without the cancellation that
    makes the usual form collapse in float32: as gain -> 0 it becomes d / read_noise. Below
    the offset it goes on straight, so that it stays strictly increasing. Noise has sd 1 in
    t; an affine scaling then brings [low, high] to [0, 1].

    `inverse` is the exact unbiased one: it maps the mean of the transformed noisy values,
    which is what a denoiser gives, to the mean of the noisy values.

    Parameters
    ----------
    gain, offset, read_noise
        As in `NoiseModel`; gain > 0.
    low, high
        Intensities, in data units, that become 0 and 1.
    skewness
        As in `NoiseModel`; only the inverse depends on it.

    References
    ----------
    Starck, Murtagh, Bijaoui 1998; Makitalo and Foi, "Optimal inversion of the generalized
    Anscombe transformation for Poisson-Gaussian noise", IEEE TIP 22, 2013.
    """

    kind: ClassVar[str] = "anscombe"
    gain: float
    offset: float
    read_noise: float
    low: float
    high: float
    skewness: float = 1.0

    @property
    def sigma(self) -> float:
        """Noise standard deviation in network units."""
        return 1 / self._bounds[1]

    def forward(self, x: ArrayLike) -> Float32Array:
        """Map data units to network units."""
        start, width = self._bounds
        y = self._stabilise(to_float32(x))
        y -= np.float32(start)
        y *= np.float32(1 / width)
        return y

    def inverse(self, y: ArrayLike) -> Float32Array:
        """Map network units to data units, without bias for a denoised image."""
        start, width = self._bounds
        t = np.array(y, np.float32)
        t *= np.float32(width)
        t += np.float32(start)
        means, gap = self._gap
        t -= np.interp(t, means, gap).astype(np.float32)
        return self._unstabilise(t)

    def forward_mean(self, x: ArrayLike) -> Float32Array:
        """Map a noise-free image to the mean of the transformed noisy ones.

        `inverse` undoes it: this, not `forward` of the clean image, is what a denoiser that
        works on transformed values should give.
        """
        start, width = self._bounds
        t = self._stabilise(to_float32(x))
        means, gap = self._gap
        t += np.interp(t, means - gap, gap).astype(np.float32)
        t -= np.float32(start)
        t *= np.float32(1 / width)
        return t

    def to_json(self) -> dict[str, Any]:
        """Return kind and parameters."""
        return {"kind": self.kind, **asdict(self)}

    @property
    def _root(self) -> float:
        """The sqrt(k) of the formula: about the noise sd in the dark."""
        return float(np.sqrt(self.read_noise**2 + 0.375 * self.gain**2))

    @property
    def _bounds(self) -> tuple[float, float]:
        """Start and width in t of what becomes [0, 1]."""
        ends = self._stabilise(np.array([self.low, self.high], np.float64))
        start, end = float(ends[0]), float(ends[1])
        return start, end - start if end > start else 1.0

    @property
    def _reach(self) -> float:
        """A t well above all of the data, where the table of the gap ends."""
        start, width = self._bounds
        return float(2 ** np.ceil(np.log2(max(abs(start) + 4 * width, 64.0))))

    @property
    def _gap(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return jensen_gap(self.read_noise / self.gain, self._reach, self.skewness)

    def _stabilise(self, x: NDArray[_Float]) -> NDArray[_Float]:
        above = np.array(x)
        above -= x.dtype.type(self.offset)
        under = np.maximum(above, 0, out=np.empty_like(above))
        under *= x.dtype.type(self.gain)
        under += x.dtype.type(self._root**2)
        np.sqrt(under, out=under)
        under += x.dtype.type(self._root)
        above *= 2
        above /= under
        return above

    def _unstabilise(self, t: Float32Array) -> Float32Array:
        x = np.maximum(t, 0, out=np.empty_like(t))
        x *= x * np.float32(self.gain / 4)
        x += t * np.float32(self._root)
        x += np.float32(self.offset)
        return x


@dataclass(frozen=True)
class LogMapping:
    """``y = sign(x) log(1 + |x| / level) / log(1 + high / level)``, for linear HDR.

    Linear for values under `level`, zero and small negative ones included, logarithmic
    above. As `level` follows the exposure, a factor on all data changes nothing in y.

    Parameters
    ----------
    level
        Intensity in data units where the logarithm takes over; > 0.
    high
        Intensity that becomes 1.
    noise_sd
        Noise standard deviation in data units at the intensity that becomes 1/2.
    """

    kind: ClassVar[str] = "log"
    level: float
    high: float
    noise_sd: float = 0.0

    @classmethod
    def of_exposure(cls, mean: float) -> LogMapping:
        """Fit to the mean radiance of an image, whose highlights may be anything.

        Level and bright end are fixed multiples of it, so that the curve is always the same:
        ``y = log(1 + x / level) / LOG_WIDTH``.
        """
        level = _EXPOSURE_LEVEL * mean if mean > 0 else 1.0
        return cls(level, _EXPOSURE_SPAN * level)

    @property
    def sigma(self) -> float:
        """Noise standard deviation in network units, at y = 1/2."""
        return self.noise_sd / (self._width * (self.level + self.middle))

    @property
    def middle(self) -> float:
        """The intensity, in data units, that becomes 1/2."""
        return self.level * float(np.expm1(self._width / 2))

    @property
    def _width(self) -> float:
        return float(np.log1p(self.high / self.level))

    def forward(self, x: ArrayLike) -> Float32Array:
        """Map data units to network units."""
        data = to_float32(x)
        y = np.abs(data, out=np.empty_like(data))
        y *= np.float32(1 / self.level)
        np.log1p(y, out=y)
        y *= np.float32(1 / self._width)
        np.copysign(y, data, out=y)
        return y

    def inverse(self, y: ArrayLike) -> Float32Array:
        """Map network units to data units."""
        data = to_float32(y)
        x = np.abs(data, out=np.empty_like(data))
        x *= np.float32(self._width)
        np.expm1(x, out=x)
        x *= np.float32(self.level)
        np.copysign(x, data, out=x)
        return x

    def to_json(self) -> dict[str, Any]:
        """Return kind and parameters."""
        return {"kind": self.kind, **asdict(self)}


Mapping = AffineMapping | AnscombeMapping | LogMapping


def inverse_mean(
    mapping: Mapping, mean: Float32Array, variance: Float32Array | None
) -> Float32Array:
    """Bring an uncertain estimate back to data units without bias.

    Where a mapping bends, the inverse of a mean is not the mean of the inverse: structure
    that noise hides, and that an estimate therefore averages over, would come out too dark.
    The inverse is averaged over two points one standard deviation apart from the estimate,
    which is exact to second order.

    Parameters
    ----------
    mapping
        As the estimate was mapped.
    mean
        Estimate in network units.
    variance
        Its error variance in network units squared; None if it is not known.
    """
    if variance is None or isinstance(mapping, AffineMapping):
        return mapping.inverse(mean)
    deviation = np.sqrt(variance)
    sides = mapping.inverse(mean + deviation)
    sides += mapping.inverse(mean - deviation)
    sides *= np.float32(0.5)
    return sides


def fit_mapping(
    kind: Literal["affine", "anscombe", "log"], noise: NoiseModel, low: float, high: float
) -> Mapping:
    """Make the mapping of one channel of a stack.

    Parameters
    ----------
    kind
        "affine" for photographs, "anscombe" for photon-limited data, "log" for linear HDR.
    noise
        The noise in data units. Where its gain adds nothing over [low, high], "anscombe"
        becomes its limit, an affine mapping.
    low, high
        Robust range of the data, as from `robust_range`.

    Raises
    ------
    ValueError
        If the kind is unknown or the range is not finite.
    """
    if not np.isfinite([low, high]).all():
        raise ValueError(f"range {low, high}: both ends must be finite")
    middle = (low + high) / 2
    if kind == "affine":
        return AffineMapping(low, high, float(np.sqrt(noise.variance(middle))))
    if kind == "anscombe":
        if _shot_noise_matters(noise, high):
            return AnscombeMapping(
                noise.gain, noise.offset, noise.read_noise, low, high, noise.skewness
            )
        return AffineMapping(low, high, float(np.sqrt(noise.variance(middle))))
    if kind == "log":
        return _fit_log(noise, high)
    raise ValueError(f"mapping {kind!r}: choose 'affine', 'anscombe' or 'log'")


def _shot_noise_matters(noise: NoiseModel, high: float) -> bool:
    """Tell whether the gain is more than a rounding error of the largest variance."""
    shot = noise.gain * max(high - noise.offset, noise.gain)
    return bool(shot > 1e-6 * max(noise.read_noise**2, 1e-30))


def _fit_log(noise: NoiseModel, high: float) -> LogMapping:
    """Let the logarithm take over at 1/32 of the bright end: near the mean of a render."""
    top = high if high > 0 else 1.0
    bare = LogMapping(top / 32, top)
    return LogMapping(top / 32, top, float(np.sqrt(noise.variance(bare.middle))))
