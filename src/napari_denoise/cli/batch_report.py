"""What a batch shows in the terminal: its plan, and how it goes."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import closing
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from napari_denoise.cli.console import FAILED, out, print_json, say, summary, tell, warn
from napari_denoise.cli.progress import FileProgress

if TYPE_CHECKING:
    from napari_denoise.batch import BatchPlan, Done, Event, Failed, PlanRow, Skipped

_ACTS = {"denoise": "", "skip": "skipped", "failed": "failed before", "refuse": "refused"}


def show_plan(plan: BatchPlan, *, as_json: bool) -> int:
    """Print what a batch would do; return the exit code: 1 where an input cannot be denoised."""
    if as_json:
        print_json([_plain(row) for row in plan.rows])
    else:
        _show_table(plan)
    code = 0
    for row in plan.rows:
        for note in row.notes:
            if note not in row.problem:
                warn(note)
        if row.problem:
            code = FAILED
            say("error", "bold red", _with_name(row.task.name, row.problem))
    try:
        plan.check_space()
    except ValueError as error:
        say("error", "bold red", summary(error))
        code = FAILED
    return code


def show_run(events: Generator[Event, None, None], count: int, quiet: bool) -> list[Failed]:
    """Show how a batch goes; return what failed."""
    from napari_denoise.batch import Adapted, Connected, Done, Ended, Failed, Progress, Skipped

    failures: list[Failed] = []
    skipped: list[Skipped] = []
    with FileProgress(count, quiet) as bars, closing(events):
        for event in events:
            if isinstance(event, Progress):
                bars.batch(event)
            elif isinstance(event, Done):
                bars.finished()
                if not quiet:
                    report_done(event, bars)
            elif isinstance(event, Failed):
                bars.finished()
                failures.append(event)
                text = _with_name(event.task.source.pattern.name, summary(event.error))
                say("error", "bold red", text, bars.console)
            elif isinstance(event, Skipped):
                bars.finished()
                skipped.append(event)
            elif isinstance(event, Adapted) and not quiet:
                word = "adapted" if event.used else "not adapted"
                say(word, "bold green" if event.used else "bold yellow", event.text, bars.console)
            elif isinstance(event, Connected) and not quiet:
                count_text = "1 worker" if event.workers == 1 else f"{event.workers} workers"
                say("cluster", "bold green", f"{count_text}, dashboard {event.dashboard}")
            elif isinstance(event, Ended) and not quiet:
                bars.line(_ended(event))
    failures += _failed_before(skipped)
    return failures


def report_done(done: Done, bars: FileProgress) -> None:
    """Print what became of a file, and what is to be known of it."""
    for text in done.warnings:
        warn(text, bars.console)
    frames = "1 frame" if done.frames == 1 else f"{done.frames} frames"
    noise = "; ".join(dict.fromkeys(done.noise))
    images = [file for file in done.files if file.suffix != ".json"]
    target = f"{images[0]} to {images[-1].name}" if images[1:] else images[0]
    used = "".join(f", {text}" for text in (done.frames_used, done.kept) if text)
    bars.line(
        f"{done.task.name} -> {target}: {frames} in {done.seconds:.1f} s, "
        f"weights {done.weights}, noise: {noise}{used}"
    )


def _failed_before(skipped: list[Skipped]) -> list[Failed]:
    """Say what failed before and was not tried again; it counts as failed."""
    from napari_denoise.batch import Failed

    before = [event for event in skipped if event.failed]
    for event in before:
        text = f"it failed before ({event.why}); --retry-failed tries it again"
        say("error", "bold red", _with_name(event.task.source.pattern.name, text))
    return [Failed(event.task, ValueError(event.why), unusable=False) for event in before]


def _ended(event: Any) -> str:
    from napari_denoise.cli.progress import duration

    parts = [f"{event.done} denoised", f"{event.failed} failed", f"{event.skipped} skipped"]
    shown = [part for part in parts if not part.startswith("0 ")] or ["nothing to do"]
    report = f"; {event.report}" if event.report else ""
    return f"{', '.join(shown)} in {duration(event.seconds)}{report}"


def _show_table(plan: BatchPlan) -> None:
    from napari_denoise.cli.progress import duration

    table = Table(box=None, header_style="bold")
    for column in ("input", "holds", "denoised by", "time", "result"):
        table.add_column(column, justify="right" if column == "time" else "left", overflow="fold")
    below = _folders(plan)
    for row in plan.rows:
        waits = row.act == "denoise"
        holds = [" x ".join(map(str, row.shape)), row.axes, row.dtype]
        held = f"{row.bytes / 1e6:,.1f} MB" if row.shape else ""
        weights = row.weights + (f" adapted in {plan.adapt:g} min" if row.adapts else "")
        result = str(_short(row.task.target, plan)) if waits else _ACTS[row.act]
        table.add_row(
            Text(f"{below(row)}{row.task.name}"),
            _parts([" ".join(filter(None, holds)), held]),
            _parts([weights, f"noise {row.noise}", row.neighbors]) if row.shape else Text(),
            duration(row.seconds) if row.seconds is not None and waits else "",
            _parts([result, f"{row.result_bytes / 1e6:,.1f} MB" if waits else ""]),
        )
    out().print(table)
    todo = plan.waiting
    expected = f", about {duration(plan.seconds)}" if plan.seconds is not None else ""
    size = sum(row.result_bytes for row in todo) / 1e6
    if groups := {row.adapts for row in todo if row.adapts}:
        tell(f"weights are adapted to {len(groups)} of camera settings, and used where they gain")
    tell(f"{len(todo)} of {len(plan.rows)} to denoise, {size:,.1f} MB of results{expected}")


def _folders(plan: BatchPlan) -> Callable[[PlanRow], str]:
    """Name the folder of an input below that of all, so that equal names are told apart."""
    folders = [row.task.source.files[0].absolute().parent for row in plan.rows]
    root = os.path.commonpath(folders) if folders else ""

    def below(row: PlanRow) -> str:
        folder = os.path.relpath(row.task.source.files[0].absolute().parent, root)
        return "" if folder == "." else f"{folder}{os.sep}"

    return below


def _parts(texts: list[str]) -> Text:
    """Join what there is; names of files are no markup."""
    return Text(", ".join(filter(None, texts)))


def _short(target: Any, plan: BatchPlan) -> Any:
    folder = plan.folder
    return target.relative_to(folder) if target.is_relative_to(folder) else target


def _plain(row: PlanRow) -> dict[str, Any]:
    return {
        "input": str(row.task.source.pattern),
        "series": row.task.source.series,
        "files": len(row.task.source.files),
        "result": str(row.task.target),
        "shape": list(row.shape),
        "axes": row.axes,
        "guessed": row.guessed,
        "dtype": row.dtype,
        "bytes": row.bytes,
        "result_bytes": row.result_bytes,
        "weights": row.weights,
        "noise": row.noise,
        "experiment": row.experiment,
        "adapts": row.adapts,
        "neighbors": row.neighbors,
        "seconds": row.seconds,
        "act": row.act,
        "problem": row.problem,
        "why": row.decision.why,
        "notes": list(row.notes),
    }


def _with_name(name: str, text: str) -> str:
    return text if name in text else f"{name}: {text}"
