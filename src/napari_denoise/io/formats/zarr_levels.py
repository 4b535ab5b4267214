"""The group and the arrays of a store that is being written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


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
        folder / str(number),
        shape=shape,
        dtype=dtype,
        chunks=chunks,
        fill_value=0,
        overwrite=True,  # a level that was cut off is made anew
        **how,
    )


def open_level(folder: Path, number: int) -> Any:
    """Open the array of a level to be written."""
    import zarr

    return zarr.open_array(folder / str(number), mode="r+")
