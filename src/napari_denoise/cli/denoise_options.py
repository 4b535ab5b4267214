"""Options that `denoise` and `batch` share, and the settings that they make."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_denoise.cli import completion
from napari_denoise.cli.console import warn
from napari_denoise.cli.plain import as_options
from napari_denoise.settings.denoise_fields import DATA, FILES
from napari_denoise.settings.denoise_fields import HOW as HOW

if TYPE_CHECKING:
    from napari_denoise.settings.denoise import DenoiseSettings

Inputs = Annotated[
    list[str],
    typer.Argument(metavar="INPUT", help="Files, folders, wildcards (quoted or not)."),
]
Axes = Annotated[
    str | None,
    typer.Option(
        help="A letter per dimension, of T Z C Y X S (RGB), where the file is wrong.",
        rich_help_panel=DATA,
    ),
]
Sequence = Annotated[
    bool | None,
    typer.Option(
        "--sequence/--separate",
        help="All files are one stack / every file by itself. By default single-plane "
        "files with one stem and a running number are one stack.",
        rich_help_panel=DATA,
    ),
]
FileFormat = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="Ending of results in a folder: ome.tif, exr, png, npy. Kept by default.",
        autocompletion=completion.formats,
        rich_help_panel=FILES,
    ),
]
OmeZarrVersion = Annotated[
    str | None,
    typer.Option(
        metavar="VERSION",
        help="Of OME-Zarr results: 0.5 or 0.4. That of the input by default, else 0.5.",
        autocompletion=completion.OME_ZARR,
        rich_help_panel=FILES,
    ),
]
FramesUsed = Annotated[
    Path | None,
    typer.Option(
        "--frames-used",
        metavar="FILE",
        help="Write a map beside the result: how many frames each pixel is made of. A file for "
        "one input, else a folder.",
        rich_help_panel=FILES,
    ),
]
Recursive = Annotated[
    bool,
    typer.Option(
        "--recursive", "-r", help="A folder stands for its subfolders too.", rich_help_panel=FILES
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show errors only.")]


def settings_of(
    *, noise: str, neighbors: str, along: str, tile: str, quiet: bool, **values: Any
) -> DenoiseSettings:
    """Read the options that are texts, and check everything that needs no data.

    Raises
    ------
    ValueError
        An option cannot be used; it is named.
    """
    from napari_denoise.cli.options import assumed_offset, parse_noise, parse_number

    given = parse_noise(noise)
    letter = along.upper() if along.lower() in ("t", "z") else along
    numbers = {"neighbors": parse_number(neighbors), "tile": parse_number(tile)}
    settings = _checked({**values, **numbers, "along": letter, "noise": given})
    if not quiet and (assumed := assumed_offset(noise, given)):
        warn(assumed)
    return settings


def _checked(values: dict[str, Any]) -> DenoiseSettings:
    from napari_denoise.batch import find_inputs
    from napari_denoise.inference.noise_files import load_noise
    from napari_denoise.settings.denoise import MAPS, DenoiseSettings
    from napari_denoise.settings.problems import SettingsError
    from napari_denoise.weights.catalogue import find_weights

    try:
        settings = DenoiseSettings.parse(values)
    except SettingsError as error:
        raise ValueError(as_options(error)) from error
    if settings.weights != "auto":
        find_weights(settings.weights)
    files = {name: getattr(settings, name) for name in (*MAPS, "noise_from")}
    for file in filter(None, files.values()):
        if Path(file).suffix.lower() == ".json":
            load_noise(file)
        else:
            find_inputs([file], sequence=False)
    return settings
