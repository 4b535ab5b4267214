"""OpenEXR frames: the colour is replaced, everything else of the source passes through."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
from numpy.typing import NDArray

from napari_denoise.io.errors import FileError
from napari_denoise.io.formats.exr_layers import Layer, find_named
from napari_denoise.io.formats.exr_reader import layers_of, open_exr
from napari_denoise.io.formats.exr_windows import Box, box_of, overlap, size_of

HALF_MAX = float(np.finfo(np.float16).max)
_LOSSY = (
    OpenEXR.DWAA_COMPRESSION,
    OpenEXR.DWAB_COMPRESSION,
    OpenEXR.B44_COMPRESSION,
    OpenEXR.B44A_COMPRESSION,
    OpenEXR.PXR24_COMPRESSION,
)
_OF_THE_STORAGE = ("channels", "chunkCount")
"""Entries of a header that say how its pixels were stored; writing finds them anew."""


@dataclass(frozen=True)
class Replaced:
    """New pixels for a layer of a source file.

    Parameters
    ----------
    image
        (Y, X), (Y, X, 3) or (Y, X, 4).
    layer
        By its label; or the numbers of its part and the names of its channels.
    window
        Of the image; None takes the part's data window.
    """

    image: NDArray[Any]
    layer: str | tuple[int, tuple[str, ...]]
    window: Box | None = None


@dataclass(frozen=True)
class Encoded:
    """A file as bytes, and what differs in it from what was asked for."""

    data: bytes
    clipped: int = 0
    """Values that half precision could not hold."""
    notes: tuple[str, ...] = ()
    """What was converted, for people."""


def encode_exr(image: NDArray[Any], features: Mapping[str, NDArray[Any]]) -> Encoded:
    """Encode a frame as a new file with layers ``albedo`` and ``normal``.

    Parameters
    ----------
    image
        (Y, X), (Y, X, 3) or (Y, X, 4), float16 or float32, linear light.
    features
        "albedo", "normal": (Y, X, 3).
    """
    names = ("Y",) if image.ndim == 2 else tuple("RGBA"[: image.shape[-1]])
    channels, clipped = _channels(names, image, _precision(image))
    for role, letters in (("albedo", "RGB"), ("normal", "XYZ")):
        if role in features:
            layer = tuple(f"{role}.{letter}" for letter in letters)
            more, _ = _channels(layer, np.asarray(features[role]), np.dtype(np.float16))
            channels |= more
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    return Encoded(_to_bytes(OpenEXR.File(header, channels)), clipped)


def encode_through(source: Path, replaced: Sequence[Replaced]) -> Encoded:
    """Encode a frame as its source file with other pixels in some layers.

    Parts, other layers, header attributes, data window, compression and the precision of each
    channel stay as they are. Where they cannot, the notes say so: levels of lower resolution are
    left out, luminance and chroma become RGB, and other layers under a compression that would
    change them once more are compressed without loss.

    Raises
    ------
    FileError
        The source is gone or has changed, so that the frame does not fit it.
    """
    file = open_exr(source)
    pixels = [{name: c.pixels for name, c in part.channels.items()} for part in file.parts]
    clipped, notes, layers = 0, list[str](), layers_of(file)
    new: list[set[str]] = [set() for _ in file.parts]
    for entry in replaced:
        layer = _found(source, layers, entry)
        planes = _planes(source, entry, layer, file)
        if layer.is_chroma:
            notes.append("its luminance and chroma (Y, RY, BY) are written as RGB")
        target = pixels[layer.part]
        like = [target[name] for name in layer.channels]
        if layer.is_chroma:
            like[1:3] = like[:1] * 2
            for name in layer.channels[:3]:
                del target[name]
        for (name, plane), old in zip(planes.items(), like, strict=False):
            target[name], lost = _cast(plane, old.dtype)
            clipped += lost
        new[layer.part].update(planes)
    headers = [
        {k: v for k, v in old.header.items() if k not in _OF_THE_STORAGE} for old in file.parts
    ]
    notes += [text for header in headers for text in _in_one_level(header)]
    data = _packed(file, headers, pixels)
    again = _changed_once_more(data, pixels, new, headers)
    if again:
        for number in again:
            kind = headers[number]["compression"].name.removesuffix("_COMPRESSION")
            headers[number]["compression"] = OpenEXR.ZIP_COMPRESSION
            notes.append(
                f"{kind} would change the layers that stay once more: it is written with ZIP, "
                "which loses nothing"
            )
        data = _packed(file, headers, pixels)
    return Encoded(data, clipped, tuple(dict.fromkeys(notes)))


def _found(source: Path, layers: Sequence[Layer], entry: Replaced) -> Layer:
    if isinstance(entry.layer, tuple):
        part, channels = entry.layer
        return Layer(part, "", channels)
    found = find_named(layers, entry.layer)
    if found is None:
        raise FileError(
            source, f"it has no layer {entry.layer!r} any more", "save under another format"
        )
    return found


def _planes(source: Path, entry: Replaced, layer: Layer, file: Any) -> dict[str, NDArray[Any]]:
    """Return the part's new pixels of each channel; the old ones where the image does not reach."""
    image, names = entry.image, layer.channels
    planes = [image] if image.ndim == 2 else [image[..., i] for i in range(image.shape[-1])]
    part = file.parts[layer.part] if layer.part < len(file.parts) else None
    stored = part.channels if part is not None else {}
    fits = len(planes) == len(names) or len(planes) == 3 < len(names)
    if part is not None and fits and all(name in stored for name in names):
        own = box_of(part.header)
        window = entry.window or own
        fits = image.shape[:2] == size_of(window) and stored[names[0]].pixels.shape == size_of(own)
    if part is None or not fits or any(name not in stored for name in names):
        raise FileError(
            source,
            f"the frame {image.shape} does not fit its channels {', '.join(names)}",
            "save under another format, or as EXR without the other layers",
        )
    new = _as_rgb(names) if layer.is_chroma else names
    old = [stored[name].pixels for name in names]
    return {
        name: plane if window == own else _pasted(plane, before, own, window)
        for name, plane, before in zip(new, planes, old, strict=False)
    }


