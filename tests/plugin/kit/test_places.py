"""Where things stand: buttons keep their place, text its lines, values their wheel, docks a tab."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication, QDockWidget, QLabel, QToolButton

from napari_denoise.plugin.batch.batch_widget import BatchWidget


def dock_of(widget: Any) -> QDockWidget:
    while not isinstance(widget, QDockWidget):
        widget = widget.parentWidget()
    return widget


def wheel(part: Any) -> None:
    """Turn the wheel over a part, one notch down."""
    middle = QPointF(part.rect().center())
    none, phase = Qt.MouseButton.NoButton, Qt.ScrollPhase.NoScrollPhase
    event = QWheelEvent(
        middle, part.mapToGlobal(middle), QPoint(), QPoint(0, -120), none,
        Qt.KeyboardModifier.NoModifier, phase, False,
    )  # fmt: skip
    QApplication.sendEvent(part, event)


def test_what_is_pressed_chosen_and_read_stays_in_place(bench, stack):
    widget, form = bench.widget, bench.widget.form
    bench.add(stack)
    bench.viewer.window.show()
    widget.window().resize(1280, 720)
    bench.until(lambda: form.noise.known)
    (speed,) = [b for b in widget.findChildren(QToolButton) if b.text().startswith("Speed")]
    speed.click()
    bench.qtbot.wait(100)
    run = widget.actions.run.native
    before = run.mapTo(widget, QPoint(0, 0)), form.tile.value
    widget.actions.status.say("info", "A message of several lines. " * 12)
    bench.qtbot.wait(100)
    assert run.mapTo(widget, QPoint(0, 0)) == before[0]
    for label in form.native.findChildren(QLabel):
        if label.isVisible() and label.wordWrap():
            assert label.height() >= label.heightForWidth(label.width()), label.text()
    scroll = widget._scroll.verticalScrollBar()
    scroll.setValue(0)
    wheel(form.tile.native)
    assert form.tile.value == before[1]
    assert scroll.value() > 0
    with bench.qtbot.waitActive(widget.window()):
        widget.window().activateWindow()
    form.tile.native.setFocus()
    wheel(form.tile.native)
    assert form.tile.value != before[1]


def test_a_second_dock_is_a_tab_of_the_first(bench):
    bench.viewer.window.show()
    batch = BatchWidget(bench.viewer)
    bench.viewer.window.add_dock_widget(batch, name="Batch")
    window, first = bench.widget.window(), dock_of(bench.widget)
    bench.until(lambda: dock_of(batch) in window.tabifiedDockWidgets(first))
    batch.shut_down()
