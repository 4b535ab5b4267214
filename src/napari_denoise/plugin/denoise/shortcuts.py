"""Keys for the buttons of the Denoise widget, wherever the focus is in its window."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import QWidget

KEYS = {
    "run": "Ctrl+Shift+D",
    "preview": "Ctrl+Shift+V",
    "undo": "Ctrl+Shift+X",
    "redo": "Ctrl+Shift+Y",
    "compare": "Ctrl+Shift+B",
    "wipe": "Ctrl+Shift+W",
}
"""None of them is one of napari's."""


def tip_of(name: str) -> str:
    """Name the keys of a button, as its platform writes them."""
    keys = QKeySequence(KEYS[name]).toString(QKeySequence.SequenceFormat.NativeText)
    return f" ({keys})"


def bind(panel: QWidget, actions: Mapping[str, Callable[[], None]]) -> list[QShortcut]:
    """Bind the keys of some actions in the window of a panel, while the panel is in sight."""
    made = []
    for name, action in actions.items():
        shortcut = QShortcut(QKeySequence(KEYS[name]), panel)
        shortcut.setContext(Qt.ShortcutContext.WindowShortcut)
        shortcut.setAutoRepeat(False)
        shortcut.activated.connect(action)
        made.append(shortcut)
    return made
