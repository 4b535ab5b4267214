"""Blocks of frames and their cosine spectra: the raw material of a noise estimate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Self

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.fft import dct

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

SIZE, WIDE = 8, 16
"""Side of a block in pixels; of one that shows how far correlation reaches."""


@lru_cache(maxsize=2)
def cosines(size: int) -> FloatArray:
    """(u, i): the orthonormal cosines, one a row."""
    return np.asarray(dct(np.eye(size), norm="ortho", axis=0))


@lru_cache(maxsize=2)
def _cosines_2d(size: int) -> NDArray[np.float32]:
    return np.kron(cosines(size), cosines(size)).astype(np.float32)


def orders(size: int) -> NDArray[np.int64]:
    """Return u + v of each coefficient: how fine the detail is that it sees."""
    return np.add.outer(np.arange(size), np.arange(size))


ORDER = orders(SIZE)

_MAX_BLOCKS = 20_000
_PILED_SHARE = 0.02
_SAMPLED = 1 << 17
"""Pixels of a frame that its extremes are looked for in; of more than 16 frames fewer."""


@dataclass(frozen=True)
class Extremes:
    """Darkest and brightest level of the data, and whether pixels are piled up there."""

    low: float
    high: float
    piled_low: bool
    piled_high: bool
    step: float
    """Distance of two neighbouring levels; 0 for continuous data."""


@dataclass(frozen=True)
class Blocks:
    """(n,) blocks of one or more frames, in data units."""

    mean: FloatArray
    around: FloatArray
    """(n,) means of the frame around each block, without the block itself."""
    energy: FloatArray
    """(n, size, size) squared cosine coefficients."""
    third: FloatArray
    """(n,) third central moments."""
    fine_third: FloatArray
    """(n,) third moments of each pixel less the mean of its eight neighbours, scaled to be the
    third cumulant of white noise: texture has far less of a part in it."""
    dark: BoolArray
    """(n,) has too many pixels piled up at the darkest level."""
    bright: BoolArray
    """(n,) has too many pixels piled up at the brightest level."""

    def __len__(self) -> int:
        return len(self.mean)

    def take(self, chosen: NDArray[Any]) -> Self:
        """Return the chosen blocks, by mask or index."""
        return type(self)(*(getattr(self, f.name)[chosen] for f in fields(self)))

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Pool the blocks of several frames."""
        names = [f.name for f in fields(cls)]
        return cls(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))


def find_extremes(frames: Sequence[NDArray[Any]]) -> Extremes:
    """Look for saturation and for the step of the levels."""
    most = _SAMPLED if len(frames) <= 16 else 16 * _SAMPLED // len(frames)
    values = np.concatenate([_sample(frame, most) for frame in frames])
    values = values[np.isfinite(values)]
    if not values.size:
        return Extremes(0.0, 0.0, False, False, 0.0)
    levels, counts = np.unique(values, return_counts=True)
    step = _level_step(levels, values.size)
    return Extremes(
        low=float(levels[0]),
        high=float(levels[-1]),
        piled_low=_is_piled(levels, counts, step),
        piled_high=_is_piled(-levels[::-1], counts[::-1], step),
        step=step,
    )


def _sample(frame: NDArray[Any], most: int) -> FloatArray:
    stride = int(np.ceil(np.sqrt(frame.size / most)))
    return np.asarray(frame[::stride, ::stride], np.float64).ravel()


def _level_step(levels: FloatArray, samples: int) -> float:
    """Find the even distance of the levels, also of integers divided by a constant."""
    if len(levels) < 2 or len(levels) > samples / 4:
        return 0.0
    gaps = np.diff(levels)
    step = float(gaps.min())
    whole = gaps / step
    return step if np.abs(whole - np.rint(whole)).max() < 0.02 else 0.0


def _is_piled(levels: FloatArray, counts: NDArray[np.intp], step: float) -> bool:
    """Tell whether the first level holds more than three times what its neighbours do."""
    if step == 0:
        return bool(counts[0] >= 16)
    near = counts[1:5][levels[1:5] <= levels[0] + 4.5 * step].sum() / 4
    return bool(counts[0] >= 16 and counts[0] > 3 * near)


