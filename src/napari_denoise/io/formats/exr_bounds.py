"""Whether an OpenEXR file holds the pixels that its header tells of, before the library reads any.

The library allocates what a header asks for, and prints a line for every piece that is not there.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from napari_denoise.io.errors import FileError

_AGAIN = "it may be truncated or another format: render or copy it again"
_LINES = (1, 1, 1, 16, 32, 16, 32, 32, 32, 256, 32, 256)
"""Rows of a piece, by the number of the compression."""
_RATIOS = (2, 130, 1040, 1040)
"""Bytes of pixels that a byte may stand for with the first compressions, and with any other."""
_OTHER_RATIO = 40_000
_SAMPLE_BYTES = (4, 2, 4)
_TILED, _DEEP, _PARTS = 0x200, 0x800, 0x1000
_LONGEST, _MOST_ATTRIBUTES, _MOST_PARTS = 256, 4096, 4096
_KNOWN = ("channels", "compression", "dataWindow", "chunkCount", "type", "tiles")

_Header = Mapping[str, bytes]


def lost_parts(path: Path) -> list[int]:
    """Find the parts of a file that lack pixels, by number; what is no OpenEXR lacks none here.

    Raises
    ------
    FileError
        A header that does not end, or that tells of more pixels than any compression makes of
        the file.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(8)
        if len(head) < 8 or head[:4] != b"\x76\x2f\x31\x01":
            return []  # the library says so
        (flags,) = struct.unpack("<I", head[4:])
        if flags & _DEEP:
            return []
        try:
            headers = _headers(file, size, several=bool(flags & _PARTS))
            for header in headers:
                _check_room(header, size)
            counts = [_chunks(header, tiled=bool(flags & _TILED)) for header in headers]
            return _lost(file, size, headers, counts, several=bool(flags & _PARTS))
        except (ValueError, struct.error) as error:
            raise FileError(path, f"it is not a whole OpenEXR file ({error})", _AGAIN) from error


def _headers(file: BinaryIO, size: int, *, several: bool) -> list[_Header]:
    headers: list[_Header] = []
    while len(headers) < _MOST_PARTS:
        header: dict[str, bytes] = {}
        for _ in range(_MOST_ATTRIBUTES):
            name = _word(file)
            if not name:
                break
            kind = _word(file)
            (length,) = struct.unpack("<i", file.read(4))
            if not kind or not 0 <= length <= size - file.tell():
                raise ValueError(f"its attribute {name[:40]!r} has {length:,} bytes")
            if name in _KNOWN:
                header[name] = file.read(length)
            else:
                file.seek(length, os.SEEK_CUR)
        else:
            raise ValueError(f"a header of more than {_MOST_ATTRIBUTES:,} attributes")
        if several and not header:
            return headers
        headers.append(header)
        if not several:
            return headers
    raise ValueError(f"more than {_MOST_PARTS:,} parts")


def _word(file: BinaryIO) -> str:
    text = b""
    while (letter := file.read(1)) != b"\0":
        if not letter or len(text) > _LONGEST:
            raise ValueError("its header does not end")
        text += letter
    return text.decode("latin-1")


def _window(header: _Header) -> tuple[int, int, int, int]:
    left, top, right, bottom = struct.unpack("<4i", header.get("dataWindow", b"")[:16])
    if right < left or bottom < top:
        raise ValueError(f"its data window ends at {right, bottom} and begins at {left, top}")
    return left, top, right - left + 1, bottom - top + 1


def _check_room(header: _Header, size: int) -> None:
    *_, width, height = _window(header)
    told, compression = 0, _compression(header)
    listed = header.get("channels", b"")
    while listed and listed != b"\0":
        _, _, listed = listed.partition(b"\0")
        kind, _, x, y = struct.unpack("<iiii", listed[:16])
        if not 0 <= kind < len(_SAMPLE_BYTES) or x < 1 or y < 1:
            raise ValueError(f"a channel of kind {kind}, every {x} by {y} pixels")
        told += width * height * _SAMPLE_BYTES[kind] // (x * y)
        listed = listed[16:]
    most = _RATIOS[compression] if compression < len(_RATIOS) else _OTHER_RATIO
    if told > most * size:
        raise ValueError(f"its header tells of {told:,} bytes of pixels, the file has {size:,}")


def _compression(header: _Header) -> int:
    return int((header.get("compression", b"") or b"\0")[0])


def _chunks(header: _Header, *, tiled: bool) -> int:
    """Count the pieces of a part; 0 where only the library can."""
    if count := header.get("chunkCount", b""):
        return int(struct.unpack("<i", count)[0])
    *_, width, height = _window(header)
    if tiled:
        across, down, mode = struct.unpack("<IIB", header.get("tiles", b""))
        if not across or not down:
            raise ValueError(f"its tiles are {across} x {down} pixels")
        return -(-width // across) * -(-height // down) if mode & 15 == 0 else 0
    compression = _compression(header)
    return -(-height // _LINES[compression]) if compression < len(_LINES) else 0


def _lost(
    file: BinaryIO, size: int, headers: list[_Header], counts: list[int], *, several: bool
) -> list[int]:
    """Follow the table of pieces of each part to where they begin."""
    lost = []
    for number, (header, count) in enumerate(zip(headers, counts, strict=True)):
        if not 0 <= count <= size // 8:
            raise ValueError(f"it tells of {count:,} pieces, the file has {size:,} bytes")
        if count == 0:  # tables of later parts begin at no known place
            break
        table = struct.unpack(f"<{count}Q", file.read(8 * count))
        kind = header.get("type", b"")
        if kind.startswith(b"deep"):
            continue
        tiles = kind.startswith(b"tiled") or (not kind and "tiles" in header)
        after = file.tell()
        if not all(_is_there(file, size, at, tiles=tiles, several=several) for at in table):
            lost.append(number)
        file.seek(after)
    return lost


def _is_there(file: BinaryIO, size: int, start: int, *, tiles: bool, several: bool) -> bool:
    """Whether a piece of so many bytes as it says itself lies inside the file."""
    leader = 4 * (several + (5 if tiles else 2))
    if not 8 < start <= size - leader:
        return False
    file.seek(start + leader - 4)
    (length,) = struct.unpack("<i", file.read(4))
    return 0 <= int(length) <= size - start - leader
