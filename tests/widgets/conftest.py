"""Fixtures for tests in a real viewer: tiny weights, and the widget in its dock."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from superqt.utils import WorkerBase

sys.path.insert(0, str(Path(__file__).parents[1]))

from _networks import write_tiny_weights
from napari_denoise.models import catalogue
from napari_denoise.widgets.denoise import DenoiseWidget
from napari_denoise.widgets.layers import bare

PATIENCE_MS = 30_000


@pytest.fixture(scope="session")
def weights_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny networks under the names of the bundled ones."""
    folder = tmp_path_factory.mktemp("weights")
    write_tiny_weights(folder / "microscopy.safetensors", channels=1)
    write_tiny_weights(folder / "photo.safetensors", channels=3)
    return folder


@pytest.fixture(autouse=True)
def only_tiny_weights(weights_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "BUNDLED", weights_folder)
    monkeypatch.setattr(catalogue, "user_folder", lambda: weights_folder / "none")


class Bench:
    """A viewer with the widget, and the patience to wait for it."""

    def __init__(self, viewer: Any, widget: DenoiseWidget, qtbot: Any) -> None:
        self.viewer, self.widget, self.qtbot = viewer, widget, qtbot

    def until(self, condition: Callable[[], bool]) -> None:
        """Let the event loop run until something is so."""
        self.qtbot.waitUntil(condition, timeout=PATIENCE_MS)

    def add(self, data: Any, **state: Any) -> Any:
        """Add an image layer and return it without napari's proxy."""
        return bare(self.viewer.add_image(data, **state))

    def run(self, again: bool = False) -> None:
        """Press Run and wait for the end."""
        (self.widget.again_button if again else self.widget.run_button).native.click()
        self.until(lambda: not self.widget.runner.busy)

    def start(self) -> None:
        """Press Run and wait for the first tile."""
        seen: list[float] = []
        self.widget.runner.progressed.connect(lambda _text, share: seen.append(share))
        self.widget.run_button.native.click()
        self.until(lambda: any(seen))

    def preview(self) -> tuple[Any, ...]:
        """Switch the preview on and wait until it is complete."""
        self.widget.preview_button.native.setChecked(True)
        self.preview_done()
        return self.widget.preview.overlays

    def preview_done(self) -> None:
        """Wait until no piece is missing."""
        preview = self.widget.preview
        self.until(lambda: bool(preview.overlays) and not preview.busy)

    def images(self) -> list[Any]:
        """Return the viewer's layers, bottom first."""
        return [bare(layer) for layer in self.viewer.layers]


@pytest.fixture
def bench(make_napari_viewer_proxy: Any, qtbot: Any) -> Iterator[Bench]:
    """A viewer with the widget docked; everything is stopped afterwards."""
    viewer = make_napari_viewer_proxy()
    widget = DenoiseWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Denoise")
    yield Bench(viewer, widget, qtbot)
    widget.shut_down()
    WorkerBase.await_workers(PATIENCE_MS)


@pytest.fixture
def stack() -> np.ndarray:
    """Six frames of photon noise over a gradient, uint16."""
    return noisy((6, 40, 56))


def noisy(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Photon noise over a gradient."""
    rng = np.random.default_rng(seed)
    mean = np.broadcast_to(np.linspace(5, 60, shape[-1]), shape)
    return (rng.poisson(mean) * 3 + 100).astype(np.uint16)
