"""Names of files that fit into a folder, and on other systems too."""

from __future__ import annotations

import os
from hashlib import sha256

LONGEST = 255
"""Bytes of a file's name that file systems take."""
_DEVICES = {
    *("con", "prn", "aux", "nul", "conin$", "conout$", "clock$"),
    *(f"{port}{number}" for port in ("com", "lpt") for number in "0123456789¹²³"),
}


def length(name: str) -> int:
    """Bytes of a name on the disk, also of one that is not UTF-8."""
    return len(os.fsencode(name))


def fitting(name: str, added: int = 0) -> str:
    """Shorten a name so that so many bytes can be added; one that fits stays as it is.

    What is cut off is told by a hash, so that two long names stay two, and one is always cut alike.
    """
    most = LONGEST - added
    data = os.fsencode(name)
    if len(data) <= most:
        return name
    mark = f"~{sha256(data).hexdigest()[:8]}"
    return data[: most - len(mark)].decode("utf-8", "ignore") + mark


def is_device(stem: str) -> bool:
    """Whether Windows takes a name for that of a device, whatever its ending: aux, NUL, com1."""
    return stem.partition(".")[0].strip().lower() in _DEVICES
