"""The line of the wipe over the canvas, easily seen and grabbed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QEvent, QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QKeySequence, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QShortcut, QWidget

_WIDTH = 26
"""Pixels in which the mouse finds the line."""
_RADIUS = 11
_DARK, _BRIGHT = QColor(0, 0, 0), QColor(255, 255, 255)


class WipeHandle(QWidget):  # type: ignore[misc]  # Qt has no types
    """A line with a grip, bright with dark edges, on top of the canvas.

    Parameters
    ----------
    viewer
        Whose canvas.
    dragged
        Called with the share of the canvas's width that lies left of the line.
    escaped
        Called when Esc is pressed in the window.
    """

    def __init__(
        self, viewer: Any, dragged: Callable[[float], None], escaped: Callable[[], None]
    ) -> None:
        super().__init__(viewer.window._qt_viewer.canvas.native)
        self._dragged = dragged
        self.setCursor(Qt.CursorShape.SplitHCursor)
        self.setToolTip("Drag: before on the left, denoised on the right. Esc ends the wipe.")
        self.setAccessibleName("Line between before and after")
        self.setAttribute(Qt.WidgetAttribute.WA_NoSystemBackground)
        self.setStyleSheet("background: transparent;")
        self._escape = QShortcut(QKeySequence(Qt.Key.Key_Escape), self.window())
        self._escape.activated.connect(escaped)

    @property
    def canvas_width(self) -> int:
        """Of the canvas, in the pixels that the camera's zoom counts."""
        return max(int(self.parentWidget().width()), 1)

    def place(self, share: float) -> None:
        """Stand at a share of the canvas's width."""
        canvas = self.parentWidget()
        self.setGeometry(
            round(share * canvas.width()) - _WIDTH // 2, 0, _WIDTH, max(canvas.height(), 1)
        )
        self.show()
        self.raise_()

    def take_away(self) -> None:
        """Vanish, and leave the Esc key to others."""
        self._escape.setEnabled(False)
        self._escape.deleteLater()
        self.hide()
        self.deleteLater()

    def event(self, event: QEvent) -> bool:
        """Keep the mouse from the canvas below."""
        kinds = (
            QEvent.Type.MouseButtonPress,
            QEvent.Type.MouseMove,
            QEvent.Type.MouseButtonRelease,
        )
        if event.type() not in kinds:
            return bool(super().event(event))
        if event.type() == QEvent.Type.MouseMove and event.buttons() & Qt.MouseButton.LeftButton:
            canvas = self.parentWidget()
            x = self.mapToParent(event.position().toPoint()).x()
            self._dragged(min(max(x / canvas.width(), 0.0), 1.0))
        event.accept()
        return True

    def paintEvent(self, _event: Any) -> None:
        """Draw the line, and a grip with two arrows in its middle."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        x, y = _WIDTH / 2, self.height() / 2
        for colour, width in ((_DARK, 4), (_BRIGHT, 2)):
            painter.setPen(QPen(colour, width))
            painter.drawLine(QPointF(x, 0), QPointF(x, self.height()))
        painter.setPen(QPen(_DARK, 1.5))
        painter.setBrush(_BRIGHT)
        painter.drawEllipse(QRectF(x - _RADIUS, y - _RADIUS, 2 * _RADIUS, 2 * _RADIUS))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(_DARK)
        for side in (-1, 1):
            tip = [(8, 0), (3, -5), (3, 5)]
            painter.drawPolygon(QPolygonF([QPointF(x + side * a, y + b) for a, b in tip]))
        painter.end()
