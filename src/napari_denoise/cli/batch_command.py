"""`napari-denoise batch`: a night's worth of stacks, planned, journaled and resumed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_denoise.cli import denoise_options as options
from napari_denoise.cli import render_options as renders
from napari_denoise.cli.asked import asking
from napari_denoise.cli.batch_report import show_plan, show_run
from napari_denoise.cli.console import (
    FAILED,
    UNUSABLE,
    Debug,
    Json,
    err,
    reporting,
    say,
    summary,
    warn,
)
from napari_denoise.settings.denoise_fields import DenoiseFields

if TYPE_CHECKING:
    from napari_denoise.batch import BatchPlan, BatchTask, Processes
    from napari_denoise.settings.denoise import DenoiseSettings

_RESUME, _PROCESSES = "What is there already", "More than one process"


@asking(DenoiseFields)
def batch(
    inputs: options.Inputs,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FOLDER", help="For results, journal and report."),
    ],
    asked: dict[str, Any],
    recursive: Annotated[
        bool,
        typer.Option(
            "--recursive", "-r", help="Take subfolders too.", rich_help_panel=options.FILES
        ),
    ] = False,
    name: Annotated[
        str,
        typer.Option(
            help="Of results: {stem} is the input's, {parent} its folder's, {image} that of an "
            "image of a file of several. Such as {stem}_denoised or {parent}/{stem}.",
            rich_help_panel=options.FILES,
        ),
    ] = "{stem}",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan and what is wrong with it; end.")
    ] = False,
    one_noise: Annotated[
        bool,
        typer.Option(
            "--one-noise",
            help="One noise model for all inputs of a folder with the same camera settings, "
            "measured on up to 8 of them. By default each input is measured.",
            rich_help_panel=options.HOW,
        ),
    ] = False,
    adapt: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="MINUTES",
            help="Before stacks of one camera setting are denoised, adapt weights to them for so "
            "long; they are used where they surely gain. 0 does not.",
            rich_help_panel=options.HOW,
        ),
    ] = 0.0,
    workers: Annotated[
        int,
        typer.Option(
            min=0,
            help="Processes of this machine: one for each graphics card, at most so many, else of "
            "one thread each. 0 is this one alone.",
            rich_help_panel=_PROCESSES,
        ),
    ] = 0,
    scheduler: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Use the workers of a Dask scheduler: tcp://10.0.0.1:8786.",
            rich_help_panel=_PROCESSES,
        ),
    ] = "",
    watching: Annotated[
        bool,
        typer.Option(
            "--watch",
            help="Go on taking files as they arrive, each by itself, until Ctrl+C.",
            rich_help_panel=options.FILES,
        ),
    ] = False,
    settle: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="With --watch: a file that has not changed for so long is whole.",
            rich_help_panel=options.FILES,
        ),
    ] = 5.0,
    skip_existing: Annotated[
        bool,
        typer.Option(
            "--skip-existing",
            help="Leave out inputs whose result is there, whoever made it.",
            rich_help_panel=_RESUME,
        ),
    ] = False,
    retry_failed: Annotated[
        bool,
        typer.Option(
            "--retry-failed", help="Try again what failed before.", rich_help_panel=_RESUME
        ),
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Do all again, and replace results.", rich_help_panel=_RESUME),
    ] = False,
    layer: renders.Layer = None,
    every_view: renders.EveryView = False,
    passes: renders.Passes = False,
    albedo: renders.Albedo = None,
    normal: renders.Normal = None,
    axes: options.Axes = None,
    guess_axes: Annotated[
        bool,
        typer.Option(
            "--guess-axes",
            help="Take axes that are a guess as they are. By default such inputs are left out "
            "until --axes says them.",
            rich_help_panel=options.DATA,
        ),
    ] = False,
    sequence: options.Sequence = None,
    file_format: options.FileFormat = None,
    ome_zarr_version: options.OmeZarrVersion = None,
    frames_used: options.FramesUsed = None,
    quiet: options.Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    r"""Denoise many files: look at all of them first, then run, and go on where it stopped.

    `napari-denoise batch raw/ -o clean/ --dry-run`

    `napari-denoise batch raw/ -o clean/`

    The same command again skips what is finished and does the rest. `clean/batch.jsonl` tells
    what became of each input. A failed file stops no other (exit code 1). Ctrl+Z pauses, `fg` goes
    on; Ctrl+C ends with 130.
    """
    with reporting(debug):
        settings = options.settings_of(**asked, quiet=quiet)
        from napari_denoise.batch import (
            Processes,
            Resume,
            survey,
            with_layers,
            with_maps,
            with_version,
        )

        if workers and scheduler:
            raise ValueError("--workers and --scheduler both name the processes: give one of them")
        processes = Processes(workers, scheduler) if workers or scheduler else None
        if watching:
            sequence = False if sequence is None else sequence
        choice = renders.choice_of(layer, every_view, passes, albedo, normal)

        def find(quiet: bool) -> tuple[list[BatchTask], int]:
            found = _tasks(inputs, output, sequence, recursive, name, file_format, quiet)
            tasks = with_version(with_maps(found[0], frames_used), ome_zarr_version)
            return with_layers(tasks, choice), found[1]

        more: dict[str, Any] = {
            "axes": axes,
            "resume": Resume(skip_existing, retry_failed, force),
            "one_noise": one_noise,
            "guess_axes": guess_axes,
            "adapt": adapt,
        }
        if watching and not dry_run:
            folder = output.expanduser()
            _watch(lambda: find(True)[0], settings, folder, settle, quiet, processes, **more)
        tasks, missing = find(quiet)
        looking = survey(tasks, settings, output.expanduser(), look=dry_run, **more)
        plan = _looked(looking, len(tasks), quiet)
        code = FAILED if missing else 0
        if dry_run:
            code = max(code, show_plan(plan, as_json=as_json))
        else:
            code = max(code, _run(plan, quiet, debug, processes))
    raise typer.Exit(code)


def _tasks(
    inputs: list[str],
    output: Path,
    sequence: bool | None,
    recursive: bool,
    name: str,
    file_format: str | None,
    quiet: bool,
) -> tuple[list[BatchTask], int]:
    """Plan, and say what is missing or left out.

    Raises
    ------
    ValueError
        There is no input at all.
    """
    from napari_denoise.batch import plan_folder
    from napari_denoise.batch.history import History
    from napari_denoise.io.atomic import check_reachable

    folder = output.expanduser()
    check_reachable(folder)
    known = History.of(folder).results
    inside = any(_is_below(folder, Path(entry).expanduser()) for entry in inputs)
    tasks, found = plan_folder(
        inputs,
        folder,
        sequence=sequence,
        recursive=recursive,
        name=name,
        file_format=file_format,
        results=(*known, folder) if inside else known,
    )
    if not tasks:
        lines = [*map(str, found.missing)]
        if found.results and not found.missing:
            lines.append(f"all {len(found.results)} images that were found are results themselves")
        raise ValueError("\n".join(lines))
    for error in found.missing:
        say("error", "bold red", summary(error))
    if found.results and not quiet:
        count = len(found.results)
        warn(f"{count} result{'s' if count > 1 else ''} of earlier runs left out of the inputs")
    return tasks, len(found.missing)


def _is_below(folder: Path, other: Path) -> bool:
    folder, other = folder.absolute(), other.absolute()
    return folder != other and folder.is_relative_to(other)


def _looked(looking: object, count: int, quiet: bool) -> BatchPlan:
    """Look at every input, with a line of progress."""
    from collections.abc import Generator

    assert isinstance(looking, Generator)  # noqa: S101
    with err().status("Looking at the inputs ...") as status:
        number = 0
        while True:
            try:
                next(looking)
            except StopIteration as end:
                plan: BatchPlan = end.value
                return plan
            number += 1
            if not quiet:
                status.update(f"Looking at the inputs ... {number} of {count}")


def _watch(
    find: Callable[[], list[BatchTask]],
    settings: DenoiseSettings,
    folder: Path,
    settle: float,
    quiet: bool,
    processes: Processes | None,
    **asked: Any,
) -> None:
    """Denoise what arrives until Ctrl+C."""
    from napari_denoise.batch import watch

    if not quiet:
        say("watching", "bold green", "files are taken as they arrive; Ctrl+C ends it")
    events = watch(find, settings, folder, settle=settle, processes=processes, **asked)
    show_run(events, 1, quiet)


def _run(plan: BatchPlan, quiet: bool, debug: bool, processes: Processes | None) -> int:
    """Run, show, and return the exit code."""
    with err().status("Loading PyTorch ..."):
        from napari_denoise.batch import run
    failures = show_run(run(plan, processes), len(plan.rows), quiet)
    if not failures:
        return 0
    if debug and len(plan.rows) == 1:
        raise failures[0].error
    unusable = len(plan.rows) == 1 and failures[0].unusable
    return UNUSABLE if unusable else FAILED
