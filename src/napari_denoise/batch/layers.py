"""Several layers of one OpenEXR frame: views, or light passes, denoised into one file."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_denoise.batch.events import Done, Failed
from napari_denoise.batch.maps import used_text
from napari_denoise.batch.plan import BatchTask
from napari_denoise.image.long_work import finished
from napari_denoise.inference.passes import PassesJob, preparing_passes
from napari_denoise.inference.steps import Step
from napari_denoise.io.errors import FileError, listening
from napari_denoise.io.formats.exr_reader import ExrRequest, read_exr
from napari_denoise.io.inputs import suffix_of
from napari_denoise.io.meta import ImageMeta
from napari_denoise.io.read import read
from napari_denoise.io.write import check_output, write
from napari_denoise.settings.denoise import DenoiseSettings

if TYPE_CHECKING:
    from napari_denoise.inference.denoiser import Denoiser
    from napari_denoise.inference.stack import StackJob


@dataclass(frozen=True)
class LayerChoice:
    """What of a render is denoised.

    Parameters
    ----------
    layers
        Names; none takes the image that `read` chooses.
    every_view
        The other layers of the image's kind, too: of all views and view layers.
    passes
        Its light passes, too, so that they add up.
    albedo, normal
        Files of their own.
    """

    layers: tuple[str, ...] = ()
    every_view: bool = False
    passes: bool = False
    albedo: Path | None = None
    normal: Path | None = None

    def __bool__(self) -> bool:
        """Whether anything is asked for."""
        return self != LayerChoice()


def denoise_layers(
    tasks: Iterable[BatchTask],
    denoiser: Denoiser,
    settings: DenoiseSettings,
    choice: LayerChoice,
    *,
    axes: str | None = None,
    overwrite: bool = False,
    progress: Callable[[BatchTask, Step], object] | None = None,
) -> Generator[Done | Failed, None, None]:
    """Denoise the chosen layers of files, one file after the other.

    Parameters
    ----------
    tasks, denoiser, settings, axes, overwrite, progress
        As for `denoise_all`.
    choice
        Which layers.
    """
    for task in tasks:
        work = _Work(task, denoiser, settings, choice, axes, progress)
        try:
            yield work.done(overwrite=overwrite)
        except Exception as error:  # noqa: BLE001 - whatever it is, the others must go on
            yield Failed(task, error, isinstance(error, ValueError) and not work.computed)
        finally:
            work.let_go()


class _Work:
    """The chosen layers of one input."""

    def __init__(
        self,
        task: BatchTask,
        denoiser: Denoiser,
        settings: DenoiseSettings,
        choice: LayerChoice,
        axes: str | None,
        progress: Callable[[BatchTask, Step], object] | None,
    ) -> None:
        self._task, self._denoiser, self._settings = task, denoiser, settings
        self._choice, self._axes, self._progress = choice, axes, progress
        self._frames: list[_Frames] = []
        self.computed = False

    def done(self, *, overwrite: bool) -> Done:
        """Read, denoise and write."""
        begun, task = time.perf_counter(), self._task
        with listening() as said:
            read_layers = self._read()
            first, meta = read_layers[0]
            dtype = self._settings.result_dtype(first.dtype)
            stand_in = np.broadcast_to(np.zeros((), dtype), first.shape)
            check_output(task.target, stand_in, meta, overwrite=overwrite)
            self._check_target(len(read_layers) > 1 or self._choice.passes)
            for array, own in read_layers:
                self._frames.append(_Frames(self._job(array, own), self._told))
            jobs = [frames.job for frames in self._frames]
            task.target.parent.mkdir(parents=True, exist_ok=True)
            note = jobs[0].provenance()
            together = replace(
                meta,
                layers=self._layers([own for _, own in read_layers]),
                extra=_extra([own for _, own in read_layers]) | {"napari_denoise": note},
            )
            files = write(task.target, self._frames[0].image, together, overwrite=overwrite)
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
        )

    def let_go(self) -> None:
        """Give memory back."""
        for frames in self._frames:
            frames.job.let_go()

    def _read(self) -> list[tuple[Any, ImageMeta]]:
        """Read the image, and the others that are asked for."""
        names: list[str | None] = [*self._choice.layers]
        if self._choice.every_view:
            first = self._task.source.files[0]
            if suffix_of(first).lower() != ".exr":
                raise FileError(first, "only OpenEXR has several views", "leave --every-view out")
            with listening():  # what is left out is not
                chosen = read_exr(first, ExrRequest(names[0] if names else None)).extra
            names = [chosen["label"], *names[1:], *chosen["alike"]]
        return [self._one(name) for name in dict.fromkeys(names or [None])]

    def _one(self, layer: str | None) -> tuple[Any, ImageMeta]:
        source, choice = self._task.source, self._choice
        return read(
            source.files,
            axes=self._axes,
            sequence=source.is_stack,
            layer=layer,
            passes=choice.passes,
            albedo=choice.albedo,
            normal=choice.normal,
        )

    def _check_target(self, several: bool) -> None:
        target = self._task.target
        if several and suffix_of(target).lower() != ".exr":
            raise FileError(
                target, "several layers are written as OpenEXR alone", "name an .exr", value=target
            )
        if self._task.frames_used is not None:
            raise FileError(
                self._task.frames_used, "no map is made of chosen layers", "leave --frames-used out"
            )

    def _job(self, array: Any, meta: ImageMeta) -> StackJob | PassesJob:
        if self._choice.passes:
            return finished(preparing_passes(self._denoiser, array, meta, self._settings))
        return self._denoiser.prepare(array, settings=self._settings, meta=meta)

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
        self.computed = True
        if self._progress is None:
            return
        turn, turns = self._frames.index(frames), len(self._frames)
        tile, tiles = turn * step.tiles + step.tile, turns * step.tiles
        count = len(frames.job.layout.frames)
        self._progress(self._task, Step(frames.begun, count, tile, tiles))


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
