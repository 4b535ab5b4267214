"""OME-Zarr 0.4 and 0.5 through zarr, on demand: images, series of them, wells and plates."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from napari_denoise.io.errors import FileError, ReadWarning, say
from napari_denoise.io.formats.loaded import Loaded, check_dtype
from napari_denoise.io.formats.ome_zarr import (
    OURS,
    TRANSLATE,
    VERSION,
    read_axes,
    read_channels,
    read_transformations,
    read_units,
)
from napari_denoise.io.formats.zarr_pixels import AGAIN, BROKEN, lazy
from napari_denoise.io.sidecar import known
from napari_denoise.io.zarr_folders import attributes_of, is_array, is_store, ome_attributes


@dataclass(frozen=True)
class StoredImage:
    """One image of a store: its group, which of the group's images it is, what to call it."""

    folder: Path
    number: int = 0
    name: str = ""


def read_ome_zarr(path: Path, series: int = 0) -> Loaded:
    """Read one image of a store: the full resolution, as a dask array; reads no pixel.

    Parameters
    ----------
    path
        Of an image, of several as bioformats2raw lays them out, of a well or of a plate.
    series
        Number of the image.

    Raises
    ------
    FileError
        It is no OME-Zarr store, damaged, of a version that is not known, or of no numbers.
    """
    images, missing = images_of(path)
    if not 0 <= series < len(images):
        raise FileError(
            path, f"it holds {len(images)} images", f"there is no image number {series}"
        )
    if missing:
        names = ", ".join(missing[:5]) + (" ..." if missing[5:] else "")
        say(f"{path}: it names {names}, which are not there: left out", ReadWarning, stacklevel=4)
    return _read_image(path, images[series], len(images))


def image_names(path: Path) -> list[str]:
    """Names of the images of a store, in order: "A1 field 0" of a plate; one "" for a single image.

    Raises
    ------
    FileError
        As for `read_ome_zarr`.
    """
    return [image.name for image in images_of(path)[0]]


def images_of(path: Path) -> tuple[tuple[StoredImage, ...], tuple[str, ...]]:
    """Find the images of a store, and the names of those that it lists and that are not there.

    Raises
    ------
    FileError
        It holds none.
    """
    if not is_store(path):
        kind = "a file, not a folder" if path.is_file() else "a folder that is no zarr store"
        raise FileError(path, f"it is {kind}", "unpack a zipped store, or name another folder")
    marks = [path / name for name in ("zarr.json", ".zattrs", ".zgroup")]
    return _listed(path, tuple(m.stat().st_mtime_ns for m in marks if m.is_file()))


@lru_cache(maxsize=8)
def _listed(path: Path, _times: tuple[int, ...]) -> tuple[tuple[StoredImage, ...], tuple[str, ...]]:
    ome = ome_attributes(path)
    missing: list[str] = []
    if "plate" in ome:
        images = [*_plate(path, ome["plate"], missing)]
    elif "well" in ome:
        images = [*_well(path, ome["well"], "", missing)]
    elif "multiscales" in ome:
        if "image-label" in ome:
            raise FileError(path, "it holds labels, not an image", "name the image they belong to")
        count = len(_list(ome["multiscales"]))
        images = [StoredImage(path, n, f"image {n}" if count > 1 else "") for n in range(count)]
    elif "bioformats2raw.layout" in ome:
        images = [*_series(path, missing)]
    else:
        rule = "it is a zarr array" if is_array(path) else "it is a zarr group"
        remedy = "name a store that was saved as OME-Zarr, or save the array as .npy"
        raise FileError(path, f"{rule} without OME metadata", remedy)
    if not images:
        raise FileError(path, "it lists no image that is there", AGAIN)
    return tuple(images), tuple(missing)


def _series(path: Path, missing: list[str]) -> Iterator[StoredImage]:
    """Images as bioformats2raw lays them out: listed, else numbered from 0."""
    listed = [str(name) for name in _list(ome_attributes(path / "OME").get("series"))]
    if not listed:
        folders = [f.name for f in path.iterdir() if f.name.isdigit() and is_store(f)]
        listed = sorted(folders, key=int)
    for name in listed:
        folder = path / name
        if not is_store(folder):
            missing.append(name)
            continue
        for image in _list(ome_attributes(folder).get("multiscales"))[:1]:
            title = str(image.get("name") or "") if isinstance(image, Mapping) else ""
            own = title if title and title not in ("/", "image") else f"image {name}"
            yield StoredImage(folder, 0, own if len(listed) > 1 else "")


def _plate(path: Path, plate: Any, missing: list[str]) -> Iterator[StoredImage]:
    several = len(_list(_mapping(plate).get("acquisitions"))) > 1
    for entry in _list(_mapping(plate).get("wells")):
        place = str(_mapping(entry).get("path", ""))
        if not place or not is_store(path / place):
            missing.append(f"well {place}")
            continue
        well = ome_attributes(path / place).get("well")
        yield from _well(path / place, well, place.replace("/", ""), missing, several)


