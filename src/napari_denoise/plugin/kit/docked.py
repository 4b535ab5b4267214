"""What the dock widgets share: they stop all work at their end, and show errors one way."""

from __future__ import annotations

import weakref
from abc import abstractmethod
from collections.abc import Callable
from typing import Protocol

from napari.utils.notifications import ErrorNotification, notification_manager, show_error
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QWidget

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

    @abstractmethod
    def shut_down(self) -> None:
        """Stop all work and let go of the viewer."""

    @abstractmethod
    def stop_work(self) -> None:
        """Stop all work, touching nothing of Qt: the window may have deleted that.

        It may be called more than once.
        """

    def event(self, event: QEvent) -> bool:
        """Notice that the dock widget was closed: napari takes the parent away then.

        Qt deletes the widget, on the GUI thread. Left to Python it would lie in cycles, with all
        of its parts, until a collection on whichever thread.
        """
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.shut_down()
            self.deleteLater()
        return bool(super().event(event))

    def stop_when_deleted(self, *parts: Closable) -> None:
        """Stop work, and that of parts that may outlive the widget, when Qt deletes it."""
        self.destroyed.connect(_closer(weakref.ref(self), *parts))


def _closer(widget: weakref.ref[DockedWidget], *parts: Closable) -> Callable[[], None]:
    """Make what Qt calls when it deletes the widget; it must not keep the widget alive."""

    def close() -> None:
        alive = widget()
        if alive is not None:
            alive.stop_work()
        for part in parts:
            part.close()

    return close
