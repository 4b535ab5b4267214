"""Write images: array -> file, whole or not at all."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_denoise.image.axes import Layout
from napari_denoise.image.frames import iterate, planes_last
from napari_denoise.io import sidecar
from napari_denoise.io.atomic import check_absent, check_length, replacing
from napari_denoise.io.errors import FileError, FileExists, WriteWarning, say
from napari_denoise.io.formats import FILE_WRITERS
from napari_denoise.io.formats.colour import straight
from napari_denoise.io.formats.exr_windows import Box
from napari_denoise.io.formats.exr_writer import HALF_MAX, Replaced, encode_exr, encode_through
from napari_denoise.io.formats.loaded import check_dtype
from napari_denoise.io.formats.look import LOOK, look_chunks, shades
from napari_denoise.io.formats.raster import encode_png
from napari_denoise.io.inputs import TIFF_SUFFIXES, expand, split_number, suffix_of
from napari_denoise.io.meta import ImageMeta
from napari_denoise.io.stores import check_store, filled, prepare_store
from napari_denoise.io.zarr_folders import STORE_SUFFIXES

FRAME_FORMATS = (".exr", ".png")
"""Formats that hold one frame per file."""
WRITABLE = (".ome.tif", ".ome.tiff", ".tif", ".tiff", *FRAME_FORMATS, ".npy", *STORE_SUFFIXES)
_AXIS = {"T": "time points", "Z": "planes", "C": "channels"}


def write(path: str | Path, array: Any, meta: ImageMeta, *, overwrite: bool = False) -> list[Path]:
    """Write an image, a stack, or a sequence of numbered frames.

    Parameters
    ----------
    path
        The suffix chooses the format: ``.ome.tif`` and ``.tif`` OME-TIFF, ``.ome.zarr``
        OME-Zarr, ``.exr``, ``.png``, ``.npy``. EXR and PNG hold one frame per file: the ``####`` of
        ``clean_####.exr`` become the frame numbers (those of the source where there are
        any, else from 0), and are added to a name without them.
    array
        Numpy, memory map, dask or zarr; read plane by plane, never written to.
    meta
        As `read` gave it. What the format cannot hold, and JSON values in `meta.extra`
        such as "napari_denoise", go to ``<path>.json``, from where `read` takes them.
    overwrite
        Replace existing files.

    Returns
    -------
    The files written, the sidecar last.

    Raises
    ------
    FileExists
        A file is there and `overwrite` is false.
    FileError
        The format cannot hold the data, or the disk is full. The older files are whole.
    """
    path = Path(path).expanduser()
    meta = _complete(path, array, meta)
    check_output(path, array, meta, overwrite=overwrite)
    suffix = suffix_of(path).lower()
    if suffix in FRAME_FORMATS:
        return _write_frames(path, array, meta, overwrite)
    if suffix in STORE_SUFFIXES:
        return _write_store(path, array, meta, overwrite)
    return _write_whole(path, array, meta, overwrite, FILE_WRITERS[suffix])


def check_output(path: str | Path, array: Any, meta: ImageMeta, *, overwrite: bool = False) -> None:
    """Refuse what `write` would refuse of these arguments; reads no pixel, writes nothing.

    Raises
    ------
    FileExists
        A file is there and `overwrite` is false; the first one is named.
    FileError
        The format cannot hold the data.
    """
    path = Path(path).expanduser()
    check_length(path)
    meta = _complete(path, array, meta)
    suffix = suffix_of(path).lower()
    targets, pattern = [path], path
    if suffix in FRAME_FORMATS:
        ordered, axes = planes_last(array, meta.axes)
        _check_frames(path, ordered, axes)
        targets, pattern = _frames_of(path, ordered.shape[0] if axes[0] not in "YXS" else 1, meta)
    elif suffix in STORE_SUFFIXES:
        check_store(path, np.dtype(array.dtype), meta, overwrite=overwrite)
        return
    elif suffix not in (*TIFF_SUFFIXES, ".npy"):
        raise FileError(
            path,
            "it is a folder" if path.is_dir() else f"the format {path.suffix!r} is not written",
            f"use one of {', '.join(WRITABLE)}, for frames a name such as clean_####.png",
            value=path.suffix,
        )
    if not overwrite:
        check_absent(targets)
    _check_leftovers(pattern, targets, overwrite)
    sidecar.check_sidecar(pattern, overwrite=overwrite)


def frame_paths(path: Path, count: int, numbers: tuple[int, ...] = ()) -> list[Path]:
    """Names of numbered frames: ``clean_####.png`` -> clean_0000.png, clean_0001.png.

    Parameters
    ----------
    path
        With a run of ``#``, or without: then ``_####`` is added, except for one frame.
    count
        Of frames.
    numbers
        Of the frames, else from 0.
    """
    if "#" not in path.name:
        if count == 1:
            return [path]
        path = frame_pattern(path)
    numbers = numbers if len(numbers) == count else tuple(range(count))
    *_, run = re.finditer("#+", path.name)
    width = len(run.group())
    head, tail = path.name[: run.start()], path.name[run.end() :]
    return [path.with_name(f"{head}{number:0{width}d}{tail}") for number in numbers]


def frame_pattern(path: Path) -> Path:
    """Name of several frames that are to be saved as `path`, with its run of ``#``."""
    if "#" in path.name:
        return path
    suffix = suffix_of(path)
    return path.with_name(f"{path.name.removesuffix(suffix)}_####{suffix}")


