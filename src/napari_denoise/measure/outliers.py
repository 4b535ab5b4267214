"""What says nothing about noise: isolated outliers, constant fill, blank and flash frames.

These are found first, and kept out of every estimate of noise, range and exposure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, binary_opening

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_EXCESS = 8.0
"""Local standard deviations between an outlier and the median of its neighbours."""
_TAIL = 3.0
"""Times that, where noise has a tail of its own."""
_ISOLATED = 0.3
"""An outlier's second brightest neighbour has less than this of its excess: a spot of sd 0.8 px,
the sharpest that optics draw on well chosen pixels, has more."""
_FIREFLY, _DARK = 64.0, 0.25
"""A firefly exceeds its neighbours' median by 64 times that and a quarter of the exposure."""
_PHOTONS, _FEW = 0.005, 0.0001
"""Of the pixels. More isolated ones are photons, not faults; from the second share on they are
photons where weaker ones are more."""
_WEAK = 0.7
"""Score of the weakest isolated pixels that are counted."""
_LEAST_FILL = 0.01
"""Share of a frame that a value fills at least."""
_QUIET = 0.05
"""Squares of the levels next to a value, relative to its own, that tell a quiet image: dark areas
of a JPEG hold squares of several levels."""
_TOUCHING = 0.25
"""Share of the other pixels that touch fill at most."""
SIDE = 4
"""Side of the squares that areas of fill are made of, pixels."""
FILL_REACH = 2 * SIDE
_BAND = 128
"""Rows that are looked at in one go."""
_BINS = 24
_FEWEST = 64
"""Pixels of a frame that can be blank."""


class OutlierRule(Protocol):
    """How far an isolated pixel may stand out."""

    def excess(self, level: FloatArray) -> FloatArray:
        """Return the most that is no outlier, over the median of the neighbours."""


