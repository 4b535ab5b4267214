"""Palette, shortcuts, and the order of Tab."""

from __future__ import annotations

import pytest
from napari._app_model import get_app_model
from napari._qt.widgets.qt_command_palette import QCommandPalette
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QRadioButton, QShortcut

from napari_denoise.plugin.denoise import commands
from napari_denoise.plugin.denoise.denoise_widget import DenoiseWidget
from napari_denoise.plugin.denoise.shortcuts import KEYS
from napari_denoise.plugin.layers.source import bare


@pytest.fixture
def palette(bench):
    """The palette of the viewer's window."""
    window = bare(bench.viewer).window._qt_window
    made = QCommandPalette(window)
    made.update_context(window)
    yield made
    made.deleteLater()


def test_typing_the_name_and_enter_shows_the_panel(bench, palette):
    palette.show()
    QTest.keyClicks(palette._line, "denoise")
    QTest.keyClick(palette._line, Qt.Key.Key_Return)
    docks = bench.viewer.window.dock_widgets.values()
    assert [x for x in docks if isinstance(x, DenoiseWidget)] == [bench.widget]
    ids = {command.id for command in palette._list.all_commands}
    assert {f"napari-denoise.{name}" for name in (*KEYS, "show")} <= ids
    palette.show()
    QTest.keyClicks(palette._line, "Read with napari-denoise")  # napari's own way to read
    assert not palette._list.can_execute()


def test_commands_say_what_is_missing_or_do_it(bench, stack):
    def press(name: str) -> str:
        get_app_model().commands.execute_command(f"napari-denoise.{name}").result()
        return bench.widget.actions.status.text

    for name in KEYS:
        assert "There is no" in press(name)  # nothing is open
    layer = bench.add(stack)
    assert "denoise the selected layer first" in press("wipe")
    assert commands.show(bench.viewer) is bench.widget
    press("run")
    assert "wait for its end" in press("undo")
    bench.until(lambda: not bench.widget.runner.busy)
    done = layer.data
    for name, shown in (("compare", stack), ("compare", done), ("undo", stack), ("redo", done)):
        press(name)
        assert layer.data is shown
    press("wipe")
    assert bench.widget.looking.wipe.active
    press("undo")
    assert not bench.widget.looking.wipe.active
    press("preview")
    assert bench.widget.preview.active
    assert "not previews" in press("wipe")
    press("preview")


def test_keys_press_the_buttons_and_tooltips_name_them(bench, stack):
    layer = bench.add(stack)
    keys = {x.key().toString(): x for x in bench.widget.findChildren(QShortcut)}
    assert {"Ctrl+Alt+Z", "Ctrl+Alt+W"} < keys.keys()
    bench.run()
    keys["Ctrl+Alt+Z"].activated.emit()
    assert layer.data is stack
    for name in KEYS:
        tip = getattr(bench.widget.actions, name).tooltip
        assert f"({bench.widget.actions.keys[name]})" in tip
        assert tip.count(bench.widget.actions.keys[name]) == 1


def test_tab_goes_through_every_control_in_the_order_that_is_seen(bench, stack):
    bench.add(stack)
    bench.run()
    widget = bench.widget
    widget.form.noise.kind.value = "model"
    widget.grab()  # lays its rows out
    part, chain = widget.nextInFocusChain(), []
    while widget.isAncestorOf(part):
        if part.isVisibleTo(widget) and part.isEnabledTo(widget):
            if part.focusPolicy() & Qt.FocusPolicy.TabFocus:
                chain.append(part)
        part = part.nextInFocusChain()
    for button in ("preview", "run", "compare", "wipe", "residual", "undo", "save"):
        assert getattr(widget.actions, button).native in chain
    rows = []
    for part in chain:
        above = widget.form.native.isAncestorOf(part)  # its rows scroll behind the buttons
        at = part.mapTo(widget.form.native if above else widget, QPoint(0, part.height() // 2))
        rows.append((not above, round(at.y() / 12), at.x()))
    assert rows == sorted(rows)
    assert any(isinstance(x, QRadioButton) for x in chain)
