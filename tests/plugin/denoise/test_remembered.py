"""What the widget begins with: the last run on data of the same kind, and the Preferences."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import psutil
import pytest
from _bench import noisy
from npe2 import PluginManifest

from napari_denoise.plugin import preferences
from napari_denoise.plugin.denoise import last_settings
from napari_denoise.plugin.denoise.denoise_widget import DenoiseWidget
from napari_denoise.plugin.layers import history, storage


@pytest.fixture
def photo() -> np.ndarray:
    return (noisy((32, 48, 3)) // 2).astype(np.uint8)


def test_the_last_settings_come_back_for_their_kind_alone(bench, stack, photo):
    form = bench.widget.form
    bench.add(stack)
    bench.until(lambda: form.noise.known)
    form.strength.value, form.output.value = 70, "new"
    bench.run()
    bench.until(lambda: last_settings.of_kind("microscopy") != {})
    assert last_settings.of_kind("microscopy")["strength"] == 0.7
    bench.add(photo, rgb=True)
    bench.until(lambda: form.strength.value == 100)
    assert form.output.value == "in_place" and form.begun_note.text() == ""
    bench.widget.shut_down()
    again = DenoiseWidget(bench.viewer)
    bench.viewer.layers.selection.active = bench.viewer.layers[0]
    bench.until(lambda: again.form.strength.value == 70)
    assert again.form.output.value == "new"
    assert again.form.begun_note.text() == "Settings as in the last run on microscopy data."
    again.shut_down()


def test_what_was_changed_before_the_kind_is_known_stays(bench, stack):
    last_settings.file().parent.mkdir(parents=True)
    list(last_settings.remembering("microscopy", {"strength": 0.3}))
    bench.add(stack)
    bench.widget.form.strength.value = 55
    bench.until(lambda: bench.widget.form.noise.known)
    assert bench.widget.form.strength.value == 55


def test_what_cannot_be_used_any_more_is_left_out():
    path = last_settings.file()
    list(last_settings.remembering("photo", {"strength": 0.5}))
    content = json.loads(path.read_text())
    content["photo"] |= {"strength": 7, "realism": 0.2, "output": "moon", "noise": 3}
    path.write_text(json.dumps(content))
    assert last_settings.of_kind("photo") == {"realism": 0.2}
    path.write_text("{")
    assert last_settings.of_kind("photo") == {}
    list(last_settings.remembering("render", {"strength": 0.5}))
    assert last_settings.of_kind("render") == {"strength": 0.5}


@pytest.fixture
def page(plugin_settings, npe2pm):
    """The page of the Preferences, as napari makes it of the manifest."""
    from napari.settings import get_plugin_settings

    npe2pm.register(PluginManifest.from_distribution("napari-denoise"))
    return get_plugin_settings(preferences.PLUGIN)


def test_the_preferences_page_is_read(page, tmp_path, monkeypatch):
    monkeypatch.setattr(preferences, "_current", preferences.Preferences())
    assert preferences.refresh() == preferences.Preferences()  # the same defaults
    page.begin.strength, page.begin.neighbors, page.begin.output = 80, "off", "new layer"
    page.machine.undo_memory, page.machine.threads = 5, 1
    page.machine.temporary_folder = str(tmp_path)
    found = preferences.refresh()
    assert (found.strength, found.neighbors, found.output) == (80, 0, "new")
    assert history.default_budget() == int(0.05 * psutil.virtual_memory().total)
    assert storage.stores_folder() == Path(tmp_path) / "napari-denoise" / "stores"


def test_the_widget_begins_as_preferred(bench, monkeypatch):
    wanted = preferences.Preferences(strength=60, neighbors=0, output="new", undo_share=0)
    monkeypatch.setattr(preferences, "_read", lambda: wanted)
    widget = DenoiseWidget(bench.viewer)
    settings = widget.form.settings()
    assert (settings.strength, settings.neighbors) == (0.6, 0)
    assert widget.form.output.value == "new" and widget.session.history.budget == 0
    widget.shut_down()
    monkeypatch.undo()
    preferences.refresh()
