"""Watch folders: inputs are taken once they stopped growing."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path
from typing import Any

from napari_denoise.batch import journal
from napari_denoise.batch.distributed import Processes
from napari_denoise.batch.events import Event, Waiting
from napari_denoise.batch.history import Resume
from napari_denoise.batch.marks import stamp_of
from napari_denoise.batch.plan import BatchTask
from napari_denoise.batch.runner import carried_out, swept
from napari_denoise.batch.survey import survey
from napari_denoise.image.long_work import finished
from napari_denoise.settings.denoise import DenoiseSettings

SETTLE = 5.0
"""Seconds without a change after which a file is taken for whole."""
_Stamp = tuple[tuple[int, int], ...]


class Arrivals:
    """Tells inputs that stopped growing from those that still grow; each comes once.

    Parameters
    ----------
    settle
        Seconds without a change of size and time.
    """

    def __init__(self, settle: float = SETTLE) -> None:
        self._settle = settle
        self._seen: dict[Path, tuple[_Stamp, float]] = {}
        self._taken: dict[Path, _Stamp] = {}

    def whole(self, tasks: Iterable[BatchTask], now: float) -> tuple[list[BatchTask], int]:
        """Return what is whole and was not returned before, and how many still grow.

        Parameters
        ----------
        tasks
            All there are.
        now
            In seconds of any clock that does not go back.
        """
        whole, growing = [], 0
        for task in tasks:
            try:
                stamp = stamp_of(task.source.files)
            except OSError:
                continue  # gone again
            if self._taken.get(task.target) == stamp:
                continue
            before = self._seen.get(task.target)
            if before is None or before[0] != stamp:
                before = self._seen[task.target] = stamp, now
            if now - before[1] < self._settle:
                growing += 1
                continue
            self._taken[task.target] = stamp
            whole.append(task)
        return whole, growing


def watch(
    find: Callable[[], Sequence[BatchTask]],
    settings: DenoiseSettings,
    folder: Path,
    *,
    settle: float = SETTLE,
    every: float = 1.0,
    axes: str | None = None,
    resume: Resume | None = None,
    one_noise: bool = False,
    guess_axes: bool = False,
    adapt: float = 0.0,
    processes: Processes | None = None,
) -> Generator[Event, None, None]:
    """Denoise inputs as they arrive, until the generator is closed; events as of `run`.

    A restart goes on by the journal: what is finished is not done again.

    Parameters
    ----------
    find
        Gives the tasks of all inputs there are now; asked again and again.
    settings, folder, axes, resume, one_noise, guess_axes, adapt
        As for `survey`.
    settle
        Seconds without a change after which an input is taken.
    every
        Seconds between two looks; `Waiting` comes as often.
    processes
        As for `run`.
    """
    arrivals = Arrivals(settle)
    asked: dict[str, Any] = {"axes": axes, "resume": resume}
    asked |= {"one_noise": one_noise, "guess_axes": guess_axes, "adapt": adapt}
    with journal.opened(folder) as book:
        while True:
            try:
                tasks = find()
            except ValueError:  # nothing is there yet
                tasks = []
            whole, growing = arrivals.whole(tasks, time.monotonic())
            if whole:
                plan = finished(survey(whole, settings, folder, **asked))
                if any(row.act != "skip" for row in plan.rows):
                    plan.check_space()
                    swept(plan)
                    yield from carried_out(plan, book, processes)
            yield Waiting(growing)
            time.sleep(every)
