"""The journal of a batch, `batch.jsonl`: one event a line.

A line is handed to the system at once, so that no killed process loses it, and brought to the disk
by a thread, so that nobody waits; a result whose line a power cut took still says what it is.

It belongs to a folder of results. A run adds to it and never changes a line, so that it tells all
that became of each input; a line that a crash cut off is left out.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from napari_denoise.io.atomic import remedy_for
from napari_denoise.io.errors import FileError, NotWritten

VERSION = 1
NAME, REPORT, LOCK = "batch.jsonl", "batch.html", ".batch.lock"
_MARK = "napari_denoise_batch"
OUTCOMES = ("done", "failed")


class Journal:
    """Adds lines to the journal of a folder; made by `opened`."""

    def __init__(self, folder: Path, file: BinaryIO) -> None:
        self.folder, self._file, self._lock = folder, file, Lock()
        self._lines: SimpleQueue[bool] = SimpleQueue()
        self._thread = Thread(target=self._bring_to_disk, name="journal", daemon=True)
        self._thread.start()

    def write(self, event: str, **values: Any) -> None:
        """Add an event.

        Raises
        ------
        NotWritten
            The disk is full or gone.
        """
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"event": event, "time": now, **values}, ensure_ascii=False)
        with self._lock:
            try:
                self._file.write(line.encode() + b"\n")
                self._file.flush()
            except OSError as error:
                raise _unwritable(self.folder / NAME, error) from error
        self._lines.put(True)

    def close(self) -> None:
        """Wait until all lines are on the disk."""
        self._lines.put(False)
        self._thread.join()

    def _bring_to_disk(self) -> None:
        while self._lines.get():
            with suppress(OSError):  # the next line that is written tells
                os.fsync(self._file.fileno())

    def path_of(self, file: Path) -> str:
        """Name a file as the journal does: from its folder, if it lies in it."""
        return name_in(self.folder, file)


@contextmanager
def opened(folder: Path) -> Iterator[Journal]:
    """Open the journal of a folder for one run alone; the folder is made where it is not there.

    Raises
    ------
    BlockingIOError
        Another run is at work in the folder.
    NotWritten
        The folder cannot be written.
    FileError
        The journal is of a newer version.
    """
    folder = folder.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK, timeout=0)
        lock.acquire()
    except Timeout:
        raise BlockingIOError(
            f"{folder}: another batch is at work in this folder; wait for it or cancel it, or "
            "name another folder"
        ) from None
    except OSError as error:
        raise _unwritable(folder, error) from error
    try:
        read(folder)  # refuses what cannot be gone on with
        try:
            file = (folder / NAME).open("ab+")
            _end_line(file)
        except OSError as error:
            raise _unwritable(folder / NAME, error) from error
        with file, closing(Journal(folder, file)) as book:
            yield book
    finally:
        lock.release()


def read(folder: Path) -> list[dict[str, Any]]:
    """Return the events of a folder's journal; none if there is no journal.

    Raises
    ------
    FileError
        It is of a version that this one does not know.
    """
    path = folder / NAME
    if not path.is_file():
        return []
    events = []
    for line in path.read_bytes().splitlines():
        try:
            event = json.loads(line)
        except ValueError:  # cut off by a crash
            continue
        if not isinstance(event, dict) or "event" not in event:
            continue
        if event.get(_MARK, VERSION) != VERSION:
            raise FileError(
                path,
                f"it is a journal of version {event[_MARK]!r}, expected {VERSION}",
                "update napari-denoise, or name another folder",
                value=event[_MARK],
            )
        events.append(event)
    return events


def heading() -> Mapping[str, Any]:
    """Return what the first line of a run holds: the number of the format."""
    return {_MARK: VERSION}


def name_in(folder: Path, file: Path) -> str:
    """Name a file from a folder, if it lies in it; else by its whole path."""
    file, folder = file.absolute(), folder.absolute()
    return str(file.relative_to(folder)) if file.is_relative_to(folder) else str(file)


def _end_line(file: BinaryIO) -> None:
    """Begin a new line after one that was cut off."""
    if file.seek(0, os.SEEK_END):
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            file.write(b"\n")


def _unwritable(path: Path, error: OSError) -> NotWritten:
    return NotWritten(
        path,
        f"it cannot be written ({error.strerror or error})",
        remedy_for(error),
    )
