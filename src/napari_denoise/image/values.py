"""Pixel values: dtypes in and out, and bad pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

Float32Array = NDArray[np.float32]


def to_float32(x: ArrayLike) -> Float32Array:
    """Return `x` as float32; a float32 array is returned itself, not a copy."""
    return np.asarray(x).astype(np.float32, copy=False)


def restore_dtype(x: ArrayLike, dtype: DTypeLike) -> NDArray[Any]:
    """Bring a float result back to the dtype of the data.

    Integers are rounded to nearest and clipped to the dtype's range; floats are cast,
    and clipped only where a narrower float would overflow to infinity.
    """
    array, wanted = np.asarray(x), np.dtype(dtype)
    if array.dtype == wanted:
        return array
    if wanted.kind in "iu":
        # float32 cannot hold the ends of 32-bit integers, nor float64 those of 64-bit ones.
        wide = array.astype(np.float64 if wanted.itemsize > 2 else np.float32, copy=False)
        info = np.iinfo(wanted)
        top = float(info.max)
        top = float(np.nextafter(top, 0)) if int(top) > info.max else top
        whole: NDArray[Any] = np.clip(np.rint(wide), float(info.min), top).astype(wanted)
        return whole
    if wanted.itemsize < array.dtype.itemsize:
        limit = np.finfo(wanted).max
        array = np.where(np.isfinite(array), np.clip(array, -limit, limit), array)
    return array.astype(wanted)


def replace_nonfinite(x: NDArray[Any], stand_in: float | None = None) -> tuple[NDArray[Any], int]:
    """Replace NaN and infinities, so that one bad pixel cannot spread.

    Parameters
    ----------
    x
        (Y, X) or (Y, X, S) frame; never written to.
    stand_in
        For bad pixels without a finite one near; the median of the frame if None.

    Returns
    -------
    tuple
        The frame, with each bad pixel replaced by the median of the finite ones in the
        5 x 5 around it (by `stand_in` where there are none, 0 in a frame without any), and
        the number of bad pixels. Without any, the very same array and 0.
    """
    if x.dtype.kind != "f":
        return x, 0
    finite = np.isfinite(x)
    bad = np.argwhere(~finite)
    if not len(bad):
        return x, 0
    filled = np.where(finite, x, np.nan)
    if stand_in is None:
        stand_in = np.median(x[finite]) if finite.any() else x.dtype.type(0)
    out = x.copy()
    for part in np.array_split(bad, len(bad) // 50_000 + 1):
        out[tuple(part.T)] = _local_medians(filled, part, stand_in)
    return out, len(bad)


def _local_medians(filled: NDArray[Any], places: NDArray[np.intp], stand_in: float) -> NDArray[Any]:
    """Median of the finite values in the 5 x 5 around each place."""
    dy, dx = (step.ravel() for step in np.mgrid[-2:3, -2:3])
    rows = np.clip(places[:, :1] + dy, 0, filled.shape[0] - 1)
    columns = np.clip(places[:, 1:2] + dx, 0, filled.shape[1] - 1)
    values = filled[(rows, columns, *(places[:, i : i + 1] for i in range(2, filled.ndim)))]
    values[np.isnan(values).all(axis=1)] = stand_in
    return np.asarray(np.nanmedian(values, axis=1))
