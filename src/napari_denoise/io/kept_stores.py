"""Stores whose regions outlive the run that wrote them: a run that was cut off is gone on with.

The store lies under a hidden name beside its target. A file in it says what it is of, and then, a
line each, which regions are whole; it goes when the store gets its name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_denoise.io.atomic import ADDED, check_absent, not_written, remove
from napari_denoise.io.meta import ImageMeta
from napari_denoise.io.names import fitting
from napari_denoise.io.stores import RECORD, PreparedStore, Region, prepare_store

_Key = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class KeptStore:
    """A store, and which of its regions are whole; made by `kept_store`.

    Parameters
    ----------
    store
        To be written in regions.
    whole
        Regions of an earlier run, each with what was noted of it.
    """

    store: PreparedStore
    whole: Mapping[_Key, Any]

    @property
    def left(self) -> list[Region]:
        """The regions that are still to be written."""
        return [region for region in self.store.regions if _key(region) not in self.whole]

    def note(self, region: Region, value: Any) -> None:
        """Note that a region is whole and on the disk, with a JSON value.

        Raises
        ------
        NotWritten
            The disk is full.
        """
        line = {"region": _key(region), "bytes": _size(self.store, region), "value": value}
        with not_written(self.store.target), (self.store.folder / RECORD).open("a") as file:
            file.write(json.dumps(line) + "\n")


def kept_store(
    path: Path,
    shape: Sequence[int],
    dtype: Any,
    meta: ImageMeta,
    of: Mapping[str, Any],
    *,
    overwrite: bool = False,
) -> KeptStore:
    """Go on with the store that an earlier run left, or make a new one.

    Parameters
    ----------
    path, shape, dtype, meta, overwrite
        As for `prepare_store`.
    of
        JSON values: what every pixel follows from. Only a store of the same is gone on with.

    Raises
    ------
    FileError
        As for `prepare_store`.
    """
    folder = kept_folder(path)
    store = prepare_store(path, shape, dtype, meta, overwrite=overwrite, folder=folder)
    head = json.loads(json.dumps({**of, **store.form}))
    before = list(_lines(folder))
    if before and before[0] == head:
        if not overwrite:
            check_absent([path])
        entries = {tuple(map(tuple, line["region"])): line for line in before[1:]}
        whole = {
            _key(region): line["value"]
            for region in store.regions
            if (line := entries.get(_key(region))) and line["bytes"] == _size(store, region)
        }
        return KeptStore(store, whole)
    remove(folder)
    store.make()
    with not_written(path):
        (folder / RECORD).write_text(json.dumps(head) + "\n")
    return KeptStore(store, {})


def kept_folder(target: Path) -> Path:
    """Say where the regions of a target are kept until it is whole."""
    return target.with_name(f".{fitting(target.name, ADDED)}.kept")


def _lines(folder: Path) -> Iterator[dict[str, Any]]:
    """Read what was noted, up to a line that was cut off."""
    try:
        text = (folder / RECORD).read_text()
    except OSError:
        return
    for line in text.splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            return


def _key(region: Region) -> _Key:
    return tuple((side.start, side.stop) for side in region)


def _size(store: PreparedStore, region: Region) -> int:
    """Bytes of the files of a region: fewer after a power cut."""
    return sum(file.stat().st_size for file in store.files(region))
