"""The images of a TIFF: each a stack of T, Z and C that is whole, with what its file says of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np
import tifffile

from napari_denoise.io.ranges import ranges_text
from napari_denoise.io.stated import Stated

POSITIONS = "RPMAJK"
"""Letters of what is an image by itself: region, position, mosaic, angle, column, row."""
_WORDS = {"T": "time points", "Z": "planes", "C": "channels"}


@dataclass(frozen=True)
class TiffImage:
    """One image of a TIFF.

    Parameters
    ----------
    series
        tifffile's pages of this image alone.
    name
        Of the position or the image; "" where the file gives none.
    number
        Of the image in its OME-XML, or of its position.
    notes
        What is to be said when it is opened.
    stated
        What its dialect says of it; None where OME-XML, ImageJ or the tags say all.
    """

    series: Any
    name: str = ""
    number: int = 0
    notes: tuple[str, ...] = ()
    stated: Stated | None = None

    @property
    def sizes(self) -> dict[str, int]:
        """Length along each of tifffile's letters."""
        return dict(zip(self.series.axes, self.series.shape, strict=True))


@dataclass(frozen=True)
class Pages:
    """Pages on a grid of axes; None where one is missing.

    Parameters
    ----------
    pages
        In the order of the grid, the last axis fastest.
    axes, shape
        Letters and lengths of the grid, without those of a page.
    """

    pages: Sequence[Any]
    axes: str
    shape: tuple[int, ...]
    notes: tuple[str, ...] = field(default=())

    def at(self, index: Mapping[str, int]) -> Pages:
        """Take the part at some positions of some axes."""
        places = (slice(index[a], index[a] + 1) if a in index else slice(None) for a in self.axes)
        part = self._array()[tuple(places)]
        axes = "".join(axis for axis in self.axes if axis not in index)
        shape = tuple(n for n, axis in zip(self.shape, self.axes, strict=True) if axis in axes)
        return replace(self, pages=list(part.flat), axes=axes, shape=shape)

    def whole(self) -> Pages:
        """Leave out what is not there: the positions of one axis that lack a page.

        Raises
        ------
        tifffile.TiffFileError
            Nothing would be left.
        """
        there = np.array([page is not None for page in self.pages]).reshape(self.shape)
        if there.all():
            return self
        kept = {
            position: there.all(axis=tuple(n for n in range(there.ndim) if n != position))
            for position in range(there.ndim)
        }
        if not kept:
            raise tifffile.TiffFileError("no page of the image is there")
        best = max(kept, key=lambda n: int(kept[n].sum()) * there.size // there.shape[n])
        left = np.flatnonzero(kept[best])
        if not left.size:
            raise tifffile.TiffFileError("pages are missing all over the image")
        lost = np.flatnonzero(~kept[best]) + 1
        pages = np.take(self._array(), left, axis=best)
        letter = self.axes[best]
        note = (
            f"it tells of {self.shape[best]} {_WORDS.get(letter, f'positions along {letter}')}, "
            f"but {'numbers' if lost.size > 1 else 'number'} {ranges_text(lost.tolist())} "
            f"{'are' if lost.size > 1 else 'is'} not there or not complete: the {left.size} that "
            "are were opened"
        )
        return Pages(list(pages.flat), self.axes, pages.shape, (*self.notes, note))

    def series(self, parent: tifffile.TiffFile, kind: str, name: str = "") -> Any:
        """Make a series of tifffile's, of a file that is open."""
        page = next(page for page in self.pages if page is not None).keyframe
        return tifffile.TiffPageSeries(
            list(self.pages),
            shape=(*self.shape, *page.shape),
            dtype=page.dtype,
            axes=self.axes + page.axes,
            parent=parent,
            name=name,
            kind=kind,
            multifile=len({p.parent for p in self.pages if p is not None}) > 1,
            squeeze=kind != "shaped",
        )

    def _array(self) -> Any:
        array = np.empty(len(self.pages), object)
        for number, page in enumerate(self.pages):  # pages are sequences to NumPy
            array[number] = page
        return array.reshape(self.shape)


def split_series(
    series: Any, names: Callable[[Mapping[str, int]], str] | None = None
) -> Iterator[TiffImage]:
    """Take a series apart into images: positions apart, unfinished ends off.

    Parameters
    ----------
    names
        Names a position, as a number per letter of `POSITIONS`.
    """
    apart = [
        axis
        for axis, length in zip(series.axes, series.shape, strict=True)
        if axis in POSITIONS and length > 1
    ]
    pages = _incomplete(series) or (pages_of(series) if apart else None)
    if pages is None:
        yield TiffImage(series, series.name or "")
        return
    sizes = [pages.shape[pages.axes.index(axis)] for axis in apart]
    for number, place in enumerate(np.ndindex(*sizes)):
        index = dict(zip(apart, map(int, place), strict=True))
        part = pages.at(index)
        if all(page is None for page in part.pages):
            continue  # a position that was never reached
        part = part.whole()
        name = names(index) if names else _place_name(index)
        name = name or series.name or ""
        yield TiffImage(part.series(series.parent, series.kind, name), name, number, part.notes)


def pages_of(series: Any) -> Pages | None:
    """Lay the pages of a series on its grid; None for one whose pages are no planes of it."""
    shape, axes = series.get_shape(False), series.get_axes(False)
    frame = series.keyframe
    wanted = prod(shape) // max(1, frame.size)
    length = next((n for n in range(len(shape) + 1) if prod(shape[:n]) == wanted), None)
    if length is None or any(axis in "YXS" for axis in axes[:length]):
        return None
    while length < len(axes) and shape[length] == 1 and axes[length] not in "YXS":
        length += 1
    if _fewer_pages(series):
        pages: list[Any] = [*series.parent.pages][:wanted]
        pages += [None] * (wanted - len(pages))
    elif len(series) == 1 and wanted > 1:
        if not frame.is_final:
            return None
        pages = [_virtual(series, frame, n) for n in range(wanted)]
    else:
        pages = [*series][:wanted]
        pages += [None] * (wanted - len(pages))
    return Pages(pages, axes[:length], tuple(shape[:length]))


def _incomplete(series: Any) -> Pages | None:
    """Lay out a series that lacks pages; None for one that is whole."""
    if series.kind in ("ome", "mmstack"):
        lacking = any(page is None for page in series)
    elif _fewer_pages(series):
        lacking = True
    else:
        lacking = 1 < len(series) < prod(series.get_shape(False)) // max(1, series.keyframe.size)
    return pages_of(series) if lacking else None


def _fewer_pages(series: Any) -> bool:
    """Whether a file has several pages, but fewer than its header tells tifffile of."""
    if series.kind != "shaped" or series.is_truncated or series.dataoffset is None:
        return False
    beyond = series.dataoffset + series.nbytes > series.parent.filehandle.size
    return bool(beyond and series.parent.pages.is_multipage)


def _virtual(series: Any, first: Any, number: int) -> Any:
    """Stand for a page of pixels that lie in one piece behind the first page."""
    return tifffile.TiffFrame(
        series.parent,
        index=number,
        offset=first.offset,
        keyframe=first,
        dataoffsets=(first.dataoffsets[0] + number * first.nbytes,),
        databytecounts=(first.nbytes,),
    )


def _place_name(index: Mapping[str, int]) -> str:
    words = {"R": "Pos", "P": "Pos", "M": "Tile", "A": "Angle", "J": "Column", "K": "Row"}
    return "_".join(f"{words[axis]}{number}" for axis, number in index.items())
