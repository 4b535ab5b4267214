"""PNG and JPEG: 8 and 16 bit, gray and colour."""

from __future__ import annotations

import struct
from math import prod
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import ImageOps
from PIL.JpegImagePlugin import JpegImageFile

from napari_denoise.io.formats.loaded import check_dtype
from napari_denoise.io.guarded import guarded, whole

_IHDR = slice(24, 26)
"""Bit depth and colour type in a PNG file."""
_PALETTE, _GRAY_ALPHA = 3, 4
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Of each colour type."""
_PNG_RATIO, _JPEG_RATIO = 1040, 2048
"""Bytes of pixels that a byte of the file may stand for, at most."""
_REMEDY = "it may be truncated or another format: copy or export it again"


def read_png(path: Path) -> NDArray[Any]:
    """Read a PNG as (Y, X) or (Y, X, S), uint8 or uint16.

    A palette becomes RGB, or gray where all its colours are; gray with transparency
    becomes RGBA, or gray where nothing is transparent.

    Raises
    ------
    FileError
        Truncated, not a PNG, or 1 bit per pixel.
    """
    with guarded(path, whole(path, "PNG file", _REMEDY)):
        data = path.read_bytes()
        header = data[_IHDR]
        if len(header) == 2 and data.startswith(b"\x89PNG") and header == b"\x01\x00":
            check_dtype(path, np.dtype(bool))
        _check_png(data)
        image: NDArray[Any] = imagecodecs.png_decode(data)
    if header[1] == _PALETTE and image.ndim == 3 and (np.ptp(image[..., :3], axis=-1) == 0).all():
        return np.ascontiguousarray(image[..., 0])
    if header[1] == _GRAY_ALPHA:
        gray, alpha = image[..., 0], image[..., -1]
        opaque = (alpha == np.iinfo(image.dtype).max).all()
        return gray.copy() if opaque else np.stack([gray, gray, gray, alpha], axis=-1)
    return image


def read_jpeg(path: Path) -> NDArray[Any]:
    """Read a JPEG as uint8 (Y, X) or (Y, X, 3), upright as the camera held it.

    Raises
    ------
    FileError
        Truncated or not a JPEG.
    """
    # Not Image.open, which refuses large cameras: the size of the file is the measure here.
    with guarded(path, whole(path, "JPEG file", _REMEDY)), JpegImageFile(path) as picture:
        _check_room(prod(picture.size) * len(picture.getbands()), path.stat().st_size, _JPEG_RATIO)
        upright = ImageOps.exif_transpose(picture)
        gray = upright.mode == "L"
        return np.array(upright if gray else upright.convert("RGB"))


def encode_png(image: NDArray[Any]) -> bytes:
    """Encode (Y, X) or (Y, X, S) of uint8 or uint16, without loss."""
    return bytes(imagecodecs.png_encode(np.ascontiguousarray(image)))


def _check_png(data: bytes) -> None:
    """Compare the size in the header with that of the file, before anything is allocated."""
    if len(data) < 29 or data[12:16] != b"IHDR":
        return  # the library says so
    width, height, bits, kind = struct.unpack(">IIBB", data[16:26])
    _check_room(width * height * _SAMPLES.get(kind, 1) * bits // 8, len(data), _PNG_RATIO)


def _check_room(told: int, size: int, ratio: int) -> None:
    if told > ratio * size + 4096:
        raise ValueError(f"its header tells of {told:,} bytes of pixels, the file has {size:,}")
