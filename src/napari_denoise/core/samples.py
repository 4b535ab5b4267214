"""Some frames of a stack, to measure its range and noise from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_denoise.core.axes import Layout
from napari_denoise.core.intensity import replace_nonfinite, robust_range
from napari_denoise.core.noise import NoiseModel
from napari_denoise.core.noise_estimation import estimate_noise

MEASURED_FRAMES = 16
"""At most this many frames of a channel are looked at."""


class Samples:
    """Some frames of one channel, read once; those without any finite value are left out.

    Parameters
    ----------
    array, layout
        The stack.
    channel
        Position along C.
    """

    def __init__(self, array: Any, layout: Layout, channel: int) -> None:
        series = layout.series(channel)
        starts = [(i, layout.neighbour(i)) for i in series]
        with_next = [(i, j) for i, j in starts if j is not None]
        if with_next:
            chosen = _spread(with_next, MEASURED_FRAMES // 2)
            numbers = sorted({n for pair in chosen for n in pair})
        else:
            chosen, numbers = [], _spread(list(series), MEASURED_FRAMES)
        colors = {n: color_samples(np.asarray(array[layout.frames[n]]), layout)[0] for n in numbers}
        self.extent = _extent(colors.values())
        """Lowest and highest finite value; None without any."""
        planes = {n: [_finite(plane) for plane in frame] for n, frame in colors.items()}
        self.frames = [plane for n in numbers for plane in planes[n] if plane is not None]
        both = [pair for i, j in chosen for pair in zip(planes[i], planes[j], strict=True)]
        self.pairs = [(a, b) for a, b in both if a is not None and b is not None]
        """Adjacent frames of the stack; samples of a colour frame one by one."""

    def range(self) -> tuple[float, float]:
        """Measure darkest and brightest intensity, on means of 4x4 so that noise adds little."""
        return robust_range([_block_means(frame) for frame in self.frames])

    def mean(self) -> float:
        """Mean intensity."""
        return float(np.mean([frame.mean(dtype=np.float64) for frame in self.frames]))

    def noise(self) -> NoiseModel:
        """Estimate the noise in the units of the frames."""
        return estimate_noise(self.frames, self.pairs)


def is_radiance(frames: Sequence[NDArray[Any]]) -> bool:
    """Tell linear HDR from a photograph in floating point.

    Only radiance is never negative, above 1 in highlights, and yet does not count to 255.
    """
    if not frames or frames[0].dtype.kind != "f":
        return False
    least = min(float(frame.min()) for frame in frames)
    most = max(float(frame.max()) for frame in frames)
    return least >= 0 and most > 1 and robust_range(frames)[1] < 64


def color_samples(frame: NDArray[Any], layout: Layout) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Turn a frame into (C, Y, X) colour samples, and (Y, X) alpha if it has any."""
    axes = layout.frame_axes
    order = [axes.index(letter) for letter in ("SYX" if "S" in axes else "YX")]
    planes = frame.transpose(order)
    if "S" not in axes:
        return planes[None], None
    if len(planes) in (2, 4):
        return planes[:-1], planes[-1]
    return planes, None


def frame_order(planes: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """Turn (C, Y, X) samples, alpha among them, into a frame in the data's own order of axes."""
    if "S" not in layout.axes:
        return np.asarray(planes[0] if layout.frame_axes == "YX" else planes[0].T)
    order = ["SYX".index(letter) for letter in layout.frame_axes]
    return np.asarray(planes.transpose(order))


def _extent(frames: Iterable[NDArray[Any]]) -> tuple[float, float] | None:
    """Lowest and highest finite value of some frames; None without any."""
    low, high = math.inf, -math.inf
    for frame in frames:
        values = frame[np.isfinite(frame)] if frame.dtype.kind == "f" else frame
        if values.size:
            low, high = min(low, float(values.min())), max(high, float(values.max()))
    return (low, high) if low <= high else None


def _finite(plane: NDArray[Any]) -> NDArray[Any] | None:
    """Fill the bad pixels of (Y, X); None where there is nothing to fill them from."""
    has_values = plane.dtype.kind != "f" or np.isfinite(plane).any()
    return replace_nonfinite(plane)[0] if has_values else None


def _block_means(plane: NDArray[Any], size: int = 4) -> NDArray[Any]:
    """Average (Y, X) over blocks; a plane smaller than a block is returned as it is."""
    rows, columns = (length // size for length in plane.shape)
    if not (rows and columns):
        return plane
    blocks = plane[: rows * size, : columns * size].reshape(rows, size, columns, size)
    return np.asarray(blocks.mean(axis=(1, 3), dtype=np.float32))


def _spread(items: list[Any], count: int) -> list[Any]:
    """Pick at most `count` items, evenly from first to last."""
    if len(items) <= count:
        return items
    return [items[i] for i in np.unique(np.linspace(0, len(items) - 1, count).round().astype(int))]
