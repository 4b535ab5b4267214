"""A denoised stack that is computed while it is being written: in planes, or windows of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from threading import Condition, Thread
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_denoise.image.tiles import shape_of
from napari_denoise.inference.steps import Step
from napari_denoise.io.errors import FileError, listening

if TYPE_CHECKING:
    from napari_denoise.image.tiles import Window
    from napari_denoise.inference.stack import StackJob

Used = Callable[[int, "Window", Any], object]
AHEAD_BYTES = 2**26
"""Of parts that wait for the writer; one may wait whatever its size."""


class DenoisedArray:
    """Looks like the denoised array of a job, but holds no pixels: asking computes.

    A writer that takes plane after plane thus needs the memory of one frame, one that takes
    windows of large planes that of some tiles, and neither a temporary copy on the disk.

    Parameters
    ----------
    job
        What to compute.
    part
        Gives rows and columns of a frame, by its number; such as `Parts`.
    order
        Of the job's dimensions, as for `numpy.transpose`.
    """

    def __init__(
        self,
        job: StackJob,
        part: Callable[[int, Window], NDArray[Any]],
        order: Sequence[int] | None = None,
    ) -> None:
        self.job, self._part = job, part
        self._order = tuple(order if order is not None else range(len(job.layout.shape)))
        self.dtype = job.dtype
        self.shape = tuple(job.layout.shape[i] for i in self._order)
        self.ndim = len(self.shape)
        self.nbytes = prod(self.shape) * self.dtype.itemsize

    def transpose(self, order: Sequence[int]) -> DenoisedArray:
        """Return the same planes under permuted dimensions."""
        return DenoisedArray(self.job, self._part, [self._order[i] for i in order])

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
        return self._part(number, (rows, columns)).transpose(wanted)


class Parts:
    """Computes parts of a result, and tells of each tile as a part of all the work.

    Parameters
    ----------
    job
        What to compute.
    progress
        Called after every tile, where the parts are called.
    source
        For messages.
    used
        Gets the map of every part: how many frames its pixels are made of.
    whole
        Called when all is computed, before the last part is handed over.
    """

    def __init__(
        self,
        job: StackJob,
        progress: Callable[[Step], object] | None = None,
        source: Path | None = None,
        used: Used | None = None,
        whole: Callable[[], object] | None = None,
    ) -> None:
        self._job, self._progress, self._source = job, progress, source
        self._used, self._whole = used, whole
        self._done, self._pixels = 0, 0
        self.pixels: NDArray[Any] = np.empty(0)
        """Of the part that was computed last."""

    def __call__(self, number: int, where: Window) -> NDArray[Any]:
        """Compute a window of a frame and return it."""
        for step in self.steps(number, where):
            if self._progress is not None:
                self._progress(step)
        return self.pixels

    @property
    def all_done(self) -> bool:
        """Whether as many pixels have been computed as the result has."""
        return self._done >= len(self._job.frames)

    def steps(self, number: int, where: Window) -> Iterator[Step]:
        """Compute a window of a frame, yielding after every tile.

        Raises
        ------
        FileError
            The frame cannot be read.
        """
        steps = self._told(self._job.region_steps(number, where, counted=True), where)
        last: Step | None = None
        try:
            for last in steps:
                yield last
        except OSError as error:  # else it would look like a failure to write
            if isinstance(error, FileError):
                raise
            raise FileError(
                self._source or Path("input"),
                f"frame {number} cannot be read ({error})",
                "check the file and its disk",
            ) from error
        assert last is not None  # noqa: S101 - a window has a tile
        if self._used is not None:
            self._used(number, where, last.frames_used)
        if self._whole is not None and self.all_done:
            self._whole()
        self.pixels = np.asarray(last.result)

    def _told(self, steps: Iterator[Step], where: Window) -> Iterator[Step]:
        """Pass steps on, and tell of them as parts of all the work."""
        whole, part = prod(self._job.size), prod(shape_of(where))
        frames = len(self._job.frames)
        for step in steps:
            told = replace(step, frame=min(self._done, frames - 1), frames=frames)
            if part < whole:  # tell of as many tiles as the whole frame has
                done, tiles = self._pixels + part * step.tile // step.tiles, self._job.tile_count
                told = replace(told, tile=tiles * done // whole, tiles=tiles)
            yield told
        self._pixels += part
        if self._pixels >= whole:
            self._pixels, self._done = 0, self._done + 1


class Written:
    """A result that a thread writes while it is computed, some parts ahead of the writer.

    Parameters
    ----------
    parts
        Computes the parts; whoever runs `steps` does so in the own thread.
    job
        What is computed.
    write
        Writes an array and returns the files; it asks for each part in turn.
    """

    def __init__(
        self, parts: Parts, job: StackJob, write: Callable[[DenoisedArray], Sequence[Path]]
    ) -> None:
        self._parts, self._job = parts, job
        self._changed = Condition()
        self._ready: dict[tuple[int, ...], NDArray[Any]] = {}
        self._wanted: tuple[int, Window] | None = None
        self._next: tuple[int, Window] | None = None
        self._side: tuple[int, int] | None = None
        self._guessing = True
        self._files: Sequence[Path] = ()
        self._error: BaseException | None = None
        self._cancelled: BaseException | None = None
        self.ended = False
        self.heard: Sequence[str] = ()
        """What was said in writing."""
        array = DenoisedArray(job, self._ask)
        self._thread = Thread(target=self._run, args=(write, array), name="writer", daemon=True)
        self._thread.start()

    def steps(self) -> Iterator[Step]:
        """Compute until nothing is left but to write, yielding after every tile."""
        while (part := self._due()) is not None:
            yield from self._parts.steps(*part)
            self._give(part)

    def poll(self) -> bool:
        """Serve a writer that asks again; whether it has ended."""
        self._serve()
        return self.ended

    def files(self) -> Sequence[Path]:
        """Wait for the writer; return what it wrote.

        Raises
        ------
        Exception
            What went wrong in writing.
        """
        while not self.ended:
            self._serve()
            with self._changed:
                self._changed.wait_for(lambda: self.ended or self._wanted is not None)
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._files

    def cancel(self, error: BaseException | None = None) -> None:
        """Let the writer leave everything as it was."""
        with self._changed:
            self._cancelled = error or _CancelledError()
            self._changed.notify_all()
        self._thread.join()

    def _due(self) -> tuple[int, Window] | None:
        """Say what to compute now, once there is something; None when all is done."""
        with self._changed:
            self._changed.wait_for(self._has_work)
            if self.ended or (self._parts.all_done and self._wanted is None):
                return None
            return self._wanted or self._next

    def _has_work(self) -> bool:
        if self.ended or self._wanted is not None or self._parts.all_done:
            return True
        room = sum(part.nbytes for part in self._ready.values()) < AHEAD_BYTES
        return self._next is not None and room

    def _serve(self) -> None:
        """Compute what the writer asks for although all was computed."""
        while (part := self._wanted) is not None and not self.ended:
            for _ in self._parts.steps(*part):
                pass
            self._give(part)

    def _give(self, part: tuple[int, Window]) -> None:
        with self._changed:
            self._ready[_key(*part)] = self._parts.pixels
            if self._wanted is not None and _key(*self._wanted) == _key(*part):
                self._wanted = None
            self._next = self._following(*part) if self._guessing else None
            self._changed.notify_all()

    def _following(self, number: int, where: Window) -> tuple[int, Window] | None:
        """Guess what the writer asks for next: windows row by row, then the next frame."""
        if self._side is None:
            self._side = shape_of(where)
        (high, wide), (rows, columns) = self._side, self._job.size
        y, x = where[0].start, where[1].stop
        if x >= columns:
            y, x = where[0].stop, 0
        if y >= rows:
            number, y = number + 1, 0
        if number >= len(self._job.frames):
            return None
        return number, (slice(y, min(y + high, rows)), slice(x, min(x + wide, columns)))

    def _ask(self, number: int, where: Window) -> NDArray[Any]:
        """Take a part, in the writer's thread; wait for it where it is not computed yet."""
        key = _key(number, where)
        with self._changed:
            if key not in self._ready:
                if self._ready or (self._next is not None and _key(*self._next) != key):
                    self._guessing, self._next = False, None
                    self._ready.clear()  # the guess was wrong
                self._wanted = number, where
                self._changed.notify_all()
                self._changed.wait_for(lambda: key in self._ready or self._cancelled is not None)
            if self._cancelled is not None:
                raise self._cancelled
            part = self._ready.pop(key)
            self._changed.notify_all()
            return part

    def _run(self, write: Callable[[DenoisedArray], Sequence[Path]], array: DenoisedArray) -> None:
        try:
            with listening() as self.heard:
                self._files = write(array)
        except BaseException as error:  # noqa: BLE001 - `files` raises it
            self._error = error
        finally:
            with self._changed:
                self.ended = True
                self._changed.notify_all()


class _CancelledError(Exception):
    """The result is no longer wanted."""


def _key(number: int, where: Window) -> tuple[int, ...]:
    rows, columns = where
    return number, rows.start, rows.stop, columns.start, columns.stop
