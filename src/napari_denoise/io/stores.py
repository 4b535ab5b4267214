"""OME-Zarr stores that are written in regions, by one process or by many.

`prepare_store` makes an empty store under a hidden name. Its `regions` share no file with each
other, so any process may write any of them at any time. `finish` adds the smaller levels and what
is known of the image, and gives the store its name: until then no reader takes it for one.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_denoise.image.axes import Layout
from napari_denoise.image.frames import evenly, is_large
from napari_denoise.image.long_work import finished
from napari_denoise.image.pyramid import halve, level_shapes
from napari_denoise.io import sidecar
from napari_denoise.io.atomic import check_absent, flush, not_written, remove
from napari_denoise.io.errors import FileError
from napari_denoise.io.folders import begin_folder, put_folder
from napari_denoise.io.formats.loaded import check_dtype
from napari_denoise.io.formats.ome_zarr import (
    OURS,
    VERSION,
    VERSIONS,
    check_axes,
    held_fields,
    image_metadata,
    stored_axes,
)
from napari_denoise.io.formats.zarr_levels import create_level, create_root, open_level
from napari_denoise.io.meta import ImageMeta
from napari_denoise.io.zarr_folders import is_store

CHUNK = 1024
"""Side of the largest chunk, in pixels: what is read at once."""
SHARD = 4096
"""Side of the largest shard, in pixels: what is written at once, and is one file."""
RECORD = ".regions.jsonl"
"""In a store that is being written: which regions are whole, where that is kept."""
Region = tuple[slice, ...]
_LOOKED_AT = 16
"""Frames of the smallest level that contrast limits are taken from."""


@dataclass(frozen=True)
class PreparedStore:
    """An OME-Zarr store that is being written; made by `prepare_store`, and may be pickled.

    Parameters
    ----------
    target
        The name it will have.
    folder
        Where it is now.
    shape, dtype
        Of the image, along `meta.axes`.
    meta
        What is known of the image.
    version
        Of OME-Zarr.
    overwrite
        Whether the target may be replaced.
    """

    target: Path
    folder: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    meta: ImageMeta
    version: str
    overwrite: bool = False

    @property
    def regions(self) -> Iterator[Region]:
        """Indices that cover the image and share no file: some planes, or a window of a large one.

        For each of them in any order, in any process: ``store.write(region, array[region])``.
        An index has a slice for each axis of `meta.axes`.
        """
        sides = dict(zip(stored_axes(self.meta.axes), self._shards, strict=True))
        sizes = Layout(self.meta.axes, self.shape)
        if not is_large(self._like, self.meta.axes):
            sides |= {a: sizes.size(a) for a in "YX"}
        sides["S"] = 4
        steps = (
            [slice(at, min(at + sides[a], n)) for at in range(0, n, sides[a])]
            for a, n in zip(self.meta.axes, self.shape, strict=True)
        )
        yield from product(*steps)

    def write(self, region: Region, block: NDArray[Any]) -> None:
        """Write the pixels of a region, or of several that lie together.

        Parameters
        ----------
        region
            One of `regions`, or a box of them.
        block
            Of the region's shape, axes as in `meta.axes`.

        Raises
        ------
        ValueError
            The region ends inside a file, which another process may be writing.
        NotWritten
            The disk is full.
        """
        letters, where = stored_axes(self.meta.axes), self._where(region)
        for side, shard, n, letter in zip(where, self._shards, self._shape, letters, strict=True):
            if side.start % shard or (side.stop % shard and side.stop != n):
                raise ValueError(
                    f"region {side.start} to {side.stop} of axis {letter} ends inside a file of "
                    f"{shard}: write whole regions of PreparedStore.regions"
                )
        order = [self.meta.axes.replace("S", "C").index(a) for a in letters]
        with not_written(self.target):
            self._finest[where] = np.asarray(block, self.dtype).transpose(order)

    def files(self, region: Region) -> list[Path]:
        """Find the files that hold a region, as far as they are there: zeros alone have none."""
        sides = [
            range(side.start // shard, -(-side.stop // shard))
            for side, shard in zip(self._where(region), self._shards, strict=True)
        ]
        level = self.folder / "0" if self.version == "0.4" else self.folder / "0" / "c"
        found = (level.joinpath(*map(str, place)) for place in product(*sides))
        return [file for file in found if file.is_file()]

    def flush(self, region: Region) -> None:
        """Have a region that was written on the disk itself.

        Raises
        ------
        NotWritten
            The disk is full or gone.
        """
        with not_written(self.target):
            for file in self.files(region):
                flush(file)

    @property
    def form(self) -> dict[str, Any]:
        """What its files depend on, as JSON values."""
        letters = stored_axes(self.meta.axes)
        sides = _sides(self._shape, letters, self.version)
        return {
            "shape": self.shape,
            "axes": self.meta.axes,
            "dtype": str(self.dtype),
            "ome_zarr": self.version,
            "sides": sides,
        }

    def make(self) -> None:
        """Make it, without a pixel in it.

        Raises
        ------
        NotWritten
            The disk cannot be written.
        """
        letters = stored_axes(self.meta.axes)
        sides = _sides(self._shape, letters, self.version)
        with not_written(self.target):
            create_root(self.folder, self.version, {})
            create_level(self.folder, 0, self._shape, self.dtype, *sides, letters, self.version)

    def finishing(self, meta: ImageMeta | None = None) -> Generator[None, None, list[Path]]:
        """Add the smaller levels, say what the image is, and give the store its name.

        Yields after each part, a place to stop. Returns what was written, the sidecar last.

        Parameters
        ----------
        meta
            With what is known only now, such as how it was denoised; None for that of
            `prepare_store`.

        Raises
        ------
        FileExists
            The target appeared meanwhile, and may not be replaced.
        NotWritten
            The disk is full.
        """
        meta = replace(meta, features={}) if meta is not None else self.meta
        meta = filled(self.target, meta, self.shape)
        letters = stored_axes(meta.axes)
        shapes = level_shapes(self._shape, letters, CHUNK)
        with not_written(self.target):
            level = self._finest
            for number, shape in enumerate(shapes[1:], 1):
                chunks, shards = _sides(shape, letters, self.version)
                smaller = create_level(
                    self.folder, number, shape, self.dtype, chunks, shards, letters, self.version
                )
                for _ in halve(level, smaller, shards):
                    yield
                level = smaller
            limits = _limits(level, letters)
            values = sidecar.sidecar_values(meta, self.shape, held_fields(meta, self.shape))
            attributes = image_metadata(meta, shapes, self.version, limits, self.dtype)
            if values:
                attributes[OURS] = sidecar.content(values, self.target)
            create_root(self.folder, self.version, attributes)
            (self.folder / RECORD).unlink(missing_ok=True)
        beside = sidecar.encode(values, self.target) if values else b""
        return put_folder(self.folder, self.target, beside, overwrite=self.overwrite)

    def finish(self, meta: ImageMeta | None = None) -> list[Path]:
        """Do all of `finishing`; return what was written, the sidecar last."""
        return finished(self.finishing(meta))

    def discard(self) -> None:
        """Delete what was written; the target stays as it is."""
        remove(self.folder)

    def _where(self, region: Region) -> tuple[slice, ...]:
        """Put the slices of a region in the order of the stored axes."""
        given = dict(zip(self.meta.axes.replace("S", "C"), region, strict=True))
        return tuple(given[a] for a in stored_axes(self.meta.axes))

    @cached_property
    def _finest(self) -> Any:
        return open_level(self.folder, 0)

    @property
    def _shape(self) -> tuple[int, ...]:
        return _stored(self.shape, self.meta.axes)

    @property
    def _shards(self) -> tuple[int, ...]:
        return _sides(self._shape, stored_axes(self.meta.axes), self.version)[1]

    @property
    def _like(self) -> NDArray[Any]:
        return np.broadcast_to(np.zeros((), self.dtype), self.shape)


def prepare_store(
    path: str | Path,
    shape: Sequence[int],
    dtype: Any,
    meta: ImageMeta,
    *,
    overwrite: bool = False,
    folder: Path | None = None,
) -> PreparedStore:
    """Make an empty OME-Zarr store under a hidden name, to be written in regions.

    Parameters
    ----------
    path
        The name it will have when it is finished.
    shape, dtype
        Of the image, along `meta.axes`.
    meta
        As `read` gave it. ``meta.extra["ome_zarr_version"]`` chooses "0.5" (the default) or "0.4".
    overwrite
        Let `finish` replace a store of that name.
    folder
        Where it is until then, beside `path`; nothing is made, see `PreparedStore.make`. A hidden
        folder of this process by default.

    Raises
    ------
    FileExists
        The target is there and `overwrite` is false.
    FileError
        The format cannot hold the image, or the target cannot be replaced.
    NotWritten
        The disk cannot be written.

    Examples
    --------
    >>> store = prepare_store("clean.ome.zarr", array.shape, array.dtype, meta)  # doctest: +SKIP
    >>> for region in store.regions:  # in as many processes as there are # doctest: +SKIP
    ...     store.write(region, array[region])
    >>> store.finish()  # doctest: +SKIP
    """
    path, shape = Path(path).expanduser(), tuple(int(n) for n in shape)
    meta = filled(path, replace(meta, features={}), shape)
    dtype = np.dtype(dtype).newbyteorder("=")
    version = check_store(path, dtype, meta, overwrite=overwrite)
    if folder is not None:
        return PreparedStore(path, folder, shape, dtype, meta, version, overwrite)
    store = PreparedStore(path, begin_folder(path), shape, dtype, meta, version, overwrite)
    try:
        if not overwrite:
            check_absent([path])  # a killed writer's old store is back in its place
        store.make()
    except BaseException:
        store.discard()
        raise
    return store


def check_store(path: Path, dtype: np.dtype[Any], meta: ImageMeta, *, overwrite: bool) -> str:
    """Refuse what cannot become an OME-Zarr store; return the version that it will have.

    Raises
    ------
    FileExists
        The target is there and `overwrite` is false.
    FileError
        The format cannot hold the image, or something else has the name.
    """
    check_dtype(path, dtype)
    check_axes(path, meta.axes)
    _check_target(path, overwrite=overwrite)
    version = str(meta.extra.get(VERSION, VERSIONS[0]))
    if version not in VERSIONS:
        raise FileError(
            path,
            f"OME-Zarr {version} is not written",
            f"choose one of {', '.join(VERSIONS)}",
            value=version,
        )
    return version


def _check_target(path: Path, *, overwrite: bool) -> None:
    around = next((p for p in path.absolute().parents if is_store(p)), None)
    if around is not None:
        raise FileError(path, f"it would lie inside the store {around}", "choose another folder")
    sidecar.check_sidecar(path, overwrite=overwrite)
    if not overwrite:
        check_absent([path])
    elif path.exists() and not is_store(path):
        kind = "folder" if path.is_dir() else "file"
        raise FileError(
            path, f"a {kind} of that name is there, which is no zarr store", "choose another name"
        )


def filled(path: Path, meta: ImageMeta, shape: tuple[int, ...]) -> ImageMeta:
    """Fill scale and units where they are empty.

    Raises
    ------
    FileError
        The axes, or scale and units, do not fit the shape.
    """
    try:
        Layout(meta.axes, shape)
    except ValueError as error:
        raise FileError(path, str(error), "it was not written") from error
    for name in ("scale", "units"):
        given = getattr(meta, name)
        if given and len(given) != len(meta.axes):
            raise FileError(
                path, f"{name} {given} has {len(given)} entries", f"{meta.axes!r} needs one each"
            )
    return replace(
        meta,
        scale=meta.scale or (1.0,) * len(shape),
        units=meta.units or (None,) * len(shape),
    )


def _stored(shape: tuple[int, ...], axes: str) -> tuple[int, ...]:
    return tuple(shape[axes.replace("S", "C").index(a)] for a in stored_axes(axes))


def _sides(
    shape: tuple[int, ...], letters: str, version: str
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Sides of chunks, and of the files that hold them.

    A chunk is one plane, or a window of it. A file is a window of up to 4096 x 4096 pixels, of as
    many planes as have no more pixels together; version 0.4 has a file for each chunk.
    """
    chunks = [min(n, CHUNK) if a in "YX" else 1 for a, n in zip(letters, shape, strict=True)]
    if version == "0.4":
        return tuple(chunks), tuple(chunks)
    shards = [
        min(SHARD, -(-n // c) * c) if a in "YX" else 1
        for a, n, c in zip(letters, shape, chunks, strict=True)
    ]
    planes = max(1, SHARD**2 // math.prod(shards))
    for letter in "ZT":
        if letter in letters and shape[letters.index(letter)] > 1:
            axis = letters.index(letter)
            shards[axis] = min(planes, shape[axis])
            break
    return tuple(chunks), tuple(shards)


def _limits(level: Any, letters: str) -> list[tuple[float, float]]:
    """Find what to show of each channel: the values that frames of the smallest level span."""
    layout = Layout(letters, tuple(level.shape))
    limits = []
    for channel in range(layout.size("C")):
        frames = evenly(layout.series(channel), _LOOKED_AT)
        planes = [np.asarray(level[layout.frames[frame]]) for frame in frames]
        values = np.concatenate([p[np.isfinite(p)].ravel() for p in planes])
        low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
        limits.append((low, high if high > low else low + 1))
    return limits
