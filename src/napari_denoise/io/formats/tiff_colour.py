"""What the samples of a TIFF mean: inks, CIELAB, palettes, negatives, as gray or RGB."""

from __future__ import annotations

import math
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from tifffile import PHOTOMETRIC

from napari_denoise.io.errors import FileError, ReadWarning, say
from napari_denoise.io.formats import colour, loaded
from napari_denoise.io.formats.loaded import check_dtype
from napari_denoise.io.formats.look import LOOK, tiff_look
from napari_denoise.io.formats.samples import Colour, Convert
from napari_denoise.io.formats.upright import ORIENTATION, swapped, upright

_SHOWN_BY_CODEC = (7, 33007, 34892, 50001, 50002, 52546)
"""Compressions that give RGB where the tags say YCbCr."""
_COLORMAP = 320
_ASSOCIATED, _UNASSOCIATED = 1, 2
_UNREAD = {
    4: "a transparency mask",
    32803: "the raw colour mosaic of a camera",
    34892: "the raw light of a camera",
    32844: "LogL of SGI",
    32845: "LogLuv of SGI",
    10: "ITU CIELAB",
}


def colour_of(path: Path, tif: Any, series: Any) -> Colour:
    """Find out what the samples of an image mean, by the tags of its first page.

    Raises
    ------
    FileError
        A compression or kind of pixels that cannot be read, or no gray values at all.
    """
    page = series.keyframe
    _check_alike(path, series)
    kind = 1 if page.photometric is None else int(page.photometric)
    _check_supported(path, page, kind)
    samples = series.shape[series.axes.index("S")] if "S" in series.axes else 0
    if kind == PHOTOMETRIC.PALETTE and page.colormap is not None:
        return _palette(path, series, samples, bool(tif.is_imagej))
    check_dtype(path, series.dtype)
    if kind == PHOTOMETRIC.SEPARATED:
        return _inks(path, page, samples)
    if kind in (PHOTOMETRIC.CIELAB, PHOTOMETRIC.ICCLAB):
        return _lab(path, page, samples, signed=kind == PHOTOMETRIC.CIELAB)
    if kind == PHOTOMETRIC.YCBCR and page.compression not in _SHOWN_BY_CODEC:
        return _ycbcr(path, page, samples)
    if kind == PHOTOMETRIC.RGB:
        return _rgb(series, samples)
    if kind in (PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.MINISBLACK):
        negative = kind == PHOTOMETRIC.MINISWHITE
        _check_negative(path, series.dtype, negative=negative)
        return _gray(series, samples, tif.imagej_metadata or {}, negative=negative)
    return _as_it_is(series, samples)


def through_libtiff(path: Path, series: Any) -> Any:
    """Decode the pages of an image by libtiff as 8 bit RGB, in memory or on demand."""
    places = [page.index for page in series.pages]
    shape = tuple(series.shape)
    plane = shape[series.axes.index("Y") :]

    def one(place: int) -> NDArray[Any]:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                rgba = imagecodecs.tiff_decode(data, place, asrgb=True)
            except RuntimeError as error:
                rule = f"its pixels cannot be decoded ({error})"
                raise FileError(path, rule, "save it as RGB, without compression") from error
        return np.ascontiguousarray(rgba[..., :3])

    if math.prod(shape) <= loaded.lazy_bytes():
        return np.stack([one(place) for place in places]).reshape(shape)
    import dask
    import dask.array as da

    frames = [da.from_delayed(dask.delayed(one)(place), plane, np.uint8) for place in places]
    return da.stack(frames).reshape(shape)


def whole_first(tif: Any) -> list[Any]:
    """Images of a file; what it calls reduced copies or masks of others come last."""
    if tif.is_ome:
        return list(tif.series)
    return sorted(tif.series, key=lambda series: bool(series.keyframe.subfiletype & 0b101))


def seen(path: Path, series: Any, how: Colour, array: Any, axes: str) -> tuple[Any, str]:
    """Make an array with its samples last gray or colour, and turn its planes upright."""
    array, axes = how.applied(path, array, axes)
    turn = series.keyframe.tags.valueof(ORIENTATION, 1)
    if turn in range(2, 9):
        text = f"{path}: it was turned upright, as its tag Orientation ({turn}) asks"
        say(text, ReadWarning, stacklevel=5)
    return upright(array, axes, turn), axes


