"""Walk through fine-tuning as docs/finetune.md tells it, and take its pictures.

``xvfb-run -a -s "-screen 0 1600x1000x24" python docs/make_finetune_screenshots.py FOLDER``

The buttons are pressed as a user presses them, and counted. Weights and checkpoints go to a
temporary folder.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ["XDG_DATA_HOME"] = tempfile.mkdtemp()

import numpy as np
from make_screenshots import IMAGES, Studio
from qtpy.QtWidgets import QMenu

KEPT = ("training", "side_by_side", "denoise", "pairs", "regions")
"""Pictures that docs/finetune.md shows; the others are taken into any other folder only."""
TRAIN_SECONDS = float(os.environ.get("TRAIN_SECONDS", "120"))


class Walk(Studio):
    """A user with a mouse."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, opened=None)
        self.clicks = 0

    def shoot(self, name: str) -> None:
        """Save the whole window, if this picture is wanted there."""
        if self.folder != IMAGES or name.removeprefix("tune_") in KEPT:
            super().shoot(name)

    def menu(self, first: QMenu, *titles: str) -> None:
        """Open a menu with one click, choose an entry with another; submenus open by themselves."""
        found: Any = first
        for title in titles:
            found.aboutToShow.emit()
            action = next(a for a in found.actions() if title in a.text().replace("&", ""))
            found = action.menu() or action
        found.trigger()
        self.clicks += 2
        self.wait(seconds=0.5)

    def press(self, button: Any) -> None:
        """Press a button that is in sight."""
        if not (button.native.isVisible() and button.native.isEnabled()):
            raise RuntimeError(f"{button.text}: no user could press it now")
        button.native.click()
        self.clicks += 1
        print(f"click {self.clicks}: {button.text}", flush=True)

    def docked(self, name: str) -> Any:
        """Return a widget by the title of its dock."""
        docks = self.viewer.window.dock_widgets
        return next(widget for title, widget in docks.items() if name in title)

    def over(self) -> None:
        """Wait for the result."""
        self.wait(lambda: not self.widget.busy, 600)

    def figures(self) -> None:
        """Print the table."""
        ended = self.widget.ended
        for name, row in ended.result.rows.items():
            print(f"{name:11} {row.psnr:.2f} dB  SSIM {row.ssim:.4f}  mean {row.mean_error:+.2f} %")
        print(ended.result.verdict, flush=True)


def walk(studio: Walk) -> None:
    """From the sample to one's own weights, chosen in Denoise."""
    window = studio.viewer.window
    studio.menu(window.file_menu, "Open Sample", "Denoise", "Fluorescence")
    studio.menu(window.plugins_menu, "Denoise", "Fine-tune")
    print(f"{studio.clicks} clicks in menus", flush=True)
    studio.widget = widget = studio.docked("Fine-tune")
    studio.wait(seconds=1)
    studio.shoot("tune_empty")
    studio.press(widget.pairs.add)
    studio.wait(lambda: not widget.pairs.busy)
    studio.shoot("tune_pair")
    studio.press(widget.start)
    studio.wait(lambda: "psnr_faithful" in widget.watch.curves.figures, 120)
    studio.wait(seconds=TRAIN_SECONDS)
    studio.shoot("tune_training")
    step = int(widget.watch.curves.terms["pixel"].x[-1])
    studio.press(widget.watch.stop)
    studio.over()
    print(f"stopped near step {step}")
    studio.figures()
    studio.shoot("tune_result")
    studio.press(widget.watch.result.save)
    studio.wait(lambda: not widget.watch.result.use.native.isHidden())
    studio.shoot("tune_saved")
    studio.press(widget.watch.result.use)
    denoise = denoise_of(studio)
    print(f"{studio.clicks} clicks; Denoise has {denoise.form.weights.value!r} chosen")
    studio.wait(lambda: "stimated" in denoise.form.noise.note.text())
    studio.shoot("tune_denoise")
    window._qt_window.raise_()
    widget.parentWidget().raise_()
    studio.wait(seconds=0.3)
    widget.watch.result.side_by_side.native.click()
    studio.wait(lambda: widget.side.shown)
    studio.shoot("tune_side_by_side")
    widget.watch.result.side_by_side.native.click()
    widget.watch.again.native.click()


