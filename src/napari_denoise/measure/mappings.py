"""Data units to network units and back: invertible mappings.

A mapping is fixed once per stack and channel. Every mapping has

- ``forward(x)``: data units to float32 of about [0, 1], strictly increasing; decreasing of
  data that are a negative of light;
- ``inverse(y)``: back to float32 in data units;
- ``sigma``: standard deviation of the noise after ``forward``; for correlated noise it is
  the true one, not yet multiplied by `NoiseModel.inflation`;
- ``to_json()``: plain values for the provenance.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_denoise.image.values import Float32Array, to_float32
from napari_denoise.measure.jensen import jensen_gap
from napari_denoise.settings.noise import NoiseModel

_Float = TypeVar("_Float", np.float32, np.float64)

_EXPOSURE_LEVEL, _EXPOSURE_SPAN = 0.25, 128.0
LOG_WIDTH = float(np.log1p(_EXPOSURE_SPAN))
"""What `LogMapping.of_exposure` divides the logarithm by."""


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

    kind: ClassVar[Literal["affine"]] = "affine"
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
    inverted
        As in `NoiseModel`: what is mapped is the light, offset less x, and grows as x falls.

    References
    ----------
    Starck, Murtagh, Bijaoui 1998; Makitalo and Foi, "Optimal inversion of the generalized
    Anscombe transformation for Poisson-Gaussian noise", IEEE TIP 22, 2013.
    """

    kind: ClassVar[Literal["anscombe"]] = "anscombe"
    gain: float
    offset: float
    read_noise: float
    low: float
    high: float
    skewness: float = 1.0
    inverted: bool = False

    @property
    def sigma(self) -> float:
        """Noise standard deviation in network units."""
        return 1 / self._bounds[1]

    @property
    def brightest(self) -> float:
        """Photons at the bright end."""
        return (
            max(self.offset - self.low, 0) / self.gain
            if self.inverted
            else (self.high - self.offset) / self.gain
        )

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
        start, end = sorted((float(ends[0]), float(ends[1])))
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
        if self.inverted:
            np.negative(above, out=above)
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
        if self.inverted:
            np.negative(x, out=x)
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

    kind: ClassVar[Literal["log"]] = "log"
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

    @classmethod
    def of_range(cls, high: float) -> LogMapping:
        """Let the logarithm take over at 1/32 of the bright end: near the mean of a render."""
        top = high if high > 0 else 1.0
        return cls(top / 32, top)

    @property
    def sigma(self) -> float:
        """Noise standard deviation in network units, at y = 1/2."""
        return self.noise_sd / self.slope

    @property
    def slope(self) -> float:
        """Data units per network unit, at y = 1/2."""
        return self._width * (self.level + self.middle)

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


@dataclass(frozen=True, eq=False)
class Mapped:
    """A window in network units: as it is, or as codes and what each of them maps to.

    Parameters
    ----------
    values
        (C, Y, X), float32 in network units, or uint8 or uint16 codes.
    table
        Float32, what every code maps to; None where the values are mapped already.
    """

    values: NDArray[Any]
    table: Float32Array | None = None

    def to_float32(self) -> Float32Array:
        """Return the mapped values, (C, Y, X)."""
        return self.values if self.table is None else self.table[self.values]


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
        if _shot_noise_matters(noise, low if noise.inverted else high):
            parts = noise.gain, noise.offset, noise.read_noise, low, high, noise.skewness
            return AnscombeMapping(*parts, inverted=noise.inverted)
        return AffineMapping(low, high, float(np.sqrt(noise.variance(middle))))
    if kind == "log":
        return _fit_log(noise, high)
    raise ValueError(f"mapping {kind!r}: choose 'affine', 'anscombe' or 'log'")


def _shot_noise_matters(noise: NoiseModel, brightest: float) -> bool:
    """Tell whether the gain is more than a rounding error of the largest variance."""
    light = noise.offset - brightest if noise.inverted else brightest - noise.offset
    shot = noise.gain * max(light, noise.gain)
    return bool(shot > 1e-6 * max(noise.read_noise**2, 1e-30))


def _fit_log(noise: NoiseModel, high: float) -> LogMapping:
    bare = LogMapping.of_range(high)
    return replace(bare, noise_sd=float(np.sqrt(noise.variance(bare.middle))))
