"""What a run writes down: a CSV always, TensorBoard where it is installed, figures."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

import numpy as np

from napari_denoise.io.atomic import replacing
from napari_denoise.training.loop.report import StepReport
from napari_denoise.training.loop.validation import save_figure

LOG_EVERY = 100
"""Steps per row; terms are means over them."""
FIRST_COLUMNS = ("step", "stage", "learning_rate", "seconds")


class RunLog:
    """Writes the reports of a run into its folder.

    Parameters
    ----------
    folder
        Gets ``log.csv``, ``validation/STEP.png`` and, with TensorBoard, ``tensorboard/``.
    columns
        Names of terms and figures, in the order of the CSV.
    first
        Step the run goes on from: later rows of an older log are dropped.
    every
        Steps per row.
    last
        The step that the run ends with, which has a row as well.
    """

    def __init__(
        self,
        folder: Path,
        columns: Sequence[str],
        first: int = 0,
        every: int = LOG_EVERY,
        last: int | None = None,
    ) -> None:
        self.folder, self.columns, self.every, self.last = folder, tuple(columns), every, last
        self._before = rows_until(folder / "log.csv", first)
        self._elapsed = float(self._before[-1]["seconds"]) if self._before else 0.0
        self._recent: deque[Mapping[str, float]] = deque(maxlen=every)
        self._stage = ""

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "log.csv"
        # Never a moment without the older rows: a process may be killed at any.
        with replacing([path], overwrite=True) as (new,), new.open("w", newline="") as file:
            rows = self._writer(file)
            rows.writeheader()
            rows.writerows(self._before)
        self._file = path.open("a", newline="")
        self._csv = self._writer(self._file)
        self._board = _tensorboard(self.folder / "tensorboard")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        if self._board is not None:
            self._board.close()

    def add(self, report: StepReport) -> None:
        """Note a report; a row is written every `every` steps and with every validation.

        The report of a step that failed leaves no row: the step will be taken again.
        """
        if not all(report.finite.values()):
            return
        if report.stage != self._stage:  # what its terms mean is another matter
            self._stage = report.stage
            self._recent.clear()
        self._recent.append(report.terms)
        if report.validation is not None:
            save_figure(report.validation, self.folder / "validation" / f"{report.step:06}.png")
        due = report.step % self.every == 0 or report.step == self.last
        if due or report.validation is not None:
            self._write(report)

    def mean(self, name: str) -> float:
        """Mean of a term over those of the last steps that have it; NaN without any."""
        values = [terms[name] for terms in self._recent if name in terms]
        return float(np.mean(values)) if values else float("nan")

    def _writer(self, file: TextIO) -> csv.DictWriter[str]:
        names = [*FIRST_COLUMNS, *self.columns]
        return csv.DictWriter(file, names, restval="", extrasaction="ignore")

    def _write(self, report: StepReport) -> None:
        names = {name: None for terms in self._recent for name in terms}
        values = {name: self.mean(name) for name in names}
        values |= report.figures or {}
        row = {
            "step": report.step,
            "stage": report.stage,
            "learning_rate": f"{report.learning_rate:.3e}",
            "seconds": f"{self._elapsed + report.seconds:.1f}",
        }
        self._csv.writerow(row | {name: f"{value:.6g}" for name, value in values.items()})
        self._file.flush()
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(f"{report.stage}/{name}", value, report.step)


def rows_until(path: Path, step: int) -> list[dict[str, Any]]:
    """Whole rows of a log up to a step: later ones were lost with the steps they tell of."""
    if not step or not path.is_file():
        return []
    with path.open(newline="", errors="replace") as file:
        try:
            rows = list(csv.DictReader(file))
        except csv.Error:  # a garbled log must not keep a run from going on
            return []
    return [row for row in rows if _is_whole(row) and int(row["step"]) <= step]


def _is_whole(row: Mapping[str, Any]) -> bool:
    try:
        int(row["step"]), float(row["seconds"])
    except (KeyError, TypeError, ValueError):
        return False
    return None not in row.values()


def _tensorboard(folder: Path) -> Any:
    """Return a writer if TensorBoard is installed, else None."""
    if find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(folder)
