"""Close and reopen both widgets, and add and remove layers, while workers fill cycles.

python _stress.py SECONDS [SEED]

Whatever keeps the GUI thread for half a minute ends the process with the stacks of all threads.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PATIENCE_S = 30
"""A GUI thread that takes longer over one action hangs."""
_LAYERS = 6
_WORKERS = 2
_THREADS = 6
"""So many work at once, on few cores too: those that fill cycles are never all there are."""
_TITLES = ("Denoise", "Fine-tune")


class Collections:
    """Counts collections of the GUI thread and of others."""

    def __init__(self) -> None:
        self.here = self.elsewhere = 0
        gc.callbacks.append(self)

    def __call__(self, phase: str, _info: dict[str, int]) -> None:
        if phase == "start" and threading.current_thread() is threading.main_thread():
            self.here += 1
        elif phase == "start":
            self.elsewhere += 1


class Stress:
    """A viewer in which nothing stays as it is.

    Parameters
    ----------
    seed
        Of what happens.
    """

    def __init__(self, seed: int) -> None:
        import napari
        from qtpy.QtCore import QThreadPool

        QThreadPool.globalInstance().setMaxThreadCount(_THREADS)
        self.rng = random.Random(seed)  # noqa: S311 - chooses what to press
        self.viewer = napari.Viewer(show=False)
        self.docks: dict[str, Any] = {}
        self.tasks: list[Any] = []
        self.done: dict[str, int] = {}

    def run(self, seconds: float) -> None:
        """Do one thing after the other, re-arming the watchdog before each."""
        from qtpy.QtWidgets import QApplication

        end = time.monotonic() + seconds
        while time.monotonic() < end:
            faulthandler.dump_traceback_later(PATIENCE_S, exit=True)
            self._keep_workers()
            act = self.rng.choice((self._dock, self._dock, self._layer, self._layer, self._press))
            act()
            name = act.__name__.strip("_")
            self.done[name] = self.done.get(name, 0) + 1
            for _ in range(4):
                QApplication.processEvents()
        faulthandler.cancel_dump_traceback_later()

    def _keep_workers(self) -> None:
        from napari_denoise.plugin.kit.workers import WorkerTask

        self.tasks = [task for task in self.tasks if task.running]
        while len(self.tasks) < _WORKERS:
            self.tasks.append(WorkerTask(cycles, self.rng.randrange(100, 2000)))

    def _dock(self) -> None:
        """Close a dock, or open it."""
        title = self.rng.choice(_TITLES)
        widget = self.docks.pop(title, None)
        if widget is not None:
            self.viewer.window.remove_dock_widget(widget)
        else:
            _, self.docks[title] = self.viewer.window.add_plugin_dock_widget(
                "napari-denoise", title
            )

    def _layer(self) -> None:
        """Add an image or shapes, or remove a layer."""
        import numpy as np
        from _bench import noisy

        if len(self.viewer.layers) >= _LAYERS or self.rng.random() < 0.4:
            if self.viewer.layers:
                self.viewer.layers.pop(self.rng.randrange(len(self.viewer.layers)))
        elif self.rng.random() < 0.7:
            self.viewer.add_image(noisy((3, 32, 40), self.rng.randrange(1000)))
        else:
            self.viewer.add_shapes(np.array([[0, 0], [0, 9], [9, 9], [9, 0]]))

    def _press(self) -> None:
        """Denoise, or add a pair and train on it."""
        title = self.rng.choice(_TITLES)
        widget = self.docks.get(title)
        if widget is None:
            return
        if title == "Denoise":
            widget.actions.run.native.click()
            return
        if not widget.pairs.usable:
            widget.pairs.add.native.click()
        elif widget.ended is not None:
            widget.watch.again.native.click()
        elif not widget.busy:
            form = widget.form
            form.minutes.value, form.steps.value, form.device.value = "steps", 50, "cpu"
            form.patch.value, form.batch.value = 16, 2
            self.rng.choice((widget.start, widget.estimate)).native.click()


def cycles(rounds: int) -> Iterator[None]:
    """Allocate what only a collection frees."""
    for _ in range(rounds):
        for _ in range(200):
            loop: list[Any] = []
            loop.append({"loop": loop})
        yield None


def own_home(prefix: str) -> Path:
    """Make a folder for all that is kept, with tiny weights under the names of the bundled ones."""
    home = Path(tempfile.mkdtemp(prefix=prefix))
    for name in ("DATA", "CONFIG", "CACHE", "STATE"):
        os.environ[f"XDG_{name}_HOME"] = str(home / name.lower())
    os.environ["NAPARI_CONFIG"] = str(home / "settings.yaml")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    faulthandler.enable(all_threads=True)
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from _networks import write_tiny_weights
    from napari_denoise.weights import catalogue

    catalogue.BUNDLED = home
    write_tiny_weights(home / "microscopy.safetensors", channels=1, realistic=True)
    write_tiny_weights(home / "photo.safetensors", channels=3, realistic=True)
    write_tiny_weights(home / "render.safetensors", channels=3, features=8)
    return home


def main(seconds: float, seed: int) -> None:
    """Stress both widgets, and say what was done."""
    own_home("napari-denoise-stress-")
    gc.set_threshold(200, 5, 5)
    stress, counted = Stress(seed), Collections()
    gc.collect()
    gc.freeze()  # collections take a moment then, and there can be many
    counted.here = counted.elsewhere = 0
    stress.run(seconds)
    collected = f"{counted.here} collections on the GUI thread, {counted.elsewhere} on others"
    print(f"{seconds:.0f} s, seed {seed}: {stress.done}; {collected}", flush=True)  # noqa: T201
    os._exit(0 if not counted.elsewhere else 3)


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]) if sys.argv[2:] else 0)
