"""PNG and JPEG: 8 and 16 bit, gray and colour."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import ImageOps
from PIL.JpegImagePlugin import JpegImageFile

from napari_denoise.io.formats.loaded import check_dtype
from napari_denoise.io.formats.png_chunks import pixels_alone
from napari_denoise.io.guarded import guarded, whole

_IHDR = slice(24, 26)
"""Bit depth and colour type in a PNG file."""
_PALETTE, _GRAY_ALPHA = 3, 4
_JPEG_RATIO = 2048
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
        image: NDArray[Any] = imagecodecs.png_decode(pixels_alone(data))
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
        told, size = prod(picture.size) * len(picture.getbands()), path.stat().st_size
        if told > _JPEG_RATIO * size + 4096:
            raise ValueError(f"its header tells of {told:,} bytes of pixels, the file has {size:,}")
        upright = ImageOps.exif_transpose(picture)
        gray = upright.mode == "L"
        return np.array(upright if gray else upright.convert("RGB"))


def encode_png(image: NDArray[Any]) -> bytes:
    """Encode (Y, X) or (Y, X, S) of uint8 or uint16, without loss."""
    return bytes(imagecodecs.png_encode(np.ascontiguousarray(image)))
