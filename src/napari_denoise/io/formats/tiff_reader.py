"""TIFF, OME-TIFF, ImageJ hyperstacks and BigTIFF through tifffile."""

from __future__ import annotations

import re
import struct
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
from napari_denoise.io.errors import FileError, ReadWarning, say
from napari_denoise.io.formats import loaded
from napari_denoise.io.formats.loaded import Loaded
from napari_denoise.io.formats.look import LOOK
from napari_denoise.io.formats.on_disk import OnDisk
from napari_denoise.io.formats.samples import Colour
from napari_denoise.io.formats.tiff_colour import (
    colour_of,
    seen,
    shown_extra,
    shown_fields,
    through_libtiff,
)
from napari_denoise.io.formats.tiff_dialects import axes_of, fields_of, images_in
from napari_denoise.io.formats.tiff_images import TiffImage
from napari_denoise.io.guarded import Log, guarded
from napari_denoise.io.sets.ome import open_tiff
from napari_denoise.io.tiff_bounds import check_pixels, check_planes, sizes_of_pages

_CHUNK = 1024
"""Least side of the parts in which large tiled frames are read."""

# tifffile returns what is left of a damaged file and only logs these.
_UNFINISHED = re.compile(  # what an acquisition that was stopped lacks is found page by page
    r"OME series (is missing \d|contains index out of range)|ImageJ series metadata invalid"
    r"|MMStack (is missing \d|series is missing)|failed to read (index map|comments|display)"
)
_DAMAGE = re.compile(
    r"invalid (page|value) offset|invalid offset to|no pages|corrupted|missing"
    r"|failed to (read|reshape)|incompletely written|out of range|does not match"
    r"|circular reference"
)


def read_tiff(path: Path, series: int = 0) -> Loaded:
    """Read one image of a TIFF, of a pyramid its full resolution.

    Small data comes as an array. Larger data is read on demand: where it lies in one piece
    as `OnDisk`, else as a dask array with one chunk per frame, or per some tiles
    where frames are too large to be held.

    Raises
    ------
    FileError
        Truncated, not a TIFF, without a Y and an X axis, boolean or complex.
    """
    with _opened(path) as (tif, log):
        image, count = _chosen(tif, path, series)
        chosen = image.series
        colour = colour_of(path, tif, chosen)
        array, axes = _pixels(path, chosen, colour, _array(path, tif, chosen, colour, log))
        fields = _fields(tif, image, colour, array.shape, axes)
        if count > 1 and not re.fullmatch(r"Image[ :_]?[0-9]+", image.name):
            fields["name"] = image.name
        found = Loaded(array, axes, fields, count)
    for note in image.notes:  # not before it is known that nothing is damaged
        say(f"{path}: {note}", ReadWarning, stacklevel=4)
    return found


def tiff_image_names(path: Path) -> list[str]:
    """Name the images of a TIFF in order, "" for those without a name; reads no pixels.

    Raises
    ------
    FileError
        Truncated, or not a TIFF.
    """
    with _opened(path) as (tif, _):
        return [image.name for image in images_in(tif, path)]


def read_tiff_plane(path: Path) -> NDArray[Any]:
    """Read the only plane of a TIFF, (Y, X) or (Y, X, S), as one frame of a sequence.

    Raises
    ------
    FileError
        As for `read_tiff`.
    """
    with _opened(path, multifile=False) as (tif, _):
        chosen = _chosen(tif, path, 0)[0].series
        colour = colour_of(path, tif, chosen)
        letters = axes_of(path, chosen, has_samples=colour.has_samples)
        if not set(letters) <= set("YXS"):
            raise FileError(
                path,
                f"it holds {chosen.shape} along {letters}, not a single plane",
                "open it by itself, not as a frame of a sequence",
            )
        image = through_libtiff(path, chosen) if colour.by_libtiff else _native(chosen.asarray())
        return np.ascontiguousarray(_pixels(path, chosen, colour, image)[0])


def read_tiff_look(path: Path) -> dict[str, Any]:
    """Say how a TIFF of one plane is shown, beside its pixels."""
    with _opened(path, multifile=False) as (tif, _):
        chosen = _chosen(tif, path, 0)[0].series
        return dict(shown_extra(chosen, colour_of(path, tif, chosen)).get(LOOK, {}))


