"""A fine-tuning in a thread: events for the GUI, and a few words that it heeds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from napari_denoise.core.finetune_settings import FineTuneSettings
from napari_denoise.training.real_pairs import Pair
from napari_denoise.training.regions import Regions
from napari_denoise.widgets import finetune_kept
from napari_denoise.widgets.finetune_looks import Look, View, preview, side_by_side

if TYPE_CHECKING:
    from napari_denoise.models.catalogue import WeightsInfo
    from napari_denoise.training.finetune import FineTuneReport, FineTuning
    from napari_denoise.training.finetune_plan import Plan
    from napari_denoise.training.finetune_result import Result

_BETWEEN_REPORTS = 0.1
_NAP = 0.05


@dataclass(frozen=True, eq=False)
class Asked:
    """What is to be fine-tuned, and how.

    Parameters
    ----------
    pairs, settings, folder, regions, resume
        As for `training.finetune.FineTuning`.
    anyway
        Begin although memory seems short.
    """

    pairs: tuple[Pair, ...]
    settings: FineTuneSettings
    folder: Path
    regions: Regions = field(default_factory=Regions)
    resume: bool = False
    anyway: bool = False


class Control:
    """What the GUI tells the thread: pause, stop, and where the user looks."""

    def __init__(self) -> None:
        self.paused, self.stopped = Event(), Event()
        self.view: View | None = None


@dataclass(frozen=True)
class Phase:
    """What it is doing before the first step, and after the last."""

    text: str


@dataclass(frozen=True)
class Planned:
    """What to expect; `refused` where it does not fit and was not begun."""

    plan: Plan
    notes: tuple[str, ...]
    refused: bool


@dataclass(frozen=True)
class Stepped:
    """A step; sent some times per second, and at every validation and note."""

    report: FineTuneReport


@dataclass(frozen=True)
class Held:
    """It is paused."""


@dataclass(frozen=True)
class Looked:
    """A window as the weights show it now."""

    look: Look


@dataclass(frozen=True, eq=False)
class Ended:
    """It is over: by itself, stopped, or by an error; with a result if there are weights."""

    tuning: FineTuning
    result: Result | None
    error: Exception | None = None
    stopped: bool = False


@dataclass(frozen=True)
class Saved:
    """The weights are in the catalogue."""

    info: WeightsInfo


Happening = Phase | Planned | Stepped | Held | Looked | Ended | None


def estimate(asked: Asked) -> Iterator[Happening]:
    """Say how many steps there is time for, without beginning."""
    yield Phase("Checking pairs and regions …")
    tuning = _prepared(asked)
    yield Phase("Measuring the first steps …")
    yield Planned(tuning.plan(), _new_notes(tuning), refused=False)


def finetuning(asked: Asked, control: Control) -> Iterator[Happening]:
    """Check, plan, train; may be left at any of its yields and gone on with later."""
    finetune_kept.at_work.add(asked.folder)
    try:
        yield from _finetuning(asked, control)
    finally:
        finetune_kept.at_work.discard(asked.folder)


def _finetuning(asked: Asked, control: Control) -> Iterator[Happening]:
    yield Phase("Checking pairs and regions …")
    tuning = _prepared(asked)
    if not (asked.resume and (asked.folder / "recipe.json").is_file()):
        yield Phase("Measuring the first steps …")
        plan = tuning.plan()
        refused = not (plan.fits or asked.anyway)
        yield Planned(plan, _new_notes(tuning), refused)
        if refused:
            return
    yield from finetune_kept.keep(asked.folder, asked.pairs, asked.settings, asked.regions)
    yield Phase("Measuring the base on what is held out …")
    error = None
    try:
        yield from _advance(tuning, control)
    except Exception as problem:  # noqa: BLE001 - shown, with what was reached until then
        error = problem
    yield Phase("Measuring on everything that is held out …")
    yield Ended(tuning, _result(tuning), error, control.stopped.is_set())


def save(tuning: FineTuning, name: str, result: Result | None) -> Iterator[Saved]:
    """Write the weights into the user's catalogue."""
    yield Saved(tuning.save(name, result))


def look_side_by_side(tuning: FineTuning, view: View | None) -> Iterator[Look]:
    """Denoise a held-out window with the base and with what came out."""
    look = side_by_side(tuning, view)
    if look is not None:
        yield look


def _prepared(asked: Asked) -> FineTuning:
    """Load PyTorch and gather pairs.

    Raises
    ------
    ValueError
        They do not go together, or training is not installed.
    """
    try:
        from napari_denoise.training.finetune import FineTuning
    except ModuleNotFoundError as error:
        raise ValueError(
            f"fine-tuning needs the package {error.name}: in a checkout of napari-denoise, run "
            'pip install -c constraints.txt ".[train]"'
        ) from error
    return FineTuning(asked.pairs, asked.settings, asked.folder, asked.regions, resume=asked.resume)


def _new_notes(tuning: FineTuning) -> tuple[str, ...]:
    """Return what is not said in the rows of the pairs already."""
    known = {f"{v.pair}: {finding}" for v in tuning.material.verdicts for finding in v.findings}
    return tuple(note for note in tuning.notes if note not in known)


def _advance(tuning: FineTuning, control: Control) -> Iterator[Happening]:
    """Train until the end or until told to stop; pausing is not asking for the next step."""
    shown = 0.0
    with closing(_steps(tuning)) as steps:
        for report in steps:
            now = time.monotonic()
            if report.figures or report.note or report.result or now - shown > _BETWEEN_REPORTS:
                shown = now
                yield Stepped(report)
            if report.figures and (look := preview(tuning, control.view)) is not None:
                yield Looked(look)
            while control.paused.is_set() and not control.stopped.is_set():
                time.sleep(_NAP)
                yield Held()
            if control.stopped.is_set():
                return


def _steps(tuning: FineTuning) -> Any:
    return tuning.steps()  # a generator, of which `closing` needs to know


def _result(tuning: FineTuning) -> Result | None:
    try:
        return tuning.result()
    except (ValueError, OSError):  # there are no weights yet
        return None
