"""Frames of an array: some of them, and their planes in the order of writing, whole or in parts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_denoise.image.axes import plane_chunks

_Item = TypeVar("_Item")
LARGE_BYTES = 2**28
"""Planes larger than this are never held whole: they are read and written in windows."""


def planes_last(array: Any, axes: str) -> tuple[Any, str]:
    """Transpose so that Y, X and the colour samples come last; no copy.

    Returns
    -------
    array, axes
        Such as ``(T, C, Y, X, S)``; the other axes keep their order.
    """
    order = [a for a in axes if a not in "YXS"] + [a for a in "YXS" if a in axes]
    final = "".join(order)
    if final == axes:
        return array, axes
    if not hasattr(array, "transpose"):  # zarr
        import dask.array as da

        # One chunk per plane: dask's own choice may be the whole array.
        chunks = plane_chunks(axes, array.shape)
        meta = np.empty((0,) * len(chunks), array.dtype)
        array = da.from_array(array, chunks, meta=meta)
    return array.transpose([axes.index(a) for a in order]), final


def iterate(array: Any, axes: str) -> Iterator[NDArray[Any]]:
    """Yield each plane of an array whose planes are last, computed one by one."""
    for index in np.ndindex(*array.shape[: len(axes) - 2 - ("S" in axes)]):
        yield np.ascontiguousarray(np.asarray(array[index]))


def is_large(array: Any, axes: str) -> bool:
    """Whether a plane of an array whose planes are last is too large to be held."""
    sizes = [n for a, n in zip(axes, array.shape, strict=True) if a in "YXS"]
    return bool(math.prod(sizes) * np.dtype(array.dtype).itemsize > LARGE_BYTES)


def windows(array: Any, axes: str, rows: int, columns: int) -> Iterator[NDArray[Any]]:
    """Yield each plane in windows of so many rows and columns, row by row; fewer at the end."""
    leading = len(axes) - 2 - ("S" in axes)
    height, width = array.shape[leading : leading + 2]
    for index in np.ndindex(*array.shape[:leading]):
        for y, x in product(range(0, height, rows), range(0, width, columns)):
            part = slice(y, min(y + rows, height)), slice(x, min(x + columns, width))
            yield np.ascontiguousarray(np.asarray(array[(*index, *part)]))


def evenly(items: Sequence[_Item], most: int) -> list[_Item]:
    """Pick at most so many items, evenly from the first to the last."""
    places = np.linspace(0, len(items) - 1, min(most, len(items)))
    return [items[place] for place in np.unique(places.round().astype(int))]
