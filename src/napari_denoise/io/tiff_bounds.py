"""Whether a TIFF can hold what it tells of, looked at before a library walks or allocates it.

A page, a plane or a tag of a few bytes may tell of any size. What follows compares them with the
size of the file, in the time of reading its lists of tags once.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO
from xml.etree import ElementTree

from napari_denoise.io.errors import FileError
from napari_denoise.settings.text import shown

_SMALLEST_PAGE = 18
"""Bytes of a page with one tag."""
_PLANES_PER_PAGE, _FREE_PLANES = 1000, 10_000
"""Planes that OME-XML may tell of: some lie in other files, and lost ones are named as such."""
_TYPE_BYTES = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)
_SHORT = 3
_WIDTH, _HEIGHT, _SUBIFDS = 256, 257, 330
_AGAIN = "copy or export it again"

# How many bytes a byte may stand for. Uncompressed samples of less than a byte are unpacked.
_RATIOS = {1: 8, 5: 1400, 8: 1040, 32773: 70, 32946: 1040}
# Others make an image of one value from a hundred bytes, so that small ones are never refused.
_OTHER_RATIO, _OTHER_SLACK = 200_000, 2**26


@dataclass(frozen=True)
class _Page:
    """A list of tags, in numbers: where it is, and what it tells of."""

    start: int
    pixels: int
    subs: int
    """Pages that hang on it."""
    values: int
    """Bytes of its tags' values beyond the list."""


def sizes_of_pages(path: Path) -> list[int]:
    """Follow the chain of pages, and return the number of pixels of each; none for no TIFF.

    Raises
    ------
    FileError
        The chain comes back to a page, or it tells of more than the file has room for.
    """
    sizes: list[int] = []
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        seen: set[int] = set()
        subs = values = 0
        for page in _pages(file):
            if page.start in seen:
                again = f"page {len(seen)} is followed by an earlier one, at byte {page.start:,}"
                raise _damaged(path, again)
            seen.add(page.start)
            sizes.append(page.pixels)
            subs, values = subs + page.subs, values + page.values
            if _SMALLEST_PAGE * (len(seen) + subs) > max(size, 2 * _SMALLEST_PAGE):
                raise _damaged(
                    path, f"it tells of more pages than its {size:,} bytes have room for"
                )
            if values > 4 * size + 2**22:
                raise _damaged(
                    path, f"its tags tell of {values:,} bytes of values, and it has {size:,}"
                )
    return sizes


