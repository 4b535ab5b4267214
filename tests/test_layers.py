from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import napari_denoise

ROOT = Path(napari_denoise.__file__).parent
GUI = {"napari", "qtpy", "PySide6", "PyQt6", "magicgui", "superqt"}

# What a group may not load. Modules of a group share one fresh interpreter.
GROUPS = {
    "core": (["core"], GUI | {"torch"}),
    "io": (["core", "io"], GUI | {"torch"}),
    "torch": (["models", "inference", "training", "batch"], GUI),
    "terminal": (["cli"], GUI),
    "what napari imports first": (
        ["__init__", "contributions", "layer_data", "samples"],
        GUI | {"torch"},
    ),
}

IMPORT_ALL = """
import importlib, json, sys
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def modules(part: str) -> list[str]:
    """Names of the modules of a package, or of one module."""
    files = sorted((ROOT / part).rglob("*.py")) or [ROOT / f"{part}.py"]
    dotted = [
        ".".join(("napari_denoise", *f.relative_to(ROOT).with_suffix("").parts)) for f in files
    ]
    return [name.removesuffix(".__init__") for name in dotted if not name.endswith("__main__")]


@pytest.mark.parametrize("group", GROUPS)
def test_no_layer_loads_what_belongs_above_it(group: str) -> None:
    parts, forbidden = GROUPS[group]
    names = [name for part in parts for name in modules(part)]
    command = [sys.executable, "-c", IMPORT_ALL, json.dumps(names)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not forbidden & set(json.loads(done.stdout))


def test_every_module_belongs_to_a_group() -> None:
    grouped = {name for parts, _ in GROUPS.values() for part in parts for name in modules(part)}
    everything = {name for name in modules(".") if ".widgets" not in name}
    assert everything == grouped


def test_the_terminal_loads_torch_only_when_it_denoises() -> None:
    code = "import sys, napari_denoise.cli; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
