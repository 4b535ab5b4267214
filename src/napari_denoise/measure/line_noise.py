"""Noise that is the same along a row or a column, as some cameras and scanners add.

To a denoiser for the noise of pixels it is structure. So it is recognised, measured and taken out
before anything else. A specimen may have stripes of its own: what is taken for noise differs
from row to row by chance, equally along whole rows, over all rows, in dark and in bright places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_denoise.image.frames import evenly
from napari_denoise.image.planes import block_means
from napari_denoise.image.values import Float32Array
from napari_denoise.measure.line_offsets import (
    BEND,
    STRIP,
    bends,
    likeliest_offsets,
    line_offsets,
    shared,
    strip_means,
)

FloatArray = NDArray[np.float64]

_LEAST_SIDE = 64
"""Rows and columns that tell anything."""
_SEEN, _MOST = 0.18, 3.0
"""Sd of the rows, relative to that of the white noise, between which they are noise."""
_FRAMES = 5
"""That are looked at."""
_PARTS, _GROUPS = 8, 3
"""Parts along the rows, and groups from dark to bright, that must agree."""
_AGREE = (0.6, 1.5)
"""What one of them may hold, of what all do."""
_OVERALL = (0.35, 2.2)
"""The same of parts of all rows."""
_BANDS = (0.1, 0.2, 0.3, 0.4, 0.51)
_LEVELS = (0.25, 2.6), (0.45, 2.0), (0.45, 2.0), (0.45, 2.0)
"""Cycles per row; and the power of each band, of that of independent rows. The first has least of
it, and most of what the image shows."""
_FINE, _UNSURE = 0.4, 16
"""What the upper half of the bands holds at least, of what the lower half does, and of how many
rows it is unsure by 1: threads are broader than a row."""
_NORMAL = (1.9, 5.0)
"""Kurtosis, which is 3; of offsets and of bends."""
_FAR, _DISTANT = 0.85, 3
"""What distant parts share at least, of what adjacent ones do, and how far apart they are."""
_NEAR = (1, 2, 3)
"""Rows that offsets are compared over to tell how they are distributed."""
_KNOWN = 0.5
"""Share of a strip's rows that tell something."""
_EVEN, _CERTAIN = 0.3, 3.5
"""How fast the scatter along a row grows with its square, and in standard errors: a pattern."""
_MOVED, _TRAVEL = 0.5, 32
"""Correlation of the rows of two frames that are so many rows apart: stripes that move."""


@dataclass(frozen=True)
class LineNoise:
    """Offsets that rows and columns have, independent of each other.

    Parameters
    ----------
    rows, columns
        Standard deviation, in the data's units; 0 for none.
    white
        That of the noise of pixels.
    fixed
        Whether they are the same in every frame.
    """

    rows: float = 0.0
    columns: float = 0.0
    white: float = 0.0
    fixed: bool = False

    def __bool__(self) -> bool:
        """Whether there is any."""
        return self.rows > 0 or self.columns > 0

    def without(self, plane: NDArray[Any]) -> Float32Array:
        """Take it out of a whole (Y, X) plane; what is NaN stays, and tells nothing."""
        out = plane.astype(np.float32)
        if self.rows > 0:
            out -= line_offsets(plane, self.rows)[:, None].astype(np.float32)
        if self.columns > 0:
            out -= line_offsets(plane.T, self.columns)[None].astype(np.float32)
        return out

    def describe(self, done: str) -> str:
        """Say it in a line for people.

        Parameters
        ----------
        done
            What becomes of it.
        """
        found = [("row", self.rows), ("column", self.columns)]
        every = ", the same in every frame," if self.fixed else ""
        said = [
            f"{name} noise of sd {sd:.3g} ({sd / self.white:.1f} of that of the pixels){every} "
            f"{done}"
            for name, sd in found
            if sd > 0
        ]
        return "; ".join(said)


NO_LINES = LineNoise()


