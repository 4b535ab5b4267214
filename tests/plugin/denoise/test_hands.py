"""Command palette, keys, the order of Tab, Adapt, and a window that is closed over work."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from _bench import Bench, noisy
from napari._app_model import get_app_model  # the palette has no other door
from napari._qt.widgets.qt_command_palette import QCommandPalette
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QCloseEvent, QKeySequence
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QMessageBox

from napari_denoise.plugin import commands
from napari_denoise.plugin.denoise.actions import NEEDS_FRAMES
from napari_denoise.plugin.denoise.denoise_widget import DenoiseWidget
from napari_denoise.plugin.denoise.shortcuts import KEYS
from napari_denoise.plugin.finetune.finetune_widget import FineTuneWidget
from napari_denoise.plugin.layers.source import bare


def execute(name: str) -> None:
    """Choose a command in the palette."""
    get_app_model().commands.execute_command(f"napari-denoise.{name}").result()


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    texts: list[str] = []
    monkeypatch.setattr(commands, "_say", texts.append)
    return texts


def test_the_palette_opens_the_widget_and_says_what_is_missing(make_napari_viewer_proxy, said):
    viewer = make_napari_viewer_proxy()
    for name in KEYS:
        execute(name)
    assert len(said) == len(KEYS) and commands.NO_IMAGE in said
    (panel,) = viewer.window.dock_widgets.values()
    panel.shut_down()


def test_the_name_and_enter_in_the_palette_open_the_widget(make_napari_viewer_proxy):
    viewer = make_napari_viewer_proxy()
    palette = QCommandPalette(bare(viewer).window._qt_window)
    palette.show()
    QTest.keyClicks(palette._line, "denoise")
    QTest.keyClick(palette._line, Qt.Key.Key_Return)
    (panel,) = viewer.window.dock_widgets.values()
    assert isinstance(panel, DenoiseWidget)
    panel.shut_down()


def test_the_palette_does_not_offer_what_only_napari_can_call(make_napari_viewer_proxy):
    make_napari_viewer_proxy()
    menus = get_app_model().menus
    offered = {item.command.id: item.command for item in menus.get_menu(menus.COMMAND_PALETTE_ID)}
    for name in ("read", "write"):
        assert str(offered[f"napari-denoise.{name}"].enablement) == "False"
    assert offered["napari-denoise.run"].enablement is None


def test_every_command_does_what_its_button_does(bench: Bench, stack, said):
    layer = bench.add(stack)
    execute("run")
    bench.until(lambda: not bench.widget.runner.busy)
    result = layer.data
    assert result is not stack
    execute("compare")
    assert layer.data is stack
    execute("compare")
    assert layer.data is result
    execute("undo")
    assert layer.data is stack
    execute("redo")
    assert layer.data is result
    execute("wipe")
    assert bench.widget.looking.wipe.active
    execute("wipe")
    execute("preview")
    bench.preview_done()
    execute("preview")
    assert not bench.widget.preview.active and said == []


def test_keys_work_wherever_the_focus_is_and_are_named_in_tooltips(bench: Bench, stack):
    layer = bench.add(stack)
    bench.viewer.window.show()
    bench.widget.form.noise.kind.native.setFocus()
    window = bench.widget.window()
    with bench.qtbot.waitActive(window):
        window.activateWindow()
    shift = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
    press = partial(QTest.keyClick, window, modifier=shift)
    press(Qt.Key.Key_D)
    bench.until(lambda: layer.data is not stack and not bench.widget.runner.busy)
    press(Qt.Key.Key_X)
    bench.until(lambda: layer.data is stack)
    for name, keys in KEYS.items():
        shown = QKeySequence(keys).toString(QKeySequence.SequenceFormat.NativeText)
        assert shown in getattr(bench.widget.actions, name).tooltip


def test_tab_goes_from_top_to_bottom_and_reaches_every_button(bench: Bench, stack):
    bench.add(stack)
    bench.viewer.window.show()
    with bench.qtbot.waitActive(bench.widget.window()):
        bench.widget.window().activateWindow()
    bench.run()
    bench.widget.form.weights.native.setFocus()
    form, actions = bench.widget.form.native, bench.widget.actions
    wanted = {n for n in (*KEYS, "save", "adapt", "residual") if getattr(actions, n).enabled}
    places, reached = [], set()
    for _ in range(60):
        focus = QApplication.focusWidget()
        if not bench.widget.isAncestorOf(focus):
            break
        part = form if form.isAncestorOf(focus) else actions  # the form scrolls
        places.append((part is actions, focus.mapTo(part, focus.rect().center()).y()))
        reached |= {n for n in wanted if getattr(actions, n).native is focus}
        QTest.keyClick(focus, Qt.Key.Key_Tab)
    assert reached == wanted
    assert all(after >= (last, y - 8) for (last, y), after in pairwise(places)), places


def test_adapt_opens_fine_tune_with_the_stack_and_says_why_not(bench: Bench, stack):
    single = bench.add(noisy((40, 56)), name="single")
    adapt = bench.widget.actions.adapt
    assert not adapt.enabled and adapt.tooltip.startswith(NEEDS_FRAMES)
    layer = bench.add(stack, name="film")
    assert adapt.enabled and not adapt.tooltip.startswith(NEEDS_FRAMES)
    adapt.native.click()
    (tuning,) = (
        w for w in bench.viewer.window.dock_widgets.values() if isinstance(w, FineTuneWidget)
    )
    bench.until(lambda: not tuning.pairs.busy)
    assert [entry.layer for entry in tuning.pairs.entries] == [layer]
    assert tuning.pairs.kind.value == "stack" and not tuning.busy
    bench.viewer.layers.selection.active = single
    assert not adapt.enabled
    tuning.shut_down()


class ByHand(QCloseEvent):
    """What the window system sends; Qt lets nobody else mark an event so."""

    def spontaneous(self) -> bool:
        return True


def test_a_window_closed_by_hand_over_a_run_asks_first(bench: Bench):
    bench.add(np.tile(noisy((1, 256, 256)), (6, 1, 1)), name="film")
    bench.viewer.window.show()
    bench.start()
    asked: list[str] = []

    def answer(role: QMessageBox.ButtonRole) -> None:
        box = QApplication.activeModalWidget()
        asked.append(box.text())
        next(b for b in box.buttons() if box.buttonRole(b) == role).click()

    window = bench.widget.window()
    QTimer.singleShot(200, lambda: answer(QMessageBox.ButtonRole.RejectRole))
    QApplication.sendEvent(window, ByHand())
    assert window.isVisible() and "film" in asked[0]
    bench.widget.actions.cancel.native.click()
    bench.until(lambda: not bench.widget.runner.busy)
    assert len(asked) == 1
