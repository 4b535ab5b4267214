"""Errors of settings in plain words: the option, its value, and the rule."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_RULES = {
    "strength": "a number from 0 (changes nothing) to 1 (denoises fully)",
    "realism": "a number from 0 (faithful, for measurements) to 1 (crisp)",
    "tile": "auto, or a whole number of pixels, 16 or more",
    "neighbors": "auto, or a whole number of frames on each side, 0 (each by itself) to 4",
    "along": "auto, T or Z",
    "mapping": "auto, affine, anscombe or log",
    "precision": "auto, float32, bfloat16 or float16",
    "engine": "torch",
    "dtype": "same or float32",
    "intensity_range": "two numbers, LOW below HIGH",
}
_PHRASES = (
    (r"Input should be a valid (?:integer|int).*", "expected a whole number"),
    (r"Input should be a valid number.*", "expected a number"),
    (r"Input should be a valid boolean.*", "expected true or false"),
    (r"Input should be a valid string", "expected text in quotes"),
    (r"Input should be a valid (?:tuple|list)", "expected a list in [ ]"),
    (r"Input should be a (?:valid )?dictionary.*", "expected a section of settings"),
    (r"Input should be ", "expected "),
    (r"greater than or equal to (\S+)", r"\1 or more"),
    (r"less than or equal to (\S+)", r"\1 or less"),
    (r"greater than (\S+)", r"more than \1"),
    (r"Unexpected keyword argument", "there is no such setting"),
    (r"(?:Field required|Missing required \w+ ?\w*)", "it is missing"),
)


def plain(text: str) -> str:
    """Replace the phrases of the library that checks settings, line by line."""
    lines = text.split("\n")
    for phrase, words in _PHRASES:
        lines = [re.sub(phrase, words, line) for line in lines]
    return "\n".join(lines)


def as_options(error: ValueError, values: Mapping[str, Any]) -> str:
    """Say an error of `DenoiseSettings` in terms of the options of the command.

    Parameters
    ----------
    error
        One line per field, each beginning with its name.
    values
        What the options gave.
    """
    return "\n".join(_line(line, values) for line in str(error).split("\n"))


def _line(line: str, values: Mapping[str, Any]) -> str:
    found = re.match(r"\w+", line)
    name = found.group() if found and found.group() in values else ""
    option = f"--{name.replace('_', '-')}"
    if name in _RULES:
        return f"{option} {_shown(values[name])}: expected {_RULES[name]}"
    return plain(re.sub(rf"^{name}(?: =)?", option, line) if name else line)


def _shown(value: Any) -> str:
    """As it was typed: 7 rather than 7.0."""
    if isinstance(value, tuple):
        return " ".join(map(_shown, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
