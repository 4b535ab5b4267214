"""Micro-Manager's TIFF: multipage stacks, with and without their index, and NDTiff."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tifffile

from napari_denoise.io.formats.tiff_images import Pages, TiffImage, split_series
from napari_denoise.io.stated import Stated

_TAG = 51123
_LETTERS = {"time": "T", "z": "Z", "channel": "C"}
_PLANNED = {
    "T": ("Frames", "time points"),
    "Z": ("Slices", "planes"),
    "C": ("Channels", "channels"),
}
_INDICES = {
    "FrameIndex": "time",
    "Frame": "time",
    "SliceIndex": "z",
    "Slice": "z",
    "ChannelIndex": "channel",
    "PositionIndex": "position",
}
Notes = Mapping[str, Any]
"""Micro-Manager's JSON of a page or of the acquisition."""


class _Page(NamedTuple):
    """A page, its number or name along each named axis, and how to get its notes."""

    place: Mapping[str, int | str]
    page: Any
    notes: Callable[[], Notes]


def is_micromanager(tif: tifffile.TiffFile) -> bool:
    """Whether Micro-Manager, or a program that uses its storage, wrote a file."""
    return bool(tif.pages.first.is_micromanager and _notes(tif.pages.first))


def micromanager_images(tif: tifffile.TiffFile, path: Path) -> list[TiffImage]:
    """Images of a file, one per position; of a set with a file per position its own.

    A stack that was not finished has no index: then the notes of each page say where it belongs.
    """
    summary = _summary(tif)
    if "Axes" in _notes(tif.pages.first):
        index = path.parent / "NDTiff.index"
        entries = _indexed(tif, index) if index.is_file() else _tagged(tif)
        return list(_by_place(tif, entries, summary))
    if tif.is_mmstack and tif.series[0].kind == "mmstack":
        return list(_of_index(tif.series[0], summary, path))
    return list(_by_place(tif, _tagged(tif), summary))


def _of_index(series: Any, summary: Notes, path: Path) -> Iterator[TiffImage]:
    """Images of a stack with an index, as tifffile lays it out."""
    if any(page is not None and page.databytecounts == (0,) for page in series):
        raise tifffile.TiffFileError("the index tells of pages beyond the end of the file")
    names = [str(entry.get("Label", "")) for entry in summary.get("StagePositions") or []]

    def name(index: Mapping[str, int]) -> str:
        number = index["R"]
        return names[number] if number < len(names) and names[number] else f"Pos{number}"

    found = list(split_series(series, name if "R" in series.axes else None))
    for image in [image for image in found if _holds(image, path)] or found:
        pages = [*image.series]
        ends = {axis: _notes(pages[_last(image, axis)]) for axis in "TZ"}
        stated = _stated(image, summary, _notes(pages[0]), ends, ())
        notes = image.notes or _unfinished(image, summary)
        yield replace(image, notes=notes, stated=stated)


def _by_place(
    tif: tifffile.TiffFile, entries: Sequence[_Page], summary: Notes
) -> Iterator[TiffImage]:
    """Images of pages that say where they belong; axes beyond T, Z and C are positions."""
    known = list(dict.fromkeys(axis for entry in entries for axis in entry.place))
    apart = [axis for axis in known if axis not in _LETTERS and len(_values(entries, axis)) > 1]
    grid = [axis for axis in _LETTERS if axis in known]
    images: dict[tuple[Any, ...], list[_Page]] = {}
    for entry in entries:
        images.setdefault(tuple(entry.place.get(axis) for axis in apart), []).append(entry)
    for number, (spot, own) in enumerate(images.items()):
        values = [_values(own, axis) for axis in grid]
        shape = tuple(map(len, values))
        slots = np.full(shape, None, object)
        for entry in own:
            at = [v.index(entry.place.get(a, v[0])) for v, a in zip(values, grid, strict=True)]
            slots[tuple(at)] = entry
        letters = "".join(_LETTERS[axis] for axis in grid)
        pages = [entry and entry.page for entry in slots.flat]
        laid = Pages(pages, letters, shape).whole()
        name = "_".join(
            place if isinstance(place, str) else f"{axis}{place}"
            for axis, place in zip(apart, spot, strict=True)
        )
        image = TiffImage(laid.series(tif, "ndtiff", name), name, number)
        ends = {}
        for axis in "TZ":
            last = slots[tuple(-1 if letter == axis else 0 for letter in letters)]
            ends[axis] = (last or own[-1]).notes()
        names = values[grid.index("channel")] if "channel" in grid else []
        channels = tuple(map(str, names)) if any(isinstance(n, str) for n in names) else ()
        stated = _stated(image, summary, own[0].notes(), ends, channels)
        notes = laid.notes or _unfinished(image, summary)
        yield replace(image, notes=notes, stated=stated)


def _stated(
    image: TiffImage,
    summary: Notes,
    first: Notes,
    ends: Mapping[str, Notes],
    names: tuple[str, ...],
) -> Stated:
    """Gather what summary and notes say of sizes, channels and times."""
    sizes: dict[str, tuple[float, str | None]] = {}
    pixel = _positive(first, "PixelSizeUm", "PixelSize_um")
    pixel = pixel or _positive(summary, "PixelSizeUm", "PixelSize_um")
    if pixel:
        sizes |= {"X": (pixel, "micrometer"), "Y": (pixel, "micrometer")}
    step = _positive(summary, "z-step_um") or _step(image, "Z", first, ends["Z"], "ZPositionUm")
    if step:
        sizes["Z"] = (step, "micrometer")
    interval = _positive(summary, "Interval_ms")
    interval = interval or _step(image, "T", first, ends["T"], "ElapsedTime-ms")
    if interval:
        sizes["T"] = (interval / 1000, "second")
    given = summary.get("ChNames") if not names else names
    return Stated(
        "ndtiff" if "Axes" in first else "micro-manager",
        sizes,
        channel_names=tuple(map(str, given)) if isinstance(given, (list, tuple)) else (),
        bits=_whole(summary.get("BitDepth")) or _whole(first.get("BitDepth")),
    )


