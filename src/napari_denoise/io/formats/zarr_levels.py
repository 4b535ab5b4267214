"""The arrays of a store: made, opened, and shrunk to the next level of its pyramid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def create_root(folder: Path, version: str, attributes: Mapping[str, Any]) -> None:
    """Make the group at the root of a store, or say anew what it is."""
    import zarr

    form = 2 if version == "0.4" else 3
    group = zarr.open_group(folder, mode="a", zarr_format=form)
    if attributes:
        group.attrs.put(dict(attributes))


def create_level(
    folder: Path,
    number: int,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    chunks: tuple[int, ...],
    shards: tuple[int, ...],
    letters: str,
    version: str,
) -> Any:
    """Make the empty array of one level.

    Parameters
    ----------
    number
        0 for the full resolution.
    chunks, shards
        Sides of what is read at once, and of a file.
    letters
        Names of the axes.
    """
    import zarr
    from numcodecs import Blosc
    from zarr.codecs import BloscCodec

    how: dict[str, Any]
    if version == "0.4":
        packed = Blosc("zstd", clevel=3, shuffle=Blosc.SHUFFLE)
        how = {"zarr_format": 2, "compressors": packed}
        how["chunk_key_encoding"] = {"name": "v2", "separator": "/"}
    else:
        shuffle = "shuffle" if dtype.itemsize > 1 else "bitshuffle"
        packed = BloscCodec(cname="zstd", clevel=3, shuffle=shuffle, typesize=dtype.itemsize)
        how = {"zarr_format": 3, "compressors": packed, "dimension_names": list(letters.lower())}
        how["shards"] = shards if shards != chunks else None
    return zarr.create_array(
        folder / str(number), shape=shape, dtype=dtype, chunks=chunks, fill_value=0, **how
    )


def open_level(folder: Path, number: int) -> Any:
    """Open the array of a level to be written."""
    import zarr

    return zarr.open_array(folder / str(number), mode="r+")


def shrink(fine: Any, coarse: Any, files: Sequence[int], rows: int) -> Iterator[None]:
    """Fill a level with the means of 2 x 2 pixels of the level before; yields after each file.

    Parameters
    ----------
    fine, coarse
        Arrays whose last axes are Y and X. Where a side of `fine` is odd, the last means are of
        fewer pixels.
    files
        Sides of a file of `coarse`.
    rows
        So many of `coarse` are computed at once.
    """
    steps = [range(0, n, side) for n, side in zip(coarse.shape, files, strict=True)]
    for start in product(*steps):
        stop = [min(a + f, n) for a, f, n in zip(start, files, coarse.shape, strict=True)]
        box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
        means = np.empty([side.stop - side.start for side in box], coarse.dtype)
        left, right = box[-1].start, box[-1].stop
        for index in np.ndindex(*means.shape[:-2]):
            place = tuple(side.start + n for side, n in zip(box, index, strict=False))
            for top in range(0, means.shape[-2], rows):
                first = box[-2].start + top
                last = min(first + rows, box[-2].stop)
                part = fine[(*place, slice(2 * first, 2 * last), slice(2 * left, 2 * right))]
                means[(*index, slice(top, top + rows))] = halved(np.asarray(part), means.dtype)
        coarse[box] = means
        yield


def halved(plane: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Means of 2 x 2 pixels, at odd ends of fewer; whole numbers are rounded.

    >>> halved(np.array([[0, 2, 5], [4, 6, 7]]), np.dtype("uint8"))
    array([[3, 6]], dtype=uint8)
    """
    odd = [(0, n % 2) for n in plane.shape]
    if any(end for _, end in odd):
        plane = np.pad(plane, odd, mode="edge")
    exact = np.float32 if plane.dtype.itemsize <= 2 or plane.dtype == np.float32 else np.float64
    with np.errstate(invalid="ignore", over="ignore"):  # infinite values
        sums = np.add(plane[::2, ::2], plane[1::2, ::2], dtype=exact)
        sums += plane[::2, 1::2]
        sums += plane[1::2, 1::2]
        sums *= exact(0.25)
        return np.asarray((np.rint(sums) if dtype.kind in "iu" else sums).astype(dtype))