def check_planes(path: Path, xml: str | None, pages: Sequence[int]) -> None:
    """Compare what OME-XML tells of with the pages, of which each has so many pixels.

    Raises
    ------
    FileError
        It tells of many more planes.
    """
    try:
        root = ElementTree.fromstring(xml or "<OME/>")  # noqa: S314 - as tifffile does after this
    except (ElementTree.ParseError, ValueError):
        return  # the library says so
    for element in root.iter():
        kind = element.tag.rpartition("}")[2]
        if kind == "Pixels":
            data = [e for e in element if e.tag.endswith("TiffData")]
            most = _FREE_PLANES + _PLANES_PER_PAGE * (len(pages) + len(data))
            planes = prod(_number(element, f"Size{a}", 1) for a in "TCZ")
            pixels = prod(_number(element, f"Size{a}", 1) for a in "YX")
            smallest = min([pages[n] for n in _first_pages(data) if n < len(pages)], default=pixels)
            counts = [_number(e, name) for e in data for name in ("PlaneCount", "NumPlanes")]
            told = max([planes, planes * pixels // max(smallest, 1), *counts])
            if told > most:
                plural = "page" if len(pages) == 1 else "pages"
                text = f"its OME-XML tells of {shown(told, 20)} planes, and it has {len(pages):,}"
                raise _damaged(path, f"{text} {plural}")
        elif kind[:-1].endswith("Along") and "Start" in element.attrib:
            start, stop, step = (_float(element, n) for n in ("Start", "End", "Step"))
            if not abs(stop - start) <= abs(step or 1.0) * _FREE_PLANES:
                raise _damaged(path, f"its OME-XML tells of an axis from {start:g} to {stop:g}")


def _first_pages(data: Iterable[Any]) -> Iterator[int]:
    """Numbers of pages of this file that blocks of OME-XML begin at."""
    return (_number(block, "IFD") for block in data)


def check_pixels(path: Path, tif: Any, series: Any) -> None:
    """Compare the pixels of an image with the bytes that the file has for them.

    Raises
    ------
    ValueError
        They end beyond the file.
    FileError
        No compression makes so many of so few bytes.
    """
    size = tif.filehandle.size
    if series.dataoffset is not None:
        end, stored = series.dataoffset + series.nbytes, series.nbytes
    else:
        pages = [page for page in series.pages if page is not None]
        own = [page for page in pages if page.parent is tif]
        ends = [
            start + count
            for page in own
            for start, count in zip(page.dataoffsets, page.databytecounts, strict=False)
        ]
        end, stored = max(ends, default=0), sum(sum(page.databytecounts) for page in pages)
    if end > size:
        raise ValueError(f"pixels end at byte {end}, the file at {size}")
    page = series.keyframe
    tile = prod(page.chunks) * page.dtype.itemsize
    ratio = _RATIOS.get(int(page.compression))
    most = _OTHER_SLACK + stored * _OTHER_RATIO if ratio is None else 4096 + stored * ratio
    for name, told in (("image", series.nbytes), ("tile", tile)):
        if told > most:
            raise _damaged(
                path,
                f"it tells of {told:,} bytes for {'an' if name[0] == 'i' else 'a'} {name}, "
                f"and has {stored:,} for it",
            )


def _pages(file: BinaryIO) -> Iterator[_Page]:
    """Yield each page of the chain, as far as it can be read."""
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    version = struct.unpack(f"{order}H", head[2:4])[0] if order and len(head) == 16 else 0
    if version not in (42, 43):
        return
    offset, count, entry = ("Q", "Q", "HHQQ") if version == 43 else ("I", "H", "HHII")
    offset, count, entry = order + offset, order + count, order + entry  # type: ignore[operator]
    here, wide = struct.calcsize(offset), struct.calcsize(entry)
    (start,) = struct.unpack_from(offset, head, 8 if version == 43 else 4)
    while start:
        file.seek(min(start, 2**63 - 1))
        head = file.read(struct.calcsize(count))
        if len(head) < struct.calcsize(count):
            return  # beyond the end: the library says so
        (tags,) = struct.unpack(count, head)
        if tags > 4096:
            return
        data = file.read(tags * wide + here)
        subs = values = 0
        sides = {_WIDTH: 1, _HEIGHT: 1}
        whole = data[: min(len(data) // wide, tags) * wide]
        for place, (code, kind, number, value) in enumerate(struct.iter_unpack(entry, whole)):
            if kind < len(_TYPE_BYTES) and (told := number * _TYPE_BYTES[kind]) > here:
                values += told
            if code == _SUBIFDS:
                subs += number
            elif code in sides:
                at = place * wide + wide - here
                short = struct.unpack_from(f"{entry[0]}H", whole, at)[0]
                sides[code] = short if kind == _SHORT else value
        yield _Page(start, prod(sides.values()), subs, values)
        if len(data) < tags * wide + here:
            return
        (start,) = struct.unpack_from(offset, data, tags * wide)


def _number(element: Any, name: str, default: int = 0) -> int:
    try:
        return max(int(element.attrib.get(name, default)), 0)
    except ValueError:
        return default  # the library says so


def _float(element: Any, name: str) -> float:
    try:
        return float(element.attrib.get(name, 1.0))
    except ValueError:
        return float("nan")


def _damaged(path: Path, problem: str) -> FileError:
    return FileError(path, f"it is not a whole TIFF file ({problem})", _AGAIN)
