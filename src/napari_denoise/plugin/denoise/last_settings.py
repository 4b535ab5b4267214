"""The settings of the last run, remembered for each kind of data and for no other."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import platformdirs

from napari_denoise.settings.denoise import DenoiseSettings

KINDS = ("microscopy", "photo", "render")
FIELDS = ("weights", "strength", "realism", "outliers", "neighbors", "along", "dtype")
"""Fields of `DenoiseSettings` that belong to a kind of data: the noise belongs to one layer, tile
and device to the machine."""
_MARK, _VERSION = "napari_denoise_last_settings", 1
_OUTPUTS = ("in_place", "new")


def file() -> Path:
    """Where they are kept; it need not exist."""
    return Path(platformdirs.user_config_path("napari-denoise", appauthor=False)) / "last.json"


def of_kind(kind: str) -> dict[str, Any]:
    """Return the values of the last run on a kind of data; empty where there are none.

    What cannot be used any more, as it was edited or is of another version, is left out.
    """
    values = _read().get(kind)
    return checked(values) if isinstance(values, dict) else {}


def checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those values that mean something, each by the rule of its field."""
    good = {}
    for name in FIELDS:
        if name in values:
            try:
                DenoiseSettings.parse({name: values[name]})
            except ValueError:
                continue
            good[name] = values[name]
    if values.get("output") in _OUTPUTS:
        good["output"] = values["output"]
    return good


def remembering(kind: str, values: Mapping[str, Any]) -> Iterator[None]:
    """Keep the values of a run, off the GUI thread.

    Raises
    ------
    FileError
        They cannot be written.
    """
    from napari_denoise.io.atomic import replacing

    target = file()
    kept = {name: value for name, value in _read().items() if name in KINDS}
    if kept.get(kind) == dict(values):
        return
    content = {_MARK: _VERSION, **kept, kind: dict(values)}
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing([target], overwrite=True) as (temporary,):
        temporary.write_text(json.dumps(content, indent=2), encoding="utf-8")
    yield


def _read() -> dict[str, Any]:
    try:
        content = json.loads(file().read_text(encoding="utf-8"))
    except (OSError, ValueError):  # there is none yet, or it is damaged: the next run replaces it
        return {}
    ours = isinstance(content, dict) and content.get(_MARK) == _VERSION
    return content if ours else {}
