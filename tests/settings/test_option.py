"""Fields of settings and their words: one source for commands, forms, errors and documentation."""

from __future__ import annotations

import dataclasses

import pytest
import typer

from napari_denoise.cli.commands import app
from napari_denoise.settings.denoise import DenoiseSettings
from napari_denoise.settings.denoise_fields import DenoiseFields
from napari_denoise.settings.option import options_of

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", ["denoise", "batch"])
def test_a_command_has_an_option_for_every_field_with_its_default(command: str) -> None:
    given = {each.name: each for each in COMMANDS[command].params}
    for field in dataclasses.fields(DenoiseSettings):
        assert given[field.name].default == field.default, field.name
        assert given[field.name].help == options_of(DenoiseFields)[field.name].text


@pytest.mark.parametrize("name", options_of(DenoiseFields))
def test_every_value_that_is_offered_may_be_given(name: str) -> None:
    for value in options_of(DenoiseFields)[name].values:
        given = int(value) if value.isdigit() else value
        assert getattr(DenoiseSettings.parse({name: given}), name) == given
