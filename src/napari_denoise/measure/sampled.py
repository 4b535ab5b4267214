"""Some frames of a stack, to measure its range and noise from."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_denoise.image.axes import Layout
from napari_denoise.image.frames import evenly
from napari_denoise.image.long_work import finished
from napari_denoise.image.planes import block_means, color_samples
from napari_denoise.image.values import replace_nonfinite
from napari_denoise.measure.noise_estimation import estimating_noise
from napari_denoise.settings.noise import NoiseModel

MEASURED_FRAMES = 16
"""At most this many frames of a channel are looked at."""


@dataclass(frozen=True, eq=False)
class SampledFrames:
    """Some frames of one channel; those without any finite value are left out.

    Parameters
    ----------
    frames
        (Y, X) each; samples of a colour frame one by one.
    pairs
        Adjacent frames of the stack among them.
    extent
        Lowest and highest finite value; None without any.
    """

    frames: list[NDArray[Any]]
    pairs: list[tuple[NDArray[Any], NDArray[Any]]]
    extent: tuple[float, float] | None

    @classmethod
    def of(cls, array: Any, layout: Layout, channel: int = 0) -> Self:
        """Read them all at once; parameters as for `read`."""
        return finished(cls.read(array, layout, channel))

    @classmethod
    def read(cls, array: Any, layout: Layout, channel: int) -> Generator[None, None, Self]:
        """Read them, yielding after each.

        Parameters
        ----------
        array, layout
            The stack.
        channel
            Position along C.
        """
        series = layout.series(channel)
        starts = [(i, layout.neighbour(i)) for i in series]
        with_next = [(i, j) for i, j in starts if j is not None]
        if with_next:
            chosen = evenly(with_next, MEASURED_FRAMES // 2)
            numbers = sorted({n for pair in chosen for n in pair})
        else:
            chosen, numbers = [], evenly(series, MEASURED_FRAMES)
        planes: dict[int, list[NDArray[Any] | None]] = {}
        extents = []
        for number in numbers:
            colors = color_samples(np.asarray(array[layout.frames[number]]), layout)[0]
            extents.append(_extent(colors))
            planes[number] = [_finite(plane) for plane in colors]
            yield
        frames = [plane for n in numbers for plane in planes[n] if plane is not None]
        both = [pair for i, j in chosen for pair in zip(planes[i], planes[j], strict=True)]
        pairs = [(a, b) for a, b in both if a is not None and b is not None]
        return cls(frames, pairs, _union(extents))

    def range(self) -> tuple[float, float]:
        """Measure darkest and brightest intensity, on means of 4x4 so that noise adds little."""
        return robust_range([block_means(frame) for frame in self.frames])

    def mean(self) -> float:
        """Mean intensity."""
        return float(np.mean([frame.mean(dtype=np.float64) for frame in self.frames]))

    def estimating_noise(self) -> Generator[None, None, NoiseModel]:
        """Estimate the noise in the units of the frames, yielding after each."""
        return estimating_noise(self.frames, self.pairs)


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
