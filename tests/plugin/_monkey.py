"""Press whatever there is in all dock widgets, as a hand without a plan would.

python _monkey.py SECONDS [SEED] [drawn]

Unless drawn, the canvas follows all events but draws no pixel: where layers come and go, napari by
itself crashes Mesa.

What must hold after every action: no exception in a slot or a thread; the GUI thread answers; every
image shows its own original data or a result made of them; Undo and Redo bring back the very bytes.
At the end: no overlay and no temporary file is left. Each action is printed before it is done, and
the seed with whatever does not hold; the process ends with 1 then.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
import webbrowser
from collections import Counter
from pathlib import Path
from typing import Any

from _invariants import Broken, Errors, Ledger
from _stress import PATIENCE_S, own_home

_TITLES = ("Denoise", "Fine-tune", "Batch")
_LAYERS = 7
_TYPED = ("-", "0", "3", "12", "auto", "-1", "1e9", "x", "0.5", "")
_DIALOG_MS = 50


class Monkey:
    """Acts on a viewer with all dock widgets.

    Parameters
    ----------
    seed
        Of what it does.
    home
        A folder of its own, with images for Batch.
    drawn
        Whether the canvas draws its pixels.
    """

    def __init__(self, seed: int, home: Path, drawn: bool = False) -> None:
        import napari

        self.rng = random.Random(seed)  # noqa: S311 - chooses what to press
        self.home, self.errors = home, Errors()
        self.viewer = napari.Viewer()
        if not drawn:
            canvas = self.viewer.window._qt_viewer.canvas._scene_canvas
            canvas._draw_scene = lambda *_args, **_kwargs: None
        self.ledger = Ledger(self.viewer)
        self.docks: dict[str, Any] = {}
        self.done: Counter[str] = Counter()
        self._answering = self._timer()
        for title in _TITLES:
            self._toggle(title)

    def _timer(self) -> Any:
        """Answer whatever waits for an answer, in loops of its own too."""
        from qtpy.QtCore import QTimer

        timer = QTimer()
        timer.timeout.connect(self._answer)
        timer.start(_DIALOG_MS)
        return timer

    def run(self, seconds: float) -> None:
        """Act and check, re-arming the watchdog before each action."""
        from qtpy.QtTest import QTest

        acts = {
            self._press: 12,
            self._type: 4,
            self._turn: 4,
            self._press_main: 6,
            self._viewer_button: 2,
            self._canvas: 2,
            self._slide: 2,
            self._add: 3,
            self._change_layer: 4,
            self._dock: 1,
            self._theme: 0.3,
            self._budget: 0.5,
            self._drop_files: 1,
        }
        self._begin()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            faulthandler.dump_traceback_later(PATIENCE_S, exit=True)
            [act] = self.rng.choices([*acts], [*acts.values()])
            act()
            self.done[act.__name__.strip("_")] += 1
            QTest.qWait(self.rng.choice((0, 0, 5, 30, 150)))
            self.check()

    def _begin(self) -> None:
        """Denoise one image, undo and redo it: so much is done in every run."""
        from _bench import noisy
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        faulthandler.dump_traceback_later(2 * PATIENCE_S, exit=True)
        self.viewer.add_image(noisy((4, 40, 48), self.rng.randrange(10**6)), name="first")
        session, actions = self.ledger.session, self.docks["Denoise"].actions
        for pressed in (actions.run, actions.undo, actions.redo):
            QTest.mouseClick(pressed.native, Qt.MouseButton.LeftButton)
            while session.runner.busy:
                QTest.qWait(20)
            self.check()
        self.docks["Batch"].parentWidget().raise_()

    def check(self) -> None:
        """Raise what went wrong."""
        self.errors.check()
        self.ledger.check()

    def _note(self, text: str) -> None:
        """Say an action before it is done: the last lines tell of a crash, too."""
        print(text, flush=True)  # noqa: T201

    # --- widgets ------------------------------------------------------------------------

    def _some(self, *kinds: type) -> Any:
        """Choose a widget in sight of some kinds, in one of the docks."""
        title = self.rng.choice(_TITLES)
        if title not in self.docks:
            return None
        dock = self.docks[title].parentWidget()
        dock.raise_()
        found = [
            w
            for w in self.docks[title].findChildren(kinds[0])
            if w.isEnabled() and w.isVisible() and w.width() > 1
        ]
        for kind in kinds[1:]:
            found += [w for w in self.docks[title].findChildren(kind) if w.isEnabled()]
        return self.rng.choice(found) if found else None

    def _press(self) -> None:
        """Click or hold a button of a dock."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest
        from qtpy.QtWidgets import QAbstractButton

        button = self._some(QAbstractButton)
        if button is None or ("…" in button.text() and self.rng.random() < 0.9):
            return  # a dialog takes half a second to appear
        self._note(f"click {_told(button)}")
        if self.rng.random() < 0.2:
            QTest.mousePress(button, Qt.MouseButton.LeftButton)
            QTest.qWait(self.rng.choice((1, 60)))
            if _alive(button):
                QTest.mouseRelease(button, Qt.MouseButton.LeftButton)
        else:
            QTest.mouseClick(button, Qt.MouseButton.LeftButton)

    def _press_main(self) -> None:
        """Press what matters most, by click or by keys."""
        from qtpy.QtCore import Qt
        from qtpy.QtGui import QKeySequence
        from qtpy.QtTest import QTest

        from napari_denoise.plugin.denoise.shortcuts import KEYS

        window = self.viewer.window._qt_window
        if self.rng.random() < 0.3:
            keys = self.rng.choice([*KEYS.values()])
            self._note(f"keys {keys}")
            QTest.keySequence(window, QKeySequence(keys))
            return
        choices = {
            "Denoise": ("actions.run", "actions.again", "actions.undo", "actions.redo",
                        "actions.preview", "actions.wipe", "actions.residual", "actions.cancel"),
            "Fine-tune": ("pairs.add", "start", "estimate", "watch.stop", "watch.again",
                          "watch.result.save", "watch.result.side_by_side"),
            "Batch": ("plan", "start", "pause", "cancel", "retry"),
        }  # fmt: skip
        title = self.rng.choice((*_TITLES, "Denoise"))
        if title not in self.docks:
            return
        button = self.docks[title]
        if title == "Fine-tune" and self.rng.random() < 0.5:
            self._small_training(button.form)
        name = self.rng.choice(choices[title])
        for part in name.split("."):
            button = getattr(button, part)
        if button.native.isVisible() and button.native.isEnabled():
            self._note(f"click {title}: {name}")
            QTest.mouseClick(button.native, Qt.MouseButton.LeftButton)

    def _small_training(self, form: Any) -> None:
        form.minutes.value, form.steps.value, form.device.value = "steps", 50, "cpu"
        form.patch.value, form.batch.value = 16, 2

    def _type(self) -> None:
        """Type into a field of a dock."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest
        from qtpy.QtWidgets import QAbstractSpinBox, QLineEdit

        field = self._some(self.rng.choice((QLineEdit, QAbstractSpinBox)))
        if field is None:
            return
        text = self.rng.choice((*_TYPED, str(self.home / "out")))
        self._note(f"type {text!r} into {_told(field)}")
        QTest.keyClick(field, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
        QTest.keyClicks(field, text)
        if _alive(field) and self.rng.random() < 0.7:
            QTest.keyClick(field, self.rng.choice((Qt.Key.Key_Return, Qt.Key.Key_Tab)))

    def _turn(self) -> None:
        """Turn the wheel over what has a value, or press arrow keys; click a cell of a table."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest
        from qtpy.QtWidgets import QAbstractItemView, QAbstractSlider, QAbstractSpinBox, QComboBox

        kinds = QComboBox, QAbstractSpinBox, QAbstractSlider, QAbstractItemView
        target = self._some(self.rng.choice(kinds))
        if target is None:
            return
        if isinstance(target, QAbstractItemView):
            where = target.viewport()
            at = _point(where, self.rng)
            self._note(f"click cell of {_told(target)}")
            act = self.rng.choice((QTest.mouseClick, QTest.mouseClick, QTest.mouseDClick))
            act(where, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, at)
        elif self.rng.random() < 0.5:
            keys = Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_PageDown, Qt.Key.Key_Home
            key = self.rng.choice(keys)
            self._note(f"{key.name} in {_told(target)}")
            QTest.keyClick(target, key)
        else:
            self._note(f"wheel over {_told(target)}")
            _wheel(target, self.rng)

    def _viewer_button(self) -> None:
        """Click grid, 2-D or 3-D, transpose, home; or delete the selected layers."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        viewer = self.viewer.window._qt_viewer
        names = "ndisplayButton", "ndisplayButton", "gridViewButton", "resetViewButton"
        name = self.rng.choice((*names, "transposeDimsButton", "rollDimsButton", "deleteButton"))
        owner = viewer.layerButtons if name == "deleteButton" else viewer.viewerButtons
        self._note(f"click {name}")
        QTest.mouseClick(getattr(owner, name), Qt.MouseButton.LeftButton)

    def _canvas(self) -> None:
        """Zoom, drag or click in the canvas."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        canvas = self.viewer.window._qt_viewer.canvas.native
        if self.rng.random() < 0.4:
            self._note("wheel over the canvas")
            _wheel(canvas, self.rng)
            return
        self._note("drag in the canvas")
        left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
        QTest.mousePress(canvas, left, none, _point(canvas, self.rng))
        QTest.mouseMove(canvas, _point(canvas, self.rng))
        QTest.mouseRelease(canvas, left, none, _point(canvas, self.rng))

    def _slide(self) -> None:
        """Move to another frame by the wheel over a slider of dimensions."""
        from napari._qt.widgets.qt_dims_slider import QtDimSliderWidget

        sliders = self.viewer.window._qt_viewer.dims.findChildren(QtDimSliderWidget)
        shown = [s.slider for s in sliders if s.isVisible()]
        if shown:
            self._note("wheel over the slider of frames")
            _wheel(self.rng.choice(shown), self.rng)

    # --- layers -------------------------------------------------------------------------

    def _add(self) -> None:
        """Add an image, in one of several shapes and types, or shapes."""
        import numpy as np
        from _bench import noisy

        if len(self.viewer.layers) >= _LAYERS:
            return
        seed, kind = (
            self.rng.randrange(10**6),
            self.rng.choice("stack plane float rgb shapes".split()),
        )
        self._note(f"add {kind}")
        if kind == "shapes":
            self.viewer.add_shapes(np.array([[0, 0], [0, 9], [9, 9], [9, 0]]))
            return
        data: Any = noisy((4, 40, 48) if kind == "stack" else (40, 48), seed)
        if kind == "float":
            data = data.astype(np.float32)
        elif kind == "rgb":
            data = (noisy((40, 48, 3), seed) // 4).clip(0, 255).astype(np.uint8)
        self.viewer.add_image(data, rgb=kind == "rgb", name=kind)

    def _change_layer(self) -> None:
        """Remove, rename, move, select, hide, lock or edit a layer."""
        from napari.layers import Image

        from napari_denoise.plugin.layers.source import bare, is_helper

        layers = self.viewer.layers
        if not layers:
            return
        layer = bare(self.rng.choice(list(layers)))
        acts = "remove rename move select select select together hide lock edit scale".split()
        act = self.rng.choice(acts)
        self._note(f"{act} “{layer.name}”")
        if act == "remove":
            layers.remove(layer)
        elif act == "rename":
            layer.name = self.rng.choice(("stack", "a" * 80, "<b>&x</b>", "日本", " "))
        elif act == "move":
            layers.move(layers.index(layer), self.rng.randrange(len(layers)))
        elif act == "select":
            layers.selection.active = layer
        elif act == "together":
            layers.selection = set(layers)
        elif act == "hide":
            layer.visible = not layer.visible
        elif act == "lock":
            layer.locked = not layer.locked
        elif act == "scale":
            layer.scale = [self.rng.choice((0.5, 1, 2))] * layer.ndim
        elif isinstance(layer, Image) and not is_helper(layer):
            layer.data = layer.data[..., ::-1].copy() if not layer.rgb else layer.data[::-1].copy()
            self.ledger.own(layer)

    # --- the window ---------------------------------------------------------------------

    def _dock(self) -> None:
        self._toggle(self.rng.choice(_TITLES))

    def _toggle(self, title: str) -> None:
        """Close a dock, or open it."""
        widget = self.docks.pop(title, None)
        if widget is not None:
            self._note(f"close {title}")
            self.viewer.window.remove_dock_widget(widget)
        else:
            self._note(f"open {title}")
            window: Any = self.viewer.window
            _, self.docks[title] = window.add_plugin_dock_widget("napari-denoise", title)

    def _theme(self) -> None:
        self._note("theme")
        self.viewer.theme = self.rng.choice(("dark", "light"))

    def _budget(self) -> None:
        """Let Undo keep nothing in memory, or much."""
        budget = self.rng.choice((0, 1 << 30))
        self._note(f"{budget} bytes for Undo")
        self.ledger.session.history.budget = budget

    def _drop_files(self) -> None:
        """Drop images on Batch, and name a folder for their results."""
        from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
        from qtpy.QtGui import QDropEvent
        from qtpy.QtWidgets import QApplication

        batch = self.docks.get("Batch")
        if batch is None:
            return
        inputs = self.home / "in"
        chosen = self.rng.choice(([inputs], sorted(inputs.iterdir()), [self.home / "none.tif"]))
        self._note(f"drop {len(chosen)} on Batch")
        mime = QMimeData()
        mime.setUrls([QUrl.fromLocalFile(str(path)) for path in chosen])
        left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
        copy = Qt.DropAction.CopyAction
        QApplication.sendEvent(batch, QDropEvent(QPointF(9, 9), copy, mime, left, none))
        if batch.form.output.enabled:
            batch.form.output.value = self.home / self.rng.choice(("out", "out2"))

    def _answer(self) -> None:
        """Answer a question, refuse a dialog, and choose in a menu."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest
        from qtpy.QtWidgets import QApplication, QMessageBox

        popup, dialog = QApplication.activePopupWidget(), QApplication.activeModalWidget()
        if popup is not None:
            self._note("choose in a list or menu")
            target = popup.focusWidget() or popup
            for _ in range(self.rng.randrange(4)):
                QTest.keyClick(target, Qt.Key.Key_Down)
            popup.close() if type(popup).__name__ == "QMenu" else QTest.keyClick(
                target, self.rng.choice((Qt.Key.Key_Return, Qt.Key.Key_Escape))
            )
        elif isinstance(dialog, QMessageBox):
            button = self.rng.choice(dialog.buttons())
            self._note(f"answer {button.text()!r}")
            QTest.mouseClick(button, Qt.MouseButton.LeftButton)
        elif dialog is not None:
            self._note(f"refuse {type(dialog).__name__}")
            dialog.reject()

    # --- the end ------------------------------------------------------------------------

    def leave(self) -> None:
        """Close everything, and look for what is left."""
        from qtpy.QtTest import QTest

        from napari_denoise.plugin.kit.workers import WorkerTask
        from napari_denoise.plugin.layers.storage import stores_folder

        faulthandler.dump_traceback_later(2 * PATIENCE_S, exit=True)
        for title in [*self.docks]:
            self._toggle(title)
        QTest.qWait(100)
        left = [layer.name for layer in self.viewer.layers if _is_cover(layer.name)]
        if left:
            raise Broken(f"layers to look at are left: {left}")
        self.ledger.session.runner.cancel()
        self.viewer.close()
        self._answering.stop()
        while WorkerTask._alive:
            QTest.qWait(20)
        self.errors.check()
        self.viewer = self.ledger = None  # type: ignore[assignment]
        gc.collect()
        stores = stores_folder()
        kept = [*stores.iterdir()] if stores.exists() else []
        kept += [*Path(tempfile.gettempdir()).iterdir()]
        if kept:
            raise Broken(f"temporary files are left: {sorted(map(str, kept))}")
        faulthandler.cancel_dump_traceback_later()


def _is_cover(name: str) -> bool:
    return name.startswith(("Preview of", "Wipe of"))


def _alive(widget: Any) -> bool:
    from qtpy.shiboken import isValid

    return bool(isValid(widget))


def _told(widget: Any) -> str:
    text = widget.text() if hasattr(widget, "text") else ""
    return f"{type(widget).__name__} {text or widget.toolTip()[:40]!r}"


def _point(widget: Any, rng: random.Random) -> Any:
    from qtpy.QtCore import QPoint

    return QPoint(rng.randrange(max(1, widget.width())), rng.randrange(max(1, widget.height())))


def _wheel(widget: Any, rng: random.Random) -> None:
    from qtpy.QtCore import QPoint, QPointF, Qt
    from qtpy.QtGui import QWheelEvent
    from qtpy.QtWidgets import QApplication

    at = QPointF(_point(widget, rng))
    event = QWheelEvent(
        at,
        QPointF(widget.mapToGlobal(at.toPoint())),
        QPoint(),
        QPoint(0, rng.choice((-120, 120))),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(widget, event)


def main(seconds: float, seed: int, drawn: bool) -> None:
    """Let the monkey act, and say what it did or what it broke."""
    home = own_home("napari-denoise-monkey-")
    for name in ("tmp", "in"):
        (home / name).mkdir()
    tempfile.tempdir = os.environ["TMPDIR"] = str(home / "tmp")
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(home / "cache" / "torch")  # PyTorch keeps it
    webbrowser.open = lambda *_args, **_kwargs: True  # type: ignore[assignment]
    import tifffile
    from _bench import noisy

    for number in range(3):
        tifffile.imwrite(home / "in" / f"cells {number}.tif", noisy((3, 40, 48), number))
    (home / "in" / "damaged.tif").write_bytes(b"II*\0")
    code = 0
    try:
        monkey = Monkey(seed, home, drawn)
        monkey.run(seconds)
        counts = f"{monkey.ledger.results} results, {monkey.ledger.turned} turned"
        monkey.leave()
        print(f"{seconds:.0f} s, seed {seed}: {dict(monkey.done)}; {counts}", flush=True)  # noqa: T201
    except Exception:  # noqa: BLE001 - the end of it
        code = 1
        print(f"seed {seed}\n{traceback.format_exc()}", flush=True)  # noqa: T201
    shutil.rmtree(home, ignore_errors=True)
    os._exit(code)


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]) if sys.argv[2:] else 0, "drawn" in sys.argv)
