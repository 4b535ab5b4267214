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
    Position,
    Series,
    err,
    reporting,
    say,
    summary,
    warn,
)
from napari_denoise.cli.plain import as_options
from napari_denoise.cli.progress import FileProgress

if TYPE_CHECKING:
    from napari_denoise.batch import BatchTask, Done, Failed
    from napari_denoise.io.errors import FileError
    from napari_denoise.settings.denoise import DenoiseSettings

_HOW, _DATA, _FILES = "How to denoise", "What the data is", "Files"
_NOISE = (
    "auto measures it. Else its standard deviation (sigma) in the data's own units: 12.5; or the "
    "camera's values: gain=2,offset=100,read_noise=3; or one per channel: 3,5,auto (camera's "
    "values apart by ;)."
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
    noise_from: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Take the noise from another file: JSON of info --save-noise, or an image to "
            "measure it on.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    sigma_map: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="An image of a frame's shape: the noise's standard deviation at each pixel, in "
            "the data's units.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    dark: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="An image of what each pixel shows without light: subtracted first, added again "
            "to the result.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    gain_map: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="An image of each pixel's gain: frames are divided by it, results multiplied.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    strength: Annotated[
        float, typer.Option(help="0 changes nothing, 1 denoises fully.", rich_help_panel=_HOW)
    ] = 1.0,
    realism: Annotated[
        float,
        typer.Option(help="0 is faithful (for measurements), 1 crisp.", rich_help_panel=_HOW),
    ] = 0.0,
    neighbors: Annotated[
        str,
        typer.Option(
            help="Frames on each side that make a frame better where they show the same: auto (2 "
            "in time, 1 in depth, none where they do not agree), or 0 to 4. Choose 0 for kinetics "
            "and for single events near the noise.",
            rich_help_panel=_HOW,
        ),
    ] = "auto",
    along: Annotated[
        str,
        typer.Option(
            help="The axis that neighbours lie along: auto (T, else Z), T, Z.",
            rich_help_panel=_HOW,
        ),
    ] = "auto",
    mapping: Annotated[
        str,
        typer.Option(
            help="How intensities are brought to what the network knows: auto, affine (noise "
            "equal everywhere), anscombe (photon noise), log (linear HDR).",
            rich_help_panel=_HOW,
        ),
    ] = "auto",
    outliers: Annotated[
        str,
        typer.Option(
            help="Isolated outliers (hot, dead, cosmic, fireflies) in the result: auto (replace in "
            "renders, keep elsewhere), replace, keep.",
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
    series: Series = None,
    position: Position = None,
    tile: Annotated[
        str,
        typer.Option(help="auto or pixels. Never changes the result.", rich_help_panel=_HOW),
    ] = "auto",
    device: Device = "auto",
    precision: Annotated[
        str, typer.Option(help="auto, float32, bfloat16, float16.", rich_help_panel=_HOW)
    ] = "auto",
    engine: Annotated[str, typer.Option(help="torch.", rich_help_panel=_HOW)] = "torch",
    dtype: Annotated[
        str,
        typer.Option(
            help="same (as the data), or float32, which keeps what whole numbers near zero round "
            "away.",
            rich_help_panel=_FILES,
        ),
    ] = "same",
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
    frames_used: Annotated[
        Path | None,
        typer.Option(
            "--frames-used",
            metavar="FILE",
            help="Write a map beside the result: how many frames each pixel is made of. A file for "
            "one input, else a folder.",
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

    A file that fails or is missing is reported and the others go on (exit code 1). Bad
    options, or no input at all, end with 2, Ctrl+C with 130. A result appears only when it is
    complete.
    """
    with reporting(debug):
        from napari_denoise.batch import check_outputs, plan, with_maps
        from napari_denoise.cli.options import assumed_offset, parse_noise, parse_number

        given = parse_noise(noise)
        settings = _settings(
            weights=weights,
            noise=given,
            noise_from=noise_from,
            sigma_map=sigma_map,
            dark=dark,
            gain_map=gain_map,
            strength=strength,
            realism=realism,
            neighbors=parse_number(neighbors),
            along=along.upper() if along.lower() in ("t", "z") else along,
            mapping=mapping,
            outliers=outliers,
            intensity_range=intensity_range,
            tile=parse_number(tile),
            device=device,
            precision=precision,
            engine=engine,
            dtype=dtype,
        )
        found, missing = _split(inputs, whole=bool(sequence))
        tasks = plan(
            found,
            output,
            sequence=sequence,
            suffix=suffix,
            file_format=file_format,
            series=series,
            position=position,
        )
        tasks = with_maps(tasks, frames_used)
        check_outputs(tasks, overwrite=overwrite)
        for error in missing:
            say("error", "bold red", summary(error))
        if not quiet and (assumed := assumed_offset(noise, given)):
            warn(assumed)
        code = _run(tasks, settings, axes, overwrite, quiet, debug, len(missing))
    raise typer.Exit(code)


def _settings(**values: Any) -> DenoiseSettings:
    """Check everything that needs no data, before anything is read."""
    from napari_denoise.batch import find_inputs
    from napari_denoise.inference.noise_files import load_noise
    from napari_denoise.settings.denoise import MAPS, DenoiseSettings
    from napari_denoise.weights.catalogue import find_weights

    try:
        settings = DenoiseSettings.parse(values)
    except ValueError as error:
        raise ValueError(as_options(error, values)) from error
    if settings.weights != "auto":
        find_weights(settings.weights)
    files = {name: getattr(settings, name) for name in (*MAPS, "noise_from")}
    for file in filter(None, files.values()):
        if Path(file).suffix.lower() == ".json":
            load_noise(file)
        else:
            find_inputs([file], sequence=False)
    return settings


def _split(inputs: list[str], whole: bool) -> tuple[list[str], list[FileError]]:
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
            find_inputs([given], sequence=False)
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


def _report(done: Done, bars: FileProgress) -> None:
    for text in done.warnings:
        warn(text, bars.console)
    frames = "1 frame" if done.frames == 1 else f"{done.frames} frames"
    noise = "; ".join(dict.fromkeys(done.noise))
    images = [file for file in done.files if file.suffix != ".json"]
    target = f"{images[0]} to {images[-1].name}" if images[1:] else images[0]
    bars.line(
        f"{done.task.name} -> {target}: {frames} in {done.seconds:.1f} s, "
        f"weights {done.weights}, noise: {noise}{_made_of(done)}"
    )


def _made_of(done: Done) -> str:
    """Say how many frames the pixels are made of on average."""
    return f", {done.frames_used}" if done.frames_used else ""
