"""`napari-denoise train`: a recipe and clean images in, weights out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_denoise.cli.console import Debug, Device, err, reporting, warn

if TYPE_CHECKING:
    from napari_denoise.training.run import Run


def train(
    recipe: Annotated[
        Path, typer.Argument(metavar="RECIPE", help="A TOML file such as recipes/photo.toml.")
    ],
    folder: Annotated[
        Path, typer.Option("--run", help="Where checkpoint, log and weights are kept.")
    ],
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder of clean images, searched wholly.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The weights file; RUN/NAME.safetensors by default."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the checkpoint in the run folder.")
    ] = False,
    export: Annotated[
        bool, typer.Option("--export", help="Only write weights from the checkpoint there is.")
    ] = False,
    device: Device = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads; one trains reproducibly.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Train weights from clean images, as a recipe says.

    `napari-denoise train recipes/photo.toml --data photos --run runs/photo`

    The run folder holds checkpoint.pt, log.csv and recipe.json. Ctrl+C loses the steps since
    the last checkpoint; --resume goes on from there.
    """
    with reporting(debug):
        with err().status("Loading PyTorch ..."):
            import torch

            from napari_denoise.models.device import choose_device
            from napari_denoise.training.run import Run, read_recipe
        run = Run(read_recipe(recipe), folder)
        target = output or folder / f"{run.settings.name}.safetensors"
        if threads is not None:
            torch.set_num_threads(threads)
        if not export:
            if data is None:
                raise ValueError("--data is missing: name the folder of clean images")
            _train(run, data, resume, choose_device(device))
        info = run.export(target)
        typer.echo(f"{info.path}: {info.path.stat().st_size / 1e6:.1f} MB, sha256 {info.sha256}")


def _train(run: Run, data: Path, resume: bool, device: str) -> None:
    from napari_denoise.cli.progress import training_bars

    total, saved = run.settings.steps, 0
    console = err()
    try:
        with training_bars() as bars:
            bar = bars.add_task(run.settings.name, total=total, loss=float("nan"), speed=0.0)
            for report in run.train(data, resume=resume, device=device):
                saved = report.step if report.saved else saved
                speed = report.steps_done / max(report.seconds, 1e-9)
                bars.update(bar, completed=report.step, loss=report.mean_loss, speed=speed)
    except KeyboardInterrupt:
        if saved:
            warn(f"the checkpoint holds step {saved} of {total}; --resume goes on there", console)
        raise
