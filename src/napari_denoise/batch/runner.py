"""Do what a plan says, and keep the journal: a generator of events, for every front end."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari_denoise
from napari_denoise.batch import journal
from napari_denoise.batch.adapt import adapting, tidy
from napari_denoise.batch.distributed import Processes, spread
from napari_denoise.batch.events import (
    Adapted,
    Done,
    Ended,
    Event,
    Failed,
    Progress,
    Skipped,
    Started,
)
from napari_denoise.batch.experiment import measured_together
from napari_denoise.batch.history import EVIDENCE, History, Marks
from napari_denoise.batch.journal import Journal
from napari_denoise.batch.marks import mark_of
from napari_denoise.batch.plan import BatchTask
from napari_denoise.batch.report import write_report
from napari_denoise.batch.shared import forget
from napari_denoise.batch.survey import BatchPlan, PlanRow, decided
from napari_denoise.batch.work import Work, denoised
from napari_denoise.io.atomic import sweep
from napari_denoise.io.errors import FileError
from napari_denoise.io.sidecar import sidecar_path
from napari_denoise.io.write import frame_pattern
from napari_denoise.settings.denoise import DenoiseSettings

if TYPE_CHECKING:
    from napari_denoise.inference.denoiser import Denoiser


def run(plan: BatchPlan, processes: Processes | None = None) -> Generator[Event, None, None]:
    """Carry a plan out, yielding after every tile; the last event is `Ended`.

    To pause, ask for no further event. To cancel, close the generator: nothing half-written is
    left, and the same plan goes on later. A failed input stops no other.

    Parameters
    ----------
    plan
        From `survey`.
    processes
        Which ones denoise; None for this one alone.

    Raises
    ------
    ValueError
        The processes cannot be used.
    BlockingIOError
        Another run is at work in the folder.
    FileError
        The folder cannot be written, or a disk has too little space for all results.
    """
    with journal.opened(plan.folder) as book:
        plan.check_space()
        swept(plan)
        yield from carried_out(plan, book, processes)


def swept(plan: BatchPlan) -> None:
    """Remove what killed runs left half-written."""
    for folder in {plan.folder, *(row.task.target.parent for row in plan.rows)}:
        if folder.is_dir():
            sweep(folder)


def carried_out(
    plan: BatchPlan, book: Journal, processes: Processes | None = None
) -> Iterator[Event]:
    """Do as `run` with a journal that is open."""
    begun = time.perf_counter()
    book.write(
        "batch",
        **journal.heading(),
        version=napari_denoise.__version__,
        versions=_versions(),
        host=platform.node(),
        process=os.getpid(),
        settings=plan.settings.to_json(),
        axes=plan.axes,
        one_noise=plan.one_noise,
        guess_axes=plan.guess_axes,
        adapt=plan.adapt,
        inputs=len(plan.rows),
    )
    run = _Run(plan, book)
    if processes is None:
        work = denoised(run.works(), lru_cache(maxsize=8)(_denoiser_of))
    else:
        work = spread(run.works(), processes)
    with closing(work) as events:
        for event in events:
            run.note(event)
            yield run.told(event)
            run.asked()
    seconds = round(time.perf_counter() - begun, 3)
    book.write("ended", done=run.done, failed=run.failed, skipped=run.skipped, seconds=seconds)
    yield Ended(run.done, run.failed, run.skipped, seconds, write_report(plan.folder))


class _Run:
    """Decides about each input at its turn, and keeps the books."""

    def __init__(self, plan: BatchPlan, book: Journal) -> None:
        self._plan, self._book = plan, book
        self._history = History.of(plan.folder)
        if plan.resume.force:
            self._history = replace(self._history, adapted={})
        self._marks: dict[BatchTask, Marks] = {}
        self._bytes = {row.task: row.bytes for row in plan.rows}
        self.done = self.failed = self.skipped = 0
        self._pace = _Pace(plan)

    def works(self) -> Iterator[Work | Event]:
        """Say what is to be done with each input in turn."""
        for row in self._plan.rows:
            try:
                yield from self._work(row)
            except (ValueError, OSError) as error:
                yield Failed(row.task, error, unusable=True)

    def _work(self, row: PlanRow) -> Iterator[Work | Event]:
        task, plan = row.task, self._plan
        if row.error is not None:
            yield Failed(task, row.error, unusable=True)
            return
        settings = yield from self._with_noise(row, plan.settings_of(task))
        axes, note = task.axes or plan.axes, dict[str, Any]()
        row = decided(row, plan.settings_of(task), axes, self._history, plan.resume)
        if row.adapts and row.act == "denoise":
            settings, note = yield from self._adapted(row, settings)
            row = decided(row, plan.settings_of(task), axes, self._history, plan.resume)
        assert row.marks is not None  # noqa: S101 - `decided` sets them
        self._marks[task] = row.marks
        decision = row.decision
        if decision.act == "denoise":
            if plan.resume.force:
                forget(task.target)
            note[EVIDENCE] = row.marks.to_json()
            yield Work(task, settings, axes, decision.overwrite, note)
        elif decision.act == "refuse":
            yield Failed(task, decision.error or FileError(task.target, decision.why, ""), True)
        else:
            if decision.adopt:
                self._write_done(task, _result_files(task), adopted=True)
            yield Skipped(task, decision.why, failed=decision.act == "failed")

    def _with_noise(
        self, row: PlanRow, settings: DenoiseSettings
    ) -> Generator[Event, None, DenoiseSettings]:
        """Put the noise of the experiment in, measured once."""
        given = settings.noise != "auto" or settings.noise_from or settings.sigma_map
        if not row.experiment or given:
            return settings
        models = self._history.noise.get(row.experiment)
        if models is None:
            tasks = [
                other.task
                for other in self._plan.rows
                if other.experiment == row.experiment and other.error is None
            ]
            work = measured_together(tasks, settings, self._plan.axes)
            while True:
                try:
                    next(work)
                except StopIteration as end:
                    models, names = end.value
                    break
                yield Progress(row.task)
            self._book.write("noise", experiment=row.experiment, models=models, measured_on=names)
            noise = {**self._history.noise, row.experiment: models}
            self._history = replace(self._history, noise=noise)
        if not models:
            return settings
        return DenoiseSettings.parse({**settings.to_json(), "noise": tuple(models)})

    def _adapted(
        self, row: PlanRow, settings: DenoiseSettings
    ) -> Generator[Event, None, tuple[DenoiseSettings, dict[str, Any]]]:
        """Put weights in that were adapted to the experiment, where they surely gain."""
        folder, group, plan = self._plan.folder.absolute(), row.adapts, self._plan
        found = self._history.adapted.get(group)
        if found is None:
            tasks = [other.task for other in plan.rows if other.adapts == group and not other.error]
            work = adapting(group, tasks, settings, plan.axes, plan.adapt, folder)
            with closing(work):
                while True:
                    try:
                        what = next(work)
                    except StopIteration as end:
                        found = end.value
                        break
                    yield Progress(row.task, what=f"adapting: {what}")
            self._book.write("adapted", group=group, **found.to_json())
            tidy(group, folder)
            adapted = {**self._history.adapted, group: found}
            self._history = replace(self._history, adapted=adapted)
            yield Adapted(row.task, found.used, found.verdict)
        note = {"adapted": {"group": group, **found.to_json()}}
        if not found.used:
            return settings, note
        return replace(settings, weights=str(found.place(folder))), note

    def note(self, event: Event) -> None:
        """Write what happened, before anybody is told."""
        if isinstance(event, Started):
            self._write("started", event.task)
        elif isinstance(event, Done):
            self.done += 1
            self._write_done(event.task, event.files, event)
        elif isinstance(event, Failed):
            self.failed += 1
            kind = "failed" if event.task in self._marks and not _refused(event) else "refused"
            self._write(kind, event.task, error=str(event.error), type=type(event.error).__name__)
        elif isinstance(event, Skipped):
            self.skipped += not event.failed
            self.failed += event.failed

    def told(self, event: Event) -> Event:
        """Add how far the whole batch is."""
        return self._pace.told(event)

    def asked(self) -> None:
        """Take time again: somebody wants the next event."""
        self._pace.asked()

    def _write_done(
        self,
        task: BatchTask,
        files: tuple[Path, ...],
        done: Done | None = None,
        **more: Any,
    ) -> None:
        forget(task.target)
        if task.frames_used is not None:
            files = (*files, task.frames_used)
        values = {} if done is None else _values_of(done)
        self._write(
            "done",
            task,
            files=[self._book.path_of(file) for file in files],
            result=mark_of(files, times=False),
            bytes=0 if done is None else self._bytes.get(task, 0),
            **values,
            **more,
        )

    def _write(self, event: str, task: BatchTask, **values: Any) -> None:
        marks = self._marks.get(task)
        self._book.write(
            event,
            name=task.name,
            source=str(task.source.pattern.absolute()),
            series=task.source.series,
            axes=task.axes or self._plan.axes,
            target=self._book.path_of(task.target),
            **(marks.to_json() if marks else {}),
            **values,
        )


class _Pace:
    """How far a batch is, and how long the rest takes; pauses are not counted."""

    def __init__(self, plan: BatchPlan) -> None:
        self._left = {row.task: max(row.bytes, 1) for row in plan.waiting}
        self._total = sum(self._left.values()) or 1
        self._spent, self._asked = 0.0, time.perf_counter()
        self._worked = 0.0

    def told(self, event: Event) -> Event:
        """Count an event, and fill in what is known of the whole batch."""
        self._spent += time.perf_counter() - self._asked
        if isinstance(event, (Done, Failed)):
            self._worked += self._left.get(event.task, 0) if isinstance(event, Done) else 0
            self._left.pop(event.task, None)
        elif isinstance(event, Skipped):
            self._left.pop(event.task, None)
        elif isinstance(event, Progress):
            part = event.step.fraction * self._left.get(event.task, 0) if event.step else 0.0
            left = sum(self._left.values()) - part
            worked = self._worked + part
            event = replace(
                event,
                overall=1 - left / self._total,
                seconds_left=left * self._spent / worked if worked else None,
            )
        return event

    def asked(self) -> None:
        """Begin to take the time."""
        self._asked = time.perf_counter()


def _refused(event: Failed) -> bool:
    """Whether a result that is there was the reason: its line in the journal stays the last."""
    return getattr(event.error, "replaceable", False)


def _values_of(done: Done) -> dict[str, Any]:
    return {
        "seconds": round(done.seconds, 3),
        "frames": done.frames,
        "noise": list(done.noise),
        "weights": done.weights,
        "weights_sha256": done.weights_sha256,
        "frames_used": done.frames_used,
        "kept": done.kept,
        "warnings": list(done.warnings),
    }


def _result_files(task: BatchTask) -> tuple[Path, ...]:
    """Find the files of a result that is there."""
    files = task.taken
    notes = [sidecar_path(task.target), sidecar_path(frame_pattern(task.target))]
    return tuple(dict.fromkeys([*files, *(note for note in notes if note.is_file())]))


def _versions() -> dict[str, str]:
    import numpy
    import torch

    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
    }


def _denoiser_of(settings: DenoiseSettings) -> Denoiser:
    from napari_denoise.inference.denoiser import Denoiser

    return Denoiser.load(settings.weights, settings.device, settings.precision)