def _complete(path: Path, array: Any, meta: ImageMeta) -> ImageMeta:
    """Check the array and its axes; fill scale and units where they are empty."""
    check_dtype(path, np.dtype(array.dtype))
    return filled(path, meta, tuple(array.shape))


def _write_store(path: Path, array: Any, meta: ImageMeta, overwrite: bool) -> list[Path]:
    store = prepare_store(path, array.shape, array.dtype, meta, overwrite=overwrite)
    try:
        for region in store.regions:
            block = np.empty([side.stop - side.start for side in region], store.dtype)
            for index in Layout(meta.axes, block.shape).frames:
                there = [
                    part + side.start if isinstance(part, int) else side
                    for part, side in zip(index, region, strict=True)
                ]
                block[index] = array[tuple(there)]
            store.write(region, block)
        return store.finish(meta)
    except BaseException:
        store.discard()
        raise


def _write_whole(
    path: Path,
    array: Any,
    meta: ImageMeta,
    overwrite: bool,
    writer: Callable[[Path, Path, Any, ImageMeta], set[str]],
) -> list[Path]:
    place = sidecar.sidecar_path(path)
    with replacing([path], overwrite=overwrite, sidecar=place) as (temporary, beside):
        held = writer(temporary, path, array, meta)
        values = sidecar.sidecar_values(meta, tuple(array.shape), held)
        if values:
            beside.write_bytes(sidecar.encode(values, path))
    return [path, place] if values else [path]


def _write_frames(path: Path, array: Any, meta: ImageMeta, overwrite: bool) -> list[Path]:
    ordered, axes = planes_last(array, meta.axes)
    count = ordered.shape[0] if axes[0] not in "YXS" else 1
    targets, pattern = _frames_of(path, count, meta)
    place = sidecar.sidecar_path(pattern)
    encoder = _exr_encoder if suffix_of(path).lower() == ".exr" else _png_encoder
    held = {"axes"} if meta.axes == ("T" + axes[-2:] if axes[-1] != "S" else "TYXS") else set()
    if count == 1 and meta.axes in ("YX", "YXS"):
        held = {"axes"}
    if suffix_of(path).lower() == ".png":
        held |= {LOOK}
    values = sidecar.sidecar_values(meta, tuple(array.shape), held)
    with replacing(targets, overwrite=overwrite, sidecar=place) as temporary:
        encode = encoder(path, meta, count)
        for number, image in enumerate(iterate(ordered, axes)):
            temporary[number].write_bytes(encode(number, image))
        if values:
            temporary[-1].write_bytes(sidecar.encode(values, pattern))
    return [*targets, place] if values else targets


def _frames_of(path: Path, count: int, meta: ImageMeta) -> tuple[list[Path], Path]:
    """Files of the frames, and the name that stands for all of them."""
    targets = frame_paths(path, count, tuple(meta.extra.get("numbers", ())))
    return targets, path if count == 1 else frame_pattern(path)


