"""Denoise inputs one after the other: the next one is read and the last one written meanwhile."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_denoise.batch.ahead import ReadAhead
from napari_denoise.batch.choice import read_images
from napari_denoise.batch.events import Done, Event, Failed, Progress, Started
from napari_denoise.batch.layers import LayersWork, check_layers
from napari_denoise.batch.maps import frames_used_map, used_text
from napari_denoise.batch.marks import stamp_of
from napari_denoise.batch.plan import BatchTask
from napari_denoise.batch.stream import DenoisedArray, Parts, Written
from napari_denoise.io.errors import FileError, listening
from napari_denoise.io.formats.loaded import lazily
from napari_denoise.io.formats.ome_zarr import in_version
from napari_denoise.io.meta import ImageMeta
from napari_denoise.io.write import check_output, write
from napari_denoise.settings.denoise import DenoiseSettings

if TYPE_CHECKING:
    from napari_denoise.image.tiles import Window
    from napari_denoise.inference.denoiser import Denoiser
    from napari_denoise.inference.stack import StackJob
    from napari_denoise.inference.steps import Step

LAZY_FROM = 2**26
"""Bytes from which an input is read frame by frame."""
_AHEAD = 2
"""Frames that are read ahead."""
_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Work:
    """A task with all that is decided about it.

    Parameters
    ----------
    task
        Input and target.
    settings, axes, overwrite
        As for `denoise_file`.
    note
        JSON values that the provenance is to hold too.
    """

    task: BatchTask
    settings: DenoiseSettings
    axes: str | None = None
    overwrite: bool = False
    note: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Opened:
    """An input that is ready to be denoised.

    Parameters
    ----------
    images
        Its image; or the chosen layers, of which the first is the image of the result.
    said
        In reading it.
    stamp
        Of its files.
    """

    images: tuple[tuple[Any, ImageMeta], ...]
    said: tuple[str, ...]
    stamp: tuple[tuple[int, int], ...]

    @property
    def array(self) -> Any:
        """The pixels of the image."""
        return self.images[0][0]

    @property
    def meta(self) -> ImageMeta:
        """What is known of the image."""
        return self.images[0][1]


def denoise_all(
    tasks: Iterable[BatchTask],
    denoiser: Denoiser,
    settings: DenoiseSettings,
    *,
    axes: str | None = None,
    overwrite: bool = False,
    progress: Callable[[BatchTask, Step], object] | None = None,
) -> Generator[Done | Failed, None, None]:
    """Denoise files one by one and say how each went.

    Parameters
    ----------
    tasks
        From `plan`.
    denoiser, settings
        Weights, device and precision are the denoiser's.
    axes, overwrite
        As for `denoise_file`.
    progress
        Called after every tile.
    """
    works = (Work(task, task.settings or settings, task.axes or axes, overwrite) for task in tasks)
    with closing(denoised(works, lambda _: denoiser)) as events:
        for event in events:
            if isinstance(event, Progress) and event.step is not None and progress is not None:
                progress(event.task, event.step)
            elif isinstance(event, (Done, Failed)):
                yield event


def denoise_file(
    task: BatchTask,
    denoiser: Denoiser,
    settings: DenoiseSettings,
    *,
    axes: str | None = None,
    overwrite: bool = False,
    progress: Callable[[Step], object] | None = None,
) -> Done:
    """Read, denoise and write one input; memory for a few frames of a long stack.

    Parameters
    ----------
    task
        From `plan`; folders that the target needs are made.
    denoiser, settings
        Weights, device and precision are the denoiser's. A linear EXR goes through the
        logarithmic mapping unless `settings.mapping` says otherwise.
    axes
        Letters per dimension, where the file is wrong or silent.
    overwrite
        Replace an existing result.
    progress
        Called after every tile.

    Raises
    ------
    ValueError
        The file, the settings or the target cannot be used (files: `FileError`).
    MemoryError
        Even the smallest tile does not fit.
    """
    told = None if progress is None else lambda _, step: progress(step)
    work = denoise_all([task], denoiser, settings, axes=axes, overwrite=overwrite, progress=told)
    with closing(work) as results:
        (result,) = results
    if isinstance(result, Failed):
        raise result.error
    return result


def denoised(
    works: Iterable[Work | Event], denoiser_of: Callable[[DenoiseSettings], Denoiser]
) -> Generator[Event, None, None]:
    """Do one work after the other, yielding after every tile; a failed one stops none.

    The outcome of a work may come after the next one has started: its last bytes are written
    meanwhile. Closing the generator cancels what is at work and leaves nothing half-written.

    Parameters
    ----------
    works
        Asked for one ahead, so that it is read in time. Events among them are passed on.
    denoiser_of
        Gives what settings ask for.
    """
    last: _Ending | None = None
    reader = ThreadPoolExecutor(1, thread_name_prefix="opener")
    try:
        for item in _opened_ahead(works, reader):
            if not isinstance(item, _Coming):
                yield item
                continue
            yield Started(item.work.task)
            with _Running(item.work, item.opened, denoiser_of) as running:
                for step in running.steps():
                    yield Progress(item.work.task, step)
                    if last is not None and last.poll():
                        yield last.event()
                        last = None
            before, last = last, running.ending
            if before is not None:
                yield before.event()
            del before, running, item  # none of them is to keep a stack
        if last is not None:
            yield last.event()
    finally:
        if last is not None:
            last.close()
        reader.shutdown(cancel_futures=True)


@dataclass(frozen=True, eq=False)
class _Coming:
    work: Work
    opened: Future[Opened]


def _opened_ahead(
    works: Iterable[Work | Event], reader: ThreadPoolExecutor
) -> Iterator[_Coming | Event]:
    """Have each input opened while the one before is at work."""
    before: _Coming | None = None
    for item in works:
        if not isinstance(item, Work):
            yield item
            continue
        coming = _Coming(item, reader.submit(opened, item))
        if before is not None:
            yield before
        before = coming
    if before is not None:
        yield before


def opened(work: Work) -> Opened:
    """Read an input, a large one on demand.

    Raises
    ------
    FileError
        It cannot be read, or its result cannot be written.
    """
    task = work.task
    source = task.source
    with listening() as said, lazily(LAZY_FROM):
        try:
            stamp = stamp_of(source.files)
        except OSError:
            stamp = ()  # reading says what is wrong
        images = tuple(read_images(source, work.axes, task.choice))
        array, meta = images[0]
        check_layers(task, len(images))
        if "napari_denoise" in meta.extra:
            said.append(f"{source.pattern}: it was denoised before, and is now once more")
        check_output(task.target, _as_result(array, work.settings), meta, overwrite=work.overwrite)
    return Opened(images, tuple(said), stamp)


def prepared(
    work: Work, source: Opened, denoiser: Denoiser, said: list[str]
) -> Generator[None, None, tuple[StackJob, ReadAhead | None]]:
    """Measure what must not vary in a stack, yielding after every frame looked at."""
    array, meta = source.array, source.meta
    ahead = None
    if not isinstance(array, np.ndarray) or isinstance(array, np.memmap):
        ahead = array = ReadAhead(array, meta.axes)
    preparing = denoiser.preparing(array, settings=work.settings, meta=meta)
    job: StackJob = yield from _overheard(preparing, said, silent=True)
    if ahead is not None:
        ahead.ahead = _AHEAD
    return job, ahead


class _Running:
    """One work, from its input to its writer."""

    def __init__(
        self,
        work: Work,
        source: Future[Opened],
        denoiser_of: Callable[[DenoiseSettings], Denoiser],
    ) -> None:
        self._work, self._source, self._denoiser_of = work, source, denoiser_of
        self._begun, self._computed = time.perf_counter(), False
        self._open = ExitStack()
        self.ending: _Ending = _Ending(work)

    def __enter__(self) -> _Running:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave no thread and no temporary file behind, unless the writer is to end the work."""
        if self.ending.written is None:
            self._open.close()

    def steps(self) -> Iterator[Step | None]:
        """Denoise, yielding None while something is measured; a failure is kept for the end."""
        try:
            yield from self._steps()
        except Exception as error:  # noqa: BLE001 - whatever it is, the others must go on
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        unusable = isinstance(error, ValueError) and not self._computed
        self._open.close()
        self.ending.written = None
        self.ending.outcome = Failed(self._work.task, error, unusable)

    def _steps(self) -> Iterator[Step | None]:
        work, said = self._work, list[str]()
        task = work.task
        while not self._source.done():  # Cancel acts although a drive is slow
            wait([self._source], timeout=0.05)
            yield None
        source = self._source.result()
        said += source.said
        denoiser = self._denoiser_of(work.settings)
        if task.choice:
            yield from self._layers(source, denoiser, said)
            return
        job, ahead = yield from prepared(work, source, denoiser, said)
        if ahead is not None:
            self._open.callback(ahead.close)
        self._open.callback(job.let_go)
        note = {**job.provenance(), **work.note}
        meta = replace(source.meta, extra={**source.meta.extra, "napari_denoise": note})
        meta = in_version(meta, task.ome_zarr_version)
        make_folder(task.target)
        maps = self._open.enter_context(frames_used_map(task.frames_used, job))

        def told(number: int, where: Window, frames: Any) -> None:
            note.update(job.neighbors_note())  # the sidecar is written last
            if maps is not None:
                maps.put(number, where, frames)

        def written(array: DenoisedArray) -> Sequence[Path]:
            _check_space(task.target, array.nbytes)
            files = write(task.target, array, meta, overwrite=work.overwrite)
            if maps is not None and task.frames_used is not None:
                maps.write(task.frames_used, overwrite=work.overwrite)
            return files

        unchanged = partial(check_unchanged, task, source)
        parts = Parts(job, source=task.source.files[0], used=told, whole=unchanged)
        writer = Written(parts, job, written)
        self._open.callback(writer.cancel)
        for step in _overheard(writer.steps(), said):
            self._computed = True
            yield step
        self.ending.keep(writer, job, said, ahead, self._open, self._begun, self._computed)

    def _layers(self, source: Opened, denoiser: Denoiser, said: list[str]) -> Iterator[Step | None]:
        """Denoise chosen layers; nothing is left to be written once that ends."""
        work = self._work
        layers = LayersWork(
            work.task,
            work.settings,
            source.images,
            note=work.note,
            overwrite=work.overwrite,
            whole=partial(check_unchanged, work.task, source),
        ).steps(denoiser)
        with closing(layers):
            while True:
                try:
                    step = next(layers)
                except StopIteration as end:
                    done: Done = end.value
                    break
                self._computed = self._computed or step is not None
                yield step
        self.ending.outcome = replace(done, warnings=tuple(dict.fromkeys((*said, *done.warnings))))


