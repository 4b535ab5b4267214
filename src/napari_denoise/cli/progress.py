"""Progress of long work in a terminal; plain lines where there is none."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from napari_denoise.cli.console import cell, err, results, tell
from napari_denoise.settings.text import printable

if TYPE_CHECKING:
    from napari_denoise.batch import BatchTask
    from napari_denoise.batch import Progress as BatchProgress
    from napari_denoise.inference.steps import Step


class FileProgress:
    """A bar for the file at work, with frames, tiles and time left, and one for all files.

    Parameters
    ----------
    files
        How many there are; one needs no second bar.
    quiet
        Show nothing. Where stderr is not a terminal, no bar is shown either.
    """

    def __init__(self, files: int, quiet: bool = False) -> None:
        self.console: Console = err()
        hidden = quiet or not self.console.is_terminal
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TextColumn("{task.fields[count]}", style="cyan"),
            TimeRemainingColumn(compact=True),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
            expand=True,
            disable=hidden,
            redirect_stdout=False,  # results must reach a pipe: see `line`
        )
        self._all: TaskID | None = None
        if files > 1:
            self._all = self._bars.add_task("all files", total=files, count=f"file 0/{files}")
        self._files, self._done = files, 0
        self._current: TaskID | None = None
        self._name = ""

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def step(self, task: BatchTask, step: Step) -> None:
        """Show one tile more."""
        count = f"frame {step.frame + 1}/{step.frames}  tile {step.tile}/{step.tiles}"
        if self._current is None or self._name != task.name:
            self._drop()
            self._name = task.name
            self._current = self._bars.add_task(printable(task.name), total=1.0, count=count)
        self._bars.update(self._current, completed=step.fraction, count=count)
        if self._all is not None:
            self._bars.update(self._all, completed=self._done + step.fraction)

    def batch(self, event: BatchProgress) -> None:
        """Show one tile more of a batch, and what is left of all of it."""
        if event.step is not None:
            self.step(event.task, event.step)
        if self._all is not None:
            left = event.seconds_left
            count = f"file {self._done}/{self._files}"
            if left is not None:
                count += f"  {duration(left)} left"
            if event.what:
                count += f"  {event.what}"
            self._bars.update(self._all, completed=event.overall * self._files, count=count)

    def line(self, text: str) -> None:
        """Print a line of results to stdout, above the bars where both share a terminal."""
        if results().isatty() and not self._bars.disable:
            self.console.print(cell(text), soft_wrap=True)
        else:
            tell(text)

    def finished(self) -> None:
        """Count one file more."""
        self._drop()
        self._done += 1
        if self._all is not None:
            count = f"file {self._done}/{self._files}"
            self._bars.update(self._all, completed=self._done, count=count)

    def _drop(self) -> None:
        if self._current is not None:
            self._bars.remove_task(self._current)
        self._current = None


def duration(seconds: float) -> str:
    """Say a time in the two largest units that it has."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def training_bars() -> Progress:
    """Return a bar for training steps, with loss, speed and time left."""
    console = err()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.4f}", style="cyan"),
        TextColumn("{task.fields[speed]:.1f} steps/s"),
        TimeRemainingColumn(compact=True),
        console=console,
        expand=True,
        disable=not console.is_terminal,
    )
