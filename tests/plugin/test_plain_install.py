"""A plain install, as napari makes it, is enough for both widgets."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from napari_denoise.plugin.finetune.curves import Curves

HERE = Path(__file__).parent


def needed(requirements: list[str]) -> set[str]:
    """Return the names of all distributions that requirements bring, by what is installed."""
    todo, seen = [Requirement(text) for text in requirements], set()
    while todo:
        wanted = todo.pop()
        name = canonicalize_name(wanted.name)
        for extra in ("", *wanted.extras):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            inner = map(Requirement, distribution(name).requires or ())
            todo += [x for x in inner if x.marker is None or x.marker.evaluate({"extra": extra})]
    return {name for name, _ in seen}


def test_both_widgets_work_without_what_only_extras_bring(weights_folder: Path):
    project = tomllib.loads((HERE.parents[1] / "pyproject.toml").read_text())["project"]
    plain = {"napari-denoise", *needed([*project["dependencies"], "napari[pyside6]"])}
    homes = packages_distributions().items()
    hidden = [name for name, made in homes if not plain & {canonicalize_name(x) for x in made}]
    assert {"bioimageio", "pytest"} <= set(hidden)
    command = [sys.executable, HERE / "_plain.py", weights_folder, *hidden]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_curves_that_cannot_be_drawn_say_why(qtbot, monkeypatch: pytest.MonkeyPatch):
    curves = Curves("#000", "#fff")
    qtbot.addWidget(curves)
    curves.add(1, {"pixel": 1.0}, None)
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "matplotlib.backends.backend_qtagg", None)
        curves.draw()
    assert "python -m pip install matplotlib" in curves.missing.text()
    curves.stop()
