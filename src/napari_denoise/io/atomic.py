"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from napari_denoise.io.errors import FileError, FileExists


@contextmanager
def replacing(targets: Sequence[Path], *, overwrite: bool) -> Iterator[list[Path]]:
    """Yield a temporary path for each target; rename them all when the block succeeds.

    The temporary files are hidden ones in the target's own folder, so that the rename
    is atomic. Each is flushed to the disk before the first is renamed. Whatever fails,
    the older files stay whole and the temporary ones go.

    Raises
    ------
    FileExists
        A target exists and `overwrite` is false.
    FileError
        The disk is full, or the folder cannot be written.
    """
    check_targets(targets, overwrite=overwrite)
    temporary = [path.with_name(f".{path.name}.{os.getpid()}.tmp") for path in targets]
    try:
        yield temporary
        for path in temporary:
            _flush(path)
        for path, target in zip(temporary, targets, strict=True):
            os.replace(path, target)
        for folder in {target.parent for target in targets}:
            _flush_folder(folder)
    except OSError as error:
        raise FileError(
            targets[0],
            f"it could not be written ({error})",
            "free some space or choose another folder; what was there before is unchanged",
        ) from error
    finally:
        for path in temporary:
            path.unlink(missing_ok=True)


def check_targets(targets: Sequence[Path], *, overwrite: bool) -> None:
    """Refuse targets that cannot or must not be written, before any work is done."""
    for target in targets:
        if not target.parent.is_dir():
            raise FileError(target, f"the folder {target.parent} does not exist", "create it first")
        if target.is_dir():
            raise FileError(
                target,
                "it is a folder",
                "name a file in it, such as clean.ome.tif or clean_####.png",
            )
        if target.exists() and not overwrite:
            raise FileExists(
                target, "it exists already", "choose another name or pass overwrite=True"
            )


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open a folder as a file
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
