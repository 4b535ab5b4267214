"""Small files in the layouts of microscopes, byte by byte: tifffile has no writer of them."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

Tag = tuple[int, int, int, bytes]
"""Code, type, count, value."""
SIDE = 16


def plane(number: int) -> Any:
    """Make the plane of a number, like no other."""
    return np.random.default_rng(number).integers(9, 900, (SIDE, SIDE)).astype("<u2")


def text(code: int, value: str) -> Tag:
    data = value.encode() + b"\0"
    return code, 2, len(data), data


def rational(code: int, above: int, below: int = 1) -> Tag:
    return code, 5, 1, struct.pack("<II", above, below)


def write_tiff(
    path: Path, pages: Sequence[tuple[Any, Sequence[Tag]]], header: bytes = b""
) -> list[int]:
    """Write uncompressed pages, the pixels of each right behind its tags.

    Returns
    -------
    Where the tags of each page begin.
    """
    body = bytearray(struct.pack("<2sHI", b"II", 42, 0) + header)
    link, places = 4, []
    for pixels, more in pages:
        rows = pixels.shape[-2]
        body += b"\0" * (len(body) % 2)
        start, data = len(body), np.ascontiguousarray(pixels).tobytes()
        count = 9 + len(more)
        at = start + 2 + 12 * count + 4
        behind = at + len(data)
        basic = [
            (256, 4, pixels.shape[-1]),
            (257, 4, rows),
            (258, 3, 8 * pixels.itemsize),
            (259, 3, 1),
        ]
        basic += [
            (262, 3, 1),
            (273, 4, at),
            (277, 3, 1),
            (278, 3, rows),
            (279, 4, rows * pixels.shape[-1] * pixels.itemsize),
        ]
        entries = [(code, kind, 1, struct.pack("<I", value)) for code, kind, value in basic]
        tail = b""
        for code, kind, n, value in more:
            if len(value) > 4:
                entries.append((code, kind, n, struct.pack("<I", behind + len(tail))))
                tail += value + b"\0" * (len(value) % 2)
            else:
                entries.append((code, kind, n, value.ljust(4, b"\0")))
        struct.pack_into("<I", body, link, start)
        body += struct.pack("<H", count)
        for code, kind, n, value in sorted(entries, key=lambda entry: entry[0]):
            body += struct.pack("<HHI", code, kind, n) + value
        link = len(body)
        body += b"\0\0\0\0" + data + tail
        places.append(start)
    path.write_bytes(body)
    return places


def mm_stack(
    path: Path,
    summary: dict[str, Any],
    places: Sequence[tuple[int, int, int, int]],
    *,
    index: bool = True,
    unit: str = "um",
    notes: dict[str, Any] | None = None,
) -> None:
    """Write a stack of Micro-Manager: channel, slice, frame and position of each page."""
    about = json.dumps({"MicroManagerVersion": "2.0.1", **summary}).encode()
    about += b" " * (len(about) % 2)
    pages = []
    for number, (c, z, t, p) in enumerate(places):
        own = {"ChannelIndex": c, "SliceIndex": z, "FrameIndex": t, "PositionIndex": p}
        own |= {"ElapsedTime-ms": 250 * t, "ZPositionUm": -0.5 * z, **(notes or {})}
        tags = [
            rational(282, 19120, 10),
            rational(283, 19120, 10),
            (296, 3, 1, struct.pack("<H", 3)),
        ]
        tags += [text(51123, json.dumps(own))]
        if not number:
            tags.append(
                text(270, f"ImageJ=1.49h\nimages={len(places)}\nhyperstack=true\nunit={unit}\n")
            )
        pages.append((plane(number), tags))
    header = struct.pack("<8I", 54773648, 0, 483765892, 0, 99384722, 0, 2355492, len(about))
    starts = write_tiff(path, pages, header + about)
    if not index:
        return
    body = bytearray(path.read_bytes())
    struct.pack_into("<I", body, 12, len(body))
    body += struct.pack("<II", 3453623, len(places))
    for place, start in zip(places, starts, strict=True):
        body += struct.pack("<5i", *place, start)
    struct.pack_into("<I", body, 20, len(body))
    body += struct.pack("<II", 347834724, 2) + b"[]"
    struct.pack_into("<I", body, 28, len(body))
    body += struct.pack("<II", 84720485, 2) + b"{}"
    path.write_bytes(body)


def nd_tiff(path: Path, places: Sequence[dict[str, int | str]], first: int = 0) -> list[bytes]:
    """Write pages of NDTiff.

    Returns
    -------
    The entry of each page in NDTiff.index.
    """
    pages, notes = [], []
    for number, place in enumerate(places):
        note = json.dumps(
            {"Axes": place, "PixelSizeUm": 0.325, "ElapsedTime-ms": 40 * int(place.get("time", 0))}
        )
        notes.append(note)
        pages.append((plane(first + number), [text(51123, note)]))
    header = struct.pack("<IIIII", 483729, 3, 2, 2355492, 2) + b"{}"
    starts = write_tiff(path, pages, header)
    entries = []
    for place, note, start in zip(places, notes, starts, strict=True):
        axes, name = json.dumps(place).encode(), path.name.encode()
        at = start + 2 + 12 * 10 + 4
        entries.append(
            struct.pack("<I", len(axes))
            + axes
            + struct.pack("<I", len(name))
            + name
            + struct.pack("<IiiiiIii", at, SIDE, SIDE, 1, 0, at + 2 * SIDE**2, len(note), 0)
        )
    return entries


def lsm(path: Path, *, times: int = 1, planes: int = 1, positions: int = 0) -> None:
    """Write an LSM of 0.2 x 0.2 x 1.5 um, 0.75 s, each page with its thumbnail."""
    info = np.zeros(1, [(name or f"_{n}", kind) for n, (name, kind) in enumerate(_LSM)])
    info["MagicNumber"], info["StructureSize"] = 67127628, info.dtype.itemsize
    info["DimensionX"] = info["DimensionY"] = SIDE
    info["DimensionZ"], info["DimensionTime"], info["DimensionChannels"] = planes, times, 1
    info["VoxelSizeX"] = info["VoxelSizeY"] = 0.2e-6
    info["VoxelSizeZ"], info["TimeIntervall"] = 1.5e-6, 0.75
    info["ScanType"], info["DimensionP"] = 6 if times > 1 else 0, positions
    data = info.tobytes()
    pages: list[tuple[Any, list[Tag]]] = []
    for number in range(times * planes * max(1, positions)):
        tags = [] if pages else [(34412, 1, len(data), data)]
        pages.append((plane(number), [*tags, (254, 4, 1, struct.pack("<I", 0))]))
        pages.append((plane(0)[:4, :4], [(254, 4, 1, struct.pack("<I", 1))]))
    write_tiff(path, pages)


_LSM = [
    *((name, "<u4" if name == "MagicNumber" else "<i4") for name in (
        "MagicNumber", "StructureSize", "DimensionX", "DimensionY", "DimensionZ",
        "DimensionChannels", "DimensionTime", "", "", "",
    )),
    *((name, "<f8") for name in ("VoxelSizeX", "VoxelSizeY", "VoxelSizeZ", "", "", "")),
    ("ScanType", "<u2"), ("", "<u2"), ("", "5<u4"), ("TimeIntervall", "<f8"), ("", "8<u4"),
    ("", "4<f8"), ("", "7<u4"), ("", "<f8"), ("", "4<u4"), ("", "3<f8"), ("", "<u4"),
    ("DimensionP", "<i4"), ("DimensionM", "<i4"), ("", "16<i4"), ("", "<u4"), ("", "9<u4"),
    ("OffsetPositions", "<u4"),
]  # fmt: skip


def stk(path: Path, planes: int, *, step_um: float = 0.0, seconds: float = 0.0) -> None:
    """Write a MetaMorph stack of 0.16 um pixels, all planes behind the first page's tags."""
    stack = np.concatenate([plane(n) for n in range(planes)])
    uic2 = b"".join(
        struct.pack(
            "<6I", round(step_um * 1000), 1000, 2459000, round(1000 * seconds * n) + 5, 2459000, 0
        )
        for n in range(planes)
    )
    tags: list[Tag] = [(33629, 5, planes, uic2)]
    # Entries of UIC1: number and value, or where the value stands. Filled in below.
    uic1 = struct.pack("<8I", 3, 1, 4, 0, 5, 0, 6, 0)
    tags.append((33628, 4, 4, uic1))
    write_tiff(path, [(stack, tags)])
    body = bytearray(path.read_bytes())
    at = len(body) - len(uic1)
    struct.pack_into("<I", body, at + 12, len(body))
    struct.pack_into("<I", body, at + 20, len(body))
    body += struct.pack("<II", 16, 100)
    struct.pack_into("<I", body, at + 28, len(body))
    body += struct.pack("<I", 3) + b"um\0"
    # The tags tell of one plane; the others follow.
    for code, kind, value in ((257, 4, SIDE), (278, 3, SIDE), (279, 4, 2 * SIDE**2)):
        spot = body.index(struct.pack("<HHI", code, kind, 1))
        struct.pack_into("<I", body, spot + 8, value)
    path.write_bytes(body)
