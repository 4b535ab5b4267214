"""Files of microscopes by their vendors' libraries: read only, a plane at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from napari_denoise.io.errors import FileError
from napari_denoise.io.formats.loaded import Loaded
from napari_denoise.io.guarded import guarded, whole

_EXTRA = 'pip install "napari-denoise[vendor]"'
_UNITS = {"T": "second", "Z": "micrometer", "Y": "micrometer", "X": "micrometer"}
_POSITIONS = ("P", "M")
"""Letters of positions: each is an image by itself."""


def read_nd2(path: Path, series: int = 0) -> Loaded:
    """Read one position of an ND2, a plane at a time.

    Raises
    ------
    FileError
        The library is not installed, or the file is damaged.
    """
    library = _library("nd2", path)
    with guarded(path, whole(path, "ND2 file", "copy or export it again")):
        file = library.ND2File(path)
        pixels, sizes = file.to_dask(), dict(file.sizes)
        size = file.voxel_size()
        steps = {"Z": size.z, "Y": size.y, "X": size.x, "T": _period(file.experiment)}
        channels = [channel.channel.name for channel in (file.metadata.channels or ())]
    return _loaded(path, pixels, sizes, series, steps, channels, _names(sizes), "nd2")


def nd2_names(path: Path) -> list[str]:
    """Name the positions of an ND2; reads no pixels."""
    library = _library("nd2", path)
    with (
        guarded(path, whole(path, "ND2 file", "copy or export it again")),
        library.ND2File(path) as file,
    ):
        return _names(dict(file.sizes))


def read_lif(path: Path, series: int = 0) -> Loaded:
    """Read one image of a LIF, LOF or XLIF, a plane at a time.

    Raises
    ------
    FileError
        The library is not installed, the file is damaged, or holds no such image.
    """
    from dask import array as dask_array
    from dask import delayed

    library = _library("liffile", path)
    with guarded(path, whole(path, "LIF file", "copy or export it again")):
        images = list(library.LifFile(path).images)
        if not 0 <= series < len(images):
            rule = f"it holds {len(images)} images"
            raise FileError(path, rule, f"there is no image number {series}", value=series)
        image = images[series]
        dims, shape, dtype = tuple(image.dims), tuple(image.shape), image.dtype
        inner = tuple(letter for letter in dims if letter in "YXS")
        outer = [letter for letter in dims if letter not in "YXS"]
        if dims[len(outer) :] != inner:
            raise FileError(path, f"its axes are {dims}", "export it as OME-TIFF")
        sizes = dict(zip(dims, shape, strict=True))
        frame = tuple(sizes[letter] for letter in inner)
        planes = [
            dask_array.from_delayed(
                delayed(image.frame)(**dict(zip(outer, place, strict=True))), frame, dtype
            )
            for place in product(*(range(sizes[letter]) for letter in outer))
        ]
        pixels = dask_array.stack(planes).reshape(shape) if outer else planes[0]
        steps = {letter: _step(image.coords.get(letter)) for letter in "TZYX"}
    for letter in "ZYX":  # the library tells metres
        if (step := steps[letter]) is not None:
            steps[letter] = step * 1e6
    names = [str(entry.name) for entry in images]
    return _loaded(path, pixels, sizes, 0, steps, (), names, "lif", own=names[series])


def lif_names(path: Path) -> list[str]:
    """Name the images of a LIF; reads no pixels."""
    library = _library("liffile", path)
    with (
        guarded(path, whole(path, "LIF file", "copy or export it again")),
        library.LifFile(path) as file,
    ):
        return [str(image.name) for image in file.images]


def refuse_czi(path: Path, series: int = 0) -> Loaded:
    """Say what to do with a CZI; no library that fits reads it.

    Raises
    ------
    FileError
        Always.
    """
    raise FileError(path, "CZI is not read", "export it from ZEN as OME-TIFF or OME-Zarr")


def _library(name: str, path: Path) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        rule = f"reading it needs the package {name}"
        raise FileError(path, rule, f"install it: {_EXTRA}") from error


def _names(sizes: Mapping[str, int]) -> list[str]:
    count = sizes.get("P", 1)
    return [f"position {n}" for n in range(count)] if count > 1 else [""]


def _period(experiment: Sequence[Any] | None) -> float | None:
    """Seconds between two time points, where the file tells one period."""
    for loop in experiment or ():
        period = getattr(getattr(loop, "parameters", None), "periodMs", None)
        if period:
            return float(period) / 1000
    return None


def _step(places: Any) -> float | None:
    values = np.asarray(places, np.float64) if places is not None else np.empty(0)
    return float(values[1] - values[0]) if values.size > 1 else None


def _loaded(
    path: Path,
    pixels: Any,
    sizes: Mapping[str, int],
    series: int,
    steps: Mapping[str, float | None],
    channels: Sequence[str],
    names: Sequence[str],
    kind: str,
    own: str | None = None,
) -> Loaded:
    """Take one position out, and bring what is told of axes to our words."""
    letters = list(sizes)
    for letter in _POSITIONS:
        if letter in letters:
            where = letters.index(letter)
            if not 0 <= series < sizes[letter]:
                rule = f"it holds {sizes[letter]} positions"
                raise FileError(path, rule, f"there is no image number {series}", value=series)
            pixels = pixels[(slice(None),) * where + (series,)]
            letters.pop(where)
    axes = "".join(letters)
    if not {"Y", "X"} <= set(axes) or set(axes) - set("TZCYXS"):
        rule = f"its axes are {axes}, and only T, Z, C, Y, X and colour can be opened"
        raise FileError(path, rule, "export a part of it as OME-TIFF")
    known = {letter: step for letter, step in steps.items() if step and np.isfinite(step)}
    fields: dict[str, Any] = {
        "scale": tuple(known.get(letter, 1.0) for letter in axes),
        "units": tuple(_UNITS[letter] if letter in known else None for letter in axes),
        "extra": {"format": kind},
    }
    if "C" in axes and channels:
        fields["channel_names"] = tuple(channels)
    if len(names) > 1:
        fields["name"] = own if own is not None else names[series]
    return Loaded(pixels, axes, fields, len(names))
