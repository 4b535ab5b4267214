"""Fields of settings and their words: one source for commands, forms, errors and documentation."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import typer

from napari_denoise.cli.commands import app
from napari_denoise.settings.base import Settings
from napari_denoise.settings.denoise import MAPS, DenoiseSettings
from napari_denoise.settings.finetune import FineTuneSettings
from napari_denoise.settings.option import options_of

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("command", "settings"),
    [("denoise", DenoiseSettings), ("batch", DenoiseSettings), ("finetune", FineTuneSettings)],
)
def test_a_command_has_an_option_for_every_field_with_its_default(
    command: str, settings: type
) -> None:
    given = {each.name: each for each in COMMANDS[command].params}
    usual = settings()
    for name, told in options_of(settings).items():
        assert given[name].default == getattr(usual, name), name
        assert given[name].help == told.text


def test_only_what_a_form_alone_asks_for_has_no_words() -> None:
    assert set(options_of(DenoiseSettings)) == set(vars(DenoiseSettings()))
    assert set(vars(FineTuneSettings())) - set(options_of(FineTuneSettings)) == {
        "precision",
        "weights",
    }


@pytest.mark.parametrize("settings", [DenoiseSettings, FineTuneSettings])
def test_every_value_that_is_offered_may_be_given(settings: type[Settings]) -> None:
    for name, told in options_of(settings).items():
        for value in told.values:
            given = int(value) if value.isdigit() else value
            assert getattr(settings.parse({name: given}), name) == given


@pytest.mark.parametrize("settings", [DenoiseSettings, FineTuneSettings])
def test_a_value_that_cannot_be_is_told_what_its_field_expects(settings: type[Settings]) -> None:
    open_to_all = {"weights", "base", "recipe", "device", "noise_from", *MAPS, "align"}
    for name, told in options_of(settings).items():
        if name not in open_to_all:
            with pytest.raises(ValueError) as caught:
                settings.parse({name: "what?"})
            assert str(caught.value) == f"{name} = 'what?': expected {told.rule}"


def test_tables_of_the_documentation_say_what_the_code_says(monkeypatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "scripts")
    tables = importlib.import_module("option_tables")
    for page in tables.PAGES:
        text = page.read_text(encoding="utf-8")
        assert text.count("<!-- options of ") >= 1
        assert text == tables.filled(text), "run python scripts/option_tables.py"
