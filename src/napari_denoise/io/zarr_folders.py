"""Folders that are zarr groups, and the JSON in them; opens no array."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from napari_denoise.io.errors import FileError

STORE_SUFFIXES = (".ome.zarr", ".zarr")
"""Endings of OME-Zarr stores; longer ones first."""
MARKS = ("zarr.json", ".zgroup", ".zarray", ".zattrs")
"""Files that tell a folder of zarr."""
_PARTS = ("multiscales", "plate", "well", "bioformats2raw.layout")


def is_store(path: Path) -> bool:
    """Whether a folder is a zarr group or array, whatever it is called."""
    # A name that is too long for the system is no folder: os.path says so without an error.
    return os.path.isdir(path) and any((path / mark).is_file() for mark in MARKS)


def holds_images(path: Path) -> bool:
    """Whether a folder is a zarr group that says that it holds images; never an error."""
    try:
        return is_store(path) and any(part in ome_attributes(path) for part in _PARTS)
    except FileError:
        return False


def is_array(path: Path) -> bool:
    """Whether a folder is a zarr array.

    Raises
    ------
    FileError
        What it says of itself is damaged.
    """
    if (path / ".zarray").is_file():
        return True
    return _json(path / "zarr.json").get("node_type") == "array"


def ome_attributes(path: Path) -> dict[str, Any]:
    """Read what a group says of itself in the words of OME-Zarr, with its "version" if it has one.

    Raises
    ------
    FileError
        It is damaged.
    """
    attributes = attributes_of(path)
    ome = attributes.get("ome")
    return ome if isinstance(ome, dict) else attributes


def attributes_of(path: Path) -> dict[str, Any]:
    """Read all attributes of a group; empty if it has none.

    Raises
    ------
    FileError
        They are damaged.
    """
    if (path / "zarr.json").is_file():
        found = _json(path / "zarr.json").get("attributes", {})
        return found if isinstance(found, dict) else {}
    return _json(path / ".zattrs")


def _json(place: Path) -> dict[str, Any]:
    try:
        values = json.loads(place.read_bytes()) if place.is_file() else {}
    except (ValueError, OSError, RecursionError) as error:
        raise FileError(
            place, f"it is not whole JSON ({error})", "copy or export the store again"
        ) from error
    return values if isinstance(values, dict) else {}