def _pasted(plane: NDArray[Any], old: NDArray[Any], own: Box, window: Box) -> NDArray[Any]:
    """Lay an image of one window over the old pixels of another."""
    whole = np.zeros(size_of(own), plane.dtype)
    if old.shape == whole.shape:
        whole[...] = old
    whole[overlap(own, window)] = plane[overlap(window, own)]
    return whole


def _as_rgb(names: tuple[str, ...]) -> tuple[str, ...]:
    """Name the RGB channels that take the place of Y, RY and BY."""
    before = names[0][:-1]
    return (*(before + letter for letter in "RGB"), *names[3:])


def _in_one_level(header: dict[str, Any]) -> list[str]:
    """Take levels of lower resolution out of a header; a whole file would need all of them."""
    tiles = header.get("tiles")
    if tiles is None or tiles.mode == OpenEXR.ONE_LEVEL:
        return []
    tiles.mode = OpenEXR.ONE_LEVEL
    return [
        "its levels of lower resolution are not written: make them anew, with maketx or "
        "exrmaketiled -m"
    ]


def _changed_once_more(
    data: bytes,
    pixels: Sequence[Mapping[str, NDArray[Any]]],
    new: Sequence[set[str]],
    headers: Sequence[Mapping[str, Any]],
) -> list[int]:
    """Find the parts whose compression changes channels that were to stay as they are."""
    lossy = [n for n, header in enumerate(headers) if header.get("compression") in _LOSSY]
    lossy = [n for n in lossy if set(pixels[n]) - new[n]]
    if not lossy:
        return []
    written = OpenEXR.File(io.BytesIO(data), separate_channels=True).parts
    return [
        n
        for n in lossy
        if not all(
            np.array_equal(written[n].channels[name].pixels, pixels[n][name], equal_nan=True)
            for name in set(pixels[n]) - new[n]
        )
    ]


def _packed(
    file: Any, headers: Sequence[dict[str, Any]], pixels: Sequence[Mapping[str, Any]]
) -> bytes:
    parts = [
        OpenEXR.Part(dict(header), _wrap(channels, old.channels), old.name())
        for old, header, channels in zip(file.parts, headers, pixels, strict=True)
    ]
    return _to_bytes(OpenEXR.File(parts))


def _wrap(pixels: Mapping[str, Any], like: Mapping[str, Any]) -> dict[str, Any]:
    """Channels that keep the sampling and the perceptual flag of the source's."""
    made = {}
    for name, values in pixels.items():
        old = like.get(name)
        kept = (old.xSampling, old.ySampling, old.pLinear) if old is not None else ()
        made[name] = OpenEXR.Channel(np.ascontiguousarray(values), *kept)
    return made


def _channels(
    names: tuple[str, ...], image: NDArray[Any], dtype: np.dtype[Any]
) -> tuple[dict[str, NDArray[Any]], int]:
    planes = [image] if image.ndim == 2 else [image[..., i] for i in range(len(names))]
    cast = [_cast(plane, dtype) for plane in planes]
    return {n: plane for n, (plane, _) in zip(names, cast, strict=True)}, sum(c for _, c in cast)


def _precision(image: NDArray[Any]) -> np.dtype[Any]:
    return np.dtype(np.float16 if image.dtype == np.float16 else np.float32)


def _cast(plane: NDArray[Any], dtype: np.dtype[Any]) -> tuple[NDArray[Any], int]:
    """Cast to the stored precision; finite values beyond half's range are clipped."""
    if dtype != np.float16 or plane.dtype == np.float16:
        return np.ascontiguousarray(plane, dtype), 0
    beyond = np.isfinite(plane) & (np.abs(plane) > HALF_MAX)
    count = int(np.count_nonzero(beyond))
    if count:
        plane = np.where(beyond, np.copysign(HALF_MAX, plane), plane)
    return np.ascontiguousarray(plane, np.float16), count


def _to_bytes(file: Any) -> bytes:
    # Through memory, so that a full disk is reported by the file system.
    stream = io.BytesIO()
    file.write(stream)
    return stream.getvalue()
