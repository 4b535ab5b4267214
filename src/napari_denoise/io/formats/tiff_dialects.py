"""Who wrote a TIFF: its images, the letters of their axes, and what is said of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tifffile

from napari_denoise.io.errors import FileError
from napari_denoise.io.formats.micromanager import is_micromanager, micromanager_images
from napari_denoise.io.formats.microscopes import instrument_stated, page_stated, scanimage_image
from napari_denoise.io.formats.ome import (
    image_number,
    imagej_fields,
    ome_bits,
    ome_fields,
    resolution_fields,
    tiff_bits,
)
from napari_denoise.io.formats.tiff_colour import whole_first
from napari_denoise.io.formats.tiff_images import Pages, TiffImage, split_series
from napari_denoise.io.meta import SIGNIFICANT_BITS
from napari_denoise.io.sets.ome import COMPANION
from napari_denoise.io.stated import filled

_ORDER = ("frames", "slices", "channels")


def images_in(tif: tifffile.TiffFile, path: Path) -> list[TiffImage]:
    """List the images of a TIFF, in order; reads no pixels.

    Of a set of files those are listed that this file holds a part of, of a companion all.
    Thumbnails are left out.

    Raises
    ------
    tifffile.TiffFileError
        No image can be reached.
    """
    if not tif.pages:
        raise tifffile.TiffFileError("no image in it can be reached")
    if is_micromanager(tif):
        found = micromanager_images(tif, path)
    else:
        found = _of_series(tif, path)
    if not found:
        raise tifffile.TiffFileError("no image in it can be reached")
    return found


def axes_of(path: Path, series: Any, *, has_samples: bool) -> str:
    """Our letters for the axes of the array as tifffile gives it.

    Parameters
    ----------
    has_samples
        Whether samples of a pixel are colour or its parts, not spectral channels.

    Raises
    ------
    FileError
        There are more axes than we have letters for, or no Y and X.
    """
    letters = list(series.axes)
    for position, letter in enumerate(letters):
        if letter == "S" and not has_samples:
            letters[position] = "C"  # not colour: spectral channels
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


def fields_of(
    tif: tifffile.TiffFile, image: TiffImage, axes: str, channels: int, *, converted: bool
) -> dict[str, Any]:
    """Fields of `ImageMeta` that a file states of an image.

    Parameters
    ----------
    axes
        Letters of the array, in its order.
    channels
        Length of its C axis, or 1.
    converted
        Whether the values are others than those of the file: its bits are not theirs.
    """
    series, bits = image.series, None
    own = image.stated or instrument_stated(tif)
    if tif.is_ome and tif.ome_metadata and (series.kind == "ome" or own is not None):
        number = image_number(tif.ome_metadata, image.number, image.name)
        fields, kind = ome_fields(tif.ome_metadata, number, axes), "ome-tiff"
        bits = ome_bits(tif.ome_metadata, number)
    elif tif.is_imagej:
        fields, kind = imagej_fields(tif, axes), "imagej"
    else:
        fields, kind = resolution_fields(tif, axes), "tiff"
    if own is not None:
        said, kind = own.fields(axes, channels), own.format
        # OME-XML is exact; of other tags instruments are free to say what they like.
        fields = filled(fields, said) if tif.is_ome else filled(said, fields)
    elif (page := page_stated(tif)) is not None:
        fields = filled(page.fields(axes, channels), fields)
    extra: dict[str, Any] = {"format": kind}
    if set(series.axes) - set("TZCYXS"):
        extra["file_axes"] = series.axes  # so that the guess can be shown
    bits = bits or (own.bits if own is not None else None) or tiff_bits(tif)
    bits = None if converted else bits or series.keyframe.bitspersample
    if bits is not None and series.dtype.kind in "iu" and 0 < bits < 8 * series.dtype.itemsize:
        extra[SIGNIFICANT_BITS] = bits
    return fields | {"extra": extra}


def _of_series(tif: tifffile.TiffFile, path: Path) -> list[TiffImage]:
    series = [one for one in whole_first(tif) if one.shape or one.size]
    if tif.is_lsm:
        series = series[:1]  # the second are thumbnails
    if tif.is_scanimage and series:
        return [scanimage_image(tif, series[0])]
    if tif.is_imagej and series and series[0].kind not in ("imagej", "ome"):
        return [_unfinished_imagej(tif)]
    found: list[TiffImage] = []
    for number, one in enumerate(series):
        for image in split_series(one):
            alone = image.series is one
            found.append(
                TiffImage(image.series, image.name, number if alone else image.number, image.notes)
            )
    return _own(found, path)


def _own(images: list[TiffImage], path: Path) -> list[TiffImage]:
    """Of a set of files the images that this one holds a part of; of a companion all."""
    if len(images) < 2 or path.name.lower().endswith(COMPANION):
        return images
    held = [image for image in images if _holds(image, path.name)]
    others = len(images) - len(held)
    if not held or not others:
        return images
    said = f"its set holds {others} further images in other files: open its folder for all of them"
    return [TiffImage(i.series, i.name, i.number, (*i.notes, said)) for i in held]


def _holds(image: TiffImage, name: str) -> bool:
    series = image.series
    if not series.is_multifile:
        return bool(series.keyframe.parent.filename == name)
    return any(page is not None and page.parent.filename == name for page in series)


def _unfinished_imagej(tif: tifffile.TiffFile) -> TiffImage:
    """Lay out pages that are fewer than ImageJ's header promises.

    Raises
    ------
    tifffile.TiffFileError
        The header does not fit what is there: pixels were lost.
    """
    header = tif.imagej_metadata or {}
    shape = tuple(int(header.get(key, 1)) for key in _ORDER)
    promised = max(shape[0] * shape[1] * shape[2], int(header.get("images", 1)))
    if shape[0] * shape[1] * shape[2] != promised:
        shape = (promised, 1, 1)
    pages: list[Any] = [*tif.pages]
    alike = len({(page.shape, page.dtype) for page in pages}) == 1
    if not 1 < len(pages) < promised or not alike:
        raise tifffile.TiffFileError(f"ImageJ tells of {promised} images, {len(pages)} are there")
    slots = [*pages, *[None] * (promised - len(pages))]
    laid = Pages(slots, "TZC", shape).whole()
    return TiffImage(laid.series(tif, "imagej"), notes=laid.notes)
