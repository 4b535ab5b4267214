"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path

from napari_denoise.io.errors import FileError, FileExists, NotWritten

_HOST = re.sub(r"\W", "", platform.node())[:24] or "host"
_TEMPORARY = re.compile(rf"\.(?P<name>.+)\.{_HOST}-(?P<process>\d+)-\d+\.tmp", re.DOTALL)


@contextmanager
def replacing(
    targets: Sequence[Path], *, overwrite: bool, sidecar: Path | None = None
) -> Iterator[list[Path]]:
    """Yield a temporary path for each target; rename them all when the block succeeds.

    The temporary files are hidden ones in the target's own folder, so that the rename
    is atomic. Each is flushed to the disk before the first is renamed. Whatever fails,
    the older files stay whole and the temporary ones go. Of several writers at once one
    wins with all of its files.

    Parameters
    ----------
    targets
        In one folder.
    overwrite
        Replace what is there; else a file that appeared meanwhile stays, and is an error.
    sidecar
        A file that belongs to the targets; its temporary path is the last. Where the block
        writes nothing to it there will be none.

    Raises
    ------
    FileExists
        A target exists and `overwrite` is false.
    NotWritten
        The disk is full, or the folder cannot be written.
    FileError
        A target cannot be a file.
    """
    wanted = [*targets, sidecar] if sidecar else list(targets)
    check_targets(wanted, overwrite=overwrite)
    temporary: list[Path] = []
    try:
        names = {target.name for target in wanted}
        for folder in {target.parent for target in wanted}:
            sweep(folder, names)
        for target in wanted:
            temporary.append(_temporary(target))
        yield temporary
        for path in temporary:
            _flush(path)
        with _one_at_a_time({target.parent for target in wanted}):
            _put(list(zip(temporary, wanted, strict=True)), overwrite, sidecar)
    except FileError:
        raise
    except OSError as error:
        raise NotWritten(
            targets[0],
            f"it could not be written ({error})",
            "free some space or choose another folder; what was there before is unchanged",
        ) from error
    finally:
        for path in temporary:
            path.unlink(missing_ok=True)


@contextmanager
def temporary_folder(target: Path) -> Iterator[Path]:
    """Make a hidden folder beside a target for what it is made of; it goes with the block."""
    for number in count():
        path = target.with_name(f".{target.name}.{_HOST}-{os.getpid()}-{number}.tmp")
        try:
            path.mkdir()
        except FileExistsError:
            continue
        break
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def sweep(folder: Path, names: Collection[str] | None = None) -> None:
    """Remove temporary files and folders that dead processes of this machine left in a folder.

    Parameters
    ----------
    folder
        Where they are; subfolders are not looked into.
    names
        Of the targets that they were to become; all if None.
    """
    for entry in os.scandir(folder):
        found = _TEMPORARY.fullmatch(entry.name)
        if found is None or (names is not None and found["name"] not in names):
            continue
        if _is_alive(int(found["process"])):
            continue
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            Path(entry.path).unlink(missing_ok=True)


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
    if not overwrite:
        check_absent(targets)


def check_absent(targets: Iterable[Path]) -> None:
    """Refuse to go on where a target exists; the first one is named.

    Raises
    ------
    FileExists
        One exists.
    """
    existing = [target for target in targets if target.exists()]
    if existing:
        others = len(existing) - 1
        more = ", as does 1 other" if others == 1 else f", as do {others} others"
        raise FileExists.of(existing[0], more if others else "")


def _temporary(target: Path) -> Path:
    """Make an empty file that no other writer of the same target uses."""
    for number in count():
        path = target.with_name(f".{target.name}.{_HOST}-{os.getpid()}-{number}.tmp")
        try:
            path.touch(exist_ok=False)
        except FileExistsError:
            continue
        return path
    raise AssertionError("numbers do not end")


def _is_alive(process: int) -> bool:
    import psutil  # rarely needed

    return bool(psutil.pid_exists(process))


def _put(pairs: list[tuple[Path, Path]], overwrite: bool, sidecar: Path | None) -> None:
    """Rename all, or where one of several new names is taken none."""
    placed: list[Path] = []
    try:
        for path, target in pairs:
            if target == sidecar and not path.stat().st_size:
                _leave_none(target, overwrite)
            elif overwrite:
                os.replace(path, target)
            else:
                _put_new(path, target)
                placed.append(target)
    except BaseException:
        for target in placed:
            target.unlink(missing_ok=True)
        raise


def _leave_none(sidecar: Path, overwrite: bool) -> None:
    if overwrite:
        sidecar.unlink(missing_ok=True)
    else:
        check_absent([sidecar])


def _put_new(path: Path, target: Path) -> None:
    """Give a file its name unless that is taken, in one step."""
    try:
        if os.name == "nt":
            os.rename(path, target)  # never replaces there
            return
        try:
            os.link(path, target)  # unlike rename it never replaces
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            _take_name(path, target)
    except FileExistsError:
        raise FileExists.of(target, ": it appeared while the result was computed") from None


def _take_name(path: Path, target: Path) -> None:
    os.close(os.open(target, os.O_CREAT | os.O_EXCL))
    try:
        os.replace(path, target)
    except BaseException:
        target.unlink()
        raise


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


@contextmanager
def _one_at_a_time(folders: set[Path]) -> Iterator[None]:
    """Keep other writers from renaming in these folders; flush the folders at the end."""
    if os.name == "nt":  # Windows cannot open a folder as a file
        yield
        return
    import fcntl

    with ExitStack() as stack:
        for folder in sorted(folders):
            descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            with suppress(OSError):  # some network drives cannot: each file is whole even so
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            stack.callback(os.fsync, descriptor)
        yield
