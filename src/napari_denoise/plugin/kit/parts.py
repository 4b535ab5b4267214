"""Small pieces of the widget's looks; they know nothing of layers or denoising."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from magicgui import widgets as mg
from qtpy.QtCore import QRegularExpression, QSize, Qt, QTimer
from qtpy.QtGui import QRegularExpressionValidator, QResizeEvent
from qtpy.QtWidgets import (
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_denoise.plugin.kit.colours import ROLE, SMALL
from napari_denoise.settings.option import Option

NO_PAIR = "Add a pair that fits first."
"""Why most of fine-tuning waits."""
_FRAME = 6
"""Padding that napari's style puts around a scroll area, and a little more."""
_GUARDED = "guarded"
"""Property of what leaves the wheel to the scroll area until it has the focus."""


class Text(QLabel):  # type: ignore[misc]  # Qt has no types
    """A label that wraps, can be copied from, and takes no room while empty."""

    def __init__(self, style: str = "") -> None:
        super().__init__()
        self._kept: tuple[str, int] | None = None
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.setStyleSheet(f"QLabel {{ {style} }}" if style else "")
        self.setVisible(False)

    def say(self, text: str) -> None:
        """Show a text, or nothing."""
        self.setText(text)
        self._keep_lines()
        self.setVisible(bool(text))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Follow another width."""
        super().resizeEvent(event)
        self._keep_lines()

    def _keep_lines(self) -> None:
        """Ask for the height of all lines: a form gives one label what another one needs."""
        now = self.text(), self.width()
        if now != self._kept:
            self._kept = now
            self.setMinimumHeight(0)  # else it would be asked for once more
            self.setMinimumHeight(self.heightForWidth(self.width()) if self.text() else 0)


def small_print() -> Text:
    """Make a label for what explains the control above it."""
    text = Text()
    text.setProperty(ROLE, SMALL)
    return text


def column(widget: QWidget | None = None, spacing: int = 4) -> QVBoxLayout:
    """Make a vertical layout without margins."""
    layout = QVBoxLayout(widget)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(spacing)
    return layout


def keep_height(widget: QWidget) -> None:
    """Leave spare height to others."""
    widget.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)


def row(*buttons: mg.PushButton) -> QHBoxLayout:
    """Lay buttons side by side, sharing the width."""
    layout = QHBoxLayout()
    layout.setSpacing(6)
    for button in buttons:
        layout.addWidget(button.native, 1)
    return layout


def button(text: str, tip: str) -> mg.PushButton:
    """Make a push button that Tab reaches."""
    made = mg.PushButton(text=text, tooltip=tip)
    made.native.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    made.native.setMinimumHeight(28)
    return made


def enable(made: mg.PushButton, on: bool, why_not: str) -> None:
    """Enable a button; while it is not, its tooltip begins with what is missing."""
    tip = (made.tooltip or "").removeprefix(f"{why_not} ")
    made.tooltip = tip if on else f"{why_not} {tip}"
    made.enabled = on


def beside(*widgets: QWidget) -> QWidget:
    """Put widgets in one row of a form, the first taking what room there is."""
    box = QWidget()
    layout = QHBoxLayout(box)
    layout.setContentsMargins(0, 0, 0, 0)
    for number, widget in enumerate(widgets):
        layout.addWidget(widget, int(number == 0))
    return box


def form_layout(widget: QWidget | None = None) -> QFormLayout:
    """Make rows of a name and a control, without margins."""
    layout = QFormLayout(widget)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(6)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    layout.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
    return layout


def add_row(layout: QFormLayout, label: str, widget: Any, after: QWidget | None = None) -> None:
    """Add a control, whose tooltip its name shows too; long choices do not widen the dock."""
    if isinstance(widget, mg.ComboBox):
        narrow(widget)
    name = QLabel(label)
    name.setToolTip(widget.tooltip or "")
    layout.addRow(name, widget.native if after is None else beside(widget.native, after))


def add_option(
    layout: QFormLayout, option: Option, widget: Any, after: QWidget | None = None
) -> None:
    """Add the control of a setting, with the name and the tooltip that its field has."""
    choices = {}
    if isinstance(widget, mg.ComboBox):
        choices = {value: widget.native.itemText(n) for n, value in enumerate(widget.choices)}
    widget.tooltip = option.tip(choices)
    add_row(layout, option.label, widget, after)


def percent_of(slider: mg.Slider) -> QLabel:
    """Make a label that shows a slider's value."""
    label = QLabel(f"{slider.value} %")
    label.setMinimumWidth(44)
    label.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    slider.changed.connect(lambda value: label.setText(f"{value} %"))
    return label


def narrow(combo: mg.ComboBox | QComboBox) -> None:
    """Let long choices be cut off rather than widen the dock."""
    native = getattr(combo, "native", combo)
    native.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    native.setMinimumContentsLength(8)


def only_digits(number: mg.SpinBox) -> None:
    """Let only digits be typed: its field takes a lone "-", too, and Return fails on that."""
    field = number.native.lineEdit()
    field.setValidator(QRegularExpressionValidator(QRegularExpression("[0-9]*"), field))


def flatten(choices: mg.RadioButtons) -> None:
    """Take the frame away that a group of radio buttons has."""
    choices.native.setStyleSheet("QGroupBox { border: 0; margin: 0; padding: 0; }")
    if choices.native.layout() is not None:
        choices.native.layout().setContentsMargins(0, 0, 0, 0)


