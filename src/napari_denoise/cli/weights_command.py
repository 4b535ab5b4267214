"""`napari-denoise weights`: what is there, the card of each, and files in and out."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_denoise.cli.card_lines import print_card
from napari_denoise.cli.console import Debug, Json, cell, err, out, print_json, reporting, tell

if TYPE_CHECKING:
    from napari_denoise.weights.catalogue import WeightsInfo

app = typer.Typer(
    help="List the weights at hand, read their cards, and look after your own.",
    no_args_is_help=True,
)


class Format(StrEnum):
    """What weights can be exported as."""

    SAFETENSORS = "safetensors"
    BIOIMAGEIO = "bioimageio"


Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what has that name.")]


@app.command("list")
def list_(as_json: Json = False, debug: Debug = False) -> None:
    """List bundled weights and your own."""
    with reporting(debug):
        from napari_denoise.weights.catalogue import list_weights, user_folder

        found = list_weights()
        if as_json:
            print_json([_values(info) for info in found])
            return
        if found:
            _print_table(found)
        err().print(f"Your own weights go to {user_folder()}", soft_wrap=True)


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="A name from the list, or a .safetensors file.")],
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show the card of some weights: what they are for, and what they were made from.

    --json prints every value of it.
    """
    with reporting(debug):
        from napari_denoise.weights.catalogue import find_weights

        info = find_weights(name)
        if as_json:
            print_json(_values(info))
        else:
            print_card(info)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A .safetensors file of napari-denoise.")],
    name: Annotated[
        str | None, typer.Option("--name", help="What to call them; the file's name by default.")
    ] = None,
    overwrite: Overwrite = False,
    debug: Debug = False,
) -> None:
    """Copy a weights file to your own, so that it is found by name."""
    with reporting(debug):
        from napari_denoise.weights.catalogue import import_weights, read_info
        from napari_denoise.weights.files import load_network

        load_network(read_info(file))  # says what is wrong with tensors, before it is copied
        info = import_weights(file, name, overwrite=overwrite)
        tell(f"{info.name}: {info.path}")


@app.command("export")
def export(
    name: Annotated[str, typer.Argument(help="A name from the list.")],
    target: Annotated[
        Path, typer.Argument(help="A .safetensors file, a bioimage.io package (.zip), or a folder.")
    ],
    file_format: Annotated[
        Format | None, typer.Option("--format", help="Otherwise the ending of the target says it.")
    ] = None,
    realism: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="bioimage.io: 0 is the faithful end, 1 the realistic one."),
    ] = None,
    author: Annotated[
        list[str] | None,
        typer.Option(help="bioimage.io: a name to credit; repeat it for more."),
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option("--licence", "--license", help="bioimage.io: SPDX name, such as CC-BY-4.0."),
    ] = None,
    overwrite: Overwrite = False,
    debug: Debug = False,
) -> None:
    """Write weights to a file, to give them to somebody or to other programs."""
    with reporting(debug):
        package = file_format == Format.BIOIMAGEIO if file_format else target.suffix == ".zip"
        if package:
            from napari_denoise.weights.bioimage import export_bioimage

            path = export_bioimage(
                name,
                target,
                realism=realism or 0.0,
                authors=author or (),
                licence=licence,
                overwrite=overwrite,
            )
        else:
            _refuse_package_options(realism=realism, author=author, licence=licence)
            from napari_denoise.weights.catalogue import export_weights

            path = export_weights(name, target, overwrite=overwrite)
        tell(path)


def _refuse_package_options(**options: object) -> None:
    given = [f"--{name}" for name, value in options.items() if value is not None and value != []]
    if given:
        raise ValueError(
            f"{', '.join(given)}: only a bioimage.io package can say this; name a .zip file, "
            "or pass --format bioimageio"
        )


@app.command("remove")
def remove(
    name: Annotated[str, typer.Argument(help="Your own weights.")], debug: Debug = False
) -> None:
    """Delete weights of your own."""
    with reporting(debug):
        from napari_denoise.weights.catalogue import remove_weights

        tell(f"removed {remove_weights(name)}")


@app.command("rename")
def rename(
    name: Annotated[str, typer.Argument(help="Your own weights.")],
    new: Annotated[str, typer.Argument(help="Their new name.")],
    debug: Debug = False,
) -> None:
    """Give weights of your own another name."""
    with reporting(debug):
        from napari_denoise.weights.catalogue import rename_weights

        info = rename_weights(name, new)
        tell(f"{info.name}: {info.path}")


def _print_table(found: list[WeightsInfo]) -> None:
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    for column in ("name", "for", "channels", "noise", "size", "origin", "title"):
        table.add_column(column, no_wrap=column != "title")
    for info in found:
        low, high = info.card.noise_range
        table.add_row(
            cell(info.name),
            info.card.domain,
            str(info.card.channels),
            f"{low:g} - {high:g}",
            f"{info.path.stat().st_size / 1e6:.1f} MB",
            "bundled" if info.bundled else "yours",
            cell(info.card.title),
        )
    out().print(table)


def _values(info: WeightsInfo) -> dict[str, Any]:
    import json

    return {
        "name": info.name,
        "path": str(info.path),
        "bundled": info.bundled,
        "bytes": info.path.stat().st_size,
        "sha256": info.sha256,
        "card": json.loads(info.card.to_json()),
    }