def cut_blocks(
    frame: NDArray[Any],
    extremes: Extremes,
    budget: int = _MAX_BLOCKS,
    level: NDArray[Any] | None = None,
    piled: tuple[NDArray[Any], NDArray[Any]] | None = None,
    size: int = SIZE,
) -> Blocks:
    """Cut a frame into at most `budget` blocks spread over it, and transform them.

    Parameters
    ----------
    frame
        (Y, X), at least `size` pixels along each side; blocks with NaN or infinities are left out.
    extremes
        Of the data that the frame belongs to.
    budget
        Number of blocks.
    level
        (Y, X) image that the blocks' means are taken from; None: the frame itself.
    piled
        Two raw frames to look for saturated pixels in; None: the frame itself.
    size
        Side of a block.
    """
    rows, columns = _places(frame.shape, budget, size)
    pixels = _gather(frame, rows, columns, size)
    fine = np.isfinite(pixels).all(axis=(1, 2))
    if not fine.all():
        pixels, rows, columns = pixels[fine], rows[fine], columns[fine]
    raw = [pixels] if piled is None else [_gather(image, rows, columns, size) for image in piled]
    values = pixels if level is None else _gather(level, rows, columns, size)
    mean = values.mean(axis=(1, 2))
    centred = pixels - pixels.mean(axis=(1, 2), keepdims=True)
    scale = float(np.abs(centred).max(initial=0.0)) or 1.0
    unit = (centred / scale).astype(np.float32)  # the data's own units may overflow float32
    energy = ((unit.reshape(-1, size**2) @ _cosines_2d(size).T).astype(np.float64) * scale) ** 2
    return Blocks(
        mean=mean,
        around=_around(frame if level is None else level, rows, columns, mean, size),
        energy=energy.reshape(-1, size, size),
        third=scale**3 * _third(unit),
        fine_third=scale**3 * _third(_detail(unit)) / (1 - 8 / 8**3),
        dark=_too_many(raw, extremes.low) & extremes.piled_low,
        bright=_too_many(raw, extremes.high) & extremes.piled_high,
    )


def _detail(blocks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Take from each inner pixel the mean of its eight neighbours."""
    rows = blocks[:, :-2] + blocks[:, 1:-1] + blocks[:, 2:]
    nine = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    return np.asarray((9 * blocks[:, 1:-1, 1:-1] - nine) / 8)


def _third(blocks: NDArray[np.float32]) -> FloatArray:
    return np.asarray((blocks * blocks * blocks).mean(axis=(1, 2), dtype=np.float64))


def _around(
    image: NDArray[Any],
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    mean: FloatArray,
    size: int,
) -> FloatArray:
    """Mean of what lies within a block's side of each block, the block left out."""
    top, bottom = np.maximum(rows - size, 0), np.minimum(rows + 2 * size, image.shape[0])
    left, right = np.maximum(columns - size, 0), np.minimum(columns + 2 * size, image.shape[1])

    def total(values: NDArray[Any]) -> FloatArray:
        sums = np.zeros(np.add(image.shape, 1))
        np.cumsum(values, axis=0, out=sums[1:, 1:])
        np.cumsum(sums, axis=1, out=sums)
        return np.asarray(
            sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
        )

    pixels = (bottom - top) * (right - left)
    if image.dtype.kind == "f" and not (finite := np.isfinite(image)).all():
        pixels = np.maximum(total(finite), size**2 + 1)
    light = total(np.nan_to_num(image, posinf=0, neginf=0))
    return np.asarray((light - size**2 * mean) / (pixels - size**2))


def _too_many(raw: list[FloatArray], level: float) -> BoolArray:
    shares = [(pixels == level).mean(axis=(1, 2)) for pixels in raw]
    return np.asarray(np.max(shares, axis=0) > _PILED_SHARE)


def _gather(
    image: NDArray[Any], rows: NDArray[np.intp], columns: NDArray[np.intp], size: int
) -> FloatArray:
    windows = sliding_window_view(image, (size, size))
    return windows[rows, columns].astype(np.float64)


@lru_cache(maxsize=8)
def _places(
    shape: tuple[int, int], budget: int, size: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Corners of blocks on a regular grid, thinned evenly where they are too many."""
    smaller = min(shape)
    stride = 2 if smaller <= 128 else 4 if shape[0] * shape[1] <= 1 << 19 else 8
    grid = np.meshgrid(*(np.arange(0, n - size + 1, stride) for n in shape), indexing="ij")
    rows, columns = (axis.ravel() for axis in grid)
    if len(rows) > budget:
        chosen = np.linspace(0, len(rows) - 1, budget).astype(np.intp)
        rows, columns = rows[chosen], columns[chosen]
    return rows, columns
