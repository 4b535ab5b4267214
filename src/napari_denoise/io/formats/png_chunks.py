"""The chunks of a PNG that its pixels are made of, checked before the library sees them.

libpng prints a line for every other chunk that it does not like, and a file may hold any number.
"""

from __future__ import annotations

import struct
import zlib

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_OF_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_BITS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
"""Bits of a sample, by the type of colour."""
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_RATIO = 1040
"""Bytes of pixels that a compressed byte may stand for, at most."""


def pixels_alone(data: bytes) -> bytes:
    """Return a PNG with no more than its pixels, palette and transparency.

    Raises
    ------
    ValueError
        It is no PNG, was cut off, or tells of more pixels than its bytes can hold.
    """
    if not data.startswith(_SIGNATURE):
        raise ValueError(f"it begins with {data[:8]!r}")
    kept, place, name = [_SIGNATURE], len(_SIGNATURE), b""
    while name != b"IEND":
        if place + 12 > len(data):
            raise ValueError(f"it ends after {len(data):,} bytes, without its last chunk")
        length, name = struct.unpack_from(">I4s", data, place)
        end = place + 12 + length
        if end > len(data):
            raise ValueError(f"it has {len(data):,} bytes, but tells of data up to byte {end:,}")
        if name in _OF_PIXELS:
            (told,) = struct.unpack_from(">I", data, end - 4)
            if zlib.crc32(data[place + 4 : end - 4]) != told:
                raise ValueError(f"its chunk {name.decode()} at byte {place:,} is damaged")
            kept.append(data[place:end])
        place = end
    _check_header(kept[1] if len(kept) > 1 else b"", len(data))
    return b"".join(kept)


def _check_header(chunk: bytes, size: int) -> None:
    if chunk[4:8] != b"IHDR" or len(chunk) != 25:
        raise ValueError("it does not begin with a header")
    width, height, bits, kind, *ways = struct.unpack(">IIBBBBB", chunk[8:21])
    if not 0 < width < 2**31 or not 0 < height < 2**31:
        raise ValueError(f"its header tells of {width:,} x {height:,} pixels")
    if bits not in _BITS.get(kind, ()) or ways[:2] != [0, 0] or ways[2] > 1:
        raise ValueError(f"its header tells of {bits} bits, colour {kind}, ways {ways}")
    told = width * height * _SAMPLES[kind] * bits // 8
    if told > _RATIO * size + 4096:
        raise ValueError(f"its header tells of {told:,} bytes of pixels, the file has {size:,}")
