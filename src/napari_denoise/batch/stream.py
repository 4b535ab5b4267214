"""A denoised stack that is computed plane by plane, while it is being written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_denoise.io.errors import FileError

if TYPE_CHECKING:
    from napari_denoise.inference.stack import StackJob, Step


class DenoisedArray:
    """Looks like the denoised array of a job, but holds no pixels: asking computes.

    A writer that takes plane after plane thus needs the memory of one frame, and no
    temporary copy on the disk.

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
    """

    def __init__(
        self,
        job: StackJob,
        progress: Callable[[Step], object] | None = None,
        order: Sequence[int] | None = None,
        source: Path | None = None,
    ) -> None:
        self.job, self._progress, self._source = job, progress, source
        self._order = tuple(order if order is not None else range(len(job.layout.shape)))
        self._done = 0
        self.dtype = job.dtype
        self.shape = tuple(job.layout.shape[i] for i in self._order)
        self.ndim = len(self.shape)
        self.nbytes = prod(self.shape) * self.dtype.itemsize

    def transpose(self, order: Sequence[int]) -> DenoisedArray:
        """Return the same planes under permuted dimensions."""
        permuted = [self._order[i] for i in order]
        return DenoisedArray(self.job, self._progress, permuted, self._source)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        """Compute one frame: a position along each axis but Y, X and S, which stay whole."""
        axes = self.job.layout.axes
        entries = index if isinstance(index, tuple) else (index,)
        positions = dict(zip(self._order, entries, strict=False))
        leading = [i for i, letter in enumerate(axes) if letter not in "YXS"]
        number = 0
        for i in leading:
            number = number * self.job.layout.shape[i] + int(positions[i])
        spanned = [i for i, letter in enumerate(axes) if letter in "YXS"]
        wanted = [spanned.index(i) for i in self._order if i in spanned]
        return self._frame(number).transpose(wanted)

    def _frame(self, number: int) -> NDArray[Any]:
        total = len(self.job.frames)
        try:
            for step in self.job.steps([number]):
                if self._progress is not None:
                    self._progress(replace(step, frame=self._done, frames=total))
                if step.result is not None:
                    self._done = min(self._done + 1, total - 1)
                    return np.asarray(step.result)
        except OSError as error:  # else it would look like a failure to write
            raise FileError(
                self._source or Path("input"),
                f"frame {number} cannot be read ({error})",
                "check the file and its disk",
            ) from error
        raise AssertionError("a frame ends with a step that carries it")
