"""Several layers of one OpenEXR frame: views, or light passes, denoised into one file."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from math import prod
from queue import SimpleQueue
from threading import Event as Flag
from threading import Semaphore
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_denoise.batch.events import Done
from napari_denoise.batch.maps import used_text
from napari_denoise.batch.plan import BatchTask
from napari_denoise.inference.passes import PassesJob, preparing_passes
from napari_denoise.inference.steps import Step
from napari_denoise.io.errors import FileError, listening
from napari_denoise.io.inputs import suffix_of
from napari_denoise.io.meta import ImageMeta
from napari_denoise.io.write import write
from napari_denoise.settings.denoise import DenoiseSettings

if TYPE_CHECKING:
    from napari_denoise.inference.denoiser import Denoiser
    from napari_denoise.inference.stack import StackJob

_Step = TypeVar("_Step")
_Value = TypeVar("_Value")


class LayersWork:
    """The chosen layers of one input; a thread writes them, and waits at every tile.

    Parameters
    ----------
    task, settings
        Which layers of which input, and how.
    images
        Of the layers, the image of the result first.
    note
        JSON values that the provenance is to hold too.
    overwrite
        Replace a result that is there.
    whole
        Called when all is computed, before the last frame is handed over.
    """

    def __init__(
        self,
        task: BatchTask,
        settings: DenoiseSettings,
        images: Sequence[tuple[Any, ImageMeta]],
        *,
        note: Mapping[str, Any],
        overwrite: bool,
        whole: Callable[[], object],
    ) -> None:
        self._task, self._settings, self._images = task, settings, images
        self._note, self._overwrite, self._whole = note, overwrite, whole
        self._frames: list[_Frames] = []
        self._tell: Callable[[Step | None], object] = lambda _: None

    def steps(self, denoiser: Denoiser) -> Generator[Step | None, None, Done]:
        """Denoise and write, yielding after every tile, and None while something is measured."""
        try:
            return (yield from telling(partial(self._done, denoiser)))
        finally:
            for frames in self._frames:
                frames.job.let_go()

    def _done(self, denoiser: Denoiser, tell: Callable[[Step | None], object]) -> Done:
        begun, task, choice = time.perf_counter(), self._task, self._task.choice
        self._tell = tell
        metas = [meta for _, meta in self._images]
        with listening() as said:
            for array, meta in self._images:
                self._frames.append(_Frames(self._job(denoiser, array, meta), self._told))
            jobs = [frames.job for frames in self._frames]
            task.target.parent.mkdir(parents=True, exist_ok=True)
            note = {**jobs[0].provenance(), "layers": choice.to_json(), **self._note}
            together = replace(
                metas[0],
                layers=self._layers(metas),
                extra=_extra(metas) | {"napari_denoise": note},
            )
            image = self._frames[0].image
            files = write(task.target, image, together, overwrite=self._overwrite)
        beauty = [job.beauty if isinstance(job, PassesJob) else job for job in jobs]
        texts = [text for job in jobs for text in job.warnings]
        return Done(
            task,
            tuple(files),
            frames=len(beauty[0].frames),
            seconds=time.perf_counter() - begun,
            noise=tuple(noise.describe() for job in beauty for noise in job.noise),
            weights=beauty[0].info.name,
            frames_used=used_text(beauty[0]),
            warnings=(*said, *(f"{task.name}: {text}" for text in dict.fromkeys(texts))),
            weights_sha256=beauty[0].info.sha256,
            pixels=sum(prod(job.layout.shape) for job in jobs),
        )

    def _job(self, denoiser: Denoiser, array: Any, meta: ImageMeta) -> StackJob | PassesJob:
        preparing: Generator[Any, None, StackJob | PassesJob]
        if self._task.choice.passes:
            preparing = preparing_passes(denoiser, array, meta, self._settings)
        else:
            preparing = denoiser.preparing(array, settings=self._settings, meta=meta)
        while True:
            try:
                next(preparing)
            except StopIteration as end:
                job: StackJob | PassesJob = end.value
                return job
            self._tell(None)

    def _layers(self, metas: list[ImageMeta]) -> dict[str, Any]:
        """Return what is written beside the image: other views, and all passes."""
        layers: dict[str, Any] = {}
        for number, (frames, meta) in enumerate(zip(self._frames, metas, strict=True)):
            if number:
                layers[meta.extra["exr"]["label"]] = frames.image
            if isinstance(frames.job, PassesJob):
                layers |= {name: frames.layer(name) for name in frames.job.names}
        return layers

    def _told(self, frames: _Frames, step: Step) -> None:
        """Pass progress on, as a part of that of all layers."""
        turn, turns = self._frames.index(frames), len(self._frames)
        tile, tiles = turn * step.tiles + step.tile, turns * step.tiles
        count = len(frames.job.layout.frames)
        if (frames.begun, tile) == (count - 1, tiles):
            self._whole()
        self._tell(Step(frames.begun, count, tile, tiles))


def check_layers(task: BatchTask, count: int) -> None:
    """Refuse a target that cannot hold the chosen layers.

    Raises
    ------
    FileError
        It is not OpenEXR, or a map of frames used is asked for.
    """
    several = count > 1 or task.choice.passes
    if several and suffix_of(task.target).lower() != ".exr":
        raise FileError(
            task.target,
            "several layers are written as OpenEXR alone",
            "name an .exr",
            value=task.target,
        )
    if task.choice and task.frames_used is not None:
        raise FileError(
            task.frames_used, "no map is made of chosen layers", "leave --frames-used out"
        )


def telling(work: Callable[[Callable[[_Step], None]], _Value]) -> Generator[_Step, None, _Value]:
    """Run work in a thread that waits, at each step it tells of, until the next is asked for.

    So work that calls back becomes a generator: it can be paused, and closed, which ends it at
    the step it tells of.
    """
    told: SimpleQueue[tuple[_Step] | None] = SimpleQueue()
    asked, closed = Semaphore(0), Flag()

    def tell(step: _Step) -> None:
        told.put((step,))
        asked.acquire()
        if closed.is_set():
            raise _ClosedError

    def run() -> _Value:
        try:
            return work(tell)
        finally:
            told.put(None)

    with ThreadPoolExecutor(1, thread_name_prefix="layers") as thread:
        result = thread.submit(run)
        try:
            while (step := told.get()) is not None:
                yield step[0]
                asked.release()
        finally:
            closed.set()
            asked.release()
        return result.result()


class _ClosedError(Exception):
    """Nobody asks for the next step."""


def _extra(metas: list[ImageMeta]) -> dict[str, Any]:
    """Say for the writer where each of the other layers lies."""
    extra = dict(metas[0].extra)
    windows: dict[str, Any] = {}
    for meta in metas[1:]:
        origin = meta.extra["exr"]
        windows |= dict.fromkeys([origin["label"], *meta.layers], origin["window"])
    return extra | {"exr": {**extra["exr"], "windows": windows}} if windows else extra


@dataclass(eq=False)
class _Frames:
    """Computes the frames of a job one after the other; the last one is kept."""

    job: StackJob | PassesJob
    told: Callable[[_Frames, Step], object]
    begun: int = 0
    _kept: tuple[int, NDArray[Any], Mapping[str, NDArray[Any]]] | None = field(default=None)

    @property
    def image(self) -> _Pixels:
        """The image, as an array that computes when it is asked."""
        return _Pixels(self, "", self.job.layout.shape, self.job.dtype)

    def layer(self, name: str) -> _Pixels:
        """Return a pass alike."""
        return _Pixels(self, name, (*self.job.layout.shape[:-1], 3), np.dtype(np.float32))

    def frame(self, number: int, name: str) -> NDArray[Any]:
        """Return the image of a frame, or a pass by its name."""
        if self._kept is None or self._kept[0] != number:
            self._kept, self.begun = None, number
            for step in self.job.steps([number]):
                self.told(self, step)
                if step.result is not None:
                    self._kept = number, step.result, getattr(step, "layers", {})
        assert self._kept is not None  # noqa: S101 - the last step has the frame
        return self._kept[2][name] if name else self._kept[1]


class _Pixels:
    """Looks like a stack of frames, one of which is computed when it is asked for."""

    def __init__(
        self, frames: _Frames, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> None:
        self._frames, self._name, self.shape, self.dtype = frames, name, tuple(shape), dtype
        self.ndim, self.nbytes = len(self.shape), prod(self.shape) * dtype.itemsize

    def __getitem__(self, index: Any) -> NDArray[Any]:
        """Return a frame by its number, or the one that there is."""
        entries = index if isinstance(index, tuple) else (index,)
        several = self.ndim > 3
        number = int(entries[0]) if several else 0
        rest = entries[1:] if several else tuple(e for e in entries if e is not Ellipsis)
        return self._frames.frame(number, self._name)[rest]

    def transpose(self, order: Any) -> _Pixels:
        """Frames of OpenEXR have their axes in order."""
        return self
