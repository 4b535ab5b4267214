"""What the keyboard does: keys of the panel's buttons, and what is missing where one cannot act."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QShortcut, QWidget

from napari_denoise.plugin.denoise.actions import Actions

KEYS = {
    "run": "Ctrl+Alt+Return",
    "preview": "Ctrl+Alt+V",
    "undo": "Ctrl+Alt+Z",
    "redo": "Ctrl+Alt+Y",
    "compare": "Ctrl+Alt+C",
    "wipe": "Ctrl+Alt+W",
}
"""Key of each button, by its name in `Actions`."""

_NO_IMAGE = "There is no image to denoise: open one, or select an image layer in the list."
_NO_RESULT = "There is no result to look at: denoise the selected layer first, with Run."
_WHY_NOT = {
    "run": _NO_IMAGE,
    "preview": _NO_IMAGE,
    "undo": "There is nothing to undo.",
    "redo": "There is nothing to redo.",
    "compare": _NO_RESULT,
    "wipe": _NO_RESULT,
}
_RUNNING = "A run is at work: wait for its end, or press Cancel."
_PREVIEWED = "The wipe parts results, not previews: switch the preview off, and press Run."


def press(actions: Actions, name: str) -> None:
    """Press a button as the mouse does; say what is missing where it cannot be pressed.

    Compare, which the mouse holds, changes between original and result.
    """
    native = getattr(actions, name).native
    if native.isHidden() or not native.isEnabled():
        actions.status.say("info", _why_not(actions, name))
    elif name != "compare":
        native.click()
    elif native.isDown():
        native.setDown(False)
        native.released.emit()
    else:
        native.setDown(True)
        native.pressed.emit()


def _why_not(actions: Actions, name: str) -> str:
    if not actions.cancel.native.isHidden() and name in ("run", "preview", "undo", "redo"):
        return _RUNNING
    if name == "wipe" and actions.preview.native.isChecked():
        return _PREVIEWED
    return _WHY_NOT[name]


def bind(panel: QWidget, actions: Actions) -> list[Any]:
    """Let keys press the buttons of a panel while it is in view, and tooltips name them."""
    made = []
    for name, key in KEYS.items():
        sequence = QKeySequence(key)
        shortcut = QShortcut(sequence, panel)
        shortcut.setContext(Qt.ShortcutContext.WindowShortcut)
        shortcut.setAutoRepeat(False)
        shortcut.activated.connect(lambda name=name: press(actions, name))
        actions.keys[name] = sequence.toString(QKeySequence.SequenceFormat.NativeText)
        button = getattr(actions, name)
        button.tooltip = f"{button.tooltip} ({actions.keys[name]})"
        made.append(shortcut)
    return made
