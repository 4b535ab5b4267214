"""Fixtures for tests in a real viewer: tiny weights, and the widget with its work done."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from _networks import write_tiny_weights
from napari_denoise.models import catalogue
from napari_denoise.widgets.denoise import DenoiseWidget


@pytest.fixture(autouse=True)
def tiny_weights(tmp_path_factory, monkeypatch) -> Path:
    """Tiny networks under the names of the bundled ones."""
    folder = tmp_path_factory.mktemp("weights")
    write_tiny_weights(folder / "microscopy.safetensors", channels=1)
    write_tiny_weights(folder / "photo.safetensors", channels=3)
    monkeypatch.setattr(catalogue, "BUNDLED", folder)
    monkeypatch.setattr(catalogue, "user_folder", lambda: folder / "none")
    return folder
