"""What OME-Zarr 0.4 and 0.5 say of an image: axes, scales, names and colours of channels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from napari_denoise.image.axes import letter_of
from napari_denoise.io.errors import FileError
from napari_denoise.io.meta import ImageMeta
from napari_denoise.io.units import unit_name

VERSIONS = ("0.5", "0.4")
"""What is written; the first one to stores of their own."""
VERSION = "ome_zarr_version"
"""Key of `ImageMeta.extra`: the version that a store was read from, or is to be written in."""
OURS = "napari_denoise"
"""Key of a group's attributes: what a sidecar would say."""
TRANSLATE = "translate"
"""Key of `ImageMeta.extra`: where the first pixel lies, for each axis but C and S, Y and X last."""

_TYPES = {"T": "time", "C": "channel", "Z": "space", "Y": "space", "X": "space"}
_WHITE = "FFFFFF"
"""What a single channel gets that has no colour."""
_SAMPLES = ("Red", "Green", "Blue", "Alpha")
_SAMPLE_COLORS = ("FF0000", "00FF00", "0000FF", "FFFFFF")
_COLORS = ("00FF00", "FF00FF", "00FFFF", "FFFF00", "FF0000", "0000FF")
_HEX = set("0123456789abcdefABCDEF")


# --- written --------------------------------------------------------------------------


def in_version(meta: ImageMeta, version: str | None) -> ImageMeta:
    """Ask for a version of OME-Zarr; None leaves the choice to what the image came from."""
    return meta if version is None else replace(meta, extra={**meta.extra, VERSION: version})


def stored_axes(axes: str) -> str:
    """Letters in the order that the format wants; colour samples are its channels."""
    return "".join(a for a in "TCZYX" if a in axes.replace("S", "C"))


def check_axes(path: Any, axes: str) -> None:
    """Refuse axes that the format has no place for.

    Raises
    ------
    FileError
        Channels of colour samples.
    """
    if "C" in axes and "S" in axes:
        raise FileError(
            path,
            "OME-Zarr has one axis for channels, and the image has channels of colour samples",
            "save as .ome.tif",
            value=axes,
        )


def image_metadata(
    meta: ImageMeta,
    shapes: Sequence[tuple[int, ...]],
    version: str,
    limits: Sequence[tuple[float, float]],
    dtype: np.dtype[Any],
) -> dict[str, Any]:
    """Say in the words of the format what an image is.

    Parameters
    ----------
    meta
        Of the image, its axes in any order.
    shapes
        Of the levels, finest first, along `stored_axes`.
    version
        One of `VERSIONS`.
    limits
        What to show of each channel where `meta` does not say.
    dtype
        Of the pixels.

    Returns
    -------
    The attributes of the group: under "ome" from 0.5 on.
    """
    letters = stored_axes(meta.axes)
    units = dict(zip(meta.axes, meta.units, strict=True))
    axes = []
    for letter in letters:
        entry = {"name": letter.lower(), "type": _TYPES[letter]}
        if unit := unit_name(units.get(letter)):
            entry["unit"] = unit
        axes.append(entry)
    datasets = [
        {"path": str(k), "coordinateTransformations": _transformations(meta, letters, shapes, k)}
        for k in range(len(shapes))
    ]
    image: dict[str, Any] = {"name": meta.name or "image", "axes": axes, "datasets": datasets}
    if len(shapes) > 1:
        image |= {"type": "mean", "metadata": {"description": "means of 2 x 2 pixels in Y and X"}}
    values: dict[str, Any] = {"multiscales": [image]}
    count = shapes[0][letters.index("C")] if "C" in letters else 1
    if channels := _channels(meta, count, limits, dtype):
        values["omero"] = {"channels": channels}
    if version == "0.4":
        image["version"] = "0.4"
        return values
    return {"ome": {"version": version, **values}}


