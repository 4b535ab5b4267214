"""What the tests of the Fine-tune widget share: a viewer with it, and pairs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _bench import PATIENCE_MS, noisy

from napari_denoise.plugin.finetune.finetune_widget import FineTuneWidget
from napari_denoise.plugin.layers.source import bare
from napari_denoise.weights import catalogue

SHAPE = (64, 96)


class TuningBench:
    """A viewer with the widget, and the patience to wait for it."""

    def __init__(self, viewer: Any, widget: FineTuneWidget, qtbot: Any) -> None:
        self.viewer, self.widget, self.qtbot = viewer, widget, qtbot

    def until(self, condition: Callable[[], bool]) -> None:
        """Let the event loop run until something is so."""
        self.qtbot.waitUntil(condition, timeout=PATIENCE_MS)

    def layers(self, shape: tuple[int, ...] = SHAPE) -> tuple[Any, Any]:
        """Add a clean layer and its noisy one."""
        clean = self.viewer.add_image(clean_image(shape), name="cells truth", visible=False)
        return bare(self.viewer.add_image(noisy(shape), name="cells")), bare(clean)

    def add(self) -> None:
        """Press Add and wait for the verdict."""
        self.widget.pairs.add.native.click()
        self.until(lambda: not self.widget.pairs.busy)

    def choose_small(self, steps: int) -> None:
        """Choose a training that takes little."""
        form = self.widget.form
        form.minutes.value, form.steps.value = "steps", steps
        form.patch.value, form.batch.value = 16, 2
        form.device.value = "cpu"

    def start(self, steps: int = 2_500) -> None:
        """Press Start and wait for the first figures, after a 25th of the steps."""
        self.choose_small(steps)
        self.widget.start.native.click()
        self.until(lambda: "psnr_faithful" in self.figures or not self.widget.busy)

    def end(self) -> None:
        """Wait until it no longer trains."""
        self.until(lambda: not self.widget.busy)

    def stop(self) -> None:
        """Press Stop, keep the best."""
        self.widget.watch.stop.native.click()
        self.end()

    @property
    def figures(self) -> dict[str, Any]:
        """Curves of what was measured."""
        return self.widget.watch.curves.figures

    @property
    def step(self) -> float:
        """The last step that the curves show."""
        return self.widget.watch.curves.terms["pixel"].x[-1]

    def weights(self) -> list[str]:
        """Return names of the user's weights."""
        return sorted(path.stem for path in catalogue.user_folder().glob("*.safetensors"))


def clean_image(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """What `noisy` is a noisy image of."""
    mean = np.broadcast_to(np.linspace(5, 60, shape[-1]), shape)
    return (mean * 3 + 100).astype(np.float32)


def rectangle(top: int, left: int, bottom: int, right: int) -> np.ndarray:
    """Corners of a shape around whole pixels."""
    return np.array([[top, left], [top, right], [bottom, right], [bottom, left]]) - 0.5


def kept_folders(home: Path) -> list[Path]:
    """Return folders of fine-tunings that can be gone on with."""
    return sorted(note.parent for note in home.glob("*/widget.json"))
