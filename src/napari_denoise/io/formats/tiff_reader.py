"""TIFF, OME-TIFF, ImageJ hyperstacks and BigTIFF through tifffile."""

from __future__ import annotations

import logging
import re
import struct
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_denoise.image.frames import is_large
from napari_denoise.io.errors import FileError
from napari_denoise.io.formats import loaded
from napari_denoise.io.formats.loaded import Loaded, check_dtype
from napari_denoise.io.formats.ome import (
    imagej_fields,
    ome_bits,
    ome_fields,
    resolution_fields,
    tiff_bits,
)
from napari_denoise.io.meta import SIGNIFICANT_BITS

_CHUNK = 1024
"""Least side of the parts in which large tiled frames are read."""

# tifffile returns what is left of a damaged file and only logs these.
_DAMAGE = re.compile(
    r"invalid (page|value) offset|invalid offset to|no pages|corrupted|missing"
    r"|failed to (read|reshape)|incompletely written|out of range|does not match"
)
_BROKEN = (
    tifffile.TiffFileError,
    ValueError,
    RuntimeError,
    IndexError,
    KeyError,
    TypeError,
    struct.error,
)


def read_tiff(path: Path, series: int = 0) -> Loaded:
    """Read one image of a TIFF, of a pyramid its full resolution.

    Small data comes as an array. Larger data is memory-mapped where it lies in one piece
    and in native byte order, else a dask array with one chunk per frame, or per some tiles
    where frames are too large to be held.

    Raises
    ------
    FileError
        Truncated, not a TIFF, without a Y and an X axis, boolean or complex.
    """
    with _opened(path) as tif:
        chosen = _series(tif, path, series)
        check_dtype(path, chosen.dtype)
        letters = _axes(path, chosen)
        array, axes = _arranged(_palette(tif, chosen, _array(path, tif, chosen)), letters)
        return Loaded(array, axes, _fields(tif, chosen, series, axes), len(tif.series))


def tiff_image_names(path: Path) -> list[str]:
    """Name the images of a TIFF in order, "" for those without a name; reads no pixels.

    Raises
    ------
    FileError
        Truncated, or not a TIFF.
    """
    with _opened(path) as tif:
        return [series.name or "" for series in tif.series]


def read_tiff_plane(path: Path) -> NDArray[Any]:
    """Read the only plane of a TIFF, (Y, X) or (Y, X, S), as one frame of a sequence.

    Raises
    ------
    FileError
        As for `read_tiff`.
    """
    with _opened(path, multifile=False) as tif:
        chosen = _series(tif, path, 0)
        check_dtype(path, chosen.dtype)
        letters = _axes(path, chosen)
        if not set(letters) <= set("YXS"):
            raise FileError(
                path,
                f"it holds {chosen.shape} along {letters}, not a single plane",
                "open it by itself, not as a frame of a sequence",
            )
        image = _palette(tif, chosen, _native(chosen.asarray()))
        return np.ascontiguousarray(_arranged(image, letters)[0])


@contextmanager
def _opened(path: Path, *, multifile: bool = True) -> Iterator[Any]:
    """Open a TIFF; everything that tifffile raises or logs as damage is a FileError."""
    damage = _Damage()
    logger = logging.getLogger("tifffile")
    logger.addFilter(damage)
    tif = None
    try:
        tif = tifffile.TiffFile(path, _multifile=multifile)
        yield tif
    except FileError:
        raise
    except _BROKEN as error:
        raise damaged(path, "\n".join([*damage.reports, str(error)])) from error
    except OSError as error:
        raise FileError(path, f"it cannot be read ({error})", "check its permissions") from error
    finally:
        logger.removeFilter(damage)
        if tif is not None and not getattr(tif, "_kept_open", False):
            tif.close()
    if damage.reports:
        text = "\n".join(damage.reports)
        raise damaged(path, text) from tifffile.TiffFileError(text)


class _Damage(logging.Filter):
    """Take the signs of damage out of this thread's log: an error will say it better."""

    def __init__(self) -> None:
        super().__init__()
        self.reports: list[str] = []
        self._thread = threading.get_ident()

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if record.thread != self._thread or not _DAMAGE.search(message):
            return True
        self.reports.append(re.sub(r"^.*?>\s*", "", message))
        return False


def _series(tif: Any, path: Path, number: int) -> Any:
    if not tif.series:
        raise tifffile.TiffFileError("no image in it can be reached")
    if not 0 <= number < len(tif.series):
        raise FileError(
            path, f"it holds {len(tif.series)} images", f"there is no image number {number}"
        )
    chosen = tif.series[number]
    if chosen.size == 0 or chosen.dtype is None:
        raise FileError(path, f"the image is empty, {chosen.shape}", "export it again")
    if not chosen.shape:
        raise tifffile.TiffFileError("the image has no height and width")
    _check_extent(tif, chosen)
    return chosen


def _check_extent(tif: Any, series: Any) -> None:
    """Whether the pixels that the header promises lie inside the file."""
    size = tif.filehandle.size
    if series.dataoffset is not None:
        ends = [series.dataoffset + series.nbytes]
    else:
        pages = [p for p in series.pages if p is not None and p.parent is tif]
        ends = [
            start + count
            for page in pages
            for start, count in zip(page.dataoffsets, page.databytecounts, strict=False)
        ]
    if ends and max(ends) > size:
        raise tifffile.TiffFileError(f"pixels end at byte {max(ends)}, the file at {size}")


