"""How samples of a file become gray or RGB: at once in memory, on demand where they are large."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_denoise.image.frames import is_large
from napari_denoise.io.errors import ReadWarning, say
from napari_denoise.io.formats.colour import is_opaque

_WINDOW = 1024
"""Side of the parts in which planes are converted that are too large to be held."""
Convert = Callable[[NDArray[Any]], NDArray[Any]]
"""Planes (..., Y, X) or (..., Y, X, S) -> the same planes as gray or colour."""


@dataclass(frozen=True)
class Colour:
    """How the samples of an image become gray or RGB.

    Parameters
    ----------
    dtype, samples
        Of the result; no samples where it is gray or channels.
    convert
        None where the samples are what they should be.
    has_samples
        Whether the file's samples are colour, or become colour.
    by_libtiff
        Whether only libtiff can decode them, as 8 bit RGB.
    may_be_gray
        Whether RGBA in memory becomes gray where nothing is transparent.
    fields, look
        What the image says by it for `ImageMeta` and for writing it alike.
    said
        What was converted, for people.
    """

    dtype: np.dtype[Any]
    samples: int = 0
    convert: Convert | None = None
    has_samples: bool = False
    by_libtiff: bool = False
    may_be_gray: bool = False
    fields: Mapping[str, Any] = field(default_factory=dict)
    look: Mapping[str, Any] = field(default_factory=dict)
    said: str = ""

    def applied(self, path: Path, array: Any, axes: str) -> tuple[Any, str]:
        """Convert an array with its samples last: in memory at once, larger ones on demand."""
        if self.said:
            say(f"{path}: {self.said}", ReadWarning, stacklevel=4)
        if self.convert is None:
            return self._seen(path, array), axes
        plain = axes.replace("S", "")
        array = _converted(array, axes, self)
        if self.may_be_gray and type(array) is np.ndarray and is_opaque(array[..., -1]):
            return np.ascontiguousarray(array[..., 0]), plain
        return self._seen(path, array), plain + "S" * (self.samples > 0)

    def _seen(self, path: Path, array: Any) -> Any:
        """Leave out a fourth sample that nobody calls alpha and that would hide everything."""
        unspecified = self.look.get("alpha") == "unspecified" and type(array) is np.ndarray
        if not unspecified or array[..., 3].any():
            return array
        text = f"{path}: its fourth sample is 0 throughout and not said to be alpha: left out"
        say(text, ReadWarning, stacklevel=5)
        return array[..., :3]


def _converted(array: Any, axes: str, how: Colour) -> Any:
    assert how.convert is not None  # noqa: S101 - who calls has looked
    tail = (how.samples,) if how.samples else ()
    leading = len(axes) - 2 - ("S" in axes)
    if type(array) is np.ndarray:
        shape = array.shape[: leading + 2] + tail if "S" in axes or tail else array.shape
        result = np.empty(shape, how.dtype)
        for index in np.ndindex(*array.shape[:leading]):
            result[index] = how.convert(array[index])
        return result
    return _on_demand(array, axes, how.convert, how.dtype, tail)


def _on_demand(
    array: Any, axes: str, convert: Convert, dtype: np.dtype[Any], tail: tuple[int, ...]
) -> Any:
    import dask.array as da

    if not isinstance(array, da.Array):
        side = _WINDOW if is_large(array, axes) else max(array.shape)
        chunks = tuple(
            min(n, side) if a in "YX" else n if a == "S" else 1
            for a, n in zip(axes, array.shape, strict=True)
        )
        array = da.from_array(
            array, chunks, name=False, meta=np.empty((0,) * array.ndim, array.dtype)
        )
    lost = [array.ndim - 1] if "S" in axes and not tail else None
    new = [array.ndim] if tail and "S" not in axes else None
    chunks = (*array.chunks[:-1], tail) if "S" in axes and tail else (*array.chunks, tail)
    kept = {"chunks": chunks} if tail else {}
    meta = np.empty((0,) * (array.ndim - bool(lost) + bool(new)), dtype)
    return array.map_blocks(convert, dtype=dtype, drop_axis=lost, new_axis=new, meta=meta, **kept)
