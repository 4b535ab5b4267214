"""What a start may load: its modules are counted, not its seconds."""

from __future__ import annotations

import subprocess
import sys

import pytest

# What takes longest to import; a command's own frame (typer, rich) is not in it.
HEAVY = set(
    "OpenEXR PIL dask imagecodecs lightning_fabric magicgui matplotlib napari natsort numpy psutil "
    "pydantic qtpy safetensors scipy skimage tifffile torch zarr".split()
)
PARSING = {"pydantic"}
"""With this typer reads what stands behind a command."""
CARDS = PARSING | {"numpy", "safetensors"}
"""With these cards are read and checked."""

IMPORT = """
import sys
before = set(sys.modules)
import napari_denoise
print(*{name.partition(".")[0] for name in set(sys.modules) - before} - sys.stdlib_module_names)
"""
COMMAND = """
import sys
from napari_denoise.cli import app
try:
    app(sys.argv[1:])
except SystemExit as end:
    assert not end.code, end.code
print()
print(*{name.partition(".")[0] for name in sys.modules})
"""


def loaded(code: str, *arguments: str) -> set[str]:
    """Run code in a fresh interpreter; return the packages that its last line names."""
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_importing_the_package_loads_no_other_package() -> None:
    assert loaded(IMPORT) == {"napari_denoise"}


@pytest.mark.parametrize(
    ("command", "needed"),
    [("--help", set()), ("--version", set()), ("denoise --help", PARSING), ("weights list", CARDS)],
)
def test_a_command_loads_only_what_it_needs(command: str, needed: set[str]) -> None:
    assert loaded(COMMAND, *command.split()) & HEAVY <= needed
