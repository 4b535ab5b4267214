"""Pack training data into shards, to train where nothing else of this machine is.

    python recipes/pack.py PHOTOS SPECIMENS -o shards
    napari-denoise train recipes/microscopy.toml --data shards --run runs/microscopy --minutes 9

Pictures, views and films (``.npz``) and real pairs are kept as they are. Where they are more than
the limit, as many as needed are left out of all folders alike.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_denoise.training.data.shards import MIB, pack


def main(
    data: Annotated[list[Path], typer.Argument(help="Folders of training data.")],
    output: Annotated[Path, typer.Option("-o", help="A new folder, for the shards.")],
    most: Annotated[float, typer.Option(help="MiB of all shards.")] = 57,
    each: Annotated[float, typer.Option(help="MiB of a shard.")] = 16,
) -> None:
    """Write shards, and say what they hold."""
    packed = pack(data, output, most=int(most * MIB), each=int(each * MIB))
    typer.echo(f"{packed.files} files in {len(packed.shards)} shards, {packed.size / MIB:.1f} MiB")
    if packed.left_out:
        typer.echo(f"{packed.left_out} files left out, evenly: they would take more than {most:g}")


if __name__ == "__main__":
    typer.run(main)
