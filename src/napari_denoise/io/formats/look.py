"""How a picture is shown beside its numbers: colour profile, gamma, printed size, alpha.

`meta.extra["look"]` holds it as JSON values, and writers put it into the format they write.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import JpegImagePlugin

from napari_denoise.io.errors import WriteWarning, say
from napari_denoise.io.formats.upright import ORIENTATION, exif_orientation
from napari_denoise.io.meta import ImageMeta

LOOK = "look"
"""Key of `ImageMeta.extra`. Its own keys: "icc_profile" (base64), "png" (chunks of colour, base64),
"resolution" ([x, y, unit]), "alpha" (where it is not unassociated), "palette" (values are
shown in shades of the channel's colour)."""

_COLOUR_CHUNKS = (b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM")
"""Of PNG, the one that decides first."""
_CHUNKS = (*_COLOUR_CHUNKS, b"pHYs", b"eXIf", b"acTL")
_MOST = 2**24
"""Bytes of the largest colour profile that is taken for one."""
_UNITS = {1: "", 2: "inch", 3: "centimeter"}
_METRES = {"inch": 0.0254, "centimeter": 0.01}
_SPACES = {b"RGB ": (3, 4), b"GRAY": (1, 2)}
_SRGB_GAMMA = 45455
_SRGB_CHROMATICITIES = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)


# --- reading --------------------------------------------------------------------------


def tiff_look(page: Any, colour: Any) -> dict[str, Any]:
    """Look of a TIFF page whose samples mean what `colour` says."""
    look = dict(colour.look)
    profile = page.tags.valueof(34675)
    if isinstance(profile, bytes) and profile[16:20] in _SPACES:
        look["icc_profile"] = _text(profile)
    sizes = [page.tags.valueof(tag) for tag in (282, 283)]
    unit = _UNITS.get(int(page.tags.valueof(296, 2)), "")
    if all(isinstance(size, tuple) and len(size) == 2 and all(size) for size in sizes):
        per_unit = [float(size[0] / size[1]) for size in sizes]
        turned = page.tags.valueof(ORIENTATION, 1) in (5, 6, 7, 8)
        if unit or per_unit[0] != per_unit[1]:
            look["resolution"] = [*(per_unit[::-1] if turned else per_unit), unit]
    return look


def png_look(path: Path) -> dict[str, Any]:
    """Look of a PNG file."""
    found = dict(png_chunks(path))
    look: dict[str, Any] = {}
    try:
        packed = found.get(b"iCCP", b"").partition(b"\0")[2][1:]
        icc = zlib.decompressobj().decompress(packed, _MOST)
    except zlib.error:
        icc = b""
    if icc[16:20] in _SPACES:
        look["icc_profile"] = _text(icc)
    chunks = {n.decode(): _text(found[n]) for n in _COLOUR_CHUNKS if n in found and n != b"iCCP"}
    if chunks:
        look["png"] = chunks
    if len(found.get(b"pHYs", b"")) == 9:
        x, y, metric = struct.unpack(">IIB", found[b"pHYs"])
        if x and y and (metric or x != y):
            if exif_orientation(found.get(b"eXIf", b"")) in (5, 6, 7, 8):
                x, y = y, x
            look["resolution"] = [*_per_inch(x, y), "inch"] if metric else [x, y, ""]
    return look


def jpeg_look(path: Path) -> dict[str, Any]:
    """Look of a JPEG file."""
    look: dict[str, Any] = {}
    with JpegImagePlugin.JpegImageFile(path) as picture:
        icc, size = picture.info.get("icc_profile"), picture.info.get("dpi")
        turned = picture.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8)
    if icc and icc[16:20] in _SPACES:
        look["icc_profile"] = _text(icc)
    if size and all(size):
        per_inch = [float(value) for value in size]
        look["resolution"] = [*(per_inch[::-1] if turned else per_inch), "inch"]
    return look


