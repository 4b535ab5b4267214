"""The commands, put together."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from napari_denoise.cli import weights_command
from napari_denoise.cli.batch_command import batch
from napari_denoise.cli.demo_command import demo
from napari_denoise.cli.denoise_command import denoise
from napari_denoise.cli.finetune_command import finetune
from napari_denoise.cli.info_command import info
from napari_denoise.cli.metrics_command import metrics
from napari_denoise.cli.train_command import train

app = typer.Typer(
    name="napari-denoise",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Take the noise out of microscopy stacks, photographs and path-traced frames.",
    epilog="Start with `napari-denoise demo`. Then: "
    "`napari-denoise denoise cells.ome.tif -o clean.ome.tif`",
)
app.command("denoise")(denoise)
app.command("batch")(batch)
app.command("info")(info)
app.add_typer(weights_command.app, name="weights")
app.command("metrics")(metrics)
app.command("demo")(demo)
app.command("finetune")(finetune)
app.command("train")(train)


def _show_version(wanted: bool) -> None:
    if wanted:
        from napari_denoise import __version__

        typer.echo(f"napari-denoise {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show it and exit."),
    ] = False,
) -> None:
    """Hold the options that stand before a command, and settle what is the process's own.

    PyTorch's OpenMP reads the variable when it loads. Threads that wait by spinning take a fifth
    more processor time where anything else runs. In napari and in Python the process is not ours.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
