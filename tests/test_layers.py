from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import napari_denoise

ROOT = Path(napari_denoise.__file__).parent
GUI = {"napari", "qtpy", "PySide6", "PyQt6", "magicgui", "superqt"}

READERS = {"OpenEXR", "imagecodecs", "tifffile", "natsort", "zarr", "dask"}

# What a group may not load.
GROUPS = {
    "without torch": (
        # The files, then what napari imports first, and the terminal until it denoises.
        [
            *("settings", "image", "io", "measure", "__init__", "cli/__init__"),
            *("plugin/__init__", "plugin/contributions", "plugin/samples", "plugin/layers/data"),
        ],
        GUI | {"torch"},
    ),
    # On a bare machine that trains from shards: no library of a file format.
    "training, with torch": (["training/loop/run", "training/data/sources"], GUI | READERS),
    "with torch": (["models", "weights", "engines", "inference", "training", "batch", "cli"], GUI),
}

IMPORT_ALL = """
import importlib, json, sys
for names, forbidden in json.loads(sys.argv[1]):
    for name in names:
        importlib.import_module(name)
        loaded = set(forbidden) & {known.partition(".")[0] for known in sys.modules}
        if loaded:
            sys.exit(f"{name} loads {loaded}")
"""


def modules(part: str) -> list[str]:
    """Names of the modules of a package, or of one module."""
    files = sorted((ROOT / part).rglob("*.py")) or [ROOT / f"{part}.py"]
    dotted = [
        ".".join(("napari_denoise", *f.relative_to(ROOT).with_suffix("").parts)) for f in files
    ]
    return [name.removesuffix(".__init__") for name in dotted if not name.endswith("__main__")]


# Groups that share a fresh interpreter, one after the other: a start of PyTorch takes long.
INTERPRETERS = (["without torch"], ["training, with torch", "with torch"])


@pytest.mark.parametrize("groups", INTERPRETERS, ids=lambda groups: groups[-1])
def test_no_layer_loads_what_belongs_above_it(groups: list[str]) -> None:
    asked = []
    for parts, forbidden in map(GROUPS.__getitem__, groups):
        asked.append(([name for part in parts for name in modules(part)], list(forbidden)))
    command = [sys.executable, "-c", IMPORT_ALL, json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_module_belongs_to_a_group() -> None:
    grouped = {name for parts, _ in GROUPS.values() for part in parts for name in modules(part)}
    ungrouped = set(modules(".")) - grouped
    assert all(".plugin." in name for name in ungrouped)
