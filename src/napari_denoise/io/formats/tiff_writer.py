"""OME-TIFF through tifffile, plane by plane or tile by tile."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from napari_denoise.image.frames import is_large, iterate, planes_last, windows
from napari_denoise.io.errors import FileError, WriteWarning, say
from napari_denoise.io.formats.look import LOOK, shades, tiff_options
from napari_denoise.io.formats.ome import OME_DTYPES, ome_metadata
from napari_denoise.io.meta import SIGNIFICANT_BITS, ImageMeta
from napari_denoise.io.units import ome_symbol, unit_name
from napari_denoise.settings.text import printable

TILE = 1024
"""Side of the tiles of planes that are too large to be held."""
_ALPHA = {"associated": "assocalpha", "unspecified": "unspecified"}
BIGTIFF_BYTES = 2**32 - 2**25
"""Classic TIFF ends at 4 GiB; the rest is for the header."""


def write_tiff(temporary: Path, target: Path, array: Any, meta: ImageMeta) -> set[str]:
    """Write one image uncompressed: planes that can be memory-mapped, or large ones in tiles.

    Parameters
    ----------
    temporary, target
        Where to write now, and the name for messages.

    Returns
    -------
    The fields of `meta` that the file holds.

    Raises
    ------
    FileError
        OME-TIFF has no such data type.
    """
    dtype = _dtype(target, np.dtype(array.dtype))
    ordered, axes = planes_last(array, meta.axes)
    samples = ordered.shape[-1] if "S" in axes else 1
    metadata = ome_metadata(meta, axes, dtype) | {"Name": printable(target.name)}
    nbytes = math.prod(ordered.shape) * dtype.itemsize
    look = meta.extra.get(LOOK) or {}
    tile = (TILE, TILE) if is_large(ordered, axes) else None
    parts = windows(ordered, axes, *tile) if tile else iterate(ordered, axes)
    with tifffile.TiffWriter(temporary, bigtiff=nbytes > BIGTIFF_BYTES, ome=True) as tif:
        tif.write(
            (part.astype(dtype, copy=False) for part in parts),
            tile=tile,
            shape=ordered.shape,
            dtype=dtype,
            planarconfig="contig" if samples > 1 else None,
            extrasamples=[_ALPHA.get(look.get("alpha", ""), "unassalpha")]
            if samples in (2, 4)
            else None,
            metadata=metadata,
            **_colours(meta, axes, dtype, samples),
            **tiff_options(target, meta, samples),
        )
    return _held(meta, array.shape, axes, samples)


def _colours(meta: ImageMeta, axes: str, dtype: np.dtype[Any], samples: int) -> dict[str, Any]:
    """Photometric interpretation; intensities of a colour table get theirs back."""
    if samples >= 3:
        return {"photometric": "rgb"}
    table = shades(meta, axes)
    if table is None or dtype != np.uint8 or samples > 1:
        return {"photometric": "minisblack"}
    return {"photometric": "palette", "colormap": table.T.astype(np.uint16) * 257}


def _held(meta: ImageMeta, shape: tuple[int, ...], axes: str, samples: int) -> set[str]:
    held = {LOOK}
    sizes = dict(zip(meta.axes, shape, strict=True))
    # tifffile drops axes of length 1 when it reads, and knows colour by 3 or 4 samples.
    kept = all(sizes[a] > 1 for a in axes if a not in "YX") and samples in (1, 3, 4)
    if kept and axes == meta.axes:
        held.add("axes")
    known = [
        (a in "TZYX" and s > 0 and bool(ome_symbol(u))) or (s == 1.0 and u is None)
        for a, s, u in zip(meta.axes, meta.scale, meta.units, strict=True)
    ]
    # A symbol is read back as the full name of the unit.
    if kept and all(known) and all(u is None or unit_name(u) == u for u in meta.units):
        held |= {"scale", "units"}
    if meta.extra.get(SIGNIFICANT_BITS):
        held.add(SIGNIFICANT_BITS)
    if kept and "S" not in axes:
        held |= {"channel_names", "channel_colors"}
    return held


def _dtype(target: Path, dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype.name in OME_DTYPES:
        return dtype.newbyteorder("=")
    if dtype == np.float16:
        text = f"{target}: OME-TIFF has no float16: written as float32, with the same values"
        say(text, WriteWarning, stacklevel=4)
        return np.dtype(np.float32)
    raise FileError(
        target,
        f"OME-TIFF cannot hold {dtype}",
        f"save as .npy or convert to one of {', '.join(OME_DTYPES)}",
        value=dtype,
    )