def denoise_of(studio: Walk) -> Any:
    """Return the Denoise widget."""
    from napari_denoise.plugin.denoise.denoise_widget import DenoiseWidget

    docks = studio.viewer.window.dock_widgets.values()
    return next(widget for widget in docks if isinstance(widget, DenoiseWidget))


def show_verdicts(studio: Walk) -> None:
    """Show one pair that fits, one that is shifted, and one that is refused."""
    viewer, widget = studio.viewer, studio.widget
    noisy, truth = viewer.layers["fluorescence"], viewer.layers["fluorescence truth"]
    like = {"scale": noisy.scale, "units": noisy.units, "axis_labels": noisy.axis_labels}
    moved = np.roll(np.asarray(truth.data), 2, -1)
    shifted = viewer.add_image(moved, name="moved truth", visible=False, **like)
    note = {"napari_denoise": {"weights": "microscopy"}}
    done = viewer.add_image(
        np.asarray(noisy.data), name="denoised", metadata=note, visible=False, **like
    )
    for pair in ((noisy, shifted), (done, truth)):
        widget.pairs.noisy.value, widget.pairs.other.value = pair
        widget.pairs.add.native.click()
        studio.wait(lambda: not widget.pairs.busy)
    studio.shoot("tune_pairs")
    viewer.layers.remove(shifted)
    viewer.layers.remove(done)
    for _ in range(2):
        widget.pairs.remove.native.click()


def show_regions(studio: Walk) -> None:
    """Show both kinds of regions, which overlap."""
    viewer, drawing = studio.viewer, studio.widget.drawing
    drawing.every.setChecked(True)
    for button, corners in (
        (drawing.train, (0, 0, 255, 150)),
        (drawing.validate, (90, 120, 200, 240)),
    ):
        button.native.click()
        top, left, bottom, right = corners
        shape = [[0, top, left], [0, top, right], [0, bottom, right], [0, bottom, left]]
        viewer.layers.selection.active.add([np.array(shape)], shape_type="rectangle")
    studio.wait(lambda: "drawn as both" in drawing.note.text())
    studio.shoot("tune_regions")


def show_pause_and_no_better(studio: Walk) -> None:
    """Show a run that is held, and one whose weights are no better."""
    widget = studio.widget
    widget.form.learning_rate.value = "1e-12"
    widget.form.section.button.setChecked(True)
    studio.wait(seconds=0.3)
    studio.shoot("tune_advanced")
    widget.form.section.button.setChecked(False)
    widget.start.native.click()
    studio.wait(lambda: "psnr_faithful" in widget.watch.curves.figures, 120)
    widget.watch.pause.native.click()
    studio.wait(seconds=2)
    studio.shoot("tune_paused")
    widget.watch.stop.native.click()
    studio.over()
    studio.wait(seconds=1)
    studio.shoot("tune_no_better")


def show_offer(studio: Walk) -> None:
    """Close the widget and open it again."""
    window = studio.viewer.window
    window.remove_dock_widget(denoise_of(studio))
    window.remove_dock_widget(studio.widget)
    studio.wait(seconds=1)
    studio.menu(window.plugins_menu, "Denoise", "Fine-tune")
    studio.widget = studio.docked("Fine-tune")
    studio.wait(seconds=1)
    studio.shoot("tune_offer")


def main() -> None:
    """Take every picture."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES
    folder.mkdir(parents=True, exist_ok=True)
    studio = Walk(folder)
    for scene in (walk, show_verdicts, show_regions, show_pause_and_no_better, show_offer):
        scene(studio)
    studio.viewer.close()


if __name__ == "__main__":
    main()
