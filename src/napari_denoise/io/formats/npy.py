"""NPY: read on demand where it is large, written plane by plane or in bands of rows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from napari_denoise.image.axes import guess_axes, looks_like_color
from napari_denoise.image.frames import is_large, iterate, planes_last, windows
from napari_denoise.io.errors import FileError
from napari_denoise.io.formats import loaded
from napari_denoise.io.formats.loaded import Loaded, check_dtype
from napari_denoise.io.formats.on_disk import OnDisk
from napari_denoise.io.guarded import guarded, whole
from napari_denoise.io.meta import ImageMeta
from napari_denoise.settings.text import shown

BAND = 1024
"""Rows that are held of a plane too large to be held whole."""

_HEADERS = {
    (1, 0): npy.read_array_header_1_0,
    (2, 0): npy.read_array_header_2_0,
    (3, 0): npy.read_array_header_2_0,  # but for names of fields, which no image has
}
_LONGEST_HEADER = 10_000
"""Characters; it is parsed as Python is."""


def read_npy(path: Path) -> Loaded:
    """Read an array, on demand where it is large; its axes are guessed.

    Raises
    ------
    FileError
        Not a whole NPY file, or no numbers.
    """
    remedy = "save it again with numpy.save(path, array)"
    with guarded(path, whole(path, "NPY file of numbers", remedy)):
        stored = _stored(path)
        array = stored if stored.nbytes > loaded.lazy_bytes() else np.asarray(stored)
    try:
        axes = guess_axes(array.shape, rgb=looks_like_color(array.shape))
    except ValueError as error:
        raise FileError(path, str(error), "or save a part of it") from error
    return Loaded(array, axes, {"extra": {"format": "npy"}})


def _stored(path: Path) -> OnDisk:
    """Read the header, and compare what it tells of with the size of the file."""
    with path.open("rb") as file:
        version = npy.read_magic(file)
        header = _HEADERS.get(version)
        if header is None:
            raise ValueError(f"its version {version} is not known")
        shape, columns, dtype = header(file, max_header_size=_LONGEST_HEADER)
        start = file.tell()
        size = file.seek(0, 2)
    if dtype.hasobject:
        raise ValueError("it holds pickled objects, which are never read")
    check_dtype(path, dtype)
    if any(type(n) is not int or n < 0 for n in shape):
        raise ValueError(f"its shape is {shown(shape)}")
    array = OnDisk.of(path, dtype, shape, start, "F" if columns else "C")
    if start + array.nbytes > size:
        raise ValueError(
            f"its header tells of {array.nbytes:,} bytes of pixels, {size - start:,} are there"
        )
    return array


def write_npy(temporary: Path, target: Path, array: Any, meta: ImageMeta) -> set[str]:
    """Write plane by plane, large ones in bands of rows, whatever the order of the axes."""
    shape, dtype = tuple(array.shape), np.dtype(array.dtype)
    header = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    ordered, axes = planes_last(array, meta.axes)
    with temporary.open("wb") as file:
        npy.write_array_header_2_0(file, header)
        start = file.tell()
        # A memory map of what the disk has no room for would end the process.
        in_order = axes == meta.axes
        for part in _bands(ordered, axes) if in_order else _zeros(ordered, axes):
            file.write(np.ascontiguousarray(part, dtype).data)
    if not in_order:
        stored = np.memmap(temporary, dtype, "r+", start, shape)
        moved, _ = planes_last(stored, meta.axes)
        for number, plane in enumerate(iterate(ordered, axes)):
            moved[np.unravel_index(number, moved.shape[: -plane.ndim])] = plane
        stored.flush()
    return set()


def _bands(ordered: Any, axes: str) -> Iterator[NDArray[Any]]:
    if not is_large(ordered, axes):
        return iterate(ordered, axes)
    return windows(ordered, axes, BAND, ordered.shape[axes.index("X")])


def _zeros(ordered: Any, axes: str) -> Iterator[NDArray[Any]]:
    """As many planes as `iterate` gives, without computing any."""
    leading = len(axes) - 2 - ("S" in axes)
    plane = np.zeros(ordered.shape[leading:], ordered.dtype)
    return repeat(plane, math.prod(ordered.shape[:leading]))
