"""Some frames of a stack, to measure its range and noise from."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from napari_denoise.image.axes import Layout
from napari_denoise.image.frames import evenly, is_large
from napari_denoise.image.long_work import finished
from napari_denoise.image.planes import block_means, color_samples
from napari_denoise.image.values import replace_nonfinite
from napari_denoise.measure.line_noise import LineNoise
from napari_denoise.measure.noise_estimation import estimating_noise
from napari_denoise.measure.outliers import (
    NoiseRule,
    OutlierRule,
    RadianceRule,
    fill_area,
    find_fill,
    find_flashes,
    find_outliers,
    has_tail,
    is_blank,
    lone_outliers,
    replace_outliers,
)
from napari_denoise.settings.noise import LARGEST, NoiseModel

MEASURED_FRAMES = 16
"""At most this many frames of a channel are looked at."""
_WHOLE = 1 << 20
"""Pixels of the largest frames that are measured whole; of others some windows."""
_SIDE, _PER_SIDE = 256, 3
_LAMP, _HALF = 32.0, 16.0
_RIM, _FADING = 3, 0.6
"""Pixels around fill, and how near to it they are where an image fades, over the rest of it."""
_MANY_BAD = 0.01
"""Share of a plane's pixels without a finite value from which on they are left out."""


@dataclass(frozen=True)
class Findings:
    """What was found in the frames looked at and kept out of every estimate."""

    outliers: int = 0
    """Isolated ones, of all frames together."""
    fill: tuple[float, ...] = ()
    """Values that fill a part of the frames."""
    fill_share: float = 0.0
    faded: float | None = None
    """The value of fill that the image fades to, as counts do where there is no light; None where
    the image is cut off."""
    blank: tuple[int, ...] = ()
    """Positions of frames along their series, counted from 0; also of the next two."""
    flashes: tuple[int, ...] = ()
    repeats: tuple[tuple[int, int], ...] = ()
    """A frame, and the one that it repeats."""
    looked: int = 1
    """How many frames were looked at."""

    def describe(self) -> str:
        """Say it in a line for people; empty if there is nothing to say."""
        said = []
        if self.outliers:
            where = f" in the {self.looked} frames looked at" if self.looked > 1 else ""
            said.append(f"{self.outliers} isolated outlier{'s' * (self.outliers > 1)}{where}")
        if self.fill:
            values = " and ".join(f"{value:g}" for value in self.fill)
            said.append(f"{100 * self.fill_share:.0f} % of the image is constant {values}")
        if self.blank:
            said.append(_numbered(self.blank, "is blank", "are blank"))
        if self.flashes:
            said.append(_numbered(self.flashes, "is a flash", "are flashes"))
        said += [f"frame {one} repeats frame {other}" for one, other in self.repeats[:3]]
        if len(self.repeats) > 3:
            said.append(f"{len(self.repeats) - 3} others repeat the one before")
        return "; ".join(said)


def _numbered(numbers: Sequence[int], one: str, several: str) -> str:
    if len(numbers) == 1:
        return f"frame {numbers[0]} {one}"
    shown = ", ".join(map(str, numbers[:6])) + (" ..." if len(numbers) > 6 else "")
    return f"frames {shown} {several}"


