"""Text files of settings: whatever is wrong with one is said in a sentence with its name."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari_denoise.settings.text import shortened

_LARGEST = 2**26
"""Bytes; settings that people write, and drawn regions, have far fewer."""


def read_json(path: Path, remedy: str) -> Any:
    """Read the values of a JSON file.

    Raises
    ------
    ValueError
        It is no JSON, not UTF-8, or nested too deeply; ends with the remedy.
    OSError
        It cannot be read.
    """
    return _parsed(path, "JSON", json.loads, remedy)


def read_toml(path: Path, remedy: str = "save it as UTF-8 text") -> dict[str, Any]:
    """Read the values of a TOML file; errors as for `read_json`."""
    values: dict[str, Any] = _parsed(path, "a TOML file", tomllib.loads, remedy)
    return values


def _parsed(path: Path, kind: str, parse: Callable[[str], Any], remedy: str) -> Any:
    if path.stat().st_size > _LARGEST:
        raise ValueError(f"{path}: not {kind} (more than {_LARGEST:,} bytes); {remedy}")
    try:
        return parse(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError(f"{path}: not {kind} (nested too deeply); {remedy}") from error
    except ValueError as error:  # of the encoding, the grammar, or a number of too many digits
        raise ValueError(f"{path}: not {kind} ({shortened(str(error), 200)}); {remedy}") from error
