"""What the dock widgets share: they stop all work at their end, and show errors one way."""

from __future__ import annotations

import weakref
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Protocol

from napari.utils.notifications import ErrorNotification, notification_manager, show_error
from qtpy.QtCore import QEvent
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_denoise.plugin.kit.closing import Work, guard
from napari_denoise.plugin.kit.colours import colours

EXPECTED = (ValueError, OSError, MemoryError)
"""What data, settings, disk and memory may cause: the message says what to do."""


def notify(error: Exception) -> None:
    """Show an error; one that nobody expected with its traceback, to be reported."""
    if isinstance(error, EXPECTED):
        show_error(str(error))
    else:
        notification_manager.dispatch(ErrorNotification(error))


class Closable(Protocol):
    """A part of a widget that works in the background."""

    def close(self) -> None:
        """Stop its work, touching nothing of Qt."""


class DockedWidget(QWidget):  # type: ignore[misc]  # Qt has no types
    """A widget for a dock that has work to stop at its end."""

    def __init__(self) -> None:
        super().__init__()
        # Else napari puts a stretch below, and buttons at the lower end move with every message.
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)

    @abstractmethod
    def shut_down(self) -> None:
        """Stop all work and let go of the viewer."""

    @abstractmethod
    def stop_work(self) -> None:
        """Stop all work, touching nothing of Qt: the window may have deleted that.

        It may be called more than once.
        """

    def dock_closed(self) -> None:
        """Follow the end of the dock: Qt deletes the widget, on the GUI thread.

        Left to Python it would lie in cycles, with all of its parts, until a collection on
        whichever thread.
        """
        self.shut_down()
        self.deleteLater()

    def at_work(self) -> str:
        """Tell what closing napari now would cut off; empty for nothing."""
        return ""

    def showEvent(self, event: QShowEvent) -> None:
        """Have the window that it is docked in ask before it closes over work."""
        super().showEvent(event)
        guard(self, self, _told_by(weakref.ref(self)))

    def paint(self, theme: str, main: Sequence[QWidget] = ()) -> None:
        """Take the colours of a theme, on all that is small print, a message or a main action.

        Parameters
        ----------
        theme
            Its name.
        main
            Buttons of the main action, which stand out.
        """
        colours.take(theme)
        self.setStyleSheet(colours.style() + self.own_style)
        for button in main:
            button.setStyleSheet(colours.main_action())

    own_style = ""
    """Rules of a widget besides those that all share."""

    def event(self, event: QEvent) -> bool:
        """Notice that the dock widget was closed: napari takes the parent away then."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.dock_closed()
        return bool(super().event(event))

    def stop_when_deleted(self, *parts: Closable) -> None:
        """Stop work, and that of parts that may outlive the widget, when Qt deletes it."""
        self.destroyed.connect(_closer(weakref.ref(self), *parts))


def _told_by(widget: weakref.ref[DockedWidget]) -> Work:
    def work() -> str:
        alive = widget()
        return "" if alive is None else alive.at_work()

    return work


def _closer(widget: weakref.ref[DockedWidget], *parts: Closable) -> Callable[[], None]:
    """Make what Qt calls when it deletes the widget; it must not keep the widget alive."""

    def close() -> None:
        alive = widget()
        if alive is not None:
            alive.stop_work()
        for part in parts:
            part.close()

    return close
