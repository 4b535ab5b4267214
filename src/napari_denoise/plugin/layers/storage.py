"""Room for results and for undo: memory, or a temporary store on disk."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import psutil

from napari_denoise.image.axes import Layout, plane_chunks

_SHARE_OF_FREE = 0.5
"""A result may take this much of the memory that is free when it is made."""


def free_bytes() -> int:
    """Memory that can be taken without swapping."""
    return int(psutil.virtual_memory().available)


def allocate(shape: tuple[int, ...], dtype: Any, axes: str) -> Any:
    """Make an array to write frames into; on disk where memory is short."""
    nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if nbytes <= _SHARE_OF_FREE * free_bytes():
        return np.empty(shape, dtype)
    return temporary_store(shape, dtype, axes)


def temporary_store(shape: tuple[int, ...], dtype: Any, axes: str) -> Any:
    """Make a zarr array of one chunk per frame, deleted with its last user."""
    import zarr

    folder = tempfile.TemporaryDirectory(prefix="napari-denoise-")
    chunks = plane_chunks(axes, shape)
    array = zarr.create_array(folder.name, shape=shape, chunks=chunks, dtype=dtype)
    # A layer may use the array long after the widget is gone: tie the folder to it.
    weakref.finalize(array, folder.cleanup)
    return array


def copy_frames(array: Any, target: Any, layout: Layout) -> Iterator[None]:
    """Copy frame by frame, with a place to stop after each."""
    for index in layout.frames:
        target[index] = np.asarray(array[index])
        yield