def shown_fields(fields: Mapping[str, Any], axes: str, series: Any, how: Colour) -> dict[str, Any]:
    """Fields of `ImageMeta` as they are of the converted and upright image."""
    turn = series.keyframe.tags.valueof(ORIENTATION, 1)
    turned = {k: swapped(fields[k], axes, turn) for k in ("scale", "units") if k in fields}
    shown = {**fields, **turned, **(how.fields if "C" not in axes else {})}
    if how.convert is _signed:  # ImageJ's limits are of what it stores
        limits = fields.get("contrast_limits", ())
        shown["contrast_limits"] = tuple((low - 2**15, high - 2**15) for low, high in limits)
    return shown


def shown_extra(series: Any, how: Colour) -> dict[str, Any]:
    """Find the look of an image as an entry of `ImageMeta.extra`; none where it has no own."""
    look = tiff_look(series.keyframe, how)
    return {LOOK: look} if look else {}


def _check_supported(path: Path, page: Any, kind: int) -> None:
    compression = int(page.compression)
    name = getattr(page.compression, "name", "unknown")
    known = compression == 1
    if not known:
        try:
            tifffile.TIFF.DECOMPRESSORS[compression]
            known = True
        except KeyError:
            pass
    if kind in _UNREAD:
        raise FileError(
            path,
            f"its pixels are {_UNREAD[kind]}, which is not read",
            "save it as RGB or gray, light in floating point as OpenEXR",
            value=kind,
        )
    if not known:
        raise FileError(
            path,
            f"its compression {name} ({compression}) is not read",
            "save it without compression, or with LZW or ZIP",
            value=compression,
        )
    if page.dtype is None:
        raise FileError(
            path,
            f"its samples have {page.bitspersample} bits of format {page.sampleformat}, "
            "which is not read",
            "save it with 8 or 16 bits or in floating point",
            value=page.bitspersample,
        )


def _check_alike(path: Path, series: Any) -> None:
    """Refuse pages that each state a palette or an orientation of their own."""
    first = series.keyframe
    pages = [page for page in series.pages if page is not None and page.parent is first.parent]
    turn = first.tags.valueof(ORIENTATION, 1)
    stated = _COLORMAP in first.tags or turn != 1
    if not stated:  # pages that were not read in full are looked at only where there is a reason
        pages = [page for page in pages if isinstance(page, tifffile.TiffPage)]
    for number, page in enumerate(pages):
        tags = page.aspage().tags
        if tags.valueof(ORIENTATION, turn) != turn:
            rule = f"page {number} is turned otherwise than the others (Orientation)"
            raise FileError(path, rule, "turn its pages upright, or save them one by one")
        table = tags.valueof(_COLORMAP)
        if table is not None and not np.array_equal(table, first.tags.valueof(_COLORMAP)):
            rule = f"page {number} has a palette of its own"
            raise FileError(path, rule, "save it as RGB")


def _as_it_is(series: Any, samples: int) -> Colour:
    return Colour(series.dtype, samples, has_samples=samples in (3, 4))


def _rgb(series: Any, samples: int) -> Colour:
    extras = _extras(series.keyframe)
    alphas = [n for n, extra in enumerate(extras) if extra in (_ASSOCIATED, _UNASSOCIATED)]
    if samples > 4 and alphas:
        where = samples - len(extras) + alphas[0]
        return Colour(
            series.dtype,
            4,
            lambda image: image[..., [0, 1, 2, where]],
            has_samples=True,
            look=_alpha_look(extras[alphas[0]]),
            said=f"of its {samples} samples colour and alpha were read, not the others",
        )
    look = _alpha_look(extras[0] if extras else 0) if samples == 4 else {}
    bits = series.keyframe.bitspersample
    if samples in (3, 4) and series.dtype == np.uint16 and 8 < bits < 16:
        most = 2**bits - 1
        said = f"its {bits} bit colours were spread to 16 bits: {most} became 65535"

        def spread(image: NDArray[Any]) -> NDArray[Any]:
            wide: NDArray[Any] = np.rint(image * (65535 / most)).astype(np.uint16)
            return wide

        return Colour(series.dtype, samples, spread, True, look=look, said=said)
    return Colour(series.dtype, samples, has_samples=samples in (3, 4), look=look)


