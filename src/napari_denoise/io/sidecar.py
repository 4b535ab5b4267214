"""What a format cannot hold, in ``<file>.json`` beside the file."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from napari_denoise.io.errors import FileError, FileExists, ReadWarning, say
from napari_denoise.io.meta import ImageMeta
from napari_denoise.io.meta_checks import STATED, mention, sound
from napari_denoise.io.names import fitting
from napari_denoise.settings.text import shortened, shown

_MARK = "napari_denoise_sidecar"
_VERSION = 1
_LARGEST = 2**24
"""Bytes of a sidecar; what is longer is something else."""
KEPT = STATED
"""Fields of `ImageMeta` that a sidecar holds where the format does not."""
OF_THE_READER = frozenset(
    {"format", "numbers", "gaps", "exr", "file_axes", "series", "ome_zarr_version"}
)
"""Keys of `extra` that the next reading finds out by itself."""


def sidecar_path(path: Path) -> Path:
    """Where the sidecar of a file or of a ``####`` pattern stands."""
    return path.with_name(f"{fitting(path.name, len('.json'))}.json")


def sidecar_values(
    meta: ImageMeta, shape: tuple[int, ...], held: Collection[str]
) -> dict[str, Any]:
    """Everything of `meta` that the format does not hold, as JSON values.

    Parameters
    ----------
    shape
        Of the array.
    held
        Fields that the format holds; "axes" if it holds letters and lengths.

    Returns
    -------
    Empty where nothing is left.
    """
    defaults = {f.name: f.default for f in fields(ImageMeta)}
    values = {
        name: getattr(meta, name)
        for name in KEPT
        if name not in held and getattr(meta, name) != defaults[name]
    }
    if not any(meta.units):
        values.pop("units", None)
    if set(meta.scale) <= {1.0}:
        values.pop("scale", None)
    known = OF_THE_READER | set(held)
    extra = {k: v for k, v in meta.extra.items() if k not in known and _is_json(v)}
    if extra:
        values["extra"] = extra
    if "axes" not in held:
        values |= {"axes": meta.axes, "shape": [int(n) for n in shape]}
    return values