def _axes(path: Path, series: Any) -> str:
    """Our letters for the axes of the array as tifffile gives it."""
    letters = list(series.axes)
    for position, letter in enumerate(letters):
        samples = series.shape[position]
        if letter == "S" and samples not in (3, 4):
            letters[position] = "C"  # not colour: gray with alpha, or spectral channels
    free = [a for a in "TZC" if a not in letters]
    for position, letter in enumerate(letters):
        if letter in "TZCYXS":
            continue
        if not free:
            raise FileError(
                path,
                f"its axes are {series.axes} with shape {series.shape}",
                "only T, Z, C, Y, X and colour samples can be opened: export a part of it",
            )
        letters[position] = free.pop(0)
    axes = "".join(letters)
    if not {"Y", "X"} <= set(axes) or len(set(axes)) != len(axes):
        raise FileError(
            path,
            f"its axes are {series.axes} with shape {series.shape}",
            "an image needs one Y and one X axis: export it as an image stack",
        )
    return axes


def _fields(tif: Any, series: Any, number: int, axes: str) -> dict[str, Any]:
    extra: dict[str, Any]
    if tif.is_ome and series.kind == "ome":
        fields = ome_fields(tif.ome_metadata, number, axes)
        extra = {"format": "ome-tiff"}
    elif tif.is_imagej:
        fields, extra = imagej_fields(tif, axes), {"format": "imagej"}
    else:
        fields, extra = resolution_fields(tif, axes), {"format": "tiff"}
    if set(series.axes) - set("TZCYXS"):
        extra["file_axes"] = series.axes  # so that the guess can be shown
    bits = ome_bits(tif.ome_metadata, number) if extra["format"] == "ome-tiff" else tiff_bits(tif)
    if bits is not None and series.dtype.kind in "iu" and 0 < bits < 8 * series.dtype.itemsize:
        extra[SIGNIFICANT_BITS] = bits
    return fields | {"extra": extra}


def _array(path: Path, tif: Any, series: Any) -> Any:
    if series.nbytes <= loaded.lazy_bytes():
        return _native(series.asarray())
    native = series.dtype == series.dtype.newbyteorder(tif.byteorder)
    if series.dataoffset is not None and native:
        return np.memmap(path, series.dtype, "r", series.dataoffset, series.shape)
    return _lazy(tif, series)


def _native(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(array.dtype.newbyteorder("="), copy=False)


class _Pages:
    """A series as an array on demand; the file is open as long as this lives."""

    def __init__(self, tif: Any, series: Any, *, in_tiles: bool) -> None:
        import zarr

        store = series.aszarr(level=0, chunkmode=None if in_tiles else "page")
        self._array: Any = zarr.open_array(store, mode="r")
        self.shape: tuple[int, ...] = series.shape
        self.dtype = series.dtype.newbyteorder("=")
        self.ndim = len(self.shape)
        tif._kept_open = True
        weakref.finalize(self, tif.close)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        return np.asarray(self._array[key]).astype(self.dtype, copy=False)


def _lazy(tif: Any, series: Any) -> Any:
    import dask.array as da

    page = series.keyframe
    in_tiles = page.is_tiled and is_large(series, series.axes)
    sides = {"Y": page.tilelength, "X": page.tilewidth} if in_tiles else {}
    chunks = tuple(
        min(n, ceil(_CHUNK / sides[a]) * sides[a]) if a in sides else n if a in "YXS" else 1
        for a, n in zip(series.axes, series.shape, strict=True)
    )
    # A lock: tifffile seeks and reads on one shared file handle.
    meta = np.empty((0,) * len(chunks), series.dtype.newbyteorder("="))
    pages = _Pages(tif, series, in_tiles=in_tiles)
    return da.from_array(pages, chunks, name=False, lock=True, meta=meta)


def _palette(tif: Any, series: Any, image: Any) -> Any:
    """Indexed colours as RGB, S last.

    ImageJ saves a display table as a palette, and a palette that only brightens is one
    too: there the indices are the intensities.
    """
    page = series.keyframe
    indexed = page.photometric == tifffile.PHOTOMETRIC.PALETTE and page.colormap is not None
    if not indexed or tif.is_imagej or not isinstance(image, np.ndarray):
        return image
    steps = np.diff(page.colormap.astype(np.int64), axis=1)
    if (steps >= 0).all() or (steps <= 0).all():
        return image
    shift = 8 if page.colormap.max() > 255 else 0
    return np.moveaxis((page.colormap >> shift).astype(np.uint8)[:, image], 0, -1)


def _arranged(array: Any, letters: str) -> tuple[Any, str]:
    """Colour samples last, named S."""
    if array.ndim > len(letters):  # a palette became colour
        return array, letters + "S"
    if "S" not in letters:
        return array, letters
    final = letters.replace("S", "") + "S"
    return np.transpose(array, [letters.index(a) for a in final]), final


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