def png_chunks(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Yield name and content of the chunks of a PNG that say how it is shown, and that it moves."""
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, name = struct.unpack(">I4s", head)
            if name in _CHUNKS and length <= _MOST:
                yield name, file.read(length)
                length = 0
            file.seek(length + 4, 1)


def _per_inch(*per_metre: float) -> list[float]:
    """Dots per inch; whole ones where the whole dots per metre were rounded from them."""
    values = [value * 0.0254 for value in per_metre]
    return [float(round(v)) if abs(v - round(v)) < 0.013 else v for v in values]


# --- writing --------------------------------------------------------------------------


def tiff_options(target: Path, meta: ImageMeta, samples: int) -> dict[str, Any]:
    """Say what tifffile writes of the look of an image."""
    look = meta.extra.get(LOOK) or {}
    options: dict[str, Any] = {}
    profile = _profile(look, target, samples) or _made_profile(look, target, samples)
    if profile:
        options["iccprofile"] = profile
    size = _resolution(look, meta)
    if size:
        options["resolution"] = (size[0], size[1])
        options["resolutionunit"] = (size[2] or "none").upper()
    return options


def look_chunks(target: Path, meta: ImageMeta, samples: int) -> bytes:
    """Encode the look of an image as chunks of a PNG, which go behind its header."""
    look = meta.extra.get(LOOK) or {}
    chunks = []
    profile = _profile(look, target, samples)
    if profile:
        chunks.append((b"iCCP", b"ICC Profile\0\0" + zlib.compress(profile)))
    for name, content in (look.get("png") or {}).items():
        if not profile or name != "sRGB":  # a file has one of the two
            chunks.append((name.encode(), base64.b64decode(content)))
    size = _resolution(look, meta)
    if size:
        metre = _METRES.get(size[2], 1)
        numbers = [min(max(round(value / metre), 1), 2**31 - 1) for value in size[:2]]
        chunks.append((b"pHYs", struct.pack(">IIB", *numbers, size[2] in _METRES)))
    return b"".join(_chunk(*chunk) for chunk in chunks)


def shades(meta: ImageMeta, axes: str) -> NDArray[np.uint8] | None:
    """Table of 256 shades that an image of 8 bit intensities was shown in, (256, 3)."""
    look = meta.extra.get(LOOK) or {}
    if not look.get("palette") or set(axes) & {"C", "S"} or len(meta.channel_colors) != 1:
        return None
    top = np.frombuffer(bytes.fromhex(meta.channel_colors[0].removeprefix("#")), np.uint8)
    return np.rint(np.arange(256)[:, None] / 255 * top).astype(np.uint8)


def _chunk(name: bytes, content: bytes) -> bytes:
    check = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)


def _profile(look: Mapping[str, Any], target: Path, samples: int) -> bytes:
    """Take the profile, if it is one of as many colours as are written."""
    text = look.get("icc_profile")
    profile = base64.b64decode(text) if text else b""
    if profile and samples not in _SPACES.get(profile[16:20], ()):
        space = profile[16:20].decode("latin-1").strip()
        kind = "gray" if samples < 3 else "RGB"
        text = f"{target}: its colour profile is for {space}, not for {kind}: it was not written"
        say(text, WriteWarning, stacklevel=6)
        return b""
    return profile


def _made_profile(look: Mapping[str, Any], target: Path, samples: int) -> bytes:
    """Make a profile of gamma and primaries, which PNG can state and TIFF cannot; none for sRGB."""
    png = {name: base64.b64decode(text) for name, text in (look.get("png") or {}).items()}
    if "cICP" in png:
        text = f"{target}: TIFF has no place for the code points of colour of the PNG (cICP)"
        say(text, WriteWarning, stacklevel=6)
    if not png or "sRGB" in png or look.get("icc_profile"):
        return b""
    gamma = struct.unpack(">I", png["gAMA"])[0] if len(png.get("gAMA", b"")) == 4 else _SRGB_GAMMA
    points = _SRGB_CHROMATICITIES
    if len(png.get("cHRM", b"")) == 32:
        points = struct.unpack(">8I", png["cHRM"])
    if (abs(gamma - _SRGB_GAMMA) < 50 and points == _SRGB_CHROMATICITIES) or not gamma:
        return b""
    white, *primaries = (
        (x / 1e5, y / 1e5, 1.0) for x, y in zip(points[::2], points[1::2], strict=True)
    )
    options: dict[str, Any] = {"whitepoint": white, "gamma": 1e5 / gamma}
    if samples >= 3:
        options["primaries"] = tuple(value for primary in primaries for value in primary)
    try:
        return bytes(imagecodecs.cms_profile("rgb" if samples >= 3 else "gray", **options))
    except (RuntimeError, ValueError):
        text = f"{target}: gamma and primaries of the PNG make no colour profile: they are left out"
        say(text, WriteWarning, stacklevel=6)
        return b""


def _resolution(look: Mapping[str, Any], meta: ImageMeta) -> list[Any] | None:
    """Pixels per unit along X and Y; a stated pixel size goes before what was read in cm."""
    size = look.get("resolution")
    if not isinstance(size, list) or len(size) != 3 or not all(v > 0 for v in size[:2]):
        return None
    if size[2] != "centimeter":
        return size
    scale = dict(zip(meta.axes, zip(meta.scale, meta.units, strict=False), strict=False))
    stated = [scale.get(a, (0, None)) for a in "XY"]
    if all(unit == "micrometer" and value > 0 for value, unit in stated):
        return [*(1e4 / value for value, _ in stated), "centimeter"]
    return size


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
