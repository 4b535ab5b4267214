"""Take the pictures of the Denoise widget for the docs.

    xvfb-run -a -s "-screen 0 1280x1024x24" python scripts/pictures.py [FOLDER]

A real viewer runs on the bundled samples; look at every picture before it is kept.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import napari
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QWidget

from napari_denoise.plugin.denoise.denoise_widget import DenoiseWidget

SIZE = 1200, 760
IMAGES = Path(__file__).parents[1] / "docs" / "images"


class Studio:
    """A viewer with a sample and the widget."""

    def __init__(self, sample: str) -> None:
        self.viewer = napari.Viewer(show=False)
        self.panel = DenoiseWidget(self.viewer)
        self.viewer.window.add_dock_widget(self.panel, name="Denoise (Denoise)")
        self.viewer.window.show()
        QTest.qWait(200)  # it takes the size of last time first
        self.viewer.window.resize(*SIZE)
        self.viewer.open_sample("napari-denoise", sample)
        self.until(lambda: bool(self.viewer.layers))
        self.until(lambda: self.panel.form.noise.known)

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait with the event loop at work."""
        while not condition():
            QTest.qWait(50)

    def run(self) -> None:
        """Press Run and wait for its end."""
        self.panel.actions.run.native.click()
        self.until(lambda: not self.panel.runner.busy)

    def take(self, file: Path) -> None:
        """Take a picture of the window."""
        QTest.qWait(800)
        window: QWidget = self.panel.window()
        window.grab().save(str(file))
        print(file)

    def close(self) -> None:
        """Close the viewer."""
        self.panel.shut_down()
        self.viewer.close()


def main(folder: Path) -> None:
    """Take all of them."""
    studio = Studio("fluorescence")
    studio.panel.actions.preview.native.setChecked(True)
    studio.until(lambda: bool(studio.panel.preview.overlays) and not studio.panel.preview.busy)
    studio.take(folder / "preview.png")
    studio.run()
    studio.take(folder / "done.png")
    studio.panel.actions.wipe.native.click()
    studio.take(folder / "wipe.png")
    studio.panel.actions.wipe.native.click()
    studio.panel.actions.residual.native.click()
    studio.take(folder / "residual.png")
    studio.close()
    studio = Studio("photo")
    studio.panel.form.realism.value = 70
    studio.run()
    studio.take(folder / "realism.png")
    studio.close()
    studio = Studio("render")
    studio.run()
    studio.take(folder / "guides.png")
    studio.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES)
