"""Folders that appear whole or not at all, as `io.atomic` does it for files.

No system replaces a folder by another in one step everywhere. The old one is put aside under a
hidden name, the new one gets its place, then the old one goes. Who is killed in between leaves
both whole, and the next writer of the same target puts the old one back.
"""

from __future__ import annotations

import os
from pathlib import Path

from napari_denoise.io.atomic import (
    check_absent,
    flush,
    not_written,
    one_at_a_time,
    put_new,
    remove,
    remove_abandoned,
    temporary,
)
from napari_denoise.io.errors import FileError
from napari_denoise.io.sidecar import sidecar_path


def begin_folder(target: Path) -> Path:
    """Make an empty hidden folder beside a target; what killed writers of it left goes first.

    Raises
    ------
    NotWritten
        The folder of the target cannot be written.
    FileError
        There is no such folder.
    """
    if not target.parent.is_dir():
        raise FileError(target, f"the folder {target.parent} does not exist", "create it first")
    with not_written(target):
        remove_abandoned([target, sidecar_path(target)])
        return temporary(target, folder=True)


def put_folder(folder: Path, target: Path, sidecar: bytes, *, overwrite: bool) -> list[Path]:
    """Give a finished folder its name, and its sidecar a place beside it.

    Parameters
    ----------
    folder
        From `begin_folder`.
    sidecar
        Empty for none.
    overwrite
        Replace what has the name; else what appeared meanwhile stays, and is an error.

    Returns
    -------
    What there is now: the folder, and its sidecar where it has one.

    Raises
    ------
    FileExists
        The target is there and `overwrite` is false.
    NotWritten
        The disk is full or cannot be written; what was there before is whole.
    """
    place = sidecar_path(target)
    beside: Path | None = None
    try:
        with not_written(target):
            _flush_all(folder)
            if sidecar:
                beside = temporary(place)
                beside.write_bytes(sidecar)
                flush(beside)
            with one_at_a_time({target.parent}):
                if not overwrite:
                    check_absent([target, place])
                _swap(folder, target)
                if beside is None:
                    place.unlink(missing_ok=True)
                elif overwrite:
                    os.replace(beside, place)
                else:
                    put_new(beside, place)
    finally:
        if beside is not None:
            beside.unlink(missing_ok=True)
    return [target, place] if sidecar else [target]


def _swap(folder: Path, target: Path) -> None:
    if not target.exists():
        os.rename(folder, target)
        return
    aside = temporary(target, folder=True, kind="old")
    aside.rmdir()  # not everywhere can an empty folder be replaced
    os.rename(target, aside)
    try:
        os.rename(folder, target)
    except BaseException:
        os.rename(aside, target)
        raise
    remove(aside)


def _flush_all(folder: Path) -> None:
    for where, _, names in os.walk(folder):
        for name in names:
            flush(Path(where, name))
