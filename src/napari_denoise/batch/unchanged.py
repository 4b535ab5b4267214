"""Whether inputs stayed as they were while they were denoised."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

_Stamp = tuple[int, int] | None


class Unchanged:
    """Size and time of change of files, to be looked at again at the end."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._stamps = {file: _stamp(file) for file in files}

    def warnings(self) -> list[str]:
        """Say in one text which files are others than they were; empty if none is."""
        changed = [file for file, stamp in self._stamps.items() if _stamp(file) != stamp]
        if not changed:
            return []
        more = f" and {len(changed) - 1} more files" if changed[1:] else ""
        return [
            f"{changed[0]}{more}: changed while being denoised (size or time of change is another "
            "now): the result may mix old and new pixels; denoise it again"
        ]


def _stamp(file: Path) -> _Stamp:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
