"""Where the commands speak: results to stdout, everything else to stderr, errors in a line."""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from types import FrameType
from typing import Annotated, Any, NoReturn, TextIO

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from napari_denoise.cli.asked import option
from napari_denoise.io.errors import FileExists, NotWritten
from napari_denoise.settings.denoise_fields import DEVICE
from napari_denoise.settings.text import printable, printable_json

FAILED, UNUSABLE, INTERRUPTED, TERMINATED = 1, 2, 130, 143
"""Exit codes: work failed; bad usage or input, nothing was done; Ctrl+C; SIGTERM."""

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Device = Annotated[str, option("device", DEVICE)]
Series = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="N",
        help="Only image N of files with several (positions, scenes), from 0; all by default.",
    ),
]
Position = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Only the image of that name or number, as info shows them."),
]


class Terminated(KeyboardInterrupt):
    """The process was asked to end: unwind as for Ctrl+C, so that no half file stays."""


_results: TextIO | None = None
"""Where results go while a command is at work."""


def results() -> TextIO:
    """Return the stream for results: stdout, as it was when the command began."""
    return _results or sys.stdout


@contextmanager
def _results_apart() -> Iterator[None]:
    """Send what libraries print to stderr: OpenEXR prints what it could not read of a file.

    The command line owns its process; it does this once, before any thread.
    """
    global _results
    before, _results = _results, results()
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _results = before


def tell(text: object) -> None:
    """Print a line of results."""
    typer.echo(printable(str(text)), file=results())


def out() -> Console:
    """Return the console for results. Made when used, so that tests can capture it."""
    return Console(file=results(), highlight=False)


def err() -> Console:
    """Return the console for progress, warnings and errors."""
    return Console(stderr=True, highlight=False)


def say(label: str, style: str, message: str, console: Console | None = None) -> None:
    """Print one line, whatever its length, to stderr."""
    line = Text.assemble((f"{label}: ", style), printable(message))
    (console or err()).print(line, soft_wrap=True)


def warn(message: str, console: Console | None = None) -> None:
    """Print a warning to stderr."""
    say("warning", "bold yellow", message, console)


def fail(message: str, code: int) -> NoReturn:
    """Print an error to stderr and exit.

    Raises
    ------
    typer.Exit
        Always.
    """
    say("error", "bold red", message)
    raise typer.Exit(code)


def summary(error: BaseException) -> str:
    """Say an error in words; one that was not foreseen carries its type."""
    text = str(error).strip()
    if isinstance(error, FileExists):
        remedy = error.remedy.replace("overwrite=True", "--overwrite")
        text = f"{error.path}: {error.rule}; {remedy.replace('resume=True', '--resume')}"
    if isinstance(error, (ValueError, MemoryError, ArithmeticError, OSError)) and text:
        return text
    kind = type(error).__name__
    return f"{kind}: {text}; run again with --debug to see where" if text else kind


@contextmanager
def reporting(debug: bool) -> Iterator[None]:
    """Turn errors into one line and an exit code.

    Raises
    ------
    typer.Exit
        2 for input or options that cannot be used, 1 for work that failed, 130 and 143
        after Ctrl+C and SIGTERM.
    """
    if not debug:  # its complaints about a broken file would stand beside our one message
        logging.getLogger("tifffile").addHandler(logging.NullHandler())
    try:
        with _terminable(), _results_apart():
            yield
    except (typer.Exit, typer.BadParameter):
        raise
    except Terminated:
        fail("terminated; no half file was left", TERMINATED)
    except KeyboardInterrupt:
        fail("interrupted; no half file was left", INTERRUPTED)
    except Exception as error:
        if debug:
            raise
        unusable = isinstance(error, (ValueError, FileNotFoundError))
        unusable = unusable and not isinstance(error, NotWritten)
        fail(summary(error), UNUSABLE if unusable else FAILED)


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM unwind the stack, for the temporary files to be removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> NoReturn:
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def cell(value: object) -> Text:
    """Make a value that may come from a file fit for a table: no markup, no control characters."""
    return Text(printable(str(value)))


def facts(title: str, rows: dict[str, Any]) -> None:
    """Print names and values side by side; None leaves a row out."""
    table = Table(
        title=cell(title), title_justify="left", title_style="bold", show_header=False, box=None
    )
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        if value is not None:
            table.add_row(name, cell(value))
    out().print(table)


def print_json(value: Any) -> None:
    """Print JSON to stdout, plain and unwrapped."""
    tell(printable_json(json.dumps(value, indent=2, ensure_ascii=False, default=str)))
