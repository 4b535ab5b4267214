"""A fine-tuning in a thread: events for the GUI, and a few words that it heeds."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, TypeVar

from napari_denoise.image.long_work import InParts
from napari_denoise.plugin.finetune import kept as finetune_kept
from napari_denoise.plugin.finetune.looks import Look, LookedAt, preview, side_by_side
from napari_denoise.settings.finetune import FineTuneSettings
from napari_denoise.training.data.real_pairs import Pair
from napari_denoise.training.data.regions import Regions
from napari_denoise.weights.catalogue import user_path

if TYPE_CHECKING:
    from napari_denoise.training.finetune.fine_tuning import FineTuning
    from napari_denoise.training.finetune.held_out import HeldOutSet
    from napari_denoise.training.finetune.outcome import FineTuneResult
    from napari_denoise.training.finetune.step_plan import Plan
    from napari_denoise.training.loop.report import StepReport
    from napari_denoise.weights.catalogue import WeightsInfo

_T = TypeVar("_T")
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
        self.view: LookedAt | None = None


@dataclass(frozen=True)
class TuningPhase:
    """What comes next, before the first step and after the last."""

    text: str


@dataclass(frozen=True)
class Planned:
    """What to expect; `refused` where it does not fit and was not begun."""

    plan: Plan
    notes: tuple[str, ...]
    refused: bool


Point = tuple[int, Mapping[str, float], Mapping[str, float]]
"""A step, its terms and its figures."""


@dataclass(frozen=True)
class Known:
    """What the curves can show before the next step: lines to compare with, what was logged."""

    points: tuple[Point, ...]


@dataclass(frozen=True)
class Stepped:
    """A step; sent some times per second, and at every validation and note."""

    report: StepReport


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
    result: FineTuneResult | None
    error: Exception | None = None
    curves: str = ""
    """What the curves are of, where the result is of more."""


@dataclass(frozen=True)
class GivenUp:
    """It was stopped before the first step."""


@dataclass(frozen=True)
class Saved:
    """The weights are in the catalogue."""

    info: WeightsInfo


Happening = TuningPhase | Planned | Known | Stepped | Held | Looked | Ended | GivenUp


class _StoppedEarly(Exception):
    """Stop was pressed before the first step."""


def estimate(asked: Asked) -> Iterator[Happening]:
    """Say how many steps there is time for, without beginning."""
    tuning = yield from _phases(_preparing(asked))
    plan = yield from _phases(tuning.planning())
    yield Planned(plan, _new_notes(tuning), refused=False)


def finetuning(asked: Asked, control: Control) -> Iterator[Happening]:
    """Check, plan, train, measure; may be left at any of its yields and gone on with later."""
    finetune_kept.at_work.add(asked.folder)
    try:
        yield from _finetuning(asked, control)
        return
    except _StoppedEarly:
        if not asked.resume:
            finetune_kept.discard(asked.folder)
    finally:
        finetune_kept.at_work.discard(asked.folder)
    yield GivenUp()


def _finetuning(asked: Asked, control: Control) -> Iterator[Happening]:
    tuning = yield from _phases(_preparing(asked), control)
    plan = yield from _phases(tuning.beginning(), control)
    if plan is not None:
        refused = not (plan.fits or asked.anyway)
        yield Planned(plan, _new_notes(tuning), refused)
        if refused:
            return
    yield Known(_references(tuning))
    kept = finetune_kept.keep(asked.folder, asked.pairs, asked.settings, asked.regions)
    yield from _phases(kept, control)
    error = None
    try:
        yield from _advance(tuning, control)
    except Exception as problem:  # noqa: BLE001 - shown, with what was reached until then
        error = problem
    result, failed = yield from _measured(tuning)
    yield Ended(tuning, result, error or failed, _extent_of_curves(tuning.views))


def save(tuning: FineTuning, name: str, result: FineTuneResult | None) -> Iterator[Saved]:
    """Write the weights into the user's catalogue; what was typed is a name, never a path."""
    yield Saved(tuning.save(user_path(name), result))


def look_side_by_side(tuning: FineTuning, view: LookedAt | None) -> Iterator[Look]:
    """Denoise a held-out window with the base and with what came out."""
    look = side_by_side(tuning, view)
    if look is not None:
        yield look


