"""Forms and Preferences name the fields of settings as the command line does."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from qtpy.QtWidgets import QLabel

from napari_denoise.plugin.denoise.settings_form import SettingsForm
from napari_denoise.settings.denoise import DenoiseSettings
from napari_denoise.settings.noise import NoiseModel
from napari_denoise.settings.option import options_of

MANIFEST = Path(__file__).parents[3] / "napari.yaml"


@pytest.fixture
def form(qapp):
    return SettingsForm()


def test_rows_of_the_form_have_the_names_and_tips_of_their_fields(form):
    names = {label.text(): label.toolTip() for label in form.native.findChildren(QLabel)}
    shown = {
        name: told for name, told in options_of(DenoiseSettings).items() if hasattr(form, name)
    }
    assert {"strength", "realism", "neighbors", "along", "tile", "device", "dtype"} < set(shown)
    for told in [*shown.values(), *options_of(NoiseModel).values()]:
        assert names[told.label].startswith(told.help)


def test_preferences_name_the_fields_and_begin_with_their_defaults():
    page = yaml.safe_load(MANIFEST.read_text())["contributions"]["configurations"]["begin"]
    options, settings = options_of(DenoiseSettings), DenoiseSettings()
    for name in ("strength", "neighbors", "device"):
        field = page["properties"][name]
        assert field["title"].startswith(options[name].label)
        percent = 100 if name == "strength" else 1
        assert field["default"] == getattr(settings, name) * percent
    words = ["off" if value == "0" else value for value in options["neighbors"].values]
    assert page["properties"]["neighbors"]["enum"] == words
