"""Pixels of a zarr array on demand, in planes or windows of planes."""

from __future__ import annotations

import math
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_denoise.image import frames
from napari_denoise.io.errors import FileError

AGAIN = "copy or export the store again"
BROKEN = (OSError, ValueError, KeyError, TypeError, RuntimeError, IndexError, NotImplementedError)
"""What zarr and its codecs raise of damaged arrays."""
_WINDOW = 1024
"""Least side of the parts in which large planes are read."""
_KEPT = 2
"""Slabs of planes that are kept: frames at the border of two are neighbours."""


def lazy(array: Any, letters: str) -> Any:
    """Make a dask array of planes, or of windows of planes too large to be held.

    Parameters
    ----------
    array
        Of zarr.
    letters
        Of its axes.
    """
    import dask.array as da

    like = np.broadcast_to(np.zeros((), array.dtype), array.shape)
    windows = frames.is_large(like, letters)
    chunks = tuple(
        (min(n, math.ceil(_WINDOW / c) * c) if windows and a in "YX" else n) if a in "YXS" else 1
        for a, n, c in zip(letters, array.shape, array.chunks, strict=True)
    )
    pixels = Pixels(array, letters)
    meta = np.empty((0,) * array.ndim, pixels.dtype)
    return da.from_array(pixels, chunks, name=False, lock=False, meta=meta)


class Pixels:
    """An array of a store; what cannot be decoded is said with its place.

    Chunks of several planes are decoded once for all of them: the last slabs of planes are kept,
    where two of them are no larger than a plane that may be held.
    """

    def __init__(self, array: Any, letters: str) -> None:
        self._array, self._letters = array, letters
        self.place = Path(str(array.store_path).removeprefix("file://"))
        self.shape: tuple[int, ...] = tuple(array.shape)
        self.dtype = np.dtype(array.dtype).newbyteorder("=")
        self.ndim = len(self.shape)
        self._slabs: dict[tuple[tuple[int, int], ...], NDArray[Any]] = {}
        self._lock = threading.Lock()

    def __getitem__(self, key: tuple[int | slice, ...]) -> NDArray[Any]:
        """Read a box: a position, or a slice without steps, for each axis."""
        sides = [side if isinstance(side, slice) else int(side) for side in key]
        single = tuple(n for n, side in enumerate(sides) if isinstance(side, int))
        box = [
            (side, side + 1) if isinstance(side, int) else side.indices(n)[:2]
            for side, n in zip(sides, self.shape, strict=True)
        ]
        return self._box(box).squeeze(single)

    def _box(self, box: list[tuple[int, int]]) -> NDArray[Any]:
        slab = tuple(
            (a, b) if letter in "YX" else (a // c * c, min(-(-b // c) * c, n))
            for (a, b), letter, c, n in zip(
                box, self._letters, self._array.chunks, self.shape, strict=True
            )
        )
        size = math.prod(b - a for a, b in slab) * self.dtype.itemsize
        if list(slab) == box or size * _KEPT > frames.LARGE_BYTES:
            return self._read(box)
        with self._lock:
            if slab not in self._slabs:
                while len(self._slabs) >= _KEPT:
                    del self._slabs[next(iter(self._slabs))]
                self._slabs[slab] = self._read(slab)
            found = self._slabs[slab]
        inside = (slice(a - s, b - s) for (a, b), (s, _) in zip(box, slab, strict=True))
        return found[tuple(inside)].copy()

    def _read(self, box: Any) -> NDArray[Any]:
        where = tuple(slice(a, b) for a, b in box)
        try:
            return np.asarray(self._array[where]).astype(self.dtype, copy=False)
        except BROKEN as error:
            ends = ", ".join(f"{a}:{b}" for a, b in box)
            raise FileError(
                self.place, f"pixels [{ends}] cannot be read ({error})", AGAIN
            ) from error