def _phases(parts: InParts[_T], control: Control | None = None) -> Generator[Happening, None, _T]:
    """Show every part before it begins.

    Raises
    ------
    _StoppedEarly
        Stop was pressed; where there is a control, it is heeded between two parts.
    """
    with closing(parts):
        while True:
            try:
                text = next(parts)
            except StopIteration as end:
                result: _T = end.value
                return result
            yield TuningPhase(f"{text[0].upper()}{text[1:]} …")
            if control is not None and control.stopped.is_set():
                raise _StoppedEarly


def _preparing(asked: Asked) -> InParts[FineTuning]:
    """Load PyTorch and gather pairs.

    Raises
    ------
    ValueError
        They do not go together.
    """
    yield "loading PyTorch"
    from napari_denoise.training.finetune.fine_tuning import FineTuning

    return (
        yield from FineTuning.preparing(
            asked.pairs, asked.settings, asked.folder, asked.regions, resume=asked.resume
        )
    )


def _new_notes(tuning: FineTuning) -> tuple[str, ...]:
    """Return what is not said in the rows of the pairs already."""
    known = {f"{v.pair}: {finding}" for v in tuning.material.verdicts for finding in v.findings}
    return tuple(note for note in tuning.notes if note not in known)


def _advance(tuning: FineTuning, control: Control) -> Iterator[Happening]:
    """Train until the end or until told to stop; pausing is not asking for the next step.

    However it is left, `training` writes a checkpoint of the steps done.
    """
    shown, before = 0.0, tuning.resume
    with closing(tuning.training()) as reports:
        for report in reports:
            if before:  # by now the log ends where it goes on
                before = False
                yield Known(_logged(tuning, report.step - 1))
            now = time.monotonic()
            if report.figures or report.note or now - shown > _BETWEEN_REPORTS:
                shown = now
                yield Stepped(report)
            if report.figures and (look := preview(tuning, control.view)) is not None:
                yield Looked(look)
            while control.paused.is_set() and not control.stopped.is_set():
                time.sleep(_NAP)
                yield Held()
            if control.stopped.is_set():
                return


def _references(tuning: FineTuning) -> tuple[Point, ...]:
    """Figures of noisy and base, which were measured before the first step."""
    found = tuning.validator.references if tuning.validator is not None else {}
    return (
        (
            0,
            {},
            {
                f"{kind}_{name}": getattr(figures, kind)
                for kind in ("psnr", "ssim")
                for name, figures in found.items()
            },
        ),
    )


def _extent_of_curves(views: HeldOutSet) -> str:
    """Say what the curves are of; nothing where that is all that is measured at the end."""
    pixels = [sum(view.mask.size for view in part) for part in (views.shown, views.measured)]
    if pixels[0] == pixels[1]:
        return ""
    count, side = len(views.shown), max(max(view.mask.shape) for view in views.shown)
    parts = f"{count} parts" if count > 1 else "one part"
    return f"The curves are of {parts} of it, {side} px wide and high at most"


def _logged(tuning: FineTuning, last: int) -> tuple[Point, ...]:
    """Terms and figures of the steps until one, as the log has them."""
    from napari_denoise.training.loop.logs import FIRST_COLUMNS, rows_until

    points = []
    for row in rows_until(tuning.folder / "log.csv", last):
        try:
            values = {k: float(v) for k, v in row.items() if v and k not in FIRST_COLUMNS}
        except ValueError:  # a row that was cut off
            continue
        figures = {k: v for k, v in values.items() if k.startswith(("psnr_", "ssim_"))}
        terms = {k: v for k, v in values.items() if k not in figures}
        points.append((int(row["step"]), terms, figures))
    return tuple(points)


def _measured(
    tuning: FineTuning,
) -> Generator[Happening, None, tuple[FineTuneResult | None, Exception | None]]:
    """Measure what came out; neither result nor error where there are no weights yet."""
    try:
        return (yield from _phases(tuning.measuring())), None
    except ValueError:
        return None, None
    except Exception as problem:  # noqa: BLE001 - shown; the weights are on the disk
        return None, problem
