"""The question that closing a panel leaves behind while a run is at work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtWidgets import QMessageBox, QWidget


class Question:
    """Keep running in the background, or cancel? Until somebody answers, the run goes on.

    Parameters
    ----------
    names
        Of the layers at work.
    cancel
        Called where that is the answer.
    parent
        The window to ask in.
    """

    def __init__(self, names: str, cancel: Callable[[], None], parent: QWidget | None) -> None:
        self._cancel = cancel
        self.box: Any = QMessageBox(parent)
        self.box.setWindowTitle("Denoise")
        self.box.setIcon(QMessageBox.Icon.Question)
        self.box.setText(f"{names} is still being denoised.")
        self.box.setInformativeText(
            "In the background the result arrives in its layer all the same. Open Denoise again "
            "to watch it, and to undo it."
        )
        self.stay = self.box.addButton(
            "Keep running in the background", QMessageBox.ButtonRole.AcceptRole
        )
        self.stop = self.box.addButton("Cancel the run", QMessageBox.ButtonRole.RejectRole)
        self.box.setDefaultButton(self.stay)
        self.box.setEscapeButton(self.stay)
        self.box.buttonClicked.connect(self._answered)
        self.box.finished.connect(self._over)
        self.box.destroyed.connect(self._gone)

    def show(self) -> None:
        """Ask, without holding anything up."""
        if self.box is not None:
            self.box.open()

    def withdraw(self) -> None:
        """Take the question back: there is nothing to decide any more."""
        if self.box is not None:
            self.box.done(0)
            self._over()

    def _answered(self, button: Any) -> None:
        if button is self.stop:
            self._cancel()

    def _over(self, _result: int = 0) -> None:
        box, self.box = self.box, None
        if box is not None:
            box.deleteLater()

    def _gone(self) -> None:
        self.box = None