def _check_frames(path: Path, array: Any, axes: str) -> None:
    suffix, dtype = suffix_of(path).lower(), np.dtype(array.dtype)
    leading = [a for a in axes if a not in "YXS"]
    if len(leading) > 1 or "C" in leading:
        kinds = " and ".join(f"{array.shape[axes.index(a)]} {_AXIS[a]}" for a in leading)
        raise FileError(
            path, f"one series of {suffix} frames cannot hold {kinds}", "save as .ome.tif"
        )
    if suffix == ".png" and dtype not in (np.uint8, np.uint16):
        remedy = "save as .exr or .ome.tif" if dtype.kind == "f" else "save as .ome.tif"
        raise FileError(
            path,
            f"PNG holds 8 or 16 bit integers, not {dtype}",
            f"{remedy}, or convert to uint16 with a scale of your choice",
            value=dtype,
        )
    if suffix == ".exr" and (dtype.kind != "f" or dtype.itemsize > 4):
        raise FileError(
            path,
            f"EXR holds linear light as float16 or float32, not {dtype}",
            "save as .ome.tif, or convert to float32",
            value=dtype,
        )
    if suffix == ".exr" and "S" in axes and array.shape[-1] == 2:
        raise FileError(path, "EXR needs gray, RGB or RGBA, not 2 samples", "save as .ome.tif")


def _check_leftovers(pattern: Path, targets: list[Path], overwrite: bool) -> None:
    """Frames of an older, longer sequence would be read as part of the new one."""
    if "#" not in pattern.name:
        return
    try:
        there = expand(pattern)
    except FileError:
        return
    left = [file for file in there if file not in targets]
    if left:
        numbers = ", ".join(str(split_number(file)[1]) for file in left[:5])
        kind = FileError if overwrite else FileExists
        raise kind(  # either way they would stay: not replaceable
            pattern,
            f"{len(left)} other frames of that name are there (numbers {numbers} ...)",
            "delete them or choose another name, or they would mix with the new ones",
        )


def _png_encoder(path: Path, meta: ImageMeta, count: int) -> Callable[[int, Any], bytes]:
    """Gray, RGB or RGBA that is shown as the source was."""
    table = shades(meta, meta.axes)
    chunks = functools.cache(functools.partial(look_chunks, path, meta))
    associated = (meta.extra.get(LOOK) or {}).get("alpha") == "associated"

    def encode(number: int, image: NDArray[Any]) -> bytes:
        if table is not None and image.dtype == np.uint8:
            image = table[image]
        if associated and image.shape[2:] == (4,):
            image = straight(image)
        return encode_png(image, chunks(image.shape[2] if image.ndim == 3 else 1))

    return encode


def _exr_encoder(path: Path, meta: ImageMeta, count: int) -> Callable[[int, Any], bytes]:
    """Pass the source's other layers through where it is still there and fits."""
    origin = meta.extra.get("exr")
    sources = meta.source if origin and len(meta.source) == count else ()
    if origin and not all(file.is_file() for file in sources or (Path(),)):
        text = f"{path}: the source is gone: its other layers and header are not written"
        say(text, WriteWarning, stacklevel=5)
        sources = ()
    said = set[str]()

    def encode(number: int, image: NDArray[Any]) -> bytes:
        def frame(stack: Any) -> NDArray[Any]:
            return np.asarray(stack[number] if count > 1 else stack[...])

        if sources and origin:
            replaced = [Replaced(image, _place(origin), _window(origin))]
            replaced += [
                Replaced(frame(stack), name, _window(origin, name))
                for name, stack in meta.layers.items()
            ]
            made = encode_through(sources[number], replaced)
        else:
            made = encode_exr(image, {role: frame(f) for role, f in meta.features.items()})
        for text in [note for note in made.notes if note not in said]:
            said.add(text)
            say(f"{path}: {text}", WriteWarning, stacklevel=4)
        if made.clipped:
            text = (
                f"{path}: {made.clipped} values of frame {number} are beyond half precision "
                f"and were clipped to {HALF_MAX:.0f}"
            )
            say(text, WriteWarning, stacklevel=4)
        return made.data

    return encode


def _place(origin: Mapping[str, Any]) -> tuple[int, tuple[str, ...]]:
    return origin["part"], tuple(origin["channels"])


def _window(origin: Mapping[str, Any], layer: str = "") -> Box | None:
    """Return the data window of the image, or of a layer that has its own."""
    window = origin.get("windows", {}).get(layer, origin.get("window"))
    return None if window is None else tuple(window)