def tiff_plane_fields(path: Path, axes: str) -> dict[str, Any]:
    """Fields of `ImageMeta` that a TIFF of one plane states of a stack of such planes.

    Parameters
    ----------
    axes
        Of the stack.
    """
    with _opened(path, multifile=False) as (tif, _):
        image, _count = _chosen(tif, path, 0)
        fields = _fields(tif, image, colour_of(path, tif, image.series), (1,) * len(axes), axes)
    return {name: value for name, value in fields.items() if name in ("scale", "units", "extra")}


@contextmanager
def _opened(path: Path, *, multifile: bool = True) -> Iterator[tuple[Any, Log]]:
    """Open a TIFF; everything that tifffile raises or logs as damage is a FileError."""
    tif = None
    with guarded(path, lambda said: damaged(path, said), Log(_DAMAGE, _UNFINISHED)) as log:
        pages = sizes_of_pages(path)
        try:
            tif = open_tiff(path, multifile=multifile)
            check_planes(path, tif.ome_metadata, pages)
            yield tif, log
        finally:
            if tif is not None and not getattr(tif, "_kept_open", False):
                tif.close()
        _refuse(log)


def _refuse(log: Log) -> None:
    if log.reports:
        raise tifffile.TiffFileError("\n".join(log.reports))


def _chosen(tif: Any, path: Path, number: int) -> tuple[TiffImage, int]:
    """Find the image of a number, and how many there are."""
    images = images_in(tif, path)
    if not 0 <= number < len(images):
        raise FileError(
            path, f"it holds {len(images)} images", f"there is no image number {number}"
        )
    chosen = images[number].series
    if chosen.size == 0:
        raise FileError(path, f"the image is empty, {chosen.shape}", "export it again")
    if not chosen.shape:
        raise tifffile.TiffFileError("the image has no height and width")
    check_pixels(path, tif, chosen)
    return images[number], len(images)


def _pixels(path: Path, series: Any, colour: Colour, array: Any) -> tuple[Any, str]:
    letters = axes_of(path, series, has_samples=colour.has_samples)
    return seen(path, series, colour, *_arranged(array, letters))


def _fields(
    tif: Any, image: TiffImage, colour: Colour, shape: tuple[int, ...], axes: str
) -> dict[str, Any]:
    """Gather what the file says of an image as it comes out of `_pixels`."""
    converted = colour.convert is not None and (bool(colour.samples) or colour.dtype != np.uint16)
    channels = shape[axes.index("C")] if "C" in axes else 1
    fields = fields_of(tif, image, axes, channels, converted=converted)
    extra = fields["extra"] | shown_extra(image.series, colour)
    return shown_fields(fields, axes, image.series, colour) | {"extra": extra}


def _array(path: Path, tif: Any, series: Any, colour: Colour, log: Log) -> Any:
    if colour.by_libtiff:
        return through_libtiff(path, series)
    if series.nbytes <= loaded.lazy_bytes():
        return _native(series.asarray())
    if series.dataoffset is not None:
        stored = series.dtype.newbyteorder(tif.byteorder)
        return OnDisk.of(path, stored, series.shape, series.dataoffset)
    return _lazy(path, tif, series, log)


def _native(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(array.dtype.newbyteorder("="), copy=False)


class _Pages:
    """A series as an array on demand; the file is open as long as this lives."""

    def __init__(self, path: Path, tif: Any, series: Any, log: Log, *, in_tiles: bool) -> None:
        import zarr

        self._path, self._log = path, log
        store = series.aszarr(level=0, chunkmode=None if in_tiles else "page")
        self._array: Any = zarr.open_array(store, mode="r")
        self.shape: tuple[int, ...] = series.shape
        self.dtype = series.dtype.newbyteorder("=")
        self.ndim = len(self.shape)
        tif._kept_open = True
        weakref.finalize(self, tif.close)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        with guarded(self._path, lambda said: damaged(self._path, said), self._log):
            part = np.asarray(self._array[key]).astype(self.dtype, copy=False)
            _refuse(self._log)
            return part


def _lazy(path: Path, tif: Any, series: Any, log: Log) -> Any:
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
    pages = _Pages(path, tif, series, log, in_tiles=in_tiles)
    return da.from_array(pages, chunks, name=False, lock=True, meta=meta)


def _arranged(array: Any, letters: str) -> tuple[Any, str]:
    """Colour samples last, named S."""
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