def _alpha_look(extra: int) -> dict[str, Any]:
    """Say what a writer must know of alpha; that it is unassociated goes without saying."""
    return {} if extra == _UNASSOCIATED else {"alpha": ("unspecified", "associated")[extra == 1]}


def _check_negative(path: Path, dtype: np.dtype[Any], *, negative: bool) -> None:
    if negative and dtype.kind == "f":
        raise FileError(
            path,
            "it is a negative (white is zero) in floating point, which has no largest value",
            "invert it and save it as black is zero",
            value=dtype,
        )


def _gray(series: Any, samples: int, imagej: Mapping[str, Any], *, negative: bool) -> Colour:
    page, dtype = series.keyframe, series.dtype
    if imagej and dtype == np.uint16 and _calibration(imagej) == (-32768.0, 1.0):
        signed = "its values are signed, as ImageJ notes: read as int16"
        return Colour(np.dtype(np.int16), 0, _signed, said=signed)
    steps: list[Convert] = []
    said: list[str] = []
    bits = page.bitspersample if isinstance(page.bitspersample, int) else 8 * dtype.itemsize
    if negative:
        steps.append(_positive(dtype, bits))
        said.append("it is stored as a negative (white is zero): inverted, so that light is large")
    if bits < 8:
        most = 2**bits - 1
        steps.append(lambda image: np.rint(image * (255 / most)).astype(np.uint8))
        said.append(f"its {bits} bit values were spread to 8 bits: {most} became 255")
    extras = _extras(page)
    look: dict[str, Any] = {}
    out = samples if samples in (3, 4) else 0
    if samples == 2 and extras in ((_ASSOCIATED,), (_UNASSOCIATED,)):
        steps.append(lambda image: image[..., [0, 0, 0, 1]])
        out, look = 4, _alpha_look(extras[0])
    if _calibration(imagej) not in (None, (0.0, 1.0)):
        said.append("its calibration of values in ImageJ was not applied: they are as stored")
    convert = _in_turn(steps) if steps else None
    return Colour(
        dtype, out, convert, out > 0, may_be_gray=samples == 2, look=look, said=", and ".join(said)
    )


def _calibration(imagej: Mapping[str, Any]) -> tuple[float, ...] | None:
    """Offset and factor of a straight line of ImageJ, or what other function it has."""
    if "cf" not in imagej:
        return None
    if imagej["cf"] != 0:
        return (math.nan,)
    return float(imagej.get("c0", 0)), float(imagej.get("c1", 1))


def _in_turn(steps: list[Convert]) -> Convert:
    def convert(image: NDArray[Any]) -> NDArray[Any]:
        for step in steps:
            image = step(image)
        return image

    return convert


def _signed(image: NDArray[Any]) -> NDArray[Any]:
    return (image ^ np.uint16(0x8000)).view(np.int16)


def _positive(dtype: np.dtype[Any], bits: int) -> Convert:
    if dtype.kind == "i":
        return np.invert
    most = dtype.type(2**bits - 1)
    return lambda image: most - image


def _inks(path: Path, page: Any, samples: int) -> Colour:
    ink_set = page.tags.valueof(332, 1)
    if samples < 4 or ink_set != 1 or page.dtype.name not in ("uint8", "uint16"):
        raise FileError(
            path,
            f"its colours are {samples or 1} inks of {page.dtype}, not CMYK of 8 or 16 bits",
            "save it as RGB",
            value=samples,
        )
    profile = _profile(page)
    extras = _extras(page)
    alpha = 4 if samples > 4 and extras[:1] in ((_ASSOCIATED,), (_UNASSOCIATED,)) else 0
    profile = profile if colour.is_profile_of_inks(profile) else b""

    def convert(image: NDArray[Any]) -> NDArray[Any]:
        rgb = colour.rgb_of_inks(np.ascontiguousarray(image[..., :4]), profile)
        return np.concatenate([rgb, image[..., 4:5]], axis=-1) if alpha else rgb

    how = "to sRGB by its profile" if profile else "to RGB, as it has no colour profile"
    look = _alpha_look(extras[0]) if alpha else {}
    said = f"its CMYK inks were converted {how}"
    return Colour(page.dtype, 4 if alpha else 3, convert, True, look=look, said=said)


