"""NPY: memory-mapped where it is large, written plane by plane or in bands of rows."""

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
from napari_denoise.io.meta import ImageMeta

BAND = 1024
"""Rows that are held of a plane too large to be held whole."""


def read_npy(path: Path) -> Loaded:
    """Read an array; its axes are guessed.

    Raises
    ------
    FileError
        Not a whole NPY file, or no numbers.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if array.nbytes <= loaded.lazy_bytes():
            array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise FileError(
            path,
            f"it is not a whole NPY file of numbers ({error})",
            "save it again with numpy.save(path, array)",
        ) from error
    check_dtype(path, array.dtype)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    try:
        axes = guess_axes(array.shape, rgb=looks_like_color(array.shape))
    except ValueError as error:
        raise FileError(path, str(error), "or save a part of it") from error
    return Loaded(array, axes, {"extra": {"format": "npy"}})


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