def find_lines(
    frames: Sequence[NDArray[Any]], pairs: Sequence[tuple[NDArray[Any], NDArray[Any]]] = ()
) -> LineNoise:
    """Look for line noise in some frames of a stack; it is there if most of them show it.

    Parameters
    ----------
    frames
        (Y, X) each. With values that are not finite they tell what the others tell.
    pairs
        Adjacent frames among them.
    """
    looked = evenly(frames, _FRAMES) if len(frames) else []
    large = [frame for frame in looked if min(frame.shape) >= _LEAST_SIDE]
    white = [sd for sd in map(_white, large) if sd > 0]
    if len(white) < len(looked) or not looked:
        return NO_LINES
    some = evenly(pairs, _FRAMES) if len(pairs) else []
    rows, same_rows = _over_time(some, _of_rows(looked, white))
    turned = [(one.T, other.T) for one, other in some]
    columns, same_columns = _over_time(turned, _of_rows([frame.T for frame in looked], white))
    if not (rows or columns):
        return NO_LINES
    fixed = (same_rows or not rows) and (same_columns or not columns)
    return LineNoise(rows, columns, float(np.median(white)), fixed)


def _over_time(pairs: Sequence[tuple[NDArray[Any], NDArray[Any]]], sd: float) -> tuple[float, bool]:
    """Take stripes that move for none; and whether the others stay."""
    if not (sd and pairs):
        return sd, False
    still = []
    for pair in pairs:
        one, two = (line_offsets(frame, sd) for frame in pair)
        size = float(np.sqrt((one**2).sum() * (two**2).sum()))
        most = min(_TRAVEL, len(one) // 2)
        moved = [
            float((a[lag:] * b[: len(b) - lag]).sum()) / max(size, 1e-300)
            for a, b in ((one, two), (two, one))
            for lag in range(1, most)
        ]
        still.append(float((one * two).sum()) / max(size, 1e-300))
        if max(moved) > _MOVED and max(moved) > still[-1]:
            return 0.0, False
    return sd, float(np.median(still)) > _MOVED


def _white(frame: NDArray[Any]) -> float:
    """Sd of what neither rows nor columns share, in the usual block."""
    steps = np.diff(np.asarray(frame, np.float32), axis=0)
    power = block_means(np.square(np.diff(steps, axis=1)), 8)
    known = power[np.isfinite(power)]
    return float(np.sqrt(np.median(known)) / 2) if known.size else 0.0


def _of_rows(frames: Sequence[NDArray[Any]], white: Sequence[float]) -> float:
    """Sd of an offset that whole rows share, and no other; 0 where there may be another reason."""
    pairs = zip(frames, white, strict=True)
    seen = [found for frame, sd in pairs if (found := _Evidence.of(frame, sd)) is not None]
    if 2 * len(seen) <= len(frames):
        return 0.0
    together = _Evidence._make(np.mean(side, axis=0) for side in zip(*seen, strict=True))
    return float(together.sd) if together.speaks_for_noise(len(seen)) else 0.0


class _Evidence(NamedTuple):
    """What tells an offset of rows from stripes of a specimen; means over frames are taken."""

    sd: FloatArray
    everywhere: FloatArray
    """Power in parts of all rows, of that of all: stripes of a specimen begin and end."""
    bands: FloatArray
    """Power of bands of frequencies, of that of independent rows: stripes have a width."""
    along: FloatArray
    """What each part of the rows holds of what the others share."""
    far: FloatArray
    """What distant parts share, of what adjacent ones do."""
    levels: FloatArray
    """What dark and bright strips share: a specimen's stripes are where it is."""
    kurtosis: FloatArray
    uneven: FloatArray
    """How fast the scatter along a row grows with the square of what it shares: in a fabric, rows
    that differ most are the most uneven."""
    unsure: FloatArray
    """Standard errors of these."""
    rows: FloatArray
    """How many."""

    @classmethod
    def of(cls, frame: NDArray[Any], white: float) -> _Evidence | None:
        """Look at a frame whose pixels have some noise; None where rows hardly differ, or a lot."""
        strips = strip_means(frame)
        strips = strips[:, np.isfinite(strips).mean(axis=0) > _KNOWN]
        if strips.shape[1] < _LEAST_SIDE // STRIP:
            return None
        bend = bends(strips)
        halves = shared(bend[:, 0::2])[0], shared(bend[:, 1::2])[0]
        product = halves[0] * halves[1]
        power = float(product.mean())
        sd = float(np.sqrt(max(power, 0.0) / BEND))
        if not _SEEN * white < sd < _MOST * white:
            return None
        common = shared(bend)[0]
        sizes = [part.mean() for part in np.array_split(product, max(4, len(product) // 64))]
        along, far = _along_rows(bend)
        uneven, unsure = zip(
            *[_growth(common, part) for part in (bend, bends(np.asarray(frame, np.float64)))],
            strict=True,
        )
        return cls(
            np.array(sd),
            np.array(sizes) / power,
            _bands(halves, sd),
            along,
            np.array(far),
            _at_levels(strips, bend) / power,
            np.array([_kurtosis(common), _kurtosis(likeliest_offsets(strips, sd, _NEAR))]),
            np.array(uneven),
            np.array(unsure),
            np.array(len(product)),
        )

    def speaks_for_noise(self, frames: int) -> bool:
        """Whether all of it does, seen in some frames."""
        certain = _CERTAIN * self.unsure / np.sqrt(frames)
        coarse, fine = self.bands[:2].sum(), self.bands[2:].sum()
        return bool(
            _within(self.everywhere, _OVERALL)
            and all(_within(part, ends) for part, ends in zip(self.bands, _LEVELS, strict=True))
            and fine > (_FINE + _UNSURE / self.rows) * coarse
            and _within(self.along, _AGREE)
            and self.far > _FAR - _UNSURE / self.rows
            and _within(self.levels, _AGREE)
            and _within(self.kurtosis, _NORMAL)
            and not ((self.uneven > _EVEN) & (self.uneven > certain)).any()
        )


def _within(values: FloatArray, ends: tuple[float, float]) -> bool:
    return bool(np.all((values > ends[0]) & (values < ends[1])))


def _bands(halves: tuple[FloatArray, FloatArray], sd: float) -> FloatArray:
    one, two = (np.fft.rfft(half - half.mean()) for half in halves)
    cycles = np.fft.rfftfreq(len(halves[0]))
    power = (one * two.conj()).real
    expected = np.square(1 - np.cos(2 * np.pi * cycles)) * len(halves[0]) * sd**2
    inside = [(cycles >= low) & (cycles < high) for low, high in pairwise(_BANDS)]
    return np.array([power[band].sum() / expected[band].sum() for band in inside])


def _along_rows(bend: FloatArray) -> tuple[FloatArray, float]:
    parts = np.stack([shared(part)[0] for part in np.array_split(bend, _PARTS, axis=1)], axis=1)
    held = []
    for number in range(_PARTS):
        others = np.delete(parts, number, axis=1)
        one, two = others[:, 0::2].mean(axis=1), others[:, 1::2].mean(axis=1)
        common = max(float((one * two).mean()), 1e-300)
        held.append(float((parts[:, number] * (one + two) / 2).mean()) / common)
    together = np.cov(parts.T)
    apart = np.abs(np.subtract.outer(np.arange(_PARTS), np.arange(_PARTS)))
    adjacent = max(float(together[apart == 1].mean()), 1e-300)
    return np.array(held), float(together[apart >= _DISTANT].mean()) / adjacent


def _at_levels(strips: FloatArray, bend: FloatArray) -> FloatArray:
    level = (strips[:-2] + 2 * strips[1:-1] + strips[2:]) / 4
    order = np.argsort(level, axis=1)
    groups = np.array_split(np.take_along_axis(bend, order, axis=1), _GROUPS, axis=1)
    together = np.cov(np.stack([shared(group)[0] for group in groups]))
    return np.asarray(together[np.triu_indices(_GROUPS, 1)])


def _growth(common: FloatArray, values: FloatArray) -> tuple[float, float]:
    """Slope of the scatter along rows over the square of what they share, and its error."""
    square = np.square(common)
    square = square - square.mean()
    power = max(float((square**2).sum()), 1e-300)
    known = np.isfinite(values)
    counts = np.maximum(known.sum(axis=1, keepdims=True), 1)
    values = np.where(known, values, 0.0)
    away = np.where(known, values - values.sum(axis=1, keepdims=True) / counts, 0.0)
    scatter = np.square(away).sum(axis=1) / counts[:, 0]
    scatter = scatter - scatter.mean()
    slope = float((square * scatter).sum()) / power
    return slope, float(np.std(scatter - slope * square)) / float(np.sqrt(power))


def _kurtosis(values: FloatArray) -> float:
    return float((values**4).mean() / max(float((values**2).mean()) ** 2, 1e-300))
