"""What a library prints while it reads: results of the commands go to the same place."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class LibraryOutput:
    """Stands in for `sys.stdout` and keeps what the threads in `collected` print.

    All other threads print as ever.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._said: dict[int, list[str]] = {}
        self._plain: Any = None

    @contextmanager
    def collected(self) -> Iterator[list[str]]:
        """Collect what this thread prints in the block."""
        thread, said = threading.get_ident(), list[str]()
        with self._lock:
            if not self._said:
                self._plain, sys.stdout = sys.stdout, self
            self._said[thread] = said
        try:
            yield said
        finally:
            with self._lock:
                del self._said[thread]
                if not self._said and sys.stdout is self:
                    sys.stdout = self._plain

    def write(self, text: str) -> int:
        """Keep the text, or pass it on where its thread is not listened to."""
        said = self._said.get(threading.get_ident())
        if said is None:
            return int(self._plain.write(text))
        said.append(text)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plain, name)
