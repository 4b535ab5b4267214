"""Pictures as they were meant to be seen: the Orientation of TIFF and EXIF."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from PIL import Image

from napari_denoise.io.formats.on_disk import OnDisk

_Item = TypeVar("_Item")
ORIENTATION = 274
"""The tag, in TIFF and EXIF."""


def upright(array: Any, axes: str, orientation: int) -> Any:
    """Turn and mirror planes; a view, so that memory maps and dask stay what they are.

    Parameters
    ----------
    axes
        A letter per dimension; they stay true of the result.
    orientation
        1 to 8; anything else leaves the array as it is.
    """
    y, x = axes.index("Y"), axes.index("X")
    if orientation in (5, 6, 7, 8):
        order = list(range(len(axes)))
        order[y], order[x] = x, y
        array = array.transpose(order)
    back = slice(None, None, -1)
    key = [slice(None)] * len(axes)
    if orientation in (3, 4, 7, 8):
        key[y] = back
    if orientation in (2, 3, 6, 7):
        key[x] = back
    if back not in key:
        return array
    return array.unread(tuple(key)) if isinstance(array, OnDisk) else array[tuple(key)]


def swapped(values: Sequence[_Item], axes: str, orientation: int) -> tuple[_Item, ...]:
    """Values per axis of the upright picture: those of Y and X change places on a quarter turn."""
    values = list(values)
    y, x = axes.index("Y"), axes.index("X")
    if orientation in (5, 6, 7, 8) and len(values) == len(axes):
        values[y], values[x] = values[x], values[y]
    return tuple(values)


def exif_orientation(data: bytes) -> int:
    """Find the orientation in EXIF as it stands in a PNG; 1 without one."""
    exif = Image.Exif()
    try:
        exif.load(data)
        return int(exif.get(ORIENTATION, 1))
    except (ValueError, TypeError, SyntaxError, OSError, KeyError, IndexError):
        return 1