def _well(
    path: Path, well: Any, name: str, missing: list[str], several: bool = False
) -> Iterator[StoredImage]:
    for entry in map(_mapping, _list(_mapping(well).get("images"))):
        field = str(entry.get("path", ""))
        parts = [name, f"field {field}"]
        if several and "acquisition" in entry:
            parts.append(f"acquisition {entry['acquisition']}")
        title = " ".join(filter(None, parts))
        if field and is_store(path / field):
            yield StoredImage(path / field, 0, title)
        else:
            missing.append(title)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _read_image(path: Path, image: StoredImage, count: int) -> Loaded:
    folder, ome = image.folder, ome_attributes(image.folder)
    entries = _list(ome.get("multiscales"))
    entry = _mapping(entries[image.number] if image.number < len(entries) else None)
    version = str(ome.get("version") or entry.get("version") or "")
    _check_version(folder, version, entry)
    datasets = [d for d in map(_mapping, _list(entry.get("datasets"))) if d.get("path") is not None]
    if not datasets:
        raise FileError(folder, "its metadata name no array of pixels", AGAIN)
    levels = [_opened(folder, str(dataset["path"])) for dataset in datasets]
    finest = levels[0]
    check_dtype(folder, finest.dtype)
    axes = _list(entry.get("axes")) or list("tczyx")
    letters, file_axes = read_axes(folder, axes, finest.ndim)
    described = known(attributes_of(folder).get(OURS), folder)
    if "S" in str(described.get("axes", "")) and "C" in letters:  # our own colour samples
        letters = letters.replace("C", "S")
    fields = _fields(folder, entry, datasets[0], axes, letters)
    if "S" not in letters:
        channels = finest.shape[letters.index("C")] if "C" in letters else 1
        fields |= read_channels(ome.get("omero"), channels)
    extra = {"format": "ome-zarr", **fields.pop("extra")}
    if version:
        extra[VERSION] = version if version >= "0.4" else "0.4"
    if file_axes.replace(",", "").upper() != letters.replace("S", "C"):
        extra["file_axes"] = file_axes
    _mention_others(path, folder, datasets)
    return Loaded(
        lazy(finest, letters),
        letters,
        {**fields, "extra": extra, "name": image.name},
        count,
        levels=tuple(lazy(level, letters) for level in levels[1:] if level.ndim == finest.ndim),
        described=described,
    )


def _check_version(folder: Path, version: str, entry: Mapping[str, Any]) -> None:
    found = re.match(r"(\d+)\.(\d+)", version)
    newer = found is not None and tuple(map(int, found.groups())) > (0, 5)
    if newer or "coordinateSystems" in entry:
        raise FileError(
            folder,
            f"it is OME-Zarr {version or '0.6'}",
            "versions up to 0.5 are read: export it as 0.5",
            value=version,
        )


def _fields(
    folder: Path,
    entry: Mapping[str, Any],
    dataset: Mapping[str, Any],
    axes: list[Any],
    letters: str,
) -> dict[str, Any]:
    lists = [_list(part.get("coordinateTransformations")) for part in (dataset, entry)]
    known_lists = [[*map(_mapping, part)] for part in lists]
    scale, start, others = read_transformations(known_lists, len(letters))
    units, unknown = read_units(axes, letters)
    if others:
        what = f"transformations of kind {', '.join(sorted(set(others)))}"
        say(f"{folder}: {what} are not understood: left out", ReadWarning, stacklevel=6)
    if unknown:
        text = f"{folder}: units {', '.join(unknown)} are not known: left out"
        say(text, ReadWarning, stacklevel=6)
    if any(s <= 0 for s in scale):
        text = f"{folder}: a scale of {min(scale):g} is no size of a pixel: taken as 1"
        say(text, ReadWarning, stacklevel=6)
        scale = [s if s > 0 else 1.0 for s in scale]
    fields: dict[str, Any] = {"scale": tuple(scale), "units": units, "extra": {}}
    places = dict(zip(letters, start, strict=True))
    order = [a for a in letters if a not in "CSYX"] + ["Y", "X"]
    if any(places[a] for a in order):
        fields["extra"][TRANSLATE] = [places[a] for a in order]
    return fields


def _mention_others(path: Path, folder: Path, datasets: list[Mapping[str, Any]]) -> None:
    """Say what of an image's group is not read: labels, tables and other groups."""
    read = {Path(str(dataset["path"])).parts[0] for dataset in datasets}
    others = sorted(
        child.name
        for child in folder.iterdir()
        if child.is_dir() and child.name not in read | {"OME"} and not child.name.startswith(".")
    )
    if not others:
        return
    if "labels" in others:
        found = _list(ome_attributes(folder / "labels").get("labels"))
        names = ", ".join(map(str, found))
        others[others.index("labels")] = f"labels ({names})" if names else "labels"
    text = f"{folder}: only its image is read; left alone: {', '.join(others)}"
    say(text, ReadWarning, stacklevel=6)


def _opened(folder: Path, name: str) -> Any:
    import zarr

    place = (folder / name).resolve()
    if not place.is_relative_to(folder.resolve()):
        raise FileError(folder, f"its pixels would lie outside of it, in {name!r}", AGAIN)
    try:
        return zarr.open_array(place, mode="r")
    except BROKEN as error:
        raise FileError(place, f"its array cannot be opened ({error})", AGAIN) from error
