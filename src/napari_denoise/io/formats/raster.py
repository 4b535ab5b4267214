"""PNG and JPEG: 8 and 16 bit, gray and colour."""

from __future__ import annotations

from contextlib import suppress
from math import prod
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin

from napari_denoise.io.errors import FileError, ReadWarning, say
from napari_denoise.io.formats.colour import (
    gray_or_rgba,
    is_opaque,
    is_profile_of_inks,
    rgb_of_inks,
)
from napari_denoise.io.formats.loaded import check_dtype
from napari_denoise.io.formats.look import png_chunks
from napari_denoise.io.formats.png_chunks import pixels_alone
from napari_denoise.io.formats.upright import ORIENTATION, exif_orientation, upright
from napari_denoise.io.guarded import guarded, whole

_IHDR = slice(24, 26)
"""Bit depth and colour type in a PNG file."""
_HEADER = 33
"""Bytes of a PNG up to the end of its header chunk."""
_PICTURES = 0xB001
"""Tag of multi-picture files: how many there are."""
_JPEG_RATIO = 2048
"""Bytes of pixels that a byte of the file may stand for, at most."""
_REMEDY = "it may be truncated or another format: copy or export it again"
_GRAY, _RGB, _PALETTE, _GRAY_ALPHA = 0, 2, 3, 4


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
        chunks = dict(png_chunks(path))
    if b"acTL" in chunks:
        count = int.from_bytes(chunks[b"acTL"][:4], "big")
        remedy = "save its frames as numbered PNG files to open them all"
        say(
            f"{path}: it is animated; only the first of {count} frames was read: {remedy}",
            ReadWarning,
        )
    image = _plain(image, header[1])
    return np.ascontiguousarray(upright(image, "YXS"[: image.ndim], _orientation(chunks)))


def _plain(image: NDArray[Any], kind: int) -> NDArray[Any]:
    """Gray where palette or transparency are of no consequence, else RGB or RGBA."""
    if image.ndim == 2:
        return image
    if kind in (_GRAY, _GRAY_ALPHA):
        return gray_or_rgba(image[..., 0], image[..., -1])
    if kind in (_RGB, _PALETTE) and image.shape[-1] == 4 and is_opaque(image[..., 3]):
        image = image[..., :3]  # of a transparent colour that no pixel has
    if kind == _PALETTE and image.shape[-1] == 3 and (np.ptp(image, axis=-1) == 0).all():
        return image[..., 0]
    return image


def _orientation(chunks: dict[bytes, bytes]) -> int:
    return exif_orientation(chunks.get(b"eXIf", b""))


def read_jpeg(path: Path) -> NDArray[Any]:
    """Read a JPEG as uint8 (Y, X) or (Y, X, 3), upright as the camera held it.

    Raises
    ------
    FileError
        Truncated or not a JPEG.
    """
    # Not `Image.open`: it takes what has more pixels than a limit of the process for an attack.
    with (
        guarded(path, lambda said: _no_jpeg(path, said)),
        JpegImagePlugin.JpegImageFile(path) as picture,
    ):
        told, size = prod(picture.size) * len(picture.getbands()), path.stat().st_size
        if told > _JPEG_RATIO * size + 4096:
            raise ValueError(f"its header tells of {told:,} bytes of pixels, the file has {size:,}")
        _mention_others(path, picture)
        profile = picture.info.get("icc_profile", b"")
        turn = picture.getexif().get(ORIENTATION, 1)
        image = np.array(picture)
    if image.shape[2:] == (4,):
        image = _without_inks(path, image, profile)
    return np.ascontiguousarray(upright(image, "YXS"[: image.ndim], turn))


def _without_inks(path: Path, inks: NDArray[Any], profile: bytes) -> NDArray[Any]:
    managed = is_profile_of_inks(profile)
    how = "to sRGB by its profile" if managed else "to RGB, as it has no colour profile"
    say(f"{path}: its CMYK inks were converted {how}", ReadWarning, stacklevel=2)
    return rgb_of_inks(inks, profile if managed else b"")


def _mention_others(path: Path, picture: JpegImagePlugin.JpegImageFile) -> None:
    """Of a multi-picture file the first is read."""
    exif = Image.Exif()
    with suppress(ValueError, TypeError, SyntaxError, OSError, KeyError, IndexError):
        exif.load(picture.info.get("mp", b""))
    count = exif.get(_PICTURES, 1)
    if isinstance(count, int) and count > 1:
        say(
            f"{path}: it holds {count} pictures; only the first was read", ReadWarning, stacklevel=2
        )


def encode_png(image: NDArray[Any], chunks: bytes = b"") -> bytes:
    """Encode (Y, X) or (Y, X, S) of uint8 or uint16, without loss; `chunks` follow the header."""
    data = bytes(imagecodecs.png_encode(np.ascontiguousarray(image)))
    return data[:_HEADER] + chunks + data[_HEADER:]


def _no_jpeg(path: Path, said: str) -> FileError:
    if "-bit" in said:
        rule = f"its pixels are of a kind that is not read ({said})"
        return FileError(path, rule, "save it with 8 bits, or as PNG or TIFF")
    return whole(path, "JPEG file", _REMEDY)(said)
