"""Options that say what of a render is denoised."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_denoise.settings.denoise_fields import RENDERS

if TYPE_CHECKING:
    from napari_denoise.batch import LayerChoice


Layer = Annotated[
    list[str] | None,
    typer.Option(
        "--layer",
        metavar="NAME",
        help="The layer or view of an OpenEXR that is denoised; more than once for several, into "
        "one file. Chosen by default; info lists them.",
        rich_help_panel=RENDERS,
    ),
]
EveryView = Annotated[
    bool,
    typer.Option(
        "--every-view",
        help="Denoise every view and view layer of an OpenEXR, into one file.",
        rich_help_panel=RENDERS,
    ),
]
Passes = Annotated[
    bool,
    typer.Option(
        "--passes",
        help="Denoise the light passes of an OpenEXR, too (diffuse, specular, emission, light "
        "groups ...), so that they add up to the image.",
        rich_help_panel=RENDERS,
    ),
]
Albedo = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="An OpenEXR of the albedo, for a sequence a pattern (albedo_####.exr).",
        rich_help_panel=RENDERS,
    ),
]
Normal = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="An OpenEXR of the normals, alike.", rich_help_panel=RENDERS),
]


def choice_of(
    layer: list[str] | None,
    every_view: bool,
    passes: bool,
    albedo: Path | None,
    normal: Path | None,
) -> LayerChoice:
    """Put together which layers of renders are denoised."""
    from napari_denoise.batch import LayerChoice

    albedo, normal = (file and file.expanduser() for file in (albedo, normal))
    return LayerChoice(tuple(layer or ()), every_view, passes, albedo, normal)
