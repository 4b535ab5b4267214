"""Denoise one file after the other; a failed one does not stop the others."""

from __future__ import annotations

import gc
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_denoise.batch.maps import frames_used_map, used_text
from napari_denoise.batch.plan import BatchTask
from napari_denoise.batch.stream import DenoisedArray
from napari_denoise.io.errors import FileError, listening
from napari_denoise.io.read import read
from napari_denoise.io.write import check_output, write
from napari_denoise.settings.denoise import DenoiseSettings

if TYPE_CHECKING:
    from napari_denoise.image.tiles import Window
    from napari_denoise.inference.denoiser import Denoiser
    from napari_denoise.inference.steps import Step

Progress = Callable[["Step"], object]


@dataclass(frozen=True)
class Done:
    """A file that was denoised."""

    task: BatchTask
    files: tuple[Path, ...]
    """Written, with the sidecar."""
    frames: int
    seconds: float
    noise: tuple[str, ...]
    """Per channel, for people."""
    weights: str
    frames_used: str = ""
    """Of how many frames the pixels are made, for people; empty for frames by themselves."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failed:
    """A file that could not be denoised; nothing was written for it."""

    task: BatchTask
    error: Exception
    unusable: bool
    """True if the input, the settings or the target were refused before any computing."""


def denoise_all(
    tasks: Iterable[BatchTask],
    denoiser: Denoiser,
    settings: DenoiseSettings,
    *,
    axes: str | None = None,
    overwrite: bool = False,
    progress: Callable[[BatchTask, Step], object] | None = None,
) -> Iterator[Done | Failed]:
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
    for task in tasks:
        steps = _Counted(task, progress)
        try:
            yield denoise_file(
                task, denoiser, settings, axes=axes, overwrite=overwrite, progress=steps
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, the others must go on
            unusable = isinstance(error, ValueError) and not steps.count
            yield Failed(task, error, unusable)
        gc.collect()  # a job refers to itself, and holds the stack and its first passes


def denoise_file(
    task: BatchTask,
    denoiser: Denoiser,
    settings: DenoiseSettings,
    *,
    axes: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
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
    start, source = time.perf_counter(), task.source
    with listening() as messages:
        array, meta = read(source.files, axes=axes, sequence=source.is_stack, series=source.series)
        if "napari_denoise" in meta.extra:
            messages.append(f"{source.pattern}: it was denoised before, and is now once more")
        check_output(task.target, _as_result(array, settings), meta, overwrite=overwrite)
        job = denoiser.prepare(array, settings=settings, meta=meta)
        note = job.provenance()
        meta = replace(meta, extra={**meta.extra, "napari_denoise": note})
        with frames_used_map(task.frames_used, job, overwrite=overwrite) as maps:

            def told(number: int, where: Window, frames: Any) -> None:
                note.update(job.neighbors_note())  # the sidecar is written last
                if maps is not None:
                    maps.put(number, where, frames)

            stack = DenoisedArray(job, progress, source=source.files[0], used=told)
            _make_folder(task.target)
            _check_space(task.target, stack.nbytes)
            files = write(task.target, stack, meta, overwrite=overwrite)
    return Done(
        task,
        tuple(files),
        frames=len(job.frames),
        seconds=time.perf_counter() - start,
        noise=tuple(noise.describe() for noise in job.noise),
        weights=job.info.name,
        frames_used=used_text(job),
        warnings=(*messages, *(f"{source.pattern}: {text}" for text in job.warnings)),
    )


def _as_result(array: Any, settings: DenoiseSettings) -> NDArray[Any]:
    """Stand in for the result: its shape and dtype, and no pixels."""
    return np.broadcast_to(np.zeros((), settings.result_dtype(array.dtype)), array.shape)


class _Counted:
    """Passes progress on, and knows whether there was any."""

    def __init__(
        self, task: BatchTask, progress: Callable[[BatchTask, Step], object] | None
    ) -> None:
        self.count = 0
        self._task, self._progress = task, progress

    def __call__(self, step: Step) -> None:
        self.count += 1
        if self._progress is not None:
            self._progress(self._task, step)


def _make_folder(target: Path) -> None:
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
