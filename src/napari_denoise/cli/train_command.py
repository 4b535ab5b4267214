"""`napari-denoise train`: a recipe and clean images in, weights out."""

from __future__ import annotations

import time
import tomllib
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_denoise.cli.console import Debug, Device, err, reporting, tell, warn

if TYPE_CHECKING:
    from napari_denoise.training.loop.run import Run


def train(
    recipe: Annotated[
        Path, typer.Argument(metavar="RECIPE", help="A TOML file such as recipes/photo.toml.")
    ],
    folder: Annotated[
        Path, typer.Option("--run", help="Where checkpoint, log and weights are kept.")
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="Folder of clean images, of real pairs in noisy/ and clean/ (or noisy2/), or of "
            "shards.",
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option("--base", help="Weights to start from: a name or a .safetensors file."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The weights file; RUN/NAME.safetensors by default."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume from the checkpoint in the run folder.")
    ] = False,
    export: Annotated[
        bool, typer.Option("--export", help="Only write weights from the checkpoint there is.")
    ] = False,
    minutes: Annotated[
        float | None,
        typer.Option(min=0, help="Stop after so many, with checkpoint and weights written."),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change the recipe: --set batch=64; a section goes with --set adversarial=.",
        ),
    ] = None,
    device: Device = "auto",
    processes: Annotated[
        int, typer.Option(min=1, help="GPUs, or processes on a CPU, that share a step.")
    ] = 1,
    loaders: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Processes that draw batches ahead; on a GPU one less than there are processors.",
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads; one trains reproducibly.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Train weights from clean images or real pairs, as a recipe says.

    `napari-denoise train recipes/photo.toml --data photos --run runs/photo`

    The run folder holds checkpoint.pt, log.csv, recipe.json and, where the recipe keeps
    pictures to validate on, validation/STEP.png. Ctrl+C loses the steps since the last
    checkpoint; --resume goes on from there.
    """
    begun = time.monotonic()
    with reporting(debug):
        with err().status("Loading PyTorch ..."):
            import torch

            from napari_denoise.engines.device import choose_device
            from napari_denoise.weights.catalogue import find_weights

            run_module = import_module("napari_denoise.training.loop.run")
            choose_loaders = import_module("napari_denoise.training.data.loaders").choose_loaders
        settings = run_module.read_recipe(recipe, dict(map(_changed, changes or [])))
        run = run_module.Run(settings, folder)
        target = output or folder / f"{run.settings.name}.safetensors"
        if threads is not None:
            torch.set_num_threads(threads)
        if not export:
            if data is None:
                raise ValueError("--data is missing: name the folder of clean images")
            start = None if base is None else find_weights(base)
            chosen = choose_device(device)
            # All batches are of one shape: the fastest kernels are worth looking for.
            torch.backends.cudnn.benchmark = True
            _train(
                run,
                data,
                resume=resume,
                device=chosen,
                processes=processes,
                base=start,
                until=None if minutes is None else begun + 60 * minutes,
                loaders=choose_loaders(chosen, loaders),
            )
        info = run.export(target)
        tell(f"{info.path}: {info.path.stat().st_size / 1e6:.1f} MB, sha256 {info.sha256}")


def _train(run: Run, data: Path, **options: Any) -> None:
    from napari_denoise.cli.progress import training_bars

    done, speed, console = 0, 0.0, err()
    try:
        with training_bars() as bars:
            total = run.settings.steps
            bar = bars.add_task(run.settings.name, total=total, loss=float("nan"), speed=0.0)
            for report in run.train(data, **options):
                done, speed = report.step, report.steps_per_second
                bars.update(bar, completed=done, loss=report.mean_loss, speed=speed)
                if report.figures is not None:
                    console.print(_describe(report.step, report.figures))
        if 0 < done < total:
            pace = f"{speed:.1f} steps a second"
            tell(f"the time is over at step {done} of {total}, {pace}; --resume goes on there")
    except KeyboardInterrupt:
        warn(_kept(run, done), console)
        raise


def _changed(text: str) -> tuple[str, Any]:
    """Part a change of the recipe into name and value.

    A value that is no TOML is a text, and nothing stands for leaving out.
    """
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ValueError(f"--set {text}: expected KEY=VALUE, such as distortion.steps=20000")
    if not value:
        return name, None
    try:
        return name, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name, value


def _kept(run: Run, done: int) -> str:
    """Say what an interrupted run leaves behind."""
    total = run.settings.steps
    if saved := run.saved_step:
        return f"the checkpoint holds step {saved} of {total}; --resume goes on there"
    return (
        f"stopped after {done} of {total} steps, before the first checkpoint (there is one every "
        f"{run.settings.save_every} steps): nothing was kept; a smaller save_every in the recipe "
        "keeps more"
    )


def _describe(step: int, figures: Mapping[str, float]) -> str:
    values = (f"{name.removeprefix('psnr_')} {figures[name]:.2f}" for name in figures)
    shown = [text for text, name in zip(values, figures, strict=True) if name.startswith("psnr")]
    return f"step {step}: PSNR {', '.join(shown)} dB"
