"""A denoised stack that is computed while it is being written: in planes, or windows of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_denoise.io.errors import FileError

if TYPE_CHECKING:
    from napari_denoise.image.tiles import Window
    from napari_denoise.inference.stack import StackJob
from napari_denoise.inference.steps import Step


class DenoisedArray:
    """Looks like the denoised array of a job, but holds no pixels: asking computes.

    A writer that takes plane after plane thus needs the memory of one frame, one that takes
    windows of large planes that of some tiles, and neither a temporary copy on the disk.

    Parameters
    ----------
    job
        What to compute.
    progress
        Called after every tile; a plane counts when it has been asked for.
    order
        Of the job's dimensions, as for `numpy.transpose`.
    source
        For messages.
    used
        Gets the map of every plane: how many frames its pixels are made of.
    """

    def __init__(
        self,
        job: StackJob,
        progress: Callable[[Step], object] | None = None,
        order: Sequence[int] | None = None,
        source: Path | None = None,
        used: Callable[[int, Window, Any], object] | None = None,
    ) -> None:
        self.job, self._progress, self._source, self._used = job, progress, source, used
        self._order = tuple(order if order is not None else range(len(job.layout.shape)))
        self._done, self._pixels = 0, 0
        self.dtype = job.dtype
        self.shape = tuple(job.layout.shape[i] for i in self._order)
        self.ndim = len(self.shape)
        self.nbytes = prod(self.shape) * self.dtype.itemsize

    def transpose(self, order: Sequence[int]) -> DenoisedArray:
        """Return the same planes under permuted dimensions."""
        permuted = [self._order[i] for i in order]
        return DenoisedArray(self.job, self._progress, permuted, self._source, self._used)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        """Compute a frame, or rows and columns of one: a position along each other axis."""
        axes, sizes = self.job.layout.axes, self.job.layout.shape
        entries = index if isinstance(index, tuple) else (index,)
        asked = dict(zip(self._order, entries, strict=False))
        number = 0
        for i, letter in enumerate(axes):
            if letter not in "YXS":
                number = number * sizes[i] + int(asked[i])
        rows, columns = (
            slice(*asked.get(i, slice(None)).indices(sizes[i])[:2])
            for i in (axes.index("Y"), axes.index("X"))
        )
        spanned = [i for i, letter in enumerate(axes) if letter in "YXS"]
        wanted = [spanned.index(i) for i in self._order if i in spanned]
        return self._computed(number, (rows, columns)).transpose(wanted)

    def _computed(self, number: int, where: Window) -> NDArray[Any]:
        try:
            *_, last = self._told(self.job.region_steps(number, where, counted=True), where)
        except OSError as error:  # else it would look like a failure to write
            raise FileError(
                self._source or Path("input"),
                f"frame {number} cannot be read ({error})",
                "check the file and its disk",
            ) from error
        if self._used is not None:
            self._used(number, where, last.frames_used)
        return np.asarray(last.result)

    def _told(self, steps: Iterator[Step], where: Window) -> Iterator[Step]:
        """Pass steps on, and tell of them as parts of all the work."""
        whole, part = prod(self.job.size), prod(side.stop - side.start for side in where)
        frames = len(self.job.frames)
        for step in steps:
            if self._progress is not None:
                told = replace(step, frame=min(self._done, frames - 1), frames=frames)
                if part < whole:  # tell of as many tiles as the whole frame has
                    done, tiles = self._pixels + part * step.tile // step.tiles, self.job.tile_count
                    told = replace(told, tile=tiles * done // whole, tiles=tiles)
                self._progress(told)
            yield step
        self._pixels += part
        if self._pixels >= whole:
            self._pixels, self._done = 0, self._done + 1
