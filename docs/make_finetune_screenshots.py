"""Follow the walk of docs/finetune.md in a real napari window, and take its pictures.

``xvfb-run -a -s "-screen 0 1600x1000x24" python docs/make_finetune_screenshots.py [FOLDER]``

Weights that it saves go to a folder of its own. Prints the clicks and the figures.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import napari
from PIL import Image
from qtpy.QtWidgets import QApplication

from napari_denoise.models import catalogue

IMAGES = Path(__file__).parent / "images"


class Walk:
    """A window, a camera, and a count of clicks."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clicks = folder, 0
        self.viewer = napari.Viewer()
        self.viewer.window.resize(1250, 860)

    def wait(self, until: Callable[[], bool] = lambda: False, seconds: float = 400.0) -> None:
        """Let the window live until something is so, or for a time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not until():
            QApplication.processEvents()
            time.sleep(0.01)

    def step(self, what: str) -> None:
        """Count a click or choice of the user."""
        self.clicks += 1
        print(f"{self.clicks}. {what}", flush=True)

    def press(self, button: Any) -> None:
        """Click a button as a user does."""
        self.step(f"press {button.text}")
        button.native.click()

    def shoot(self, name: str) -> None:
        """Save the whole window."""
        self.wait(seconds=0.5)
        picture = Image.fromarray(self.viewer.screenshot(canvas_only=False, flash=False))
        picture.convert("RGB").save(self.folder / f"{name}.png", optimize=True)


def walk(tour: Walk) -> None:
    """Go from the sample to weights of one's own."""
    viewer = tour.viewer
    tour.step("File > Open Sample > Denoise > Fluorescence time-lapse")
    viewer.open_sample("napari-denoise", "fluorescence")
    tour.step("Layers > Annotate > Fine-tune")
    _, widget = viewer.window.add_plugin_dock_widget("napari-denoise", "Fine-tune")
    tour.wait(seconds=1)
    tour.shoot("finetune_empty")
    tour.press(widget.pairs.add)
    tour.wait(lambda: not widget.pairs.busy)
    tour.wait(seconds=1)
    tour.shoot("finetune_pairs")
    tour.step("choose 2 minutes")
    widget.form.time.value = 2
    tour.press(widget.start)
    tour.wait(lambda: "psnr_faithful" in widget.watch.curves.figures or not widget.busy)
    tour.wait(seconds=60)
    tour.shoot("finetune_training")
    tour.wait(lambda: not widget.busy)
    print({name: vars(row) for name, row in widget.ended.result.rows.items()})
    widget.watch.result.side_by_side.native.click()
    tour.wait(lambda: widget.side.shown)
    tour.shoot("finetune_result")
    widget.watch.result.side_by_side.native.click()
    name = widget.watch.result.name.value
    tour.press(widget.watch.result.save)
    tour.wait(lambda: "saved" in widget.watch.result.verdict.text.lower(), 20)
    tour.shoot("finetune_saved")
    tour.step("Layers > Filter > Denoise")
    _, denoise = viewer.window.add_plugin_dock_widget("napari-denoise", "Denoise")
    tour.wait(seconds=2)
    tour.step(f"choose the weights {name}")
    denoise.form.weights.value = name
    tour.press(denoise.actions.run)
    tour.wait(lambda: not denoise.runner.busy)
    layer = widget.ended.tuning.pairs[0].name
    print("denoised with", viewer.layers[layer].metadata["napari_denoise"]["weights"])


def main() -> None:
    """Take every picture."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as home:
        catalogue.user_folder = lambda: Path(home) / "weights"
        tour = Walk(folder)
        walk(tour)
        tour.viewer.close()


if __name__ == "__main__":
    main()
