"""A window that is closed while work is at hand asks first."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QMainWindow, QMessageBox, QWidget

Work = Callable[[], str]
"""Says what is lost when the window is closed now; empty for nothing."""


class _Guard(QObject):  # type: ignore[misc]  # Qt has no types
    """Watches one window."""

    def __init__(self, window: QMainWindow) -> None:
        super().__init__(window)
        self.works: weakref.WeakKeyDictionary[Any, Work] = weakref.WeakKeyDictionary()
        window.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Ask where somebody closes the window; a program that closes it knows what it does."""
        if event.type() != QEvent.Type.Close or not event.spontaneous():
            return False
        texts = [text for work in list(self.works.values()) if (text := work())]
        if not texts or self._may_close(watched, "\n".join(texts)):
            return False
        event.ignore()
        return True

    def _may_close(self, window: QWidget, text: str) -> bool:
        box = QMessageBox(window)
        box.setWindowTitle("Close napari?")
        box.setIcon(QMessageBox.Icon.Question)
        box.setText(text)
        close = box.addButton("Close", QMessageBox.ButtonRole.DestructiveRole)
        stay = box.addButton("Stay", QMessageBox.ButtonRole.RejectRole)
        box.setDefaultButton(stay)
        box.setEscapeButton(stay)
        box.exec()
        return box.clickedButton() is close


def guard(panel: QWidget, owner: Any, work: Work) -> None:
    """Let the window of a panel ask before it closes over work.

    Parameters
    ----------
    panel
        In the window; nothing happens where it is in none yet.
    owner
        Whose work it is; the guard ends with it.
    work
        Must not keep the owner alive.
    """
    window: Any = panel
    while window is not None and not isinstance(window, QMainWindow):
        window = window.parent()
    if window is None:
        return
    found = window.findChild(_Guard) or _Guard(window)
    found.works[owner] = work
