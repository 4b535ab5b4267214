"""What the viewer tests share: a viewer with the widget, and noisy data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from napari_denoise.plugin.denoise.denoise_widget import DenoiseWidget
from napari_denoise.plugin.layers.source import bare

PATIENCE_MS = 120_000


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
        (self.widget.actions.again if again else self.widget.actions.run).native.click()
        self.until(lambda: not self.widget.runner.busy)

    def start(self) -> None:
        """Press Run and wait for the first tile."""
        seen: list[float] = []
        self.widget.runner.progressed.connect(lambda _text, share: seen.append(share))
        self.widget.actions.run.native.click()
        self.until(lambda: any(seen))

    def preview(self) -> tuple[Any, ...]:
        """Switch the preview on and wait until it is complete."""
        self.widget.actions.preview.native.setChecked(True)
        self.preview_done()
        return self.widget.preview.overlays

    def preview_done(self) -> None:
        """Wait until no piece is missing."""
        preview = self.widget.preview
        self.until(lambda: bool(preview.overlays) and not preview.busy)

    def images(self) -> list[Any]:
        """Return the viewer's layers, bottom first."""
        return [bare(layer) for layer in self.viewer.layers]


def noisy(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Photon noise over a gradient."""
    rng = np.random.default_rng(seed)
    mean = np.broadcast_to(np.linspace(5, 60, shape[-1]), shape)
    return (rng.poisson(mean) * 3 + 100).astype(np.uint16)