class _Ending:
    """What is left of a work once all is computed: its writer, and what to say of it."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self.written: Written | None = None
        self.outcome: Done | Failed | None = None

    def keep(
        self,
        written: Written,
        job: StackJob,
        said: list[str],
        ahead: ReadAhead | None,
        left: ExitStack,
        begun: float,
        computed: bool,
    ) -> None:
        """Take over what is still open."""
        job.let_go()
        self.written, self._job, self._said, self._ahead = written, job, said, ahead
        self._left, self._begun, self._computed = left, begun, computed

    def close(self) -> None:
        """Let go of everything, the result too where it is not whole yet."""
        if self.written is not None:
            self._left.close()

    def poll(self) -> bool:
        """Whether the outcome is there."""
        return self.written is None or self.written.poll()

    def event(self) -> Done | Failed:
        """Wait for the outcome."""
        if self.outcome is not None:
            return self.outcome
        assert self.written is not None  # noqa: S101 - one of them is set
        with self._left:
            try:
                files = self.written.files()
            except Exception as error:  # noqa: BLE001 - whatever it is, the others must go on
                unusable = isinstance(error, ValueError) and not self._computed
                return Failed(self._work.task, error, unusable)
        return self._done(files)

    def _done(self, files: Sequence[Path]) -> Done:
        job, task = self._job, self._work.task
        assert self.written is not None  # noqa: S101
        heard = [*self._said, *(self._ahead.heard if self._ahead else ()), *self.written.heard]
        told = (f"{task.source.pattern}: {text}" for text in job.warnings)
        return Done(
            task,
            tuple(files),
            frames=len(job.frames),
            seconds=time.perf_counter() - self._begun,
            noise=tuple(noise.describe() for noise in job.noise),
            weights=job.info.name,
            frames_used=used_text(job),
            warnings=tuple(dict.fromkeys([*heard, *told])),
            weights_sha256=job.info.sha256,
            pixels=prod(job.layout.shape),
        )


def _overheard(
    work: Generator[Any, None, _Value] | Iterator[Any], said: list[str], *, silent: bool = False
) -> Generator[Any, None, _Value]:
    """Pass work on and keep what is said in it; between its steps others are heard.

    What measuring yields is nobody's business here: `silent` yields None in its place.
    """
    while True:
        with listening() as heard:
            try:
                step = next(work)
            except StopIteration as end:
                value: _Value = end.value
                return value
            finally:
                said += heard
        yield None if silent else step


def check_unchanged(task: BatchTask, source: Opened) -> None:
    """Refuse a result of a file that was still being written.

    Parameters
    ----------
    task, source
        The input, and as it was opened.


    Raises
    ------
    FileError
        It has changed since it was opened.
    """
    try:
        same = stamp_of(task.source.files) == source.stamp
    except OSError:  # gone, after all of it was read
        return
    if not same and source.stamp:
        raise FileError(
            task.source.pattern,
            "it changed while it was denoised",
            "run again once it is no longer written to",
        )


def _as_result(array: Any, settings: DenoiseSettings) -> NDArray[Any]:
    """Stand in for the result: its shape and dtype, and no pixels."""
    return np.broadcast_to(np.zeros((), settings.result_dtype(array.dtype)), array.shape)


def make_folder(target: Path) -> None:
    """Make the folder of a target.

    Raises
    ------
    FileError
        It cannot be made.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(
            target, f"its folder cannot be made ({error.strerror})", "choose another place"
        ) from error


def _check_space(target: Path, needed: int) -> None:
    """Refuse at once what would fail after hours."""
    free = shutil.disk_usage(target.parent).free
    if needed > free:
        raise FileError(
            target,
            f"the result needs {needed / 1e6:,.1f} MB but its folder has {free / 1e6:,.1f} MB free",
            "free some space or choose another folder",
            value=needed,
        )
