"""What the Batch widget does off the GUI thread: plan, run, and read a pair to look at."""

from __future__ import annotations

import shlex
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event as Flag
from typing import TYPE_CHECKING, Any

from napari_denoise.batch import (
    BatchPlan,
    BatchTask,
    LayerChoice,
    PlanRow,
    Processes,
    Resume,
    plan_folder,
    run,
    survey,
    with_layers,
)
from napari_denoise.batch.events import Event
from napari_denoise.batch.history import History
from napari_denoise.settings.denoise import DenoiseSettings

if TYPE_CHECKING:
    from napari_denoise.plugin.layers.data import LayerData

_NAP_S = 0.05
_SETTINGS = ("weights", "noise", "neighbors", "dtype")
_OPTIONS = (
    "recursive", "name", "format", "every_view", "passes", "one_noise", "separate",
    "guess_axes", "adapt", "workers",
)  # fmt: skip
"""What the widget offers, as the command names it."""


@dataclass(frozen=True)
class Own:
    """Settings of one input, in place of those of the batch; None is as in the batch."""

    weights: str | None = None
    noise: str | None = None
    neighbors: str | None = None
    axes: str | None = None

    def settings(self) -> dict[str, Any]:
        """Return those that are given, as `DenoiseSettings.parse` takes them."""
        given: dict[str, Any] = {"weights": self.weights, "noise": self.noise}
        if self.neighbors is not None:
            words: dict[str, Any] = {"auto": "auto", "off": 0}
            given["neighbors"] = (
                words[self.neighbors] if self.neighbors in words else int(self.neighbors)
            )
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True)
class Asked:
    """What is to be denoised, where to, and how.

    Parameters
    ----------
    inputs, recursive
        Files and folders, and whether their subfolders are taken.
    folder
        For results, journal and report.
    settings
        Of all inputs that have none of their own.
    own
        Those of single inputs, by the name of their source and series.
    name, file_format
        Of results, as for `plan_folder`.
    choice
        Which layers of renders.
    separate
        Whether numbered files are left apart.
    one_noise, guess_axes, adapt
        As for `survey`.
    workers
        Processes of this machine; 0 is this one alone.
    """

    inputs: tuple[str, ...]
    folder: Path
    recursive: bool = False
    settings: DenoiseSettings = field(default_factory=DenoiseSettings)
    own: tuple[tuple[str, Own], ...] = ()
    name: str = "{stem}"
    file_format: str | None = None
    choice: LayerChoice = field(default_factory=LayerChoice)
    one_noise: bool = False
    separate: bool = False
    guess_axes: bool = False
    adapt: float = 0.0
    workers: int = 0

    def command(self) -> str:
        """Return the line that does the same in a terminal, without settings of single inputs."""
        words = ["napari-denoise", "batch", *self.inputs, "-o", str(self.folder)]
        for name in _SETTINGS:
            if (value := getattr(self.settings, name)) != getattr(DenoiseSettings(), name):
                words += [f"--{name}", str(value)]
        usual = Asked((), self.folder)
        given = vars(self) | {"format": self.file_format} | vars(self.choice)
        known = vars(usual) | {"format": None} | vars(usual.choice)
        for name in _OPTIONS:
            if (value := given[name]) != known[name]:
                words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
        return shlex.join(words)


@dataclass(frozen=True)
class Missing:
    """What was left out of the plan, in a sentence."""

    text: str


@dataclass
class Control:
    """How the GUI thread speaks to a run."""

    paused: Flag = field(default_factory=Flag)


def key_of(task: BatchTask) -> str:
    """Name an input so that it is known again in another plan."""
    return f"{task.source.pattern.absolute()}|{task.source.series}"


def planned(
    asked: Asked, resume: Resume | None = None, look: bool = True
) -> Iterator[PlanRow | Missing | BatchPlan]:
    """Look at all inputs; the plan comes last."""
    plan = yield from _planned(asked, resume or Resume(), look)
    yield plan


def started(
    asked: Asked, control: Control, resume: Resume
) -> Iterator[PlanRow | Missing | BatchPlan | Event | None]:
    """Look at all inputs as they are now, and denoise; asks for no event while paused."""
    plan = yield from _planned(asked, resume, look=False)
    yield plan
    processes = Processes(asked.workers) if asked.workers else None
    with closing(run(plan, processes)) as events:
        while True:
            while control.paused.is_set():
                time.sleep(_NAP_S)
                yield None
            event = next(events, None)
            if event is None:
                return
            yield event


def _planned(
    asked: Asked, resume: Resume, look: bool
) -> Generator[PlanRow | Missing, None, BatchPlan]:
    folder = asked.folder.expanduser()
    known = History.of(folder).results
    inside = any(_is_below(folder, Path(entry).expanduser()) for entry in asked.inputs)
    tasks, found = plan_folder(
        asked.inputs,
        folder,
        recursive=asked.recursive,
        sequence=False if asked.separate else None,
        name=asked.name,
        file_format=asked.file_format,
        results=(*known, folder) if inside else known,
    )
    if found.missing:
        yield Missing("\n".join(str(error) for error in found.missing))
    if not tasks:
        if found.results:
            count = len(found.results)
            raise ValueError(
                f"All {count} images that were found are results themselves: choose other inputs."
            )
        if found.missing:
            raise found.missing[0]
        raise ValueError("There is no image in what was chosen: choose other files or a folder.")
    own = dict(asked.own)
    tasks = [_with_own(task, own.get(key_of(task)), asked.settings) for task in tasks]
    return (
        yield from survey(
            with_layers(tasks, asked.choice),
            asked.settings,
            folder,
            resume=resume,
            one_noise=asked.one_noise,
            guess_axes=asked.guess_axes,
            adapt=asked.adapt,
            look=look,
        )
    )


def _with_own(task: BatchTask, own: Own | None, settings: DenoiseSettings) -> BatchTask:
    if own is None:
        return task
    given = own.settings()
    mine = DenoiseSettings.parse({**settings.to_json(), **given}) if given else None
    return replace(task, settings=mine, axes=own.axes)


def _is_below(folder: Path, other: Path) -> bool:
    folder, other = folder.absolute(), other.absolute()
    return folder != other and folder.is_relative_to(other)


@dataclass(frozen=True)
class Pair:
    """Layers of an input and of its result."""

    before: tuple[LayerData, ...]
    after: tuple[LayerData, ...]


def read_pair(task: BatchTask) -> Iterator[Pair]:
    """Read an input and its result, if that is there."""
    from napari_denoise.plugin.contributions import read_layers

    before = read_layers([str(file) for file in task.source.files])
    if task.source.series is not None and len(before) > task.source.series:
        before = [before[task.source.series]]
    files = [str(file) for file in task.taken]
    yield Pair(tuple(before), tuple(read_layers(files)) if files else ())
