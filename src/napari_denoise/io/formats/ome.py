"""Pixel size, channels and colours in OME-XML and in ImageJ's header."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tifffile

from napari_denoise.io.meta import SIGNIFICANT_BITS, ImageMeta
from napari_denoise.io.units import ome_symbol, unit_name

_BITS = re.compile(r"\b(?:SignificantBits|BitsPerPixel|BitDepth)\b\W{1,4}(\d{1,2})\b")
_PER_INCH, _PER_CENTIMETRE = 2, 3
_OF_PRINTERS = {"inch": 1.0, "centimeter": 1 / 2.54}
"""Units of resolution, in inches."""
_DOTS = (72, 96, 100, 120, 144, 150, 180, 200, 240, 254, 300, 350, 360, 400, 600, 720, 1200, 2400)
_FINEST = 4800
"""Dots per inch of the finest printers and scanners: 5.3 um."""
OME_DTYPES = "int8 int16 int32 uint8 uint16 uint32 float32 float64".split()


def ome_fields(xml: str, index: int, axes: str) -> dict[str, Any]:
    """Fields of `ImageMeta` that image number `index` of OME-XML states.

    Parameters
    ----------
    axes
        Letters of the array, in its order.
    """
    images = _list(tifffile.xml2dict(xml).get("OME", {}).get("Image"))
    pixels = images[index].get("Pixels", {}) if index < len(images) else {}
    sizes = {a: _size(pixels, f"PhysicalSize{a}", "µm") for a in "XYZ"}
    sizes["T"] = _size(pixels, "TimeIncrement", "s")
    known = [sizes.get(axis) or (1.0, None) for axis in axes]
    fields: dict[str, Any] = {"scale": tuple(s for s, _ in known)}
    fields["units"] = tuple(unit for _, unit in known)
    channels = _list(pixels.get("Channel"))
    names = [channel.get("Name") for channel in channels]
    colors = [channel.get("Color") for channel in channels]
    if names and None not in names:
        fields["channel_names"] = tuple(str(name) for name in names)
    if colors and None not in colors and "S" not in axes:
        fields["channel_colors"] = tuple(_hex(int(color)) for color in colors)
    return fields


def image_number(xml: str, number: int, name: str) -> int:
    """Place in OME-XML of an image; images without pixels are no series, and shift the others."""
    images = _list(tifffile.xml2dict(xml).get("OME", {}).get("Image"))
    names = [str(image.get("Name", "")) for image in images]
    if len(names) < 2:
        return 0
    alike = [n for n, full in enumerate(names) if name and full == name]
    alike = alike or [n for n, full in enumerate(names) if name and full.endswith(f"_{name}")]
    return alike[0] if len(alike) == 1 else number


def ome_bits(xml: str, index: int) -> int | None:
    """Bits of the camera, as image number `index` of OME-XML states them."""
    images = _list(tifffile.xml2dict(xml).get("OME", {}).get("Image"))
    pixels = images[index].get("Pixels", {}) if index < len(images) else {}
    bits = pixels.get("SignificantBits")
    return None if bits is None else int(bits)


def tiff_bits(tif: tifffile.TiffFile) -> int | None:
    """Bits of the camera in Micro-Manager's or ImageJ's notes, or by the largest sample value."""
    noted = (tif.micromanager_metadata or {}).get("Summary", {}).get("BitDepth")
    if str(noted or "").isdigit():
        return int(str(noted))
    info = _BITS.search(str((tif.imagej_metadata or {}).get("Info", "")))
    if info:
        return int(info.group(1))
    tag = tif.pages.first.tags.get("MaxSampleValue")
    if tag is None:
        return None
    values = tag.value if isinstance(tag.value, Sequence) else [tag.value]
    most = max(map(int, values), default=0)
    return most.bit_length() if most > 0 and most & (most + 1) == 0 else None


def ome_metadata(meta: ImageMeta, axes: str, dtype: np.dtype[Any]) -> dict[str, Any]:
    """Say what tifffile writes into OME-XML: axes, pixel size, time step, channels, bits.

    Parameters
    ----------
    axes
        Letters in the order of writing.
    dtype
        Of what is written; floats have no bits of a camera.
    """
    values: dict[str, Any] = {"axes": axes}
    for axis, scale, unit in zip(meta.axes, meta.scale, meta.units, strict=False):
        symbol = ome_symbol(unit)
        if axis not in "TZYX" or not symbol or scale <= 0:
            continue
        key = "TimeIncrement" if axis == "T" else f"PhysicalSize{axis}"
        values |= {key: float(scale), f"{key}Unit": symbol}
    channel: dict[str, Any] = {}
    if meta.channel_names:
        channel["Name"] = list(meta.channel_names)
    if meta.channel_colors and "S" not in axes:
        channel["Color"] = [_rgba(color) for color in meta.channel_colors]
    bits = meta.extra.get(SIGNIFICANT_BITS)
    known = isinstance(bits, int) and dtype.kind in "iu"
    held = {"SignificantBits": bits} if known else {}
    return values | held | ({"Channel": channel} if channel else {})


def imagej_fields(tif: tifffile.TiffFile, axes: str) -> dict[str, Any]:
    """Fields of `ImageMeta` in an ImageJ file: calibration, LUT colours, display ranges."""
    header: dict[str, Any] = tif.imagej_metadata or {}
    unit = unit_name(header.get("unit"))
    unit = None if unit == "pixel" else unit
    page = tif.pages.first
    across, down = (_pixel_size(page, f"{a}Resolution") for a in "XY")
    if unit == "micrometer" and _resolution_unit(page) == _PER_CENTIMETRE:
        across, down = (size and size * 1e4 for size in (across, down))  # as ImageJ takes it
    elif unit in _OF_PRINTERS and is_printing(across, _OF_PRINTERS[unit]):
        across = down = None
    sizes: dict[str, tuple[Any, str | None]] = {
        "X": (across, unit),
        "Y": (down, unit_name(header.get("yunit")) or unit),
        "Z": (header.get("spacing"), unit_name(header.get("zunit")) or unit),
        "T": (header.get("finterval"), unit_name(header.get("tunit")) or "second"),
    }
    # Without a unit ImageJ's resolution is that of a printer.
    known = [sizes.get(axis, (None, None)) for axis in axes]
    good = [bool(size and size > 0 and name) for size, name in known]
    fields: dict[str, Any] = {
        "scale": tuple(float(s) if ok else 1.0 for (s, _), ok in zip(known, good, strict=True)),
        "units": tuple(u if ok else None for (_, u), ok in zip(known, good, strict=True)),
    }
    return fields | _imagej_display(header, axes, tif)


def resolution_fields(tif: tifffile.TiffFile, axes: str) -> dict[str, Any]:
    """Pixel size of a plain TIFF, unless it is the resolution of a printer, screen or scanner."""
    page = tif.pages.first
    unit = {_PER_INCH: "inch", _PER_CENTIMETRE: "centimeter"}.get(_resolution_unit(page) or 0)
    sizes = {a: _pixel_size(page, f"{a}Resolution") for a in "XY"}
    if unit is None or not all(sizes.values()) or is_printing(sizes["X"], _OF_PRINTERS[unit]):
        return {}
    micrometres = _OF_PRINTERS[unit] * 25400
    return {
        "scale": tuple((sizes.get(a) or 1 / micrometres) * micrometres for a in axes),
        "units": tuple("micrometer" if a in "XY" else None for a in axes),
    }


def is_printing(size: float | None, inches: float) -> bool:
    """Whether a pixel size is that of a printer, screen or scanner, not of what was imaged.

    Parameters
    ----------
    size
        Of a pixel.
    inches
        Of its unit. Where it is the inch itself, no pixel of print size is believed; other
        units only say it by the round numbers of dots per inch.
    """
    if not size or size <= 0:
        return False
    dots = 1 / (size * inches)
    if inches == 1:
        return dots <= _FINEST
    return any(abs(dots / usual - 1) < 1e-3 for usual in _DOTS)


def _imagej_display(header: Mapping[str, Any], axes: str, tif: tifffile.TiffFile) -> dict[str, Any]:
    count = tif.series[0].shape[axes.index("C")] if "C" in axes else 1
    fields: dict[str, Any] = {}
    luts = header.get("LUTs")
    if "C" in axes and isinstance(luts, list) and len(luts) >= count:
        # The colour a channel has at its brightest.
        tops = [np.asarray(lut).reshape(3, -1)[:, -1] for lut in luts[:count]]
        fields["channel_colors"] = tuple("#" + bytes(top.tolist()).hex() for top in tops)
    ranges = header.get("Ranges")
    if ranges and len(ranges) >= 2 * count:
        limits = [(float(ranges[2 * i]), float(ranges[2 * i + 1])) for i in range(count)]
        if all(low < high for low, high in limits):
            fields["contrast_limits"] = tuple(limits)
    labels = header.get("Labels")
    if "C" in axes and isinstance(labels, list) and len(labels) == count:
        fields["channel_names"] = tuple(str(label) for label in labels)
    return fields


def _pixel_size(page: Any, tag: str) -> float | None:
    found = page.tags.get(tag)
    if found is None or not isinstance(found.value, Sequence) or not all(found.value):
        return None
    pixels, units = found.value
    return float(units / pixels)


def _resolution_unit(page: Any) -> int | None:
    tag = page.tags.get("ResolutionUnit")
    return None if tag is None else int(tag.value)


def _size(pixels: Mapping[str, Any], key: str, default: str) -> tuple[float, str | None] | None:
    value = pixels.get(key)
    if value is None or float(value) <= 0:
        return None
    return float(value), unit_name(pixels.get(f"{key}Unit", default))


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _hex(color: int) -> str:
    return f"#{(color & 0xFFFFFFFF) >> 8:06x}"  # OME: red green blue alpha, signed


def _rgba(color: str) -> int:
    value = (int(color.removeprefix("#"), 16) << 8) | 0xFF
    return value - 2**32 if value >= 2**31 else value
