"""Options that `denoise` and `batch` share, and the settings that they make."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_denoise.cli import completion
from napari_denoise.cli.console import warn
from napari_denoise.cli.plain import as_options

if TYPE_CHECKING:
    from napari_denoise.settings.denoise import DenoiseSettings

HOW, DATA, FILES = "How to denoise", "What the data is", "Files"
_NOISE = (
    "auto measures it. Else its standard deviation (sigma) in the data's own units: 12.5; or the "
    "camera's values: gain=2,offset=100,read_noise=3; or one per channel: 3,5,auto (camera's "
    "values apart by ;)."
)

Inputs = Annotated[
    list[str],
    typer.Argument(metavar="INPUT", help="Files, folders, wildcards (quoted or not)."),
]
Weights = Annotated[
    str,
    typer.Option(
        "--weights",
        "-w",
        help="auto, a name, or a .safetensors file.",
        autocompletion=completion.weights,
    ),
]
Noise = Annotated[str, typer.Option("--noise", "-n", help=_NOISE)]
NoiseFrom = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Take the noise from another file: JSON of info --save-noise, or an image to "
        "measure it on.",
        rich_help_panel=HOW,
    ),
]
SigmaMap = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="An image of a frame's shape: the noise's standard deviation at each pixel, in "
        "the data's units.",
        rich_help_panel=DATA,
    ),
]
Dark = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="An image of what each pixel shows without light: subtracted first, added again "
        "to the result.",
        rich_help_panel=DATA,
    ),
]
GainMap = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="An image of each pixel's gain: frames are divided by it, results multiplied.",
        rich_help_panel=DATA,
    ),
]
Strength = Annotated[
    float, typer.Option(help="0 changes nothing, 1 denoises fully.", rich_help_panel=HOW)
]
Realism = Annotated[
    float,
    typer.Option(help="0 is faithful (for measurements), 1 crisp.", rich_help_panel=HOW),
]
Neighbors = Annotated[
    str,
    typer.Option(
        help="Frames on each side that make a frame better where they show the same: auto (2 "
        "in time, 1 in depth, none where they do not agree), or 0 to 4. Choose 0 for kinetics "
        "and for single events near the noise.",
        autocompletion=completion.NEIGHBORS,
        rich_help_panel=HOW,
    ),
]
Along = Annotated[
    str,
    typer.Option(
        help="The axis that neighbours lie along: auto (T, else Z), T, Z.",
        autocompletion=completion.ALONG,
        rich_help_panel=HOW,
    ),
]
Mapping = Annotated[
    str,
    typer.Option(
        help="How intensities are brought to what the network knows: auto, affine (noise "
        "equal everywhere), anscombe (photon noise), log (linear HDR).",
        autocompletion=completion.MAPPING,
        rich_help_panel=HOW,
    ),
]
Outliers = Annotated[
    str,
    typer.Option(
        help="Isolated outliers (hot, dead, cosmic, fireflies) in the result: auto (replace in "
        "renders, keep elsewhere), replace, keep.",
        autocompletion=completion.OUTLIERS,
        rich_help_panel=HOW,
    ),
]
LineNoise = Annotated[
    str,
    typer.Option(
        help="Noise that whole rows or columns share, as some cameras and scanners add: auto "
        "(remove what is recognised), keep.",
        rich_help_panel=HOW,
    ),
]
IntensityRange = Annotated[
    tuple[float, float] | None,
    typer.Option(
        metavar="LOW HIGH",
        help="Lowest and highest intensity; measured by default.",
        rich_help_panel=DATA,
    ),
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
Tile = Annotated[
    str,
    typer.Option(help="auto or pixels. Never changes the result.", rich_help_panel=HOW),
]
Precision = Annotated[
    str,
    typer.Option(
        help="auto, float32, bfloat16, float16.",
        rich_help_panel=HOW,
        autocompletion=completion.PRECISION,
    ),
]
Engine = Annotated[
    str, typer.Option(help="torch.", rich_help_panel=HOW, autocompletion=completion.ENGINE)
]
Dtype = Annotated[
    str,
    typer.Option(
        help="same (as the data), or float32, which keeps what whole numbers near zero round away.",
        autocompletion=completion.DTYPE,
        rich_help_panel=FILES,
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
