"""OpenEXR files that the library reads and does not write: levels, and chroma at half size."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from itertools import product
from pathlib import Path

import numpy as np

TILED = 0x200


def _attribute(name: str, kind: str, value: bytes) -> bytes:
    return b"".join(
        [name.encode(), b"\0", kind.encode(), b"\0", struct.pack("<i", len(value)), value]
    )


def _header(flags: int, sampling: Mapping[str, int], size: tuple[int, int], more: bytes) -> bytes:
    entries = (
        name.encode() + b"\0" + struct.pack("<iBxxxii", 1, 0, step, step)
        for name, step in sorted(sampling.items())
    )
    box = struct.pack("<4i", 0, 0, size[1] - 1, size[0] - 1)
    return b"".join(
        [
            struct.pack("<ii", 20000630, 2 | flags),
            _attribute("channels", "chlist", b"".join(entries) + b"\0"),
            _attribute("compression", "compression", b"\0"),
            _attribute("dataWindow", "box2i", box),
            _attribute("displayWindow", "box2i", box),
            _attribute("lineOrder", "lineOrder", b"\0"),
            _attribute("pixelAspectRatio", "float", struct.pack("<f", 1)),
            _attribute("screenWindowCenter", "v2f", struct.pack("<2f", 0, 0)),
            _attribute("screenWindowWidth", "float", struct.pack("<f", 1)),
            more,
            b"\0",
        ]
    )


def _save(path: Path, header: bytes, chunks: list[bytes]) -> Path:
    offset, table = len(header) + 8 * len(chunks), b""
    for chunk in chunks:
        table += struct.pack("<Q", offset)
        offset += len(chunk)
    path.write_bytes(header + table + b"".join(chunks))
    return path


def save_levels(path: Path, channels: Mapping[str, np.ndarray], *, rip: bool = False) -> Path:
    """Save square half images whose side is a power of 2 with all levels, one tile each."""
    side = len(next(iter(channels.values())))
    tiles = struct.pack("<IIB", side, side, 2 if rip else 1)
    header = _header(
        TILED, dict.fromkeys(channels, 1), (side, side), _attribute("tiles", "tiledesc", tiles)
    )
    count = side.bit_length()
    levels = product(range(count), repeat=2) if rip else [(n, n) for n in range(count)]
    chunks = []
    for down, across in levels:
        small = [channels[name][:: 2**down, :: 2**across] for name in sorted(channels)]
        rows = [plane[y].astype("<f2").tobytes() for y in range(len(small[0])) for plane in small]
        data = b"".join(rows)
        chunks.append(struct.pack("<5i", 0, 0, across, down, len(data)) + data)
    return _save(path, header, chunks)


def save_chroma(path: Path, luminance: np.ndarray, red: np.ndarray, blue: np.ndarray) -> Path:
    """Save Y with RY and BY at half resolution."""
    planes = {"BY": (blue, 2), "RY": (red, 2), "Y": (luminance, 1)}
    header = _header(0, {name: step for name, (_, step) in planes.items()}, luminance.shape, b"")
    chunks = []
    for y in range(len(luminance)):
        rows = [plane[y // step] for plane, step in planes.values() if y % step == 0]
        data = b"".join(row.astype("<f2").tobytes() for row in rows)
        chunks.append(struct.pack("<ii", y, len(data)) + data)
    return _save(path, header, chunks)