def encode(values: Mapping[str, Any], path: Path) -> bytes:
    """Text of a sidecar for the file or pattern at `path`."""
    text = json.dumps(content(values, path), indent=2, ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace")


def content(values: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """JSON values of a sidecar for the file or pattern at `path`."""
    return {_MARK: _VERSION, "file": path.name, **values}


def check_sidecar(path: Path, *, overwrite: bool) -> None:
    """Refuse to replace a JSON file of somebody else, and our own without `overwrite`.

    Raises
    ------
    FileExists
        It stands where the sidecar of `path` would.
    """
    place = sidecar_path(path)
    if not place.exists():
        return
    if not belongs_to(path):
        raise FileExists(
            place, "a file of another program has the sidecar's name", "choose another name"
        )
    if not overwrite:
        raise FileExists.of(place)


def load(path: Path) -> dict[str, Any]:
    """Read the sidecar of a file; empty if there is none or it is somebody else's.

    One that is ours and damaged is ignored, and that is said.

    Raises
    ------
    FileError
        It is ours, but newer than this version.
    """
    place = sidecar_path(path)
    values, problem = _parsed(place)
    if problem:
        say(f"{place}: {problem}: the sidecar is ignored; delete it", ReadWarning, stacklevel=3)
    return known(values, place)


def known(values: Any, place: Path) -> dict[str, Any]:
    """Check the JSON values of a sidecar; empty if they are somebody else's.

    Raises
    ------
    FileError
        They are ours, but newer than this version.
    """
    if not is_ours(values):
        return {}
    if values[_MARK] != _VERSION:
        raise FileError(
            place,
            f"it is a sidecar of version {shown(values[_MARK])}, expected {_VERSION}",
            "update napari-denoise, or delete it to open the image without it",
            value=values[_MARK],
        )
    return dict(values)


def is_ours(values: Any) -> bool:
    """Whether parsed JSON is a sidecar of this package."""
    return isinstance(values, dict) and _MARK in values


def belongs_to(path: Path) -> bool:
    """Whether the file in the place of a sidecar is one of this package, damaged or not."""
    values, problem = _parsed(sidecar_path(path))
    return bool(problem) or is_ours(values)


def _parsed(place: Path) -> tuple[Any, str]:
    """Return the JSON in the place of a sidecar, and what is wrong with one of ours."""
    try:
        if not place.is_file():
            return None, ""
        with place.open("rb") as file:
            text = file.read(_LARGEST + 1)
    except OSError:
        return None, ""
    ours = f'"{_MARK}"'.encode() in text
    if len(text) > _LARGEST:
        return None, f"it has more than {_LARGEST:,} bytes" if ours else ""
    try:
        return json.loads(text), ""
    except (ValueError, RecursionError) as error:
        return None, f"it is damaged ({shortened(str(error))})" if ours else ""


def restore(
    array: Any, meta: ImageMeta, values: Mapping[str, Any], path: Path | None = None
) -> tuple[Any, ImageMeta]:
    """Add what the sidecar holds; one that does not fit the array is ignored, loudly.

    Parameters
    ----------
    array, meta
        As the reader of the format gave them.
    values
        From `load`.
    path
        The file or pattern that the sidecar belongs to, for messages.
    """
    if not values:
        return array, meta
    axes, shape = values.get("axes", meta.axes), values.get("shape", list(array.shape))
    arranged = None
    if _is_layout(axes, shape):
        letters = _known_letters(meta, axes)
        arranged = _arrange(array, letters, axes, tuple(shape))
    if arranged is None:
        text = (
            f"{meta.source[0]}: its sidecar describes {shown(shape)} along {shown(axes)}, the file "
            f"holds {tuple(array.shape)} along {meta.axes!r}: the sidecar is ignored; delete it"
        )
        say(text, ReadWarning, stacklevel=3)
        return array, meta
    by_letter = {
        name: _per_axis(getattr(meta, name), letters, axes, blank)
        for name, blank in (("scale", 1.0), ("units", None))
    }
    kept, problems = sound(values, axes, shape)
    extra = values.get("extra", {})
    if not isinstance(extra, dict):
        problems.append(f"extra = {shown(extra)}: expected names and values")
        extra = {}
    mention(sidecar_path(path or meta.source[0]), problems)
    more = {name: value for name, value in extra.items() if name not in OF_THE_READER}
    extra = {**meta.extra, **more}
    sizes = [tuple(_sizes(level, letters).get(a, 1) for a in axes) for level in meta.levels]
    levels = tuple(
        _arrange(level, letters, axes, size) for level, size in zip(meta.levels, sizes, strict=True)
    )
    fields = {**by_letter, **kept, "extra": extra, "levels": levels}
    return arranged, replace(meta, axes=axes, **fields)


def _is_layout(axes: Any, shape: Any) -> bool:
    """Whether a sidecar states letters and lengths."""
    return (
        isinstance(axes, str)
        and isinstance(shape, list)
        and set(axes) <= set("TZCYXS")
        and len(set(axes)) == len(axes) == len(shape)
        and all(type(n) is int for n in shape)
    )


def _known_letters(meta: ImageMeta, axes: str) -> str:
    """Letters of the file, where it only guesses them those that the sidecar states."""
    kind = meta.extra.get("format")
    if kind == "npy" and len(axes) == len(meta.axes):
        return axes
    if kind in ("ome-tiff", "ome-zarr", "npy") or meta.axes[0] != "T":
        return meta.axes
    leading = [a for a in axes if a not in "YXS"]  # numbered frames may be planes
    return "".join(leading[:1]) + meta.axes[1:] if leading else meta.axes


def _sizes(array: Any, letters: str) -> dict[str, int]:
    return dict(zip(letters, array.shape, strict=True))


def _arrange(array: Any, old: str, new: str, shape: tuple[int, ...]) -> Any | None:
    """Transpose to the order of `new`, put axes of length 1 back; None if it does not fit."""
    lengths = _sizes(array, old)
    if tuple(lengths.get(a, 1) for a in new) != shape or len(new) != len(shape):
        return None
    if any(n != 1 for a, n in lengths.items() if a not in new):
        return None
    if new == old:
        return array
    kept = [a for a in new if a in old]
    dropped = tuple(i for i, a in enumerate(old) if a not in new)
    array = array.squeeze(axis=dropped) if dropped else array
    remaining = [a for a in old if a in new]
    return array.transpose([remaining.index(a) for a in kept]).reshape(shape)


def _per_axis(values: tuple[Any, ...], old: str, new: str, blank: Any) -> tuple[Any, ...]:
    if not values:
        return ()
    known = dict(zip(old, values, strict=True))
    return tuple(known.get(letter, blank) for letter in new)


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return True
