"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import platform
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path

from napari_denoise.io.errors import FileError, FileExists, NotWritten
from napari_denoise.io.names import LONGEST, fitting, length

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_HOST = re.sub(r"\W", "", platform.node())[:24] or "host"
ADDED = 48
"""Bytes that a temporary name has more, at most."""
_TEMPORARY = re.compile(
    rf"\.(?P<name>.+)\.{_HOST}-(?P<process>\d+)-\d+\.(?P<kind>tmp|old)", re.DOTALL
)


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
    made: list[Path] = []
    try:
        with not_written(targets[0]):
            remove_abandoned(wanted)
            for target in wanted:
                made.append(temporary(target))
            yield made
            for path in made:
                flush(path)
            with one_at_a_time({target.parent for target in wanted}):
                _put(list(zip(made, wanted, strict=True)), overwrite, sidecar)
    finally:
        for path in made:
            path.unlink(missing_ok=True)


@contextmanager
def not_written(target: Path) -> Iterator[None]:
    """Let errors of the system say which target could not be written."""
    try:
        yield
    except FileError:
        raise
    except OSError as error:
        raise NotWritten(
            target,
            f"it could not be written ({error})",
            f"{remedy_for(error)}; what was there before is unchanged",
        ) from error


def remedy_for(error: OSError) -> str:
    """Say what helps against an error of the system in writing."""
    if error.errno in _FULL:
        return "free some space or choose another folder"
    if error.errno in _FORBIDDEN:
        return "choose a folder that you may write to"
    if error.errno == errno.ENAMETOOLONG:
        return "choose a shorter name, or a folder less deep"
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return "a file stands where a folder is needed: choose another folder"
    if error.errno == errno.ELOOP:
        return "a link on the way leads back to itself: choose another folder"
    return "choose another folder"


def check_targets(targets: Sequence[Path], *, overwrite: bool) -> None:
    """Refuse targets that cannot or must not be written, before any work is done."""
    for target in targets:
        check_reachable(target)
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


def check_reachable(target: Path) -> None:
    """Refuse a place that no file can have.

    Raises
    ------
    FileError
        A name on the way is too long, or a link leads back to itself.
    """
    for place in (target, *target.parents):
        check_length(place)
    try:
        target.parent.stat()
    except OSError as error:
        if error.errno == errno.ELOOP:
            rule = "a link on its way leads back to itself"
            raise FileError(target, rule, "choose another folder") from None


def check_length(target: Path) -> None:
    """Refuse a name that file systems do not take.

    Raises
    ------
    FileError
        It is too long.
    """
    if (bytes_long := length(target.name)) > LONGEST:
        rule = f"its name is {bytes_long} bytes long, file systems take {LONGEST}"
        raise FileError(target, rule, "choose a shorter one", value=bytes_long)


def check_absent(targets: Iterable[Path]) -> None:
    """Refuse to go on where a target exists; the first one is named.

    Raises
    ------
    FileExists
        One exists.
    """
    existing = [target for target in targets if os.path.exists(target)]  # too long: is not there
    if existing:
        others = len(existing) - 1
        more = ", as does 1 other" if others == 1 else f", as do {others} others"
        raise FileExists.of(existing[0], more if others else "")


def temporary(target: Path, *, folder: bool = False, kind: str = "tmp") -> Path:
    """Make an empty file or folder that no other writer of the same target uses."""
    for number in count():
        name = fitting(target.name, ADDED)
        path = target.with_name(f".{name}.{_HOST}-{os.getpid()}-{number}.{kind}")
        try:
            path.mkdir() if folder else path.touch(exist_ok=False)
        except FileExistsError:
            continue
        return path
    raise AssertionError("numbers do not end")


def remove_abandoned(targets: Sequence[Path]) -> None:
    """Remove what killed processes of this machine left of the same targets.

    A folder that was about to be replaced, and whose successor never got its name, gets it back.
    """
    places = {(target.parent, fitting(target.name, ADDED)): target for target in targets}
    for folder in {target.parent for target in targets}:
        for entry in os.scandir(folder):
            found = _TEMPORARY.fullmatch(entry.name)
            target = places.get((folder, found["name"])) if found else None
            if found is None or target is None or _is_alive(int(found["process"])):
                continue
            if found["kind"] == "old" and not target.exists():
                os.rename(entry.path, target)
            else:
                remove(Path(entry.path))


def sweep(folder: Path) -> None:
    """Remove what killed processes of this machine left in a folder, whatever it was to become."""
    found = (_TEMPORARY.fullmatch(entry.name) for entry in os.scandir(folder))
    remove_abandoned([folder / one["name"] for one in found if one])


@contextmanager
def temporary_folder(target: Path) -> Iterator[Path]:
    """Make a hidden folder beside a target for what it is made of; it goes with the block."""
    path = temporary(target, folder=True)
    try:
        yield path
    finally:
        remove(path)


def remove(path: Path) -> None:
    """Delete a file, or a folder with all that is in it; nothing where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


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
                put_new(path, target)
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


def put_new(path: Path, target: Path) -> None:
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


def flush(path: Path) -> None:
    """Have what was written of a file on the disk itself."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


@contextmanager
def one_at_a_time(folders: set[Path]) -> Iterator[None]:
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
