"""What goes wrong with files, each in one clear message; what else is to be said of them."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

from napari_denoise.settings.text import printable

_P = ParamSpec("_P")
_T = TypeVar("_T")


class FileError(ValueError):
    """A file cannot be read or written: names the file, the rule it breaks, the remedy.

    It is shown as one sentence, and each part of it is a field: nobody has to take texts apart.

    Parameters
    ----------
    path
        The file, folder or pattern at fault.
    rule
        What is wrong, with the value in words.
    remedy
        What the user can do about it.
    value
        What broke the rule, as it is; None where the file itself did.
    replaceable
        Whether the same call with ``overwrite=True`` would go through.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        rule: str,
        remedy: str,
        *,
        value: Any = None,
        replaceable: bool = False,
    ) -> None:
        super().__init__(printable(f"{os.fspath(path)}: {rule}; {remedy}"))
        self.path, self.rule, self.remedy = os.fspath(path), rule, remedy
        self.value, self.replaceable = value, replaceable

    def __reduce__(self) -> tuple[Any, ...]:
        """Let other processes have it with its fields."""
        again = functools.partial(type(self), value=self.value, replaceable=self.replaceable)
        return again, (self.path, self.rule, self.remedy)


class NotWritten(FileError, OSError):
    """A file could not be written: no space, no permission; what was there before is whole."""


class FileExists(FileError, FileExistsError):
    """The target exists and replacing it was not asked for."""

    @classmethod
    def of(cls, path: str | os.PathLike[str], more: str = "") -> FileExists:
        """Say that a target is there; `more` goes on with the sentence."""
        remedy = "choose another name or pass overwrite=True"
        return cls(path, f"it exists already{more}", remedy, replaceable=True)


class ReadWarning(UserWarning):
    """The file was read, but something in it was left out or guessed."""


class WriteWarning(UserWarning):
    """The file was written, but something in it differs from the data in memory."""


class _Listener:
    """Keeps what is said while it is open."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.open = True


_LISTENER: ContextVar[_Listener | None] = ContextVar("listener", default=None)


def say(text: str, category: type[UserWarning], stacklevel: int = 1) -> None:
    """Say something of a file that is no error: to who listens, else as a warning.

    Parameters
    ----------
    text
        Names the file, and what was left out, guessed or changed.
    category
        `ReadWarning` or `WriteWarning`.
    stacklevel
        As for `warnings.warn`, counted from the caller.
    """
    listener, text = _LISTENER.get(), printable(text)
    if listener is not None and listener.open:
        listener.heard.append(text)
    else:
        warnings.warn(text, category, stacklevel=stacklevel + 1)


@contextmanager
def listening() -> Iterator[list[str]]:
    """Collect what is said in the block, by this thread and by what `heard_here` wraps.

    Filters of warnings belong to the whole process, and two threads that replace them leave
    each other's behind; who listens is known to one context alone. Do not yield in the block.
    """
    listener = _Listener()
    token = _LISTENER.set(listener)
    try:
        yield listener.heard
    finally:
        listener.open = False
        _LISTENER.reset(token)


def heard_here(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Let who listens now hear a function in whatever thread it is called, while they listen."""
    listener = _LISTENER.get()

    @functools.wraps(function)
    def wrapped(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        token = _LISTENER.set(listener)
        try:
            return function(*args, **kwargs)
        finally:
            _LISTENER.reset(token)

    return function if listener is None else wrapped
