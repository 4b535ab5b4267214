"""A frame of a pair as planes: what checks, mapping and figures look at, made once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_denoise.image.axes import Layout
from napari_denoise.image.planes import color_samples
from napari_denoise.image.tiles import Window
from napari_denoise.image.values import replace_nonfinite

Plane = NDArray[np.float64]
WHOLE: Window = (slice(None), slice(None))
"""All rows and columns."""


@dataclass(frozen=True, eq=False)
class PairPlanes:
    """A frame of a pair, or a window of it; each side is read when first asked for, and once.

    It holds what it has read: keep no more of them than there is memory for frames.

    Parameters
    ----------
    arrays
        The noisy stack and its target, which may be lazy.
    layout
        Of both.
    number
        Of the frame.
    window
        Rows and columns.
    """

    arrays: tuple[Any, Any]
    layout: Layout
    number: int
    window: Window = WHOLE

    @cached_property
    def noisy(self) -> NDArray[Any]:
        """(C, Y, X) colour samples as they are, without alpha; not to be written to."""
        return self._read(self.arrays[0])

    @cached_property
    def target(self) -> NDArray[Any]:
        """(C, Y, X), as `noisy`."""
        return self._read(self.arrays[1])

    @property
    def sides(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Noisy and target."""
        return self.noisy, self.target

    @property
    def channel(self) -> int:
        """Position along C."""
        return self.layout.channel_of(self.number)

    @cached_property
    def finite(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """(Y, X) of noisy and target: where no sample is NaN or infinite."""
        noisy, target = (np.asarray(np.isfinite(side).all(axis=0)) for side in self.sides)
        return noisy, target

    @cached_property
    def gray(self) -> tuple[Plane, Plane]:
        """(Y, X) of noisy and target, colours averaged.

        Bad pixels of either are replaced in both: a hole in one alone would look like a shift.
        """
        good = np.logical_and(*self.finite)
        noisy, target = (_gray(side, good) for side in self.sides)
        return noisy, target

    def _read(self, array: Any) -> NDArray[Any]:
        cut = dict(zip("YX", self.window, strict=True))
        places = zip(self.layout.axes, self.layout.frames[self.number], strict=True)
        index = tuple(cut.get(letter, place) for letter, place in places)
        return color_samples(np.asarray(array[index]), self.layout)[0]


def _gray(samples: NDArray[Any], good: NDArray[np.bool_]) -> Plane:
    mean = np.asarray(samples.astype(np.float64).mean(axis=0))
    return np.asarray(replace_nonfinite(np.where(good, mean, np.nan))[0])
