"""Put a second pass for averages of neighbours into a weights file.

python recipes/with_second_pass.py microscopy runs/neighbors/microscopy-neighbors.safetensors -o NEW
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from safetensors.torch import load_file

from napari_denoise.weights.catalogue import FAITHFUL, REALISTIC, find_weights, read_info
from napari_denoise.weights.files import save_weights


def main(
    weights: Annotated[str, typer.Argument(help="Name or file of the weights.")],
    second: Annotated[Path, typer.Argument(help="Weights that averages were learnt with.")],
    output: Annotated[Path, typer.Option("-o", help="The file to write.")],
) -> None:
    """Keep both ends of the weights as they are, and add the faithful end of the second pass."""
    base, added = find_weights(weights), read_info(second)
    if (one := base.card.architecture) != (other := added.card.architecture):
        raise typer.BadParameter(f"{second} is of architecture {other!r}, {weights} of {one!r}")
    tensors, learnt = load_file(base.path), load_file(added.path)
    ends = [
        {name.removeprefix(end): value for name, value in source.items() if name.startswith(end)}
        for source, end in ((tensors, FAITHFUL), (tensors, REALISTIC), (learnt, FAITHFUL))
    ]
    recipe = {**base.card.recipe, "second_pass": added.card.recipe}
    card = replace(base.card, second_pass=added.card.config, recipe=recipe)
    save_weights(output, card, ends[0], ends[1] or None, ends[2])


if __name__ == "__main__":
    typer.run(main)