def _unfinished(image: TiffImage, summary: Notes) -> tuple[str, ...]:
    """Say where fewer pages are there than were planned."""
    return tuple(
        f"{summary[key]} {words} were planned, and {image.sizes.get(axis, 1)} are there: the "
        "acquisition was not finished, or other files of it are missing"
        for axis, (key, words) in _PLANNED.items()
        if (_whole(summary.get(key)) or 1) > image.sizes.get(axis, 1)
    )


def _tagged(tif: tifffile.TiffFile) -> list[_Page]:
    """Pages that say themselves where they belong."""
    tif.pages.useframes = False
    found = []
    for page in tif.pages:
        notes = _notes(page)
        place = notes.get("Axes")
        if not isinstance(place, Mapping):
            numbers = {axis: _whole(notes[key]) for key, axis in _INDICES.items() if key in notes}
            place = {axis: number for axis, number in numbers.items() if number is not None}
        found.append(_Page(place, page, lambda notes=notes: notes))  # type: ignore[misc]
    if len({tuple(sorted(entry.place.items())) for entry in found}) == len(found):
        return found
    return [_Page({"time": number}, entry.page, entry.notes) for number, entry in enumerate(found)]


def _indexed(tif: tifffile.TiffFile, index: Path) -> list[_Page]:
    """Pages that the index of a set lists, in whatever files they lie."""
    firsts = {tif.filename: tif.pages.first}
    found = []
    for number, entry in enumerate(tifffile.read_ndtiff_index(index)):
        place, name, offset = entry[:3]
        if name not in firsts:
            with tifffile.TiffFile(index.parent / name) as other:
                firsts[name] = other.pages.first
        first: Any = firsts[name]
        page = first
        if offset != first.dataoffsets[0]:
            page = tifffile.TiffFrame(
                first.parent,
                index=number,
                offset=first.offset,
                keyframe=first,
                dataoffsets=(offset,),
                databytecounts=(first.nbytes,),
            )
        file, start, length = index.parent / name, entry[7], entry[8]
        found.append(
            _Page(place, page, lambda f=file, s=start, n=length: _json_at(f, s, n))  # type: ignore[misc]
        )
    return found


def _json_at(file: Path, start: int, length: int) -> Notes:
    with file.open("rb") as opened:
        opened.seek(start)
        return _parsed(opened.read(length))


def _values(entries: Sequence[_Page], axis: str) -> list[int | str]:
    """Numbers along an axis in order; names as they first come."""
    found = list(dict.fromkeys(entry.place[axis] for entry in entries if axis in entry.place))
    numbers = [value for value in found if isinstance(value, int)]
    return [*sorted(numbers)] if len(numbers) == len(found) else found


def _holds(image: TiffImage, path: Path) -> bool:
    return any(page is not None and page.parent.filename == path.name for page in image.series)


def _summary(tif: tifffile.TiffFile) -> Notes:
    found = (tif.micromanager_metadata or {}).get("Summary", {})
    return found if isinstance(found, Mapping) else {}


def _notes(page: Any) -> Notes:
    """Return the notes of a page; read anew for one that is known by an index alone."""
    if page is None or (not hasattr(page, "tags") and page.offset == page.keyframe.offset):
        return {}
    handle = page.parent.filehandle
    closed = handle.closed
    if closed:  # another file of the set
        handle.open()
    try:
        if not hasattr(page, "tags"):
            handle.seek(page.offset)
            page = tifffile.TiffPage(page.parent, page.index)
        value = page.tags.valueof(_TAG)
    finally:
        if closed:
            handle.close()
    return value if isinstance(value, Mapping) else _parsed(value)


def _parsed(value: Any) -> Notes:
    if not isinstance(value, (str, bytes)):
        return {}
    try:
        found = json.loads(value.strip("\0") if isinstance(value, str) else value.strip(b"\0"))
    except ValueError:
        return {}
    return found if isinstance(found, Mapping) else {}


def _last(image: TiffImage, axis: str) -> int:
    """Place in the list of pages of the last one along an axis, the first along the others."""
    letters = [letter for letter in image.series.axes if letter not in "YXS"]
    shape = [image.sizes[letter] for letter in letters]
    at = [image.sizes[letter] - 1 if letter == axis else 0 for letter in letters]
    return int(np.ravel_multi_index(at, shape)) if at else 0


def _step(image: TiffImage, axis: str, first: Notes, last: Notes, key: str) -> float | None:
    """Return the mean step between the first and the last page along an axis."""
    count = image.sizes.get(axis, 1)
    start, stop = _number(first.get(key)), _number(last.get(key))
    if count < 2 or start is None or stop is None or start == stop:
        return None
    return abs(stop - start) / (count - 1)


def _positive(notes: Notes, *keys: str) -> float | None:
    values = (_number(notes.get(key)) for key in keys)
    return next((value for value in values if value and value > 0), None)


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _whole(value: Any) -> int | None:
    number = _number(value)
    return None if number is None else int(number)
