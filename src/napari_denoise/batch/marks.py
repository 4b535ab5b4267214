"""Marks that tell whether files and settings are still those of an earlier run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from napari_denoise.settings.denoise import MAPS, DenoiseSettings

ENDS = 2**16
"""Bytes at the head and at the tail of a file that are looked at."""
_LOOKED_INTO = 3
"""Files of a sequence of which that is done; of all others size and time are enough."""
_METADATA = ("zarr.json", ".zattrs", ".zgroup", ".zarray", "METADATA.ome.xml")
_NOT_THE_PIXELS = ("device", "tile", "engine")
"""Settings that do not change a result."""


def stamp_of(files: Sequence[Path]) -> tuple[tuple[int, int], ...]:
    """Return size and time of each file, to see whether one changes meanwhile.

    Raises
    ------
    OSError
        One is gone.
    """
    found = [file.stat() for file in files]
    return tuple((stat.st_size, stat.st_mtime_ns) for stat in found)


def mark_of(files: Sequence[Path], *, times: bool = True) -> str:
    """Return a mark of files: names, sizes, times, and what stands at their heads and tails.

    Parameters
    ----------
    files
        Files, or folders that are one image; of those what describes the image is looked at.
    times
        Whether the time of the last change counts: a result may be copied, an input is not.

    Raises
    ------
    OSError
        One is gone or cannot be read.
    """
    mark = sha256()
    inner = {0, len(files) // 2, len(files) - 1} if len(files) > _LOOKED_INTO else range(len(files))
    for number, file in enumerate(files):
        stat = file.stat()
        parts: list[Any] = [file.name]
        if not file.is_dir():
            parts += [stat.st_size, stat.st_mtime_ns if times else 0]
        mark.update(json.dumps(parts).encode())
        if number in inner:
            for path in _metadata(file) if file.is_dir() else [file]:
                mark.update(_ends(path))
    return mark.hexdigest()


def settings_mark(
    settings: DenoiseSettings, axes: str | None, weights: str, more: Mapping[str, Any]
) -> str:
    """Return a mark of all that is asked for and changes a result.

    Parameters
    ----------
    settings, axes
        As the task has them.
    weights
        Hash of the weights, where they were chosen by name.
    more
        Other JSON values, such as the noise of an experiment.
    """
    values = {k: v for k, v in settings.to_json().items() if k not in _NOT_THE_PIXELS}
    files = [getattr(settings, name) for name in (*MAPS, "noise_from")]
    marks = {file: mark_of([Path(file).expanduser()]) for file in files if _is_file(file)}
    content = {"settings": values, "axes": axes, "weights": weights, "files": marks, **more}
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _is_file(file: str | None) -> bool:
    return file is not None and Path(file).expanduser().is_file()


def _ends(path: Path) -> bytes:
    with path.open("rb") as file:
        head = file.read(ENDS)
        size = os.fstat(file.fileno()).st_size
        if size > ENDS:
            file.seek(max(ENDS, size - ENDS))
        return head + file.read(ENDS) + str(size).encode()


def _metadata(folder: Path) -> Iterator[Path]:
    """Find the files that describe an image in a folder, without listing its chunks."""
    for place, below, names in os.walk(folder):
        below[:] = sorted(name for name in below if not name.isdigit() and name != "c")
        yield from (Path(place) / name for name in sorted(names) if name in _METADATA)