def held_fields(meta: ImageMeta, shape: Sequence[int]) -> set[str]:
    """Fields of `meta` that the format itself holds."""
    held = {TRANSLATE} if _translation(meta) else set()
    if stored_axes(meta.axes) == meta.axes:
        held.add("axes")
    good = [s > 0 and math.isfinite(s) for a, s in zip(meta.axes, meta.scale, strict=True)]
    if all(good) and all(u is None or unit_name(u) == u for u in meta.units):
        held |= {"scale", "units"}
    count = dict(zip(meta.axes, shape, strict=True)).get("C", 1)
    if "S" not in meta.axes:
        for name in ("channel_names", "channel_colors", "contrast_limits"):
            if len(getattr(meta, name)) == count:
                held.add(name)
    return held


def _transformations(
    meta: ImageMeta, letters: str, shapes: Sequence[tuple[int, ...]], level: int
) -> list[dict[str, Any]]:
    scale = dict(zip(meta.axes, meta.scale, strict=True))
    start = _translation(meta)
    steps, starts = [], []
    for axis, letter in enumerate(letters):
        unit = scale.get(letter, 1.0)
        unit = float(unit) if unit > 0 and math.isfinite(unit) else 1.0
        factor = math.prod(2 for k in range(level) if letter in "YX" and shapes[k][axis] > 1)
        steps.append(unit * factor)
        # The first mean lies in the middle of the pixels that it is of.
        starts.append(start.get(letter, 0.0) + unit * (factor - 1) / 2)
    made: list[dict[str, Any]] = [{"type": "scale", "scale": steps}]
    if any(starts):
        made.append({"type": "translation", "translation": starts})
    return made


def _translation(meta: ImageMeta) -> dict[str, float]:
    """Where the first pixel lies, by letter; empty where that is not known, or nowhere else."""
    letters = [a for a in meta.axes if a not in "YXCS"] + [a for a in "YX" if a in meta.axes]
    given = meta.extra.get(TRANSLATE, ())
    if not isinstance(given, (list, tuple)) or len(given) != len(letters):
        return {}
    known = {a: float(v) for a, v in zip(letters, given, strict=True)}
    return known if any(known.values()) and all(map(math.isfinite, known.values())) else {}


def _channels(
    meta: ImageMeta, count: int, limits: Sequence[tuple[float, float]], dtype: np.dtype[Any]
) -> list[dict[str, Any]]:
    samples = "S" in meta.axes and count in (3, 4)
    if not (samples or meta.channel_names or meta.channel_colors or meta.contrast_limits):
        return []
    channels = []
    for number in range(count):
        low, high = _entry(meta.contrast_limits, number, limits[number])
        least, most = (
            (np.iinfo(dtype).min, np.iinfo(dtype).max) if dtype.kind in "iu" else (low, high)
        )
        color = _WHITE if count == 1 else _COLORS[number % len(_COLORS)]
        color = _entry(_SAMPLE_COLORS if samples else meta.channel_colors, number, color)
        window = {"min": float(least), "max": float(most), "start": low, "end": high}
        channel: dict[str, Any] = {"window": window, "color": color.lstrip("#").upper()}
        if label := _entry(_SAMPLES if samples else meta.channel_names, number, ""):
            channel["label"] = label
        channels.append({**channel, "active": True})
    return channels


def _entry(given: Sequence[Any], number: int, otherwise: Any) -> Any:
    return given[number] if number < len(given) else otherwise


# --- read -----------------------------------------------------------------------------


def read_axes(path: Any, entries: Sequence[Any], ndim: int) -> tuple[str, str]:
    """Find our letters for the axes of an image, and what its file calls them.

    Parameters
    ----------
    entries
        A mapping with a name and a type each, or only names, as versions before 0.4 have it.
    ndim
        Of the pixels.

    Raises
    ------
    FileError
        They do not fit the pixels, or are of kinds that no image here has.
    """
    named = [entry if isinstance(entry, Mapping) else {"name": entry} for entry in entries]
    names = [str(entry.get("name", "")) for entry in named]
    if len(named) != ndim:
        raise FileError(
            path,
            f"it names {len(named)} axes ({', '.join(names)}) but its pixels have {ndim}",
            "export it again",
        )
    letters = [_letter(entry) for entry in named]
    for letter in "XYZ":  # the last ones in space form the plane, whatever they are called
        if letter not in letters:
            left = [n for n, e in enumerate(named) if e.get("type") == "space" and not letters[n]]
            if left:
                letters[left[-1]] = letter
    for place, letter in enumerate(letters):
        if not letter:
            free = [a for a in "CTZ" if a not in letters]
            letters[place] = free[0] if free else "?"
    found = "".join(letters)
    if len(set(found)) != len(found) or "?" in found or not {"Y", "X"} <= set(found):
        raise FileError(
            path,
            f"its axes are {', '.join(names)}",
            "an image needs one Y and one X, and at most one T, Z and C",
        )
    return found, ",".join(names)


