"""Denoise the albedos of training views, as is done in use but for small changes.

    python recipes/clean_albedos.py VIEWS FOLDER --weights render

VIEWS holds .npz files of recipes/render_views.py or recipes/simulate_views.py, in folders or not;
FOLDER gets the same files. Without noise an albedo fits every rendering of its view, whatever its
samples were: where only that of 8 samples per pixel is there, it and its normal go to all of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from napari_denoise import Denoiser
from napari_denoise.io.atomic import replacing
from napari_denoise.training.data.pairs import files_below

Arrays = dict[str, NDArray[Any]]


def cleaned(view: Arrays, denoiser: Denoiser) -> Arrays:
    """Return renderings and reference, and an albedo and a normal for each rendering."""
    done = {name: array for name, array in view.items() if name.startswith("noisy_")}
    renderings = [name.removeprefix("noisy_") for name in done]
    albedos = {
        name: _denoised(view[name], denoiser)
        for name in {f"albedo_{own}" for own in renderings} | {"albedo_8"}
        if name in view
    }
    for own in renderings:
        which = own if f"albedo_{own}" in view else "8"
        done[f"albedo_{own}"] = albedos[f"albedo_{which}"]
        done[f"normal_{own}"] = view[f"normal_{which}"]
    return {**done, "ref": view["ref"]}


def _denoised(albedo: NDArray[Any], denoiser: Denoiser) -> NDArray[np.float16]:
    clean = denoiser(albedo.astype(np.float32), axes="YXS")
    return np.clip(clean, 0, 1).astype(np.float16)


def main(
    views: Annotated[Path, typer.Argument(help="folder of .npz views")],
    folder: Annotated[Path, typer.Argument(help="where they go; made if missing")],
    weights: Annotated[str, typer.Option(help="a name, or a .safetensors file")] = "render",
) -> None:
    """Write views with clean albedos; those that are there already are left alone."""
    denoiser = Denoiser.load(weights)
    found = files_below(views, (".npz",))
    if not found:
        raise typer.BadParameter(f"{views}: no .npz there")
    for path in found:
        target = folder / path.relative_to(views)
        if target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with np.load(path, allow_pickle=False) as arrays:
            missing = sorted({"ref", "albedo_8", "normal_8"} - set(arrays))
            if missing:
                raise typer.BadParameter(f"{path}: the array {missing[0]!r} is missing")
            view = cleaned(dict(arrays), denoiser)
        with replacing([target], overwrite=False) as (temporary,), temporary.open("wb") as file:
            np.savez(file, **view)


if __name__ == "__main__":
    typer.run(main)
