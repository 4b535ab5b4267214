"""Things that happen while a run is at work."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref

import numpy as np
import pytest
from _bench import noisy
from napari.components import ViewerModel
from napari.utils import progress
from npe2 import PluginManifest

from napari_denoise import NoiseModel
from napari_denoise.plugin.denoise.denoise_widget import DenoiseWidget
from napari_denoise.plugin.denoise.session import session_of


@pytest.fixture
def long_stack() -> np.ndarray:
    return noisy((150, 96, 96))


def test_cancel_leaves_the_layer_as_it_was(bench, long_stack):
    layer = bench.add(long_stack)
    bench.start()
    bench.widget.actions.cancel.native.click()
    bench.until(lambda: not bench.widget.runner.busy)
    assert layer.data is long_stack and layer.metadata == {}
    assert "Cancelled" in bench.widget.actions.status.text
    assert bench.widget.actions.run.native.isVisibleTo(bench.widget)


def test_a_second_run_is_refused_while_one_works(bench, long_stack):
    bench.add(long_stack)
    bench.start()
    bench.widget.run()
    assert "at work already" in bench.widget.actions.status.text
    assert bench.widget.runner.busy


def test_the_result_of_a_removed_layer_is_dropped_with_a_notice(bench, long_stack):
    layer = bench.add(long_stack, name="gone")
    kept = bench.add(noisy((2, 24, 32)), name="kept")
    bench.viewer.layers.selection = {layer, kept}
    bench.start()
    bench.viewer.layers.remove(layer)
    bench.until(lambda: not bench.widget.runner.busy)
    assert layer.data is long_stack
    assert (
        "gone" in bench.widget.actions.status.text and "dropped" in bench.widget.actions.status.text
    )
    assert "napari_denoise" in kept.metadata


def test_replaced_data_stay_and_the_result_is_a_new_layer(bench, long_stack):
    layer = bench.add(long_stack[:40], name="cells")
    other = np.zeros_like(layer.data)
    bench.start()
    layer.data = other
    bench.until(lambda: not bench.widget.runner.busy)
    assert layer.data is other
    assert bench.images()[1].name == "cells (denoised)"
    assert "changed meanwhile" in bench.widget.actions.status.text


def test_data_edited_in_place_stay_and_the_result_is_a_new_layer(bench, long_stack):
    data = long_stack[:40].copy()
    layer = bench.add(data, name="cells")
    bench.start()
    data[0, 3, 5] = 7
    layer.refresh()
    bench.until(lambda: not bench.widget.runner.busy)
    assert layer.data is data and data[0, 3, 5] == 7
    assert bench.images()[1].name == "cells (denoised)"


def test_looking_at_other_frames_is_not_a_change(bench, long_stack):
    layer = bench.add(long_stack[:40])
    data = layer.data
    bench.start()
    bench.viewer.dims.set_current_step(0, 7)
    layer.contrast_limits = (100, 200)
    bench.until(lambda: not bench.widget.runner.busy)
    assert layer.data is not data and len(bench.images()) == 1


def test_a_layer_locked_meanwhile_gets_its_result_beside_it(bench, long_stack):
    layer = bench.add(long_stack[:40])
    data = layer.data
    bench.start()
    layer.locked = True
    bench.until(lambda: not bench.widget.runner.busy)
    assert layer.data is data and len(bench.images()) == 2


def test_closing_the_dock_while_a_run_works_asks_and_may_cancel_it(bench, long_stack):
    layer = bench.add(long_stack, name="cells")
    bench.start()
    bench.viewer.window.remove_dock_widget(bench.widget)
    session = bench.widget.session
    box = session.question.box
    bench.until(box.isVisible)
    assert "cells" in box.text() and session.runner.busy
    session.question.stop.click()
    bench.until(lambda: not session.runner.busy)
    assert layer.data is long_stack


def test_a_panel_that_is_opened_again_finds_everything(bench, long_stack):
    layer = bench.add(long_stack[:60])
    bench.widget.form.strength.value = 80
    bench.start()
    bench.viewer.window.remove_dock_widget(bench.widget)
    session = bench.widget.session
    again = DenoiseWidget(bench.viewer)
    bench.viewer.window.add_dock_widget(again, name="Denoise")
    assert session.question.box is None  # there is nothing to decide any more
    assert again.actions.cancel.native.isVisibleTo(again)
    assert again.actions.note.text() == session.runner.progress[0] != ""
    assert again.form.strength.value == 80 and again.form.noise.note.text() == ""
    bench.until(lambda: not session.runner.busy)
    assert layer.data is not long_stack and again.actions.status.kind == "good"
    bench.viewer.window.remove_dock_widget(again)
    last = DenoiseWidget(bench.viewer)
    bench.viewer.window.add_dock_widget(last, name="Denoise")
    for button in (last.actions.compare, last.actions.residual):
        assert button.native.isEnabled()
    last.actions.undo.native.click()
    assert np.shares_memory(layer.data, long_stack)
    last.shut_down()


def test_what_ended_in_the_background_is_said_by_the_next_panel(bench, long_stack):
    bench.add(long_stack[:30], name="cells")
    bench.start()
    bench.viewer.window.remove_dock_widget(bench.widget)
    session = bench.widget.session
    bench.until(lambda: not session.runner.busy)
    assert session.question.box is None
    last = DenoiseWidget(bench.viewer)
    assert "Denoised: cells" in last.actions.status.text
    last.shut_down()


def test_a_session_ends_with_its_viewer(bench):
    alive = weakref.ref(session_of(bench.viewer))
    assert session_of(bench.viewer) is bench.widget.session is alive()
    model = ViewerModel()
    other = weakref.ref(session_of(model))
    del model
    gc.collect()
    assert other() is None


def test_closing_the_dock_takes_a_preview_away(bench, long_stack):
    layer = bench.add(long_stack)
    bench.preview()
    bench.viewer.window.remove_dock_widget(bench.widget)
    assert bench.images() == [layer]


def test_closing_the_window_while_a_run_works_raises_nothing(bench, long_stack, capsys):
    bench.add(long_stack)
    bench.start()
    bench.viewer.close()
    bench.qtbot.wait(300)
    assert "Traceback" not in capsys.readouterr().err


def test_a_run_shows_in_naparis_activity_and_can_be_cancelled_there(bench, long_stack):
    layer = bench.add(long_stack)
    bench.start()
    (bar,) = progress._all_instances
    assert layer.name in bar.desc
    bar.cancel()
    bench.until(lambda: not bench.widget.runner.busy)
    assert layer.data is long_stack
    assert not progress._all_instances


def test_the_manifest_puts_the_widget_into_the_layers_menu():
    manifest = PluginManifest.from_distribution("napari-denoise")
    (widget,) = [w for w in manifest.contributions.widgets if w.display_name == "Denoise"]
    menu = manifest.contributions.menus["napari/layers/filter"]
    assert widget.command in [item.command for item in menu]
    assert manifest.contributions.widgets and widget.get_callable() is DenoiseWidget


def test_an_empty_viewer_says_how_to_begin(bench):
    assert bench.widget.empty.isVisibleTo(bench.widget)
    assert not bench.widget.actions.run.native.isVisibleTo(bench.widget)
    bench.add(noisy((24, 32)))
    assert not bench.widget.empty.isVisibleTo(bench.widget)


def test_the_noise_estimate_appears_by_itself(bench, long_stack):
    bench.add(long_stack[:8])
    bench.until(lambda: "gain" in bench.widget.form.noise.note.text())
    assert "“Tiny”" in bench.widget.form.picked.text()
    assert bench.widget.form.noise.gain.value == pytest.approx(3, rel=0.3)


def test_the_users_own_figures_start_from_a_negative_of_light_too(bench):
    form = bench.widget.form
    found = NoiseModel(gain=2, offset=300, read_noise=3, inverted=True)
    form.noise.suggest(found, 3.0)
    form.noise.kind.value = "model"
    assert form.settings().noise == found


def test_the_window_and_the_widget_open_without_pytorch_on_the_main_thread():
    code = """
import builtins, sys, threading
plain = builtins.__import__
def watched(name, *args, **kwargs):
    if name.split(".")[0] == "torch" and threading.current_thread() is threading.main_thread():
        raise SystemExit("torch on the main thread")
    return plain(name, *args, **kwargs)
builtins.__import__ = watched
import napari
from qtpy.QtTest import QTest
viewer = napari.Viewer(show=False)
_, widget = viewer.window.add_plugin_dock_widget("napari-denoise", "Denoise")
for _ in range(6000):
    QTest.qWait(50)
    if widget.form.device.choices[1:]:
        break
assert "torch" in sys.modules
print("fine")
viewer.close()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)
    assert done.stdout.strip() == "fine", done.stderr
