"""The line of the wipe, over the canvas: dragged with the mouse or moved with the arrow keys."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QPointF, QRectF, Qt, Signal
from qtpy.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QLabel, QWidget

_WIDTH, _GRIP = 32, 11
_STEP, _FAR = 2, 25
"""Pixels for an arrow key, without and with Shift."""
_GAP = 8
_LIGHT, _DARK = QColor(255, 255, 255), QColor(0, 0, 0, 170)
_LABEL = (
    "background: rgba(0, 0, 0, 170); color: white; border-radius: 3px; padding: 2px 6px; "
    "font-size: 9pt;"
)
TIP = (
    "Drag the line: the original is on its left, the result on its right. "
    "Arrow keys move it, Esc ends the wipe."
)


class WipeHandle(QWidget):  # type: ignore[misc]  # Qt has no types
    """A line from top to bottom of a canvas, with a grip, and a word on either side.

    It keeps its share of the width when the canvas changes its size.

    Parameters
    ----------
    canvas
        The widget that shows the layers.

    Signals
    -------
    moved : ()
        The line is elsewhere.
    left : ()
        Esc was pressed.
    """

    moved = Signal()
    left = Signal()

    def __init__(self, canvas: QWidget) -> None:
        super().__init__(canvas)
        self._share, self._from = 0.5, 0.0
        self._labels = [QLabel(text, canvas) for text in ("Before", "After")]
        for label in self._labels:
            label.setStyleSheet(_LABEL)
            label.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
            label.adjustSize()
        self.setCursor(Qt.CursorShape.SplitHCursor)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Wipe line")
        self.setToolTip(TIP)
        canvas.installEventFilter(self)
        self._place()
        for part in (*self._labels, self):
            part.show()
            part.raise_()
        self.setFocus()

    @property
    def x_of_line(self) -> float:
        """Distance of the line from the left edge of the canvas, in its pixels."""
        return self._share * float(self.parentWidget().width())

    def move_to(self, x: float) -> None:
        """Put the line somewhere, at most at an edge of the canvas."""
        width = max(self.parentWidget().width(), 1)
        self._share = min(max(x / width, 0.0), 1.0)
        self._place()
        self.moved.emit()

    def take_away(self) -> None:
        """Remove line and words."""
        self.parentWidget().removeEventFilter(self)
        for part in (*self._labels, self):
            part.hide()
            part.deleteLater()

    def _place(self) -> None:
        canvas, x = self.parentWidget(), round(self.x_of_line)
        self.setGeometry(x - _WIDTH // 2, 0, _WIDTH, canvas.height())
        before, after = self._labels
        before.move(x - _GAP - before.width(), _GAP)
        after.move(x + _GAP, _GAP)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Follow the size of the canvas."""
        if event.type() == QEvent.Type.Resize and watched is self.parentWidget():
            self._place()
            self.moved.emit()
        return False

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Begin to drag, wherever the line was grabbed."""
        self._from = event.position().x() - _WIDTH / 2

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Drag the line."""
        if event.buttons() & Qt.MouseButton.LeftButton:
            self.move_to(self.x() + event.position().x() - self._from)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Move with the arrow keys, end with Esc."""
        step = _FAR if event.modifiers() & Qt.KeyboardModifier.ShiftModifier else _STEP
        moves = {Qt.Key.Key_Left: -step, Qt.Key.Key_Right: step}
        if event.key() == Qt.Key.Key_Escape:
            self.left.emit()
        elif event.key() in moves:
            self.move_to(self.x_of_line + moves[Qt.Key(event.key())])
        else:
            super().keyPressEvent(event)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw a light line with a dark rim, to be seen on every image."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        middle, height = _WIDTH / 2, self.height()
        for colour, width in ((_DARK, 4.0), (_LIGHT, 2.0)):
            painter.setPen(QPen(colour, width))
            painter.drawLine(QPointF(middle, 0), QPointF(middle, height))
        centre = QPointF(middle, height / 2)
        painter.setPen(QPen(_DARK, 1.5))
        painter.setBrush(_LIGHT)
        painter.drawEllipse(QRectF(centre.x() - _GRIP, centre.y() - _GRIP, 2 * _GRIP, 2 * _GRIP))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(40, 40, 40))
        for side in (-1, 1):
            tip, back = side * (_GRIP - 3), side * 2.5
            corners = [(tip, 0), (back, -4), (back, 4)]
            painter.drawPolygon(QPolygonF([centre + QPointF(x, y) for x, y in corners]))
        painter.end()
