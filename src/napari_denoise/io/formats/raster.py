"""PNG and JPEG: 8 and 16 bit, gray and colour."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from napari_denoise.io.errors import FileError
from napari_denoise.io.formats.loaded import check_dtype

_IHDR = slice(24, 26)
"""Bit depth and colour type in a PNG file."""
_PALETTE, _GRAY_ALPHA = 3, 4


def read_png(path: Path) -> NDArray[Any]:
    """Read a PNG as (Y, X) or (Y, X, S), uint8 or uint16.

    A palette becomes RGB, or gray where all its colours are; gray with transparency
    becomes RGBA, or gray where nothing is transparent.

    Raises
    ------
    FileError
        Truncated, not a PNG, or 1 bit per pixel.
    """
    data = _bytes(path)
    header = data[_IHDR]
    if len(header) == 2 and data.startswith(b"\x89PNG") and header == b"\x01\x00":
        check_dtype(path, np.dtype(bool))
    try:
        image: NDArray[Any] = imagecodecs.png_decode(data)
    except (imagecodecs.PngError, ValueError) as error:
        raise _damaged(path, "PNG", error) from error
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
    try:
        with Image.open(path, formats=["JPEG"]) as picture:
            upright = ImageOps.exif_transpose(picture)
            gray = upright.mode == "L"
            return np.array(upright if gray else upright.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise _damaged(path, "JPEG", error) from error


def encode_png(image: NDArray[Any]) -> bytes:
    """Encode (Y, X) or (Y, X, S) of uint8 or uint16, without loss."""
    return bytes(imagecodecs.png_encode(np.ascontiguousarray(image)))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise FileError(path, f"it cannot be read ({error})", "check its permissions") from error


def _damaged(path: Path, kind: str, error: Exception) -> FileError:
    return FileError(
        path,
        f"it is not a whole {kind} file ({error})",
        "it may be truncated or another format: copy or export it again",
    )