class Section(QWidget):  # type: ignore[misc]  # Qt has no types
    """A heading that opens and closes what stands below it."""

    def __init__(self, title: str, body: QWidget, tip: str) -> None:
        super().__init__()
        self.button = QToolButton()
        self.button.setText(title)
        self.button.setToolTip(tip)
        self.button.setCheckable(True)
        self.button.setAutoRaise(True)
        self.button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._body = body
        layout = column(self)
        layout.addWidget(self.button)
        layout.addWidget(body)
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.timeout.connect(self._bring_into_view)
        self.button.toggled.connect(self._open)
        self._open(False)

    def _open(self, opened: bool) -> None:
        arrow = Qt.ArrowType.DownArrow if opened else Qt.ArrowType.RightArrow
        self.button.setArrowType(arrow)
        self._body.setVisible(opened)
        if opened:
            self._later.start(50)  # once the layout has made room

    def _bring_into_view(self) -> None:
        """Scroll so that what was opened is seen."""
        above = self.parentWidget()
        while above is not None and not isinstance(above, QScrollArea):
            above = above.parentWidget()
        if above is not None:
            above.ensureWidgetVisible(self, 0, 0)


class Header(QWidget):  # type: ignore[misc]  # Qt has no types
    """Which layers, and what they are."""

    def __init__(self) -> None:
        super().__init__()
        self.names = Text("font-weight: bold;")
        self.facts = small_print()
        self.note = small_print()
        layout = column(self, 2)
        for part in (self.names, self.facts, self.note):
            layout.addWidget(part)

    def show_layers(self, names: str, facts: str, note: str = "") -> None:
        """Show three lines; an empty one takes no room."""
        self.names.say(names)
        self.facts.say(facts)
        self.note.say(note)


class EmptyState(QWidget):  # type: ignore[misc]  # Qt has no types
    """What a new user sees: how to begin."""

    def __init__(self, open_sample: Callable[[], None]) -> None:
        super().__init__()
        title = Text("font-weight: bold; font-size: 12pt;")
        title.say("Open an image to begin")
        text = Text()
        text.say(
            "Drop a noisy stack, photograph or render onto the window, or use "
            "File > Open. File > Open Sample > Denoise has one of each to try."
        )
        self.sample_button = button(
            "Open a sample", "Opens a simulated fluorescence time-lapse that comes with Denoise."
        )
        self.sample_button.changed.connect(lambda: open_sample())
        layout = column(self, 10)
        layout.setContentsMargins(4, 12, 4, 12)
        for part in (title, text, self.sample_button.native):
            layout.addWidget(part)


class Status(QFrame):  # type: ignore[misc]  # Qt has no types
    """The last message, with a stripe that tells its kind, and a button where one helps."""

    def __init__(self, remedy: mg.PushButton) -> None:
        super().__init__()
        self.kind = ""
        self._text = Text()
        self._remedy = remedy.native
        self.setObjectName("status")
        keep_height(self)
        layout = column(self, 6)
        layout.setContentsMargins(8, 4, 4, 4)
        layout.addWidget(self._text)
        layout.addWidget(self._remedy)
        self.clear()

    @property
    def text(self) -> str:
        """What it says now."""
        return str(self._text.text())

    def say(self, kind: str, text: str, remedy: bool = False) -> None:
        """Show a message of a kind in `colours.KINDS`."""
        self.kind = kind
        self._text.say(text)
        self._remedy.setVisible(remedy)
        self.setProperty(ROLE, kind)
        self.style().unpolish(self)  # the stripe is that of another kind
        self.style().polish(self)
        self.setVisible(bool(text))

    def withdraw_remedy(self) -> None:
        """Clear a message whose button no longer fits the state."""
        if not self._remedy.isHidden():
            self.clear()

    def clear(self) -> None:
        """Show nothing."""
        self.say("info", "")


class FittingScroll(QScrollArea):  # type: ignore[misc]  # Qt has no types
    """Takes the height of its content where there is room, and scrolls only downwards."""

    def __init__(self, content: QWidget) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.timeout.connect(self._fit)
        self.setWidget(content)
        content.installEventFilter(self)

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Follow the content's wish for another height, and keep the wheel from values."""
        if event.type() == event.Type.Wheel and not watched.hasFocus():
            event.ignore()  # so it scrolls
            return True
        if watched is self.widget() and event.type() in (event.Type.LayoutRequest, event.Type.Resize):
            self.updateGeometry()
            self._later.start()  # and once more when text has wrapped at its width
        return bool(super().eventFilter(watched, event))

    def _fit(self) -> None:
        """Keep the height that wrapped text takes at this width, else it is cut off."""
        self._leave_the_wheel()
        content = self.widget()
        if content.hasHeightForWidth():
            height = content.heightForWidth(self.viewport().width())
            height = max(height, content.layout().minimumSize().height())
            if height != content.minimumHeight():
                content.setMinimumHeight(height)
        self.updateGeometry()

    def _leave_the_wheel(self) -> None:
        """Let the wheel scroll where it would change a value that nobody chose."""
        for kind in (QComboBox, QAbstractSpinBox, QAbstractSlider):
            for part in self.widget().findChildren(kind):
                if part.parent() is not None and not part.property(_GUARDED):
                    part.setProperty(_GUARDED, True)
                    part.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
                    part.installEventFilter(self)

    def sizeHint(self) -> QSize:
        """Return the content's own size."""
        content = self.widget()
        width = max(self.viewport().width(), content.minimumSizeHint().width())
        height = content.heightForWidth(width) if content.hasHeightForWidth() else -1
        wanted = max(height, content.sizeHint().height())
        return QSize(content.sizeHint().width(), wanted + _FRAME)

    def minimumSizeHint(self) -> QSize:
        """Never narrower than the content beside its scroll bar; a few rows high."""
        bar = self.verticalScrollBar().sizeHint().width()
        return QSize(self.widget().minimumSizeHint().width() + bar, 120)