@dataclass(frozen=True)
class NoiseRule:
    """Outliers of noise whose standard deviation at each level was measured robustly.

    Parameters
    ----------
    levels, deviations
        Increasing levels, and the standard deviation there; data units.
    """

    levels: tuple[float, ...]
    deviations: tuple[float, ...]
    times: float = _EXCESS
    """How many of them an outlier stands out by."""

    @classmethod
    def of(cls, frames: Sequence[NDArray[Any]]) -> NoiseRule | None:
        """Measure some frames, (Y, X) each; None where they tell nothing."""
        parts = [part for frame in frames if (part := _bends(frame)) is not None]
        if not parts:
            return None
        level, bend = (np.concatenate(side) for side in zip(*parts, strict=True))
        order = np.argsort(level, kind="stable")
        groups = np.array_split(order, max(1, min(_BINS, len(order) // 64)))
        levels = [float(level[group].mean()) for group in groups]
        spread = [np.percentile(bend[group], [15.87, 84.13]) for group in groups]
        # A quarter and a half of neighbours' variance come with the bend.
        found = np.maximum.accumulate([float(b - a) / 2 / np.sqrt(1.5) for a, b in spread])
        floor = max(_step(level), 1e-6 * float(np.abs(level).max(initial=0.0)))
        if floor <= 0 and not found.max() > 0:
            return None
        return cls(tuple(levels), tuple(float(max(sd, floor)) for sd in found))

    def excess(self, level: FloatArray) -> FloatArray:
        """Return some standard deviations at a level."""
        return self.times * np.interp(level, self.levels, self.deviations)

    def beyond_tails(self) -> NoiseRule:
        """Return the rule for noise with a tail, such as amplified photons have."""
        return replace(self, times=_TAIL * self.times)


@dataclass(frozen=True)
class RadianceRule:
    """Fireflies of path-traced light, whose noise grows with the light.

    Parameters
    ----------
    exposure
        Mean radiance of the image.
    """

    exposure: float

    def excess(self, level: FloatArray) -> FloatArray:
        """Return the light above which a lone pixel is a firefly."""
        return _FIREFLY * (np.maximum(level, 0.0) + _DARK * self.exposure)


def _bends(frame: NDArray[Any], most: int = 1 << 16) -> tuple[FloatArray, FloatArray] | None:
    """Levels of some pixels, and how far each is from the mean of its neighbours in the row."""
    if frame.shape[1] < 3:
        return None
    stride = max(1, int(np.ceil(frame.shape[0] * frame.shape[1] / most)))
    rows = np.asarray(frame[::stride], np.float64)
    left, right = rows[:, :-2], rows[:, 2:]
    level, bend = ((left + right) / 2).ravel(), (rows[:, 1:-1] - (left + right) / 2).ravel()
    fine = np.isfinite(level) & np.isfinite(bend)
    return (level[fine], bend[fine]) if fine.any() else None


def _step(values: FloatArray) -> float:
    """Distance of the two nearest levels of data that has few of them; 0 for continuous data."""
    levels = np.unique(values)
    return float(np.diff(levels).min()) if 1 < len(levels) < len(values) / 8 else 0.0


def find_outliers(frame: NDArray[Any], rule: OutlierRule) -> NDArray[np.intp]:
    """Find the isolated outliers of a frame; an answer depends on the 3 x 3 around it alone.

    Parameters
    ----------
    frame
        (Y, X) of finite values.
    rule
        How far a pixel may stand out.

    Returns
    -------
    (n, 2) rows and columns.
    """
    places, scores = _isolated(frame, rule)
    return places[scores >= 1]


def lone_outliers(frame: NDArray[Any], rule: NoiseRule) -> NDArray[np.intp]:
    """Find the isolated outliers of a frame, none where single photons are isolated too.

    Photons are many, and the more the weaker; faults are few, and of any strength.
    """
    places, scores = _isolated(frame, rule)
    if _has_tail(scores):
        scores = scores / _TAIL
    strong, weak = scores >= 1, int(((scores >= _WEAK) & (scores < 1)).sum())
    count = int(strong.sum())
    share = count / frame.size
    photons = share > _PHOTONS or (share > _FEW and weak > count)
    return places[:0] if photons else places[strong]


def has_tail(frame: NDArray[Any], rule: NoiseRule) -> bool:
    """Whether isolated pixels are the more the weaker they are: the tail of the noise itself."""
    return _has_tail(_isolated(frame, rule)[1])


def _has_tail(scores: FloatArray) -> bool:
    middling = int(((scores >= 1) & (scores < _TAIL)).sum())
    return 0 < middling < int((scores < 1).sum())


def _isolated(frame: NDArray[Any], rule: OutlierRule) -> tuple[NDArray[np.intp], FloatArray]:
    """Find isolated pixels with a score each: 1 for the least outlier, down to `_WEAK`."""
    parts = list(_in_bands(frame, rule)) if min(frame.shape) >= 3 else []
    if not parts:
        return np.empty((0, 2), np.intp), np.empty(0)
    places, scores = (np.concatenate(side) for side in zip(*parts, strict=True))
    return places, scores


def _in_bands(
    frame: NDArray[Any], rule: OutlierRule
) -> Iterator[tuple[NDArray[np.intp], FloatArray]]:
    least = _WEAK * float(rule.excess(np.array([-np.inf]))[0]) / 2
    height = frame.shape[0]
    for top in range(0, height, _BAND):
        rows = np.arange(top - 1, min(top + _BAND, height) + 1)
        mirrored = np.where(rows < 0, 1, np.where(rows >= height, height - 2, rows))
        band = np.pad(np.asarray(frame[mirrored], np.float32), ((0, 0), (1, 1)), mode="reflect")
        places = _candidates(band, least)
        if len(places):
            scores = _scores(band, places, rule)
            chosen = scores >= _WEAK
            yield places[chosen] + np.array([top, 0]), scores[chosen]


def _candidates(band: NDArray[np.float32], least: float) -> NDArray[np.intp]:
    """Pixels that differ from all four neighbours by some of the least excess."""
    centre = band[1:-1, 1:-1]
    four = band[:-2, 1:-1], band[2:, 1:-1], band[1:-1, :-2], band[1:-1, 2:]
    highest, lowest = four[0].copy(), four[0].copy()
    for side in four[1:]:
        np.maximum(highest, side, out=highest)
        np.minimum(lowest, side, out=lowest)
    return np.argwhere((centre - highest > least) | (lowest - centre > least))


def _scores(band: NDArray[np.float32], places: NDArray[np.intp], rule: OutlierRule) -> FloatArray:
    """How far each place stands out of its eight neighbours, 0 where it is not alone."""
    around = [(dy, dx) for dy in range(3) for dx in range(3) if (dy, dx) != (1, 1)]
    values = np.stack([band[places[:, 0] + dy, places[:, 1] + dx] for dy, dx in around], axis=1)
    neighbours = np.sort(values.astype(np.float64), axis=1)
    own = band[places[:, 0] + 1, places[:, 1] + 1].astype(np.float64)
    median = neighbours[:, 3:5].mean(axis=1)
    excess = np.abs(own - median)
    # A spot's own flanks are its neighbours: they vary with it.
    times = rule.times if isinstance(rule, NoiseRule) else _EXCESS
    limit = np.maximum(rule.excess(median), times * neighbours.std(axis=1))
    second = np.where(own > median, neighbours[:, -2] - median, median - neighbours[:, 1])
    alone = second < _ISOLATED * excess
    return np.asarray(np.where(alone, excess / np.maximum(limit, 1e-300), 0.0))


def replace_outliers(frame: NDArray[Any], places: NDArray[np.intp]) -> NDArray[Any]:
    """Return the frame with the median of its eight neighbours at each place.

    Without any place, the very same array.
    """
    if not len(places):
        return frame
    offsets = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]
    around = [_mirrored(places + np.array(offset), frame.shape) for offset in offsets]
    values = np.stack([frame[tuple(place.T)] for place in around], axis=1)
    out = frame.copy()
    out[tuple(places.T)] = np.sort(values, axis=1)[:, 3]  # one of them: no rounding
    return out


def _mirrored(places: NDArray[np.intp], shape: tuple[int, ...]) -> NDArray[np.intp]:
    last = np.array(shape) - 1
    return np.where(places < 0, 1, np.where(places > last, last - 1, places))


def find_fill(frame: NDArray[Any]) -> tuple[float, ...]:
    """Find the values that fill a part of a frame and say nothing of the image.

    A value is fill where it makes up whole squares, more than 1 % of the frame, the levels next
    to it make up hardly any, and the other pixels lie together: those that caught a photon lie
    among pixels that caught none.
    """
    squares, values = _constant_squares(frame)
    if not squares.any():
        return ()
    found, counts = np.unique(values, return_counts=True)
    large = found[(counts >= max(_LEAST_FILL * squares.size, 1)) & ~_is_quiet(found, counts)]
    return tuple(float(value) for value in large if _is_fill(frame, value))


def _is_quiet(levels: NDArray[Any], counts: NDArray[np.intp]) -> BoolArray:
    """Which levels of whole numbers are among others that make up squares too."""
    whole = levels.astype(np.float64)
    if not np.array_equal(whole, np.rint(whole)):
        return np.zeros(len(whole), bool)
    apart = np.abs(np.subtract.outer(whole, whole))
    beside = np.where((apart > 0) & (apart <= 1), counts, 0).sum(axis=1)
    return np.asarray(beside > _QUIET * counts)


def _constant_squares(frame: NDArray[Any], side: int = 8) -> tuple[BoolArray, NDArray[Any]]:
    """Which squares hold one value alone, and that value of each."""
    rows, columns = (length // side for length in frame.shape)
    if not (rows and columns):
        return np.zeros((0, 0), bool), frame[:0, 0]
    squares = frame[: rows * side, : columns * side].reshape(rows, side, columns, side)
    first = squares[:, :1, :, :1]
    constant = (squares == first).all(axis=(1, 3))
    return constant, first[:, 0, :, 0][constant]


def _is_fill(frame: NDArray[Any], value: Any) -> bool:
    """Whether the other pixels lie together, not among those of this value as photons do."""
    same = np.asarray(frame == value)
    others = ~same
    touching = others & binary_dilation(same, np.ones((3, 3), bool))
    return int(touching.sum()) < _TOUCHING * int(others.sum())


def fill_area(frame: NDArray[Any], values: Sequence[float]) -> BoolArray | None:
    """Mark the areas of a frame that are fill, made of small squares; None without any.

    A pixel's answer depends on no pixel farther than `FILL_REACH`.
    """
    found: BoolArray | None = None
    for value in values:
        same = np.asarray(frame == value)
        if not same.any():
            continue
        area = binary_opening(same, np.ones((SIDE, SIDE), bool))
        # Slanted borders leave some pixels that are in no square.
        area |= same & binary_dilation(area, np.ones((2 * SIDE + 1,) * 2, bool))
        found = area if found is None else found | area
    return found if found is not None and found.any() else None


def is_blank(frame: NDArray[Any]) -> bool:
    """Whether a frame holds one value alone, or hardly any other: it was never taken.

    Of a few pixels that may be chance.
    """
    if frame.size < _FEWEST:
        return False
    first = frame[0, 0]
    if first != frame[-1, -1] and first != frame[0, -1]:
        return False
    return int(np.count_nonzero(frame != first)) <= 1e-4 * frame.size


def find_flashes(frames: Sequence[NDArray[Any]]) -> list[int]:
    """Find frames that are darker nowhere than nearly all others are anywhere: a flash, a lamp."""
    if len(frames) < 3:
        return []
    thin = [
        frame[:: max(1, frame.shape[0] // 64), :: max(1, frame.shape[1] // 64)] for frame in frames
    ]
    ends = np.array([np.percentile(part, [10, 99]) for part in thin])
    usual = float(np.median(ends[:, 1]))
    flashes = [n for n, (low, _) in enumerate(ends) if low > usual]
    return flashes if len(flashes) <= len(frames) / 3 else []
