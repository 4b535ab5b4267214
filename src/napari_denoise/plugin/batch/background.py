"""A run of a batch: it may outlive the widget that began it."""

from __future__ import annotations

from typing import Any, Protocol

from napari.utils.notifications import show_info
from qtpy.QtWidgets import QApplication, QMainWindow, QMessageBox, QWidget

from napari_denoise.batch import Ended, Resume
from napari_denoise.plugin.batch.running import Asked, Control, started
from napari_denoise.plugin.kit.docked import notify
from napari_denoise.plugin.kit.workers import WorkerTask


class Listener(Protocol):
    """Shows what happens."""

    def happened(self, event: Any) -> None:
        """Show an event."""

    def failed(self, error: Exception) -> None:
        """Show why the run ended."""

    def update_state(self) -> None:
        """Follow the beginning and the end."""


class Run:
    """One batch at work in a thread.

    Parameters
    ----------
    asked, resume
        What is to be done.
    listener
        Who shows it, until `leave`.
    after
        What has to end before.
    """

    def __init__(
        self, asked: Asked, resume: Resume, listener: Listener, after: WorkerTask | None = None
    ) -> None:
        self._listener: Listener | None = listener
        self.control = Control()
        self.question: QMessageBox | None = None
        self.in_background = False
        self._task = WorkerTask(
            started,
            asked,
            self.control,
            resume,
            on_event=self._happened,
            on_error=self._failed,
            on_end=self._over,
            after=after,
        )
        QApplication.instance().aboutToQuit.connect(self.stop)

    @property
    def running(self) -> bool:
        """Whether it is at work, or paused."""
        return self._task.running

    @property
    def paused(self) -> bool:
        """Whether it is held."""
        return self.running and self.control.paused.is_set()

    def pause(self, on: bool) -> None:
        """Hold it after the tile that it is at, or let it go on."""
        (self.control.paused.set if on else self.control.paused.clear)()

    def cancel(self) -> None:
        """End it after the tile that it is at."""
        self.control.paused.clear()
        self._task.cancel()

    def stop(self) -> None:
        """End it and tell nobody."""
        self._listener = None
        self.cancel()

    def leave(self) -> None:
        """Go on without a widget."""
        self._listener, self.in_background = None, True
        self.pause(False)

    def ask(self) -> None:
        """Ask whether it is to go on; meanwhile it does."""
        box = QMessageBox(_window())
        box.setWindowTitle("Batch")
        box.setText("The batch is not finished.")
        box.setInformativeText(
            "It can keep running in the background, or stop and be resumed later."
        )
        box.addButton("Keep running in the background", QMessageBox.ButtonRole.AcceptRole)
        stop = box.addButton("Cancel the batch", QMessageBox.ButtonRole.DestructiveRole)
        stop.clicked.connect(self.cancel)
        self.question = box
        box.open()

    def _happened(self, event: Any) -> None:
        if self._listener is not None:
            self._listener.happened(event)
        elif isinstance(event, Ended) and self.in_background:
            show_info(f"Batch: {event.done} denoised, {event.failed} failed.")

    def _failed(self, error: Exception) -> None:
        if self._listener is not None:
            self._listener.failed(error)
        elif self.in_background:
            notify(error)

    def _over(self) -> None:
        QApplication.instance().aboutToQuit.disconnect(self.stop)
        if self.question is not None:
            self.question.close()
            self.question.deleteLater()
            self.question = None
        if self._listener is not None:
            self._listener.update_state()


def _window() -> QWidget | None:
    """Return a window of napari that stays when a dock closes."""
    windows = [w for w in QApplication.topLevelWidgets() if isinstance(w, QMainWindow)]
    return next((w for w in windows if w.isActiveWindow()), windows[0] if windows else None)
