"""Libraries that read files: what they raise is one `FileError`, what they log stays short."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_denoise.io.errors import FileError
from napari_denoise.settings.text import printable, shortened

_LOGGER = "tifffile"
"""The one logger of those libraries that says much of damaged files."""
_MOST_LINES = 2
"""Lines of its log that are let through for a file."""


class Log(logging.Filter):
    """What a library logs of one file in one thread: its first lines pass, signs of damage do not.

    Parameters
    ----------
    damage
        Finds the lines that tell of damage; an error will say it better.
    expected
        Finds those that tell of what the reader sees by itself; they are left out.
    """

    def __init__(
        self,
        damage: re.Pattern[str] | None = None,
        expected: re.Pattern[str] | None = None,
    ) -> None:
        super().__init__()
        self.reports: list[str] = []
        """The signs of damage."""
        self._damage, self._expected = damage, expected
        self._passed, self._thread = 0, threading.get_ident()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line of the log is shown."""
        if record.thread != self._thread or record.levelno < logging.WARNING:
            return True
        message = record.getMessage()
        if self._expected is not None and self._expected.search(message):
            return False
        if self._damage is not None and self._damage.search(message):
            self.reports.append(re.sub(r"^.*?>\s*", "", message))
            return False
        record.msg, record.args = shortened(printable(message), 300), ()
        self._passed += 1
        return self._passed <= _MOST_LINES

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Hear this thread, in the block."""
        self._thread = threading.get_ident()
        logger = logging.getLogger(_LOGGER)
        logger.addFilter(self)
        try:
            yield
        finally:
            logger.removeFilter(self)


@contextmanager
def guarded(path: Path, blame: Callable[[str], FileError], log: Log | None = None) -> Iterator[Log]:
    """Let a library work on a file in the block.

    Parameters
    ----------
    path
        The file.
    blame
        Makes an error of what the library said.
    log
        Goes on with what was heard of the file before.

    Yields
    ------
    Log
        What the library logs.

    Raises
    ------
    FileError
        Whatever the library raised, but for want of memory, which keeps its type.
    """
    log = log or Log()
    try:
        with log.kept():
            yield log
    except FileError:
        raise
    except MemoryError as error:
        raise MemoryError(f"{path}: it needs more memory than there is; {error}") from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            rule = f"it cannot be read ({error.strerror or error})"
            raise FileError(path, rule, "check its permissions and its disk") from error
        said = shortened(f"{error}" or type(error).__name__, 300)
        raise blame("\n".join([*log.reports, said])) from error


def whole(path: Path, kind: str, remedy: str) -> Callable[[str], FileError]:
    """Make the `blame` of a format: it is no whole file of its kind, such as "PNG file"."""
    return lambda said: FileError(path, f"it is not a whole {kind} ({said})", remedy)
