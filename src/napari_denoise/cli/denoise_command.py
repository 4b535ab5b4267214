"""`napari-denoise denoise`: files, folders and wildcards in, denoised files out."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_denoise.cli import denoise_options as options
from napari_denoise.cli import render_options as renders
from napari_denoise.cli.asked import asking
from napari_denoise.cli.batch_report import report_done
from napari_denoise.cli.console import (
    FAILED,
    UNUSABLE,
    Debug,
    Position,
    Series,
    err,
    reporting,
    say,
    summary,
    warn,
)
from napari_denoise.cli.progress import FileProgress
from napari_denoise.settings.denoise_fields import DenoiseFields

if TYPE_CHECKING:
    from napari_denoise.batch import BatchTask, Failed
    from napari_denoise.io.errors import FileError
    from napari_denoise.settings.denoise import DenoiseSettings


@asking(DenoiseFields)
def denoise(
    inputs: options.Inputs,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="A file (clean.ome.tif, clean.ome.zarr, clean_####.png) for one input, else a "
            "folder.",
        ),
    ],
    asked: dict[str, Any],
    layer: renders.Layer = None,
    every_view: renders.EveryView = False,
    passes: renders.Passes = False,
    albedo: renders.Albedo = None,
    normal: renders.Normal = None,
    axes: options.Axes = None,
    sequence: options.Sequence = None,
    series: Series = None,
    position: Position = None,
    suffix: Annotated[
        str,
        typer.Option(
            help="Added to the names of results in a folder: _denoised.",
            rich_help_panel=options.FILES,
        ),
    ] = "",
    file_format: options.FileFormat = None,
    ome_zarr_version: options.OmeZarrVersion = None,
    frames_used: options.FramesUsed = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Replace existing results.", rich_help_panel=options.FILES
        ),
    ] = False,
    skip_existing: Annotated[
        bool,
        typer.Option(
            "--skip-existing",
            help="Leave out inputs whose results are there and can be read.",
            rich_help_panel=options.FILES,
        ),
    ] = False,
    recursive: options.Recursive = False,
    quiet: options.Quiet = False,
    debug: Debug = False,
) -> None:
    r"""Denoise files: same shape, dtype, scale and format, without the noise.

    `napari-denoise denoise cells.ome.tif -o clean.ome.tif`

    `napari-denoise denoise raw/ -o clean/`

    `napari-denoise denoise "shot_####.exr" -o clean/ --device cuda`

    A file that fails or is missing is reported and the others go on (exit code 1). Bad
    options, or no input at all, end with 2, Ctrl+C with 130. A result appears only when it is
    complete. For a night's worth of files, with a plan, a journal and a second try, use
    `napari-denoise batch`.
    """
    with reporting(debug):
        from napari_denoise.batch import (
            check_outputs,
            plan,
            with_layers,
            with_maps,
            with_version,
        )
        from napari_denoise.io.errors import listening

        settings = options.settings_of(**asked, quiet=quiet)
        if skip_existing and overwrite:
            raise ValueError("--skip-existing keeps what --overwrite replaces: choose one of them")
        found, missing = _split(inputs, whole=bool(sequence), recursive=recursive)
        with listening() as said:
            tasks = plan(
                found,
                output,
                sequence=sequence,
                suffix=suffix,
                file_format=file_format,
                series=series,
                position=position,
                recursive=recursive,
            )
        if not quiet:
            for text in said:
                warn(text)
        tasks = with_maps(tasks, frames_used)
        tasks = with_version(tasks, ome_zarr_version)
        choice = renders.choice_of(layer, every_view, passes, albedo, normal)
        tasks = with_layers(tasks, choice)
        if skip_existing:
            tasks = _unfinished(tasks, quiet)
        check_outputs(tasks, overwrite=overwrite)
        for error in missing:
            say("error", "bold red", summary(error))
        if not (tasks or missing):
            raise typer.Exit
        code = _run(tasks, settings, axes, overwrite, quiet, debug, len(missing))
    raise typer.Exit(code)


def _unfinished(tasks: list[BatchTask], quiet: bool) -> list[BatchTask]:
    """Leave out tasks whose results are there, and say how many.

    Raises
    ------
    FileError
        A result is there and cannot be read: it is not skipped in silence, nor replaced.
    """
    from napari_denoise.batch import is_there

    left = [task for task in tasks if not is_there(task)]
    if (skipped := len(tasks) - len(left)) and not quiet:
        err().print(f"skipped {skipped} of {len(tasks)}: their results are there")
    return left


def _split(
    inputs: list[str], whole: bool, recursive: bool = False
) -> tuple[list[str], list[FileError]]:
    """Tell inputs that are there from missing ones; a stack named as a whole needs all.

    Raises
    ------
    ValueError
        None is there.
    """
    from napari_denoise.batch import find_inputs
    from napari_denoise.io.errors import FileError

    found, missing = list[str](), list[FileError]()
    for given in inputs:
        try:
            find_inputs([given], sequence=False, recursive=recursive)
            found.append(given)
        except FileError as error:
            missing.append(error)
    if missing and (whole or not found):
        raise ValueError("\n".join(map(str, missing))) from missing[0]
    return found, missing


def _run(
    tasks: list[BatchTask],
    settings: DenoiseSettings,
    axes: str | None,
    overwrite: bool,
    quiet: bool,
    debug: bool,
    missing: int = 0,
) -> int:
    """Denoise, show, and return the exit code; inputs that are missing count as failed."""
    failures: list[Failed] = []
    with err().status("Loading PyTorch ..."):
        from napari_denoise.batch import Failed, denoise_all
        from napari_denoise.inference.denoiser import Denoiser

        denoiser = Denoiser.load(settings.weights, settings.device, settings.precision)
    bars = FileProgress(len(tasks), quiet)
    work = denoise_all(
        tasks, denoiser, settings, axes=axes, overwrite=overwrite, progress=bars.step
    )
    with bars, closing(work) as results:
        for result in results:
            bars.finished()
            if isinstance(result, Failed):
                _report_failure(result, bars, debug and len(tasks) == 1)
                failures.append(result)
            elif not quiet:
                report_done(result, bars)
    failed, total = len(failures) + missing, len(tasks) + missing
    if failed and total > 1:
        err().print(f"{failed} of {total} inputs failed")
    if not failed:
        return 0
    return UNUSABLE if total == 1 and failures[0].unusable else FAILED


def _report_failure(failed: Failed, bars: FileProgress, raise_it: bool) -> None:
    if raise_it:
        raise failed.error
    text = summary(failed.error)
    if failed.task.name not in text:
        text = f"{failed.task.source.pattern}: {text}"
    say("error", "bold red", text, bars.console)