@dataclass(frozen=True, eq=False)
class SampledFrames:
    """Some frames of one channel, without what says nothing about noise.

    Left out are frames without any finite value, blank ones and flashes, and pairs of equal
    frames. Isolated outliers are replaced, constant fill is NaN.

    Parameters
    ----------
    frames
        (Y, X) each; samples of a colour frame one by one; of large frames some windows.
    pairs
        Adjacent frames of the stack among them.
    extent
        Lowest and highest finite value; None without any.
    brightest
        Highest value that is no outlier.
    findings
        What was left out.
    """

    frames: list[NDArray[Any]]
    pairs: list[tuple[NDArray[Any], NDArray[Any]]]
    extent: tuple[float, float] | None
    brightest: float = 0.0
    findings: Findings = Findings()

    @classmethod
    def of(cls, array: Any, layout: Layout, channel: int = 0) -> Self:
        """Read them all at once; parameters as for `read`."""
        return finished(cls.read(array, layout, channel))

    @classmethod
    def read(
        cls, array: Any, layout: Layout, channel: int, *, plain: bool = False
    ) -> Generator[None, None, Self]:
        """Read them, yielding after each.

        Parameters
        ----------
        array, layout
            The stack.
        channel
            Position along C.
        plain
            Take pixels as they are: in an albedo a flat colour is no fill.
        """
        series = layout.series(channel)
        starts = [(i, layout.neighbour(i)) for i in series]
        with_next = [(i, j) for i, j in starts if j is not None]
        if len(series) > MEASURED_FRAMES and with_next:  # three in a row tell of shared noise
            firsts = evenly(with_next, MEASURED_FRAMES // 3)
            following = dict(starts)
            chosen = [(i, j) for i, j in firsts]
            chosen += [(j, k) for _, j in firsts if (k := following.get(j)) is not None]
            chosen = sorted(set(chosen))
            numbers = sorted({n for pair in chosen for n in pair})
        elif with_next:
            chosen = with_next
            numbers = sorted({n for pair in chosen for n in pair})
        else:
            chosen, numbers = [], evenly(series, MEASURED_FRAMES)
        seen: dict[int, list[SampledPlane | None]] = {}
        extents = []
        for number in numbers:
            extent, seen[number] = _look(array, layout, number, plain)
            extents.append(extent)
            yield
        position = {number: place for place, number in enumerate(series)}
        return cls._without(seen, chosen, position, _union(extents))

    @classmethod
    def _without(
        cls,
        seen: Mapping[int, Sequence[SampledPlane | None]],
        chosen: Sequence[tuple[int, int]],
        position: Mapping[int, int],
        extent: tuple[float, float] | None,
    ) -> Self:
        """Leave out blank frames, flashes and repeats, and say which."""
        whole = {n: [plane for plane in planes if plane is not None] for n, planes in seen.items()}
        blank = {n for n, planes in whole.items() if planes and all(p.blank for p in planes)}
        kept = [n for n in whole if n not in blank and whole[n]]
        if not kept:  # nothing but blank frames: they are what there is
            kept, blank = [n for n in whole if whole[n]], set()
        flashes = {kept[i] for i in find_flashes([whole[n][0].windows[0] for n in kept])}
        good = [n for n in kept if n not in flashes]
        frames = [window for n in good for plane in whole[n] for window in plane.windows]
        pairs, repeats = [], []
        for i, j in chosen:
            if i not in good or j not in good:
                continue
            both = [
                (a, b)
                for a, b in zip(seen[i], seen[j], strict=True)
                if a is not None and b is not None
            ]
            if all(_equal(a, b) for a, b in both):
                repeats.append((position[j], position[i]))
                continue
            pairs += [pair for a, b in both for pair in zip(a.windows, b.windows, strict=True)]
        planes = [plane for n in good for plane in whole[n]]
        findings = Findings(
            outliers=sum(max(plane.outliers for plane in whole[n]) for n in good),
            fill=_common_fill(planes),
            fill_share=float(np.mean([plane.fill_share for plane in planes])) if planes else 0.0,
            faded=next((p.faded for p in planes if p.faded is not None), None),
            blank=tuple(sorted(position[n] for n in blank)),
            flashes=tuple(sorted(position[n] for n in flashes)),
            repeats=tuple(repeats),
            looked=len(good),
        )
        brightest = max((plane.brightest for plane in planes), default=0.0)
        return cls(frames, pairs, extent, brightest, findings)

    def without(self, lines: LineNoise) -> Self:
        """Return the same frames without the noise of rows and columns."""
        if not lines:
            return self
        several = [*self.frames, *(frame for pair in self.pairs for frame in pair)]
        # Pairs are made of the frames themselves.
        made = {id(frame): lines.without(frame) for frame in {id(f): f for f in several}.values()}
        pairs = [(made[id(one)], made[id(other)]) for one, other in self.pairs]
        return replace(self, frames=[made[id(frame)] for frame in self.frames], pairs=pairs)

    def range(self) -> tuple[float, float]:
        """Measure darkest and brightest intensity, on means of 4x4 so that noise adds little."""
        return robust_range([block_means(frame) for frame in self.frames])

    def ground(self) -> float:
        """Return the median intensity."""
        values = np.concatenate([np.ravel(frame[::8, ::8]) for frame in self.frames])
        values = values[np.isfinite(values)]
        return float(np.median(values)) if values.size else 0.0

    def stand_in(self) -> float:
        """Return what the network sees in the place of fill."""
        return self.ground() if self.findings.faded is None else self.findings.faded

    def exposure(self) -> float:
        """Measure the mean intensity that a lamp in the picture does not carry away.

        ``m = mean(min(x, 32 m))``; and no more than 16 times what half of the picture is below.
        """
        mean = self.mean()
        for _ in range(100):
            capped = self.mean(_LAMP * mean) if mean > 0 else mean
            if capped >= mean * 0.999:
                break
            mean = capped
        blocks = np.concatenate([np.ravel(block_means(frame, 8)) for frame in self.frames])
        lit = blocks[np.isfinite(blocks) & (blocks > 0)]
        return min(mean, _HALF * float(np.median(lit))) if lit.size else mean

    def mean(self, most: float = np.inf) -> float:
        """Mean of the values, none counted as more than some value."""
        means = []
        for frame in self.frames:
            room = np.finfo(frame.dtype) if frame.dtype.kind == "f" else np.iinfo(frame.dtype)
            capped = np.minimum(frame, frame.dtype.type(most)) if most < room.max else frame
            finite = capped if frame.dtype.kind != "f" else capped[np.isfinite(capped)]
            whole = capped if finite.size == capped.size else finite
            if whole.size:
                means.append(float(whole.mean(dtype=np.float64)))
        return float(np.mean(means)) if means else 0.0

    def estimating_noise(self) -> Generator[None, None, NoiseModel]:
        """Estimate the noise in the units of the frames, yielding after each."""
        noise = yield from estimating_noise(self.frames, self.pairs)
        dark = self.findings.faded
        if dark is None or noise.inverted or noise.gain == 0 or noise.offset <= dark:
            return noise
        # Nothing is darker than what the image fades to: the same line of variances, from there.
        read_noise = float(np.sqrt(noise.variance(dark)))
        return replace(noise, offset=dark, read_noise=read_noise)


@dataclass(frozen=True, eq=False)
class SampledPlane:
    """One plane that was looked at: what is measured of it, and what was set aside."""

    windows: list[NDArray[Any]]
    blank: bool
    outliers: int
    fill: tuple[float, ...]
    fill_share: float
    brightest: float
    faded: float | None = None


def _look(
    array: Any, layout: Layout, number: int, plain: bool
) -> tuple[tuple[float, float] | None, list[SampledPlane | None]]:
    """Read the planes of a frame, or windows of a large one."""
    index = layout.frames[number]
    size = layout.size("Y"), layout.size("X")
    if is_large(array, layout.axes):
        parts = [np.asarray(array[layout.window(index, where)]) for where in _windows(size)]
        whole = [color_samples(part, layout)[0] for part in parts]
        looked = [[_set_aside(plane, layout, plain) for plane in colors] for colors in whole]
        extent = _union([_extent(colors) for colors in whole])
        return extent, [_joined([part[n] for part in looked]) for n in range(len(looked[0]))]
    colors = color_samples(np.asarray(array[index]), layout)[0]
    planes = [_set_aside(plane, layout, plain) for plane in colors]
    if size[0] * size[1] > _WHOLE:
        planes = [plane and _cut(plane, size) for plane in planes]
    return _extent(colors), planes


def _set_aside(plane: NDArray[Any], layout: Layout, plain: bool) -> SampledPlane | None:
    """Find outliers and fill of a plane, and take them out; None without any finite value."""
    finite = _finite(plane)
    if finite is None:
        return None
    if is_blank(finite):
        return SampledPlane([finite], True, 0, (), 0.0, float(finite.max()))
    beyond = max(-float(finite.min()), float(finite.max())) > LARGEST  # which will be refused
    if plain or beyond:
        return SampledPlane([finite], False, 0, (), 0.0, float(finite.max()))
    radiance = "S" in layout.axes and finite.dtype.kind == "f"
    places = find_outliers_of(finite, radiance=radiance)
    calm = replace_outliers(finite, places)
    bad = ~np.isfinite(plane) if plane.dtype.kind == "f" else np.zeros(plane.shape, bool)
    if bad.mean() > _MANY_BAD:  # what stands in for them says nothing either
        calm = np.where(bad, calm.dtype.type(np.nan), calm)
    fill = find_fill(calm)
    if radiance:  # a sky of one colour is light, without any noise
        fill = tuple(value for value in fill if value == 0)
    brightest, share, faded = float(np.nanmax(calm)), 0.0, None
    if fill and (area := fill_area(calm, fill)) is not None:
        share = float(area.mean())
        faded = _faded(calm, area, fill)
        wide = np.float32 if calm.dtype.itemsize <= 2 else np.float64
        calm = calm.astype(calm.dtype if calm.dtype.kind == "f" else wide, copy=True)
        calm[binary_dilation(area, iterations=2)] = np.nan
        rest = calm[np.isfinite(calm)]
        brightest = float(rest.max()) if rest.size else brightest
    return SampledPlane([calm], False, len(places), fill, share, brightest, faded)


def _faded(plane: NDArray[Any], area: NDArray[np.bool_], fill: Sequence[float]) -> float | None:
    """Return the value of fill that the image comes near to around it; None where it does not."""
    inside = ~area & np.isfinite(plane)
    for value in fill:
        inside &= plane != value
    rim = plane[inside & binary_dilation(area, iterations=_RIM)]
    if not rim.size:
        return None
    middle, border = float(plane[inside].mean()), float(rim.mean())
    near = [v for v in fill if abs(border - v) < _FADING * abs(middle - v)]
    return near[0] if near else None


def find_outliers_of(plane: NDArray[Any], *, radiance: bool = False) -> NDArray[np.intp]:
    """Find the isolated outliers of a plane by what it tells itself; photons are none."""
    if not radiance:
        rule = NoiseRule.of([plane])
        return np.empty((0, 2), np.intp) if rule is None else lone_outliers(plane, rule)
    fireflies = plane_rule([plane], radiance=True)
    return np.empty((0, 2), np.intp) if fireflies is None else find_outliers(plane, fireflies)


def plane_rule(planes: Sequence[NDArray[Any]], *, radiance: bool) -> OutlierRule | None:
    """Return what an outlier of such planes is."""
    if not radiance:
        rule = NoiseRule.of(planes)
        tail = rule is not None and any(has_tail(plane, rule) for plane in planes)
        return rule.beyond_tails() if rule is not None and tail else rule
    means = [float(np.median(block_means(np.maximum(plane, 0), 8))) for plane in planes]
    exposure = float(np.mean(means))
    return RadianceRule(exposure) if exposure > 0 else None


def _cut(plane: SampledPlane, size: tuple[int, int]) -> SampledPlane:
    (whole,) = plane.windows
    return replace(plane, windows=[whole[where].copy() for where in _windows(size)])


def _joined(parts: Sequence[SampledPlane | None]) -> SampledPlane | None:
    known = [part for part in parts if part is not None]
    if not known:
        return None
    filler = known[0].windows[0]  # windows of two frames are compared one by one
    return SampledPlane(
        [part.windows[0] if part is not None else filler for part in parts],
        all(part.blank for part in known),
        sum(part.outliers for part in known),
        _common_fill(known),
        float(np.mean([part.fill_share for part in known])),
        max(part.brightest for part in known),
        next((part.faded for part in known if part.faded is not None), None),
    )


def _windows(size: tuple[int, int]) -> list[tuple[slice, slice]]:
    """Windows spread evenly over a frame, `_PER_SIDE` along each side."""
    starts = [
        np.linspace(0, max(n - _SIDE, 0), min(_PER_SIDE, -(-n // _SIDE))).astype(int) for n in size
    ]
    return [(slice(y, y + _SIDE), slice(x, x + _SIDE)) for y, x in product(*starts)]


def _equal(one: SampledPlane, other: SampledPlane) -> bool:
    return all(
        a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
        for a, b in zip(one.windows, other.windows, strict=True)
    )


def _common_fill(planes: Sequence[SampledPlane]) -> tuple[float, ...]:
    """Values that fill at least half of some planes."""
    values = [value for plane in planes for value in plane.fill]
    return tuple(sorted(v for v in set(values) if 2 * values.count(v) >= len(planes)))


def _extent(values: NDArray[Any]) -> tuple[float, float] | None:
    """Lowest and highest finite value; None without any."""
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
    return (float(values.min()), float(values.max())) if values.size else None


def _union(extents: Iterable[tuple[float, float] | None]) -> tuple[float, float] | None:
    known = [extent for extent in extents if extent is not None]
    return (min(e[0] for e in known), max(e[1] for e in known)) if known else None


def _finite(plane: NDArray[Any]) -> NDArray[Any] | None:
    """Fill the bad pixels of (Y, X); None where there is nothing to fill them from."""
    has_values = plane.dtype.kind != "f" or np.isfinite(plane).any()
    return replace_nonfinite(plane)[0] if has_values else None


_SAMPLES_PER_FRAME = 1 << 16


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
    values = np.concatenate([_thin(frame) for frame in evenly(frames, MEASURED_FRAMES)])
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    low, high = np.percentile(values, [0.1, 99.9])
    return float(low), float(high)


def _thin(frame: Any) -> NDArray[np.float64]:
    """Take an even grid of at most `_SAMPLES_PER_FRAME` pixels."""
    step = int(np.ceil(np.sqrt(frame.shape[0] * frame.shape[1] / _SAMPLES_PER_FRAME)))
    return np.asarray(frame[:: max(step, 1), :: max(step, 1)], np.float64).ravel()
