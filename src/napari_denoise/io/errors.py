"""What goes wrong with files, each in one clear message."""

from __future__ import annotations

import os


class FileError(ValueError):
    """A file cannot be read or written: names the file, the rule it breaks, the remedy.

    Parameters
    ----------
    path
        The file, folder or pattern at fault.
    rule
        What is wrong, with the value.
    remedy
        What the user can do about it.
    """

    def __init__(self, path: str | os.PathLike[str], rule: str, remedy: str) -> None:
        super().__init__(f"{os.fspath(path)}: {rule}; {remedy}")


class NotWritten(FileError, OSError):
    """A file could not be written: no space, no permission; what was there before is whole."""


class FileExists(FileError, FileExistsError):
    """The target exists and replacing it was not asked for."""

    @classmethod
    def of(cls, path: str | os.PathLike[str], more: str = "") -> FileExists:
        """Say that a target is there; `more` goes on with the sentence."""
        remedy = "choose another name or pass overwrite=True"
        return cls(path, f"it exists already{more}", remedy)


class ReadWarning(UserWarning):
    """The file was read, but something in it was left out or guessed."""


class WriteWarning(UserWarning):
    """The file was written, but something in it differs from the data in memory."""
