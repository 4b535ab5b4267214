"""OpenEXR frames: the colour is replaced, everything else of the source passes through."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
from numpy.typing import NDArray

from napari_denoise.io.errors import FileError
from napari_denoise.io.formats.exr_reader import open_exr

HALF_MAX = float(np.finfo(np.float16).max)


def encode_exr(image: NDArray[Any], features: Mapping[str, NDArray[Any]]) -> tuple[bytes, int]:
    """Encode a frame as a new file with layers ``albedo`` and ``normal``.

    Parameters
    ----------
    image
        (Y, X), (Y, X, 3) or (Y, X, 4), float16 or float32, linear light.
    features
        "albedo", "normal": (Y, X, 3).

    Returns
    -------
    The file, and how many values half precision could not hold and were clipped.
    """
    names = ("Y",) if image.ndim == 2 else tuple("RGBA"[: image.shape[-1]])
    channels, clipped = _channels(names, image, _precision(image))
    for role, letters in (("albedo", "RGB"), ("normal", "XYZ")):
        if role in features:
            layer = tuple(f"{role}.{letter}" for letter in letters)
            more, _ = _channels(layer, np.asarray(features[role]), np.dtype(np.float16))
            channels |= more
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    return _to_bytes(OpenEXR.File(header, channels)), clipped


def encode_through(
    image: NDArray[Any], source: Path, part: int, names: tuple[str, ...]
) -> tuple[bytes, int]:
    """Encode a frame as its source file with other pixels in the named channels.

    Parts, layers, header attributes, data window, compression and the precision of each
    channel stay as they are.

    Returns
    -------
    As for `encode_exr`.

    Raises
    ------
    FileError
        The source is gone or has changed, so that the frame does not fit it.
    """
    file = open_exr(source)
    stored = file.parts[part].channels if part < len(file.parts) else {}
    planes = [image] if image.ndim == 2 else [image[..., i] for i in range(image.shape[-1])]
    fits = len(planes) == len(names) and all(
        name in stored and stored[name].pixels.shape == image.shape[:2] for name in names
    )
    if not fits:
        raise FileError(
            source,
            f"the frame {image.shape} does not fit its channels {', '.join(names)}",
            "save under another format, or as EXR without the other layers",
        )
    parts, clipped = [], 0
    for number, old in enumerate(file.parts):
        channels = {name: channel.pixels for name, channel in old.channels.items()}
        if number == part:
            for name, plane in zip(names, planes, strict=True):
                channels[name], lost = _cast(plane, channels[name].dtype)
                clipped += lost
        header = {k: v for k, v in old.header.items() if k != "channels"}
        parts.append(OpenEXR.Part(header, _wrap(channels, old.channels), old.name()))
    return _to_bytes(OpenEXR.File(parts)), clipped


def _wrap(pixels: Mapping[str, Any], like: Mapping[str, Any]) -> dict[str, Any]:
    """Channels that keep the sampling and the perceptual flag of the source's."""
    return {
        name: OpenEXR.Channel(
            np.ascontiguousarray(values),
            like[name].xSampling,
            like[name].ySampling,
            like[name].pLinear,
        )
        for name, values in pixels.items()
    }


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
