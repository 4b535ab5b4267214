"""Press the buttons of both widgets where some packages cannot be imported.

python _plain.py FOLDER PACKAGE...        FOLDER holds tiny weights
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Without:
    """A finder that does not know packages of some names, and else is as it was."""

    def __init__(self, finder: Any, names: set[str]) -> None:
        self.finder, self.names = finder, names

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        known = name.partition(".")[0] not in self.names
        return self.finder.find_spec(name, path, target) if known else None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.finder, name)


class Patience:
    """The one thing of pytest-qt that `TuningBench` asks for."""

    def waitUntil(self, condition: Callable[[], bool], timeout: int) -> None:
        from qtpy.QtWidgets import QApplication

        end = time.monotonic() + timeout / 1000
        while not condition():
            assert time.monotonic() < end, "it takes too long"
            QApplication.processEvents()
            time.sleep(0.01)


def main(folder: Path) -> None:
    """Open both widgets as the menu does, train some steps, draw the curves, denoise."""
    import napari
    from _bench import Bench
    from _tuning import TuningBench

    from napari_denoise.weights import catalogue

    catalogue.BUNDLED = folder
    viewer = napari.Viewer(show=False)
    add: Any = viewer.window.add_plugin_dock_widget
    (_, denoise), (_, finetune) = (add("napari-denoise", x) for x in ("Denoise", "Fine-tune"))
    tuning = TuningBench(viewer, finetune, Patience())
    layer, _ = tuning.layers()
    tuning.add()
    tuning.start(steps=50)
    tuning.end()
    assert finetune.ended is not None, finetune.status.text
    assert finetune.ended.error is None, finetune.ended.error
    finetune.watch.curves.draw()
    assert finetune.watch.curves.missing.isHidden(), finetune.watch.curves.missing.text()
    before = layer.data
    viewer.layers.selection.active = layer
    Bench(viewer, denoise, Patience()).run()
    assert layer.data is not before, denoise.actions.status.text
    viewer.close()


if __name__ == "__main__":
    sys.meta_path[:] = [Without(finder, set(sys.argv[2:])) for finder in sys.meta_path]
    sys.path.insert(0, str(Path(__file__).parents[1]))
    main(Path(sys.argv[1]))