def _letter(entry: Mapping[str, Any]) -> str:
    kind = entry.get("type")
    if kind in ("time", "channel"):
        return "T" if kind == "time" else "C"
    letter = letter_of(entry.get("name", "")) or ""
    return letter if kind is None or (kind == "space" and letter in "ZYX") else ""


def read_units(entries: Sequence[Any], letters: str) -> tuple[tuple[str | None, ...], list[str]]:
    """Names of the units of all axes, and the spellings of those that are not known."""
    given = [entry.get("unit") if isinstance(entry, Mapping) else None for entry in entries]
    units = tuple(
        unit_name(str(unit)) if unit and letter != "C" else None
        for unit, letter in zip(given, letters, strict=True)
    )
    unknown = [
        str(text)
        for text, unit, letter in zip(given, units, letters, strict=True)
        if text and unit is None and letter != "C"
    ]
    return units, unknown


def read_transformations(
    lists: Sequence[Sequence[Any]], ndim: int
) -> tuple[list[float], list[float], list[str]]:
    """Join scales and translations, those of the level first.

    Returns
    -------
    scale, translation, others
        Per axis; others are the kinds that were not understood.
    """
    scale, start, others = [1.0] * ndim, [0.0] * ndim, list[str]()
    for entry in (entry for entries in lists for entry in entries):
        kind = entry.get("type")
        values: Any = entry.get(kind) if kind in ("scale", "translation") else None
        if kind == "identity":
            continue
        if not _are_numbers(values, ndim):
            others.append(str(kind))
        elif kind == "scale":
            scale = [s * v for s, v in zip(scale, values, strict=True)]
            start = [s * v for s, v in zip(start, values, strict=True)]
        else:
            start = [s + v for s, v in zip(start, values, strict=True)]
    return scale, start, others


def _are_numbers(values: Any, count: int) -> bool:
    return (
        isinstance(values, list)
        and len(values) == count
        and all(isinstance(v, (int, float)) and math.isfinite(v) for v in values)
    )


def read_channels(omero: Any, count: int) -> dict[str, Any]:
    """Fields of `ImageMeta` that stand in "omero"; none where it is of other channels."""
    channels = omero.get("channels") if isinstance(omero, Mapping) else None
    if not isinstance(channels, list) or len(channels) != count:
        return {}
    channels = [entry if isinstance(entry, Mapping) else {} for entry in channels]
    names = [entry.get("label") for entry in channels]
    colors = [str(entry.get("color") or "").lstrip("#")[:6] for entry in channels]
    limits = [_limits(entry.get("window")) for entry in channels]
    fields: dict[str, Any] = {}
    if any(names):
        fields["channel_names"] = tuple(str(n or f"channel {i}") for i, n in enumerate(names))
    plain = count == 1 and colors[0].upper() == _WHITE
    if not plain and all(len(color) == 6 and set(color) <= _HEX for color in colors):
        fields["channel_colors"] = tuple(f"#{color.lower()}" for color in colors)
    if None not in limits:
        fields["contrast_limits"] = tuple(limits)
    return fields


def _limits(window: Any) -> tuple[float, float] | None:
    if not isinstance(window, Mapping):
        return None
    ends: list[Any] = [window.get("start"), window.get("end")]
    if not _are_numbers(ends, 2) or not ends[0] < ends[1]:
        return None
    return float(ends[0]), float(ends[1])