def _lab(path: Path, page: Any, samples: int, *, signed: bool) -> Colour:
    if samples < 3 or page.dtype.name not in ("uint8", "uint16"):
        rule = f"its colours are CIELAB as {samples or 1} samples of {page.dtype}"
        raise FileError(path, rule, "save it as RGB", value=samples)
    dtype = page.dtype

    def convert(image: NDArray[Any]) -> NDArray[Any]:
        return colour.rgb_of_lab(colour.lab_of_samples(image, signed=signed), dtype)

    return Colour(dtype, 3, convert, True, said="its CIELAB colours were converted to sRGB")


def _ycbcr(path: Path, page: Any, samples: int) -> Colour:
    if samples != 3 or page.dtype != np.uint8 or page.planarconfig != 1 or page.is_subifd:
        rule = f"its colours are YCbCr in a form that is not read ({page.dtype}, {samples} samples)"
        raise FileError(path, rule, "save it as RGB", value=samples)
    return Colour(page.dtype, 3, None, True, by_libtiff=True)


# --- palettes -------------------------------------------------------------------------


def _palette(path: Path, series: Any, samples: int, imagej: bool) -> Colour:
    page = series.keyframe
    table = _table(path, page)
    tops = table[-1]
    ramp = np.arange(len(table))[:, None] / (len(table) - 1) * tops
    whole = len(table) == 256 and tops.max() == 255 and page.bitspersample == 8
    if whole and np.abs(table - ramp).max() <= 1 and not samples:
        # A table that only brightens one colour shows intensities, which the indices are.
        if (tops == 255).all():
            return Colour(np.dtype(np.uint8))
        shown = {"channel_colors": ("#" + bytes(tops.tolist()).hex(),)}
        return Colour(np.dtype(np.uint8), fields=shown, look={"palette": True})
    gray = bool((np.ptp(table, axis=-1) == 0).all())
    extras = _extras(page)
    alpha = samples == 2 and extras[:1] in ((_ASSOCIATED,), (_UNASSOCIATED,))
    shown_by = table[:, 0] if gray and not alpha else table

    def convert(image: NDArray[Any]) -> NDArray[Any]:
        index = image[..., 0] if samples else image
        found = shown_by[index.astype(np.intp)]
        return np.concatenate([found, image[..., 1:2]], axis=-1) if alpha else found

    said = "its palette was applied: the values are its grays" if gray else ""
    if imagej and not gray:
        said = (
            "its values were shown through a table of colours and are read as these; "
            "if they are intensities, save it from ImageJ with the table Grays"
        )
    out = 0 if shown_by.ndim == 1 else 3 + alpha
    return Colour(table.dtype, out, convert, samples > 0, said=said)


def _table(path: Path, page: Any) -> NDArray[Any]:
    """Colours of a palette, (n, 3); in 8 bits where they tell all of them apart."""
    table: NDArray[Any] = np.asarray(page.colormap).T
    whole = table.ndim == 2 and table.shape[1] == 3 and page.dtype.kind in "ub"
    if not whole or len(table) < 2**page.bitspersample:
        rule = f"its palette has {len(table)} of {2**page.bitspersample} colours"
        raise FileError(path, rule, "it may be damaged: save it as RGB", value=len(table))
    if table.max(initial=0) < 256:
        return table.astype(np.uint8)
    short = (table >> 8).astype(np.uint8)
    coarse = len(np.unique(short, axis=0)) < len(np.unique(table, axis=0))
    return table.astype(np.uint16) if coarse else short


# --- parts that are shared ------------------------------------------------------------


def _extras(page: Any) -> tuple[int, ...]:
    return tuple(map(int, page.extrasamples or ()))


def _profile(page: Any) -> bytes:
    value = page.tags.valueof(34675, b"")
    return bytes(value) if isinstance(value, bytes) else b""
