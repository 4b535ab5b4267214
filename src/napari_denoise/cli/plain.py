"""Errors of settings in the words of a command: the option as it was typed, and the rule."""

from __future__ import annotations

from typing import Any

from napari_denoise.settings.problems import SettingsError


def as_options(error: SettingsError) -> str:
    """Say what is wrong with settings in terms of the options that they come from."""
    return error.said(lambda problem: problem.said(_option, " ", _typed))


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _typed(value: Any) -> str:
    """As it was typed: 7 rather than 7.0."""
    if isinstance(value, (tuple, list)):
        return " ".join(map(_typed, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
