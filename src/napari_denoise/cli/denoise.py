"""`napari-denoise denoise`: files, folders and wildcards in, denoised files out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_denoise.cli.console import (
    FAILED,
    UNUSABLE,
    Debug,
    Device,
    err,
    reporting,
    say,
    summary,
    warn,
)
from napari_denoise.cli.progress import FileProgress

if TYPE_CHECKING:
    from napari_denoise.batch import Done, Failed, Task
    from napari_denoise.core.settings import DenoiseSettings

_HOW, _DATA, _FILES = "How to denoise", "What the data is", "Files"
_NOISE = (
    "auto estimates it. Else a sigma in the data's own units (12.5), a model "
    "(gain=2,offset=100,read_noise=3), or one per channel (3,5,auto; models apart by ;)."
)


def denoise(
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="INPUT", help="Files, folders, wildcards (quoted or not)."),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="A file (clean.ome.tif, clean_####.png) for one input, else a folder.",
        ),
    ],
    weights: Annotated[
        str,
        typer.Option("--weights", "-w", help="auto, a name, or a .safetensors file."),
    ] = "auto",
    noise: Annotated[str, typer.Option("--noise", "-n", help=_NOISE)] = "auto",
    strength: Annotated[
        float, typer.Option(help="0 changes nothing, 1 denoises fully.", rich_help_panel=_HOW)
    ] = 1.0,
    realism: Annotated[
        float,
        typer.Option(help="0 is faithful (for measurements), 1 crisp.", rich_help_panel=_HOW),
    ] = 0.0,
    mapping: Annotated[
        str,
        typer.Option(
            help="Intensity mapping: auto, affine, anscombe (photon noise), log (HDR).",
            rich_help_panel=_HOW,
        ),
    ] = "auto",
    intensity_range: Annotated[
        tuple[float, float] | None,
        typer.Option(
            metavar="LOW HIGH",
            help="Lowest and highest intensity; measured by default.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    axes: Annotated[
        str | None,
        typer.Option(
            help="A letter per dimension, of T Z C Y X S (RGB), where the file is wrong.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    sequence: Annotated[
        bool | None,
        typer.Option(
            "--sequence/--separate",
            help="All files are one stack / every file by itself. By default single-plane "
            "files with one stem and a running number are one stack.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    tile: Annotated[
        str,
        typer.Option(help="auto or pixels. Never changes the result.", rich_help_panel=_HOW),
    ] = "auto",
    device: Device = "auto",
    precision: Annotated[
        str, typer.Option(help="auto, float32, bfloat16, float16.", rich_help_panel=_HOW)
    ] = "auto",
    engine: Annotated[str, typer.Option(help="torch.", rich_help_panel=_HOW)] = "torch",
    suffix: Annotated[
        str,
        typer.Option(
            help="Added to the names of results in a folder: _denoised.", rich_help_panel=_FILES
        ),
    ] = "",
    file_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="Ending of results in a folder: ome.tif, exr, png, npy. Kept by default.",
            rich_help_panel=_FILES,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace existing results.", rich_help_panel=_FILES)
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show errors only.")] = False,
    debug: Debug = False,
) -> None:
    r"""Denoise files: same shape, dtype, scale and format, without the noise.

    `napari-denoise denoise cells.ome.tif -o clean.ome.tif`

    `napari-denoise denoise raw/ -o clean/`

    `napari-denoise denoise "shot_####.exr" -o clean/ --device cuda`

    A file that fails is reported and the others go on (exit code 1). Bad options or input
    end with 2, Ctrl+C with 130. A result appears only when it is complete.
    """
    with reporting(debug):
        from napari_denoise.batch import check_outputs, plan
        from napari_denoise.cli.options import parse_noise, parse_tile

        settings = _settings(
            weights=weights,
            noise=parse_noise(noise),
            strength=strength,
            realism=realism,
            mapping=mapping,
            intensity_range=intensity_range,
            tile=parse_tile(tile),
            device=device,
            precision=precision,
            engine=engine,
        )
        tasks = plan(inputs, output, sequence=sequence, suffix=suffix, file_format=file_format)
        check_outputs(tasks, overwrite=overwrite)
        code = _run(tasks, settings, axes, overwrite, quiet, debug)
    raise typer.Exit(code)


def _settings(**values: Any) -> DenoiseSettings:
    """Check everything that needs no data, before anything is read."""
    from napari_denoise.core.settings import DenoiseSettings
    from napari_denoise.models.catalogue import find_weights

    settings = DenoiseSettings.parse(values)
    if settings.weights != "auto":
        find_weights(settings.weights)
    return settings


def _run(
    tasks: list[Task],
    settings: DenoiseSettings,
    axes: str | None,
    overwrite: bool,
    quiet: bool,
    debug: bool,
) -> int:
    """Denoise, show, and return the exit code."""
    failures: list[Failed] = []
    with err().status("Loading PyTorch ..."):
        from napari_denoise.batch import Failed, denoise_all
        from napari_denoise.inference.denoiser import Denoiser

        denoiser = Denoiser.load(settings.weights, settings.device, settings.precision)
    with FileProgress(len(tasks), quiet) as bars:
        results = denoise_all(
            tasks, denoiser, settings, axes=axes, overwrite=overwrite, progress=bars.step
        )
        for result in results:
            bars.finished()
            if isinstance(result, Failed):
                _report_failure(result, bars, debug and len(tasks) == 1)
                failures.append(result)
            elif not quiet:
                _report(result, bars)
    if failures and len(tasks) > 1:
        err().print(f"{len(failures)} of {len(tasks)} files failed")
    if not failures:
        return 0
    return UNUSABLE if len(tasks) == 1 and failures[0].unusable else FAILED


def _report_failure(failed: Failed, bars: FileProgress, raise_it: bool) -> None:
    if raise_it:
        raise failed.error
    text = summary(failed.error)
    if failed.task.name not in text:
        text = f"{failed.task.source.pattern}: {text}"
    say("error", "bold red", text, bars.console)


def _report(done: Done, bars: FileProgress) -> None:
    for text in done.warnings:
        warn(text, bars.console)
    frames = "1 frame" if done.frames == 1 else f"{done.frames} frames"
    noise = "; ".join(dict.fromkeys(done.noise))
    bars.line(
        f"{done.task.name} -> {done.task.target}: {frames} in {done.seconds:.1f} s, "
        f"weights {done.weights}, noise: {noise}"
    )
