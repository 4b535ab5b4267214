"""Take the pictures of docs/images in a real napari window.

``xvfb-run -a -s "-screen 0 1600x1000x24" python docs/make_screenshots.py``
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
from PIL import Image
from qtpy.QtWidgets import QApplication

IMAGES = Path(__file__).parent / "images"


class Studio:
    """A window with the widget, and a camera."""

    def __init__(self, folder: Path, opened: str | None = "Denoise") -> None:
        self.folder = folder
        self.viewer = napari.Viewer()
        self.viewer.window.resize(1200, 760)
        self.widget: Any = None
        if opened is not None:
            _, self.widget = self.viewer.window.add_plugin_dock_widget("napari-denoise", opened)
        self.wait(seconds=1)

    def wait(self, until: Callable[[], bool] = lambda: False, seconds: float = 60.0) -> None:
        """Let the window live until something is so, or for a time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not until():
            QApplication.processEvents()
            time.sleep(0.01)

    def measured(self) -> None:
        """Wait for the noise estimate."""
        self.wait(lambda: self.widget.form.noise.known)

    def shoot(self, name: str) -> None:
        """Save the whole window."""
        self.wait(seconds=0.4)
        picture = Image.fromarray(self.viewer.screenshot(canvas_only=False, flash=False))
        picture.convert("RGB").save(self.folder / f"{name}.png", optimize=True)

    def finish(self) -> None:
        """Wait for the run at work."""
        self.wait(lambda: not self.widget.runner.busy, 300)


def tell_a_story(studio: Studio) -> None:
    """Show the states of the widget in the order in which a user meets them."""
    viewer, widget = studio.viewer, studio.widget
    studio.shoot("empty")
    widget.empty.sample_button.native.click()
    layer: Any = widget.sources[0].layer
    studio.wait(seconds=0.2)
    studio.shoot("measuring")
    studio.measured()
    viewer.scene.camera.zoom *= 2.0
    studio.shoot("chosen")
    widget.actions.preview.native.click()
    studio.wait(lambda: any(o.known.any() for o in widget.preview.overlays))
    studio.wait(lambda: not widget.preview.busy)
    studio.shoot("preview")
    widget.run()
    studio.wait(lambda: widget.actions.bar.native.value() > 300)
    studio.shoot("running")
    studio.finish()
    studio.shoot("done")
    widget.run()
    studio.shoot("again")
    viewer.reset_view()
    widget.actions.residual.native.click()
    studio.shoot("residual")
    widget.actions.undo.native.click()
    layer.locked = True
    widget.run()
    studio.shoot("refused")
    layer.locked = False
    show_channels(studio, layer)


def show_channels(studio: Studio, layer: Any) -> None:
    """Several layers at once, and the settings that are folded away at first."""
    viewer, widget = studio.viewer, studio.widget
    other = np.asarray(layer.data)[:, ::-1]
    layer.name, layer.colormap, layer.blending = "actin", "green", "additive"
    second = viewer.add_image(
        other,
        name="nuclei",
        scale=layer.scale,
        units=layer.units,
        axis_labels=layer.axis_labels,
        colormap="magenta",
        blending="additive",
    )
    viewer.layers.selection = {layer, second}
    studio.measured()
    widget.form.speed_section.button.setChecked(True)
    widget.form.card_section.button.setChecked(True)
    widget.actions.preview.native.click()
    studio.wait(lambda: len(widget.preview.overlays) == 2 and not widget.preview.busy)
    studio.shoot("channels")
    widget.actions.preview.native.click()


def show_side_by_side(studio: Studio) -> None:
    """Show the noisy stack and the denoised one in the grid of napari."""
    viewer, widget = studio.viewer, studio.widget
    widget.empty.sample_button.native.click()
    noisy = widget.sources[0].layer
    for layer in [x for x in viewer.layers if x is not noisy]:
        viewer.layers.remove(layer)
    studio.measured()
    widget.form.output.value = "new"
    widget.run()
    studio.finish()
    viewer.canvas.grid.shape = (2, 1)
    viewer.canvas.grid.enabled = True
    viewer.reset_view()
    viewer.scene.camera.zoom *= 1.6
    studio.measured()
    studio.shoot("denoise")
    viewer.canvas.grid.enabled = False
    widget.form.output.value = "in_place"
    viewer.layers.clear()


def show_guides(studio: Studio) -> None:
    """Show a render denoised with the albedo and normal that are tied to it."""
    viewer, widget = studio.viewer, studio.widget
    viewer.layers.clear()
    viewer.open_sample("napari-denoise", "render")
    viewer.reset_view()
    studio.measured()
    widget.run()
    studio.finish()
    studio.shoot("guides")
    viewer.layers.clear()


def show_realism(studio: Studio) -> None:
    """Show a photograph between the faithful and the realistic end."""
    viewer, widget = studio.viewer, studio.widget
    viewer.layers.clear()
    viewer.open_sample("napari-denoise", "photo")
    viewer.reset_view()
    studio.measured()
    widget.form.realism.value = 70
    widget.run()
    studio.finish()
    viewer.scene.camera.zoom *= 2.0
    studio.shoot("realism")
    widget.form.realism.value = 0
    viewer.layers.clear()


def main() -> None:
    """Take every picture."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES
    folder.mkdir(parents=True, exist_ok=True)
    studio = Studio(folder)
    show_side_by_side(studio)
    show_guides(studio)
    show_realism(studio)
    tell_a_story(studio)
    studio.viewer.close()


if __name__ == "__main__":
    main()
