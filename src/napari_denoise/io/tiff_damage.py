"""What is wrong with a damaged TIFF, in words for its owner, not in those of a library."""

from __future__ import annotations

import re
import struct
from pathlib import Path

from napari_denoise.io.errors import FileError

_BEGINNINGS = {b"II*\0": "<", b"MM\0*": ">", b"II+\0": "<", b"MM\0+": ">"}
_OFFSET = re.compile(r"(?:offset(?: to \w+ page)?|end at byte) (\d+)")
_OTHER_FILE = re.compile(r"[\w .()+-]+\.(?:ome\.)?(?:tiff?|btf|tf[28])\b")


def damaged(path: Path, report: str) -> FileError:
    """Say what of a TIFF is missing.

    Parameters
    ----------
    path
        The file.
    report
        What the library said; only byte positions and names of files are taken from it.
    """
    problem, remedy = _missing_part(path, report) or _missing_end(path, report)
    return FileError(path, f"it is not a whole TIFF file ({problem})", remedy)


def _missing_part(path: Path, report: str) -> tuple[str, str] | None:
    """One of the several files that an OME-TIFF consists of."""
    found = (name.strip() for name in _OTHER_FILE.findall(report))
    name = next((n for n in found if n != path.name and not (path.parent / n).exists()), None)
    if name is None:
        return None
    return (
        f"a part of it lies in {name!r}, which is not there",
        "put all files of the set into one folder, or copy or export them again",
    )


def _missing_end(path: Path, report: str) -> tuple[str, str]:
    size, again = path.stat().st_size, "copy or export it again"
    with path.open("rb") as file:
        head = file.read(16)
    if not size:
        return "it is empty, 0 bytes", again
    if size >= 4 and head[:4] not in _BEGINNINGS:
        return (
            f"it begins with {head[:4]!r}, a TIFF with II or MM",
            f"it may be of another format: give it the right ending, or {again}",
        )
    told = [*map(int, _OFFSET.findall(report)), _list_end(path, size, head)]
    beyond = [position for position in told if position > size]
    if beyond:
        lost = f"it has {size:,} bytes, but tells of data up to byte {min(beyond):,}"
        return f"{lost} or further: it was cut off, or is damaged", again
    return f"some of its {size:,} bytes are damaged", again


def _list_end(path: Path, size: int, head: bytes) -> int:
    """Position behind the header, or behind the first list of tags where there is one."""
    order, big = _BEGINNINGS.get(head[:4], "<"), head[2:3] == b"+" or head[3:4] == b"+"
    header, count, entry = (16, 8, 20) if big else (8, 2, 12)
    if size < header:
        return header
    (start,) = struct.unpack(order + ("Q" if big else "I"), head[header // 2 : header])
    if start < header:
        return 0
    if start + count > size:
        return int(start) + count
    with path.open("rb") as file:
        file.seek(start)
        (tags,) = struct.unpack(order + ("Q" if big else "H"), file.read(count))
    return int(start + count + entry * tags)
