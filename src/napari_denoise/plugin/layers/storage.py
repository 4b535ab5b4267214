"""Room for results and for undo: memory, or a temporary store on disk."""

from __future__ import annotations

import os
import platform
import re
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import psutil

from napari_denoise.image.axes import Layout, plane_chunks
from napari_denoise.plugin import preferences

_SHARE_OF_FREE = 0.5
"""A result may take this much of the memory that is free when it is made."""
_MEMORY = ("tmpfs", "ramfs")
"""File systems that are memory themselves."""
_HOST = re.sub(r"\W", "", platform.node())[:24] or "host"
_STORE = re.compile(rf"{_HOST}-(?P<process>\d+)-(?P<start>\d+)-.+")
_CLOCK_S = 60
"""The start of a process, as others see it, moves with corrections of the clock."""


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
    """Make a zarr array of one chunk per frame, deleted with its last user.

    It lies in the user's cache folder. What processes of this machine left there that were killed
    is deleted first.
    """
    import zarr

    home = stores_folder()
    home.mkdir(parents=True, exist_ok=True)
    sweep(home)
    prefix = f"{_HOST}-{os.getpid()}-{int(psutil.Process().create_time())}-"
    folder = tempfile.TemporaryDirectory(prefix=prefix, dir=home)
    chunks = plane_chunks(axes, shape)
    array = zarr.create_array(folder.name, shape=shape, chunks=chunks, dtype=dtype)
    # A layer may use the array long after the widget is gone: tie the folder to it.
    weakref.finalize(array, folder.cleanup)
    return array


def stores_folder() -> Path:
    """Where temporary stores go: as preferred, else the user's cache folder or one on a disk."""
    name = "napari-denoise"
    chosen = preferences.current().temporary_folder
    if chosen is not None:
        return chosen / name / "stores"
    choices = [
        Path(platformdirs.user_cache_path(name, appauthor=False)),
        Path(platformdirs.user_data_path(name, appauthor=False)),
        Path(tempfile.gettempdir()) / name,
    ]
    return next((c for c in choices if not is_memory(c)), choices[0]) / "stores"


def is_memory(folder: Path) -> bool:
    """Whether what is written to a folder, which need not exist, would stay in memory."""
    mounts = {Path(m.mountpoint): m.fstype for m in psutil.disk_partitions(all=True)}
    path = folder.resolve()
    return next((mounts[p] for p in (path, *path.parents) if p in mounts), "") in _MEMORY


def sweep(home: Path) -> None:
    """Delete the stores of processes of this machine that are dead."""
    for entry in home.iterdir():
        found = _STORE.fullmatch(entry.name)
        if found and not _is_alive(int(found["process"]), int(found["start"])):
            shutil.rmtree(entry, ignore_errors=True)


def _is_alive(process: int, start: int) -> bool:
    """Whether a process is there, and not another one under its number."""
    try:
        return bool(abs(psutil.Process(process).create_time() - start) < _CLOCK_S)
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:  # it may not be looked at
        return True


def copy_frames(array: Any, target: Any, layout: Layout) -> Iterator[None]:
    """Copy frame by frame, with a place to stop after each."""
    for index in layout.frames:
        target[index] = np.asarray(array[index])
        yield
