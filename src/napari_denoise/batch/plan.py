"""Where the result of each input goes."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from string import Formatter

from napari_denoise.batch.choice import LayerChoice
from napari_denoise.batch.sources import Found, find_all, find_measured
from napari_denoise.io.atomic import check_absent, check_reachable
from napari_denoise.io.errors import FileError, listening
from napari_denoise.io.formats.loaded import lazily
from napari_denoise.io.formats.ome_zarr import VERSIONS
from napari_denoise.io.images import images_among
from napari_denoise.io.inputs import (
    TIFF_SUFFIXES,
    ImageInput,
    PathLike,
    expand,
    is_single_plane,
    suffix_of,
)
from napari_denoise.io.names import fitting
from napari_denoise.io.read import read
from napari_denoise.io.write import FRAME_FORMATS, WRITABLE, frame_paths, frame_pattern
from napari_denoise.io.zarr_folders import STORE_SUFFIXES, is_store
from napari_denoise.settings.denoise import DenoiseSettings

_MAPS = (".ome.tif", ".ome.tiff", ".tif", ".tiff", ".npy")
"""Formats of floating point that hold a whole stack."""
_THE_IMAGE = LayerChoice()


@dataclass(frozen=True)
class BatchTask:
    """One input and where its result goes.

    Parameters
    ----------
    source
        A file, or the numbered frames of a stack.
    target
        A file, or a pattern such as ``clean/frame_####.exr``.
    frames_used
        Where a map goes of how many frames each pixel is made of; None for none.
    ome_zarr_version
        Of an OME-Zarr store that is written; None for that of the input, else 0.5.
    settings, axes
        Its own, in place of those of the batch.
    choice
        Which layers of a render.
    """

    source: ImageInput
    target: Path
    frames_used: Path | None = None
    ome_zarr_version: str | None = None
    settings: DenoiseSettings | None = None
    axes: str | None = None
    choice: LayerChoice = _THE_IMAGE

    @property
    def name(self) -> str:
        """The input in a word, for progress and messages."""
        label = self.source.label
        return self.source.pattern.name + (f" [{label}]" if label else "")

    @property
    def outputs(self) -> list[Path]:
        """The image files that will be written, as far as they are known before reading."""
        if suffix_of(self.target).lower() not in FRAME_FORMATS:
            return [self.target]
        if "#" in self.target.name and not self.source.is_stack:
            return []  # a file of many frames: writing checks its frames before computing
        return frame_paths(self.target, len(self.source.files), self.source.numbers)

    @property
    def taken(self) -> list[Path]:
        """Files in the way; for a file of many frames every frame of the target's name."""
        there = [file for file in self.outputs if os.path.exists(file)]
        file = self.source.files[0]
        if self.source.is_stack or suffix_of(self.target).lower() not in FRAME_FORMATS:
            return there
        if suffix_of(file).lower() in TIFF_SUFFIXES and not is_single_plane(file):
            return there + _frames(frame_pattern(self.target))
        return there + _frames(self.target)


def plan(
    inputs: Iterable[PathLike],
    output: PathLike,
    *,
    sequence: bool | None = None,
    suffix: str = "",
    file_format: str | None = None,
    series: int | None = None,
    position: str | None = None,
    recursive: bool = False,
) -> list[BatchTask]:
    """Decide what is read and what is written; touches nothing.

    What an earlier run wrote is no input, unless it is named itself; that is said.

    Parameters
    ----------
    inputs, sequence
        As for `find_inputs`.
    output
        A file (or ``####`` pattern) for one input, else a folder: there, results keep the
        names, the subfolders and the format of their inputs; what is read but not written
        becomes PNG (JPEG) or one OME-TIFF (numbered TIFF frames).
    suffix
        Goes between name and ending, in a folder.
    file_format
        Another ending for results in a folder, such as ``"ome.tif"``.
    series, position
        Which image of each file, by number or by name; by default all of them, each a result of
        its own.
    recursive
        Whether a folder stands for its subfolders too.

    Raises
    ------
    FileError
        An input is missing, or has no such image, or the format of `output` is not written.
    ValueError
        Inputs and output do not fit each other, or two results would get one name.
    """
    if not str(output):
        raise ValueError("the output is empty: name a file, or a folder such as 'clean'")
    if Path(suffix).name != suffix:
        raise ValueError(f"suffix {suffix!r} names a folder: use plain text such as _denoised")
    given = list(inputs)
    found = find_measured(given, sequence, recursive=recursive)
    sources = images_among(found, series, position)
    place = Path(output).expanduser()
    check_reachable(place)
    if _names_a_file(place, str(output)):
        tasks = [_single(sources, place, suffix, file_format)]
    else:
        tasks = in_folder(
            sources,
            place,
            name=_escaped("{stem}", suffix),
            file_format=file_format,
            root=root_of(given),
        )
    clashes = collisions(tasks)
    if clashes:
        raise ValueError(next(iter(clashes.values())))
    return tasks


def plan_folder(
    inputs: Iterable[PathLike],
    folder: PathLike,
    *,
    sequence: bool | None = None,
    recursive: bool = False,
    name: str = "{stem}",
    file_format: str | None = None,
    results: Collection[Path] = (),
) -> tuple[list[BatchTask], Found]:
    """Decide what is read and what is written by a batch; touches nothing.

    Every image of a file is an input. What a run wrote is none, unless it is named itself.

    Parameters
    ----------
    inputs, sequence, recursive, results
        As for `find_all`.
    folder, name, file_format
        As for `in_folder`.

    Returns
    -------
    The tasks, and what was found: `collisions` tells which of them want one place.
    """
    given = list(inputs)
    place = Path(folder).expanduser()
    check_reachable(place)
    if place.exists() and not place.is_dir():
        raise FileError(place, "it is a file", "name a folder for the results")
    found = find_all(given, sequence, recursive=recursive, results=results)
    root = root_of(given)
    return in_folder(found.sources, place, name=name, file_format=file_format, root=root), found


def in_folder(
    sources: Sequence[ImageInput],
    folder: Path,
    *,
    name: str = "{stem}",
    file_format: str | None = None,
    root: Path | None = None,
) -> list[BatchTask]:
    """Say where the results of inputs go in a folder.

    Parameters
    ----------
    sources
        The inputs.
    folder
        For the results. They keep the subfolders of their inputs, below the folder that all inputs
        have in common, and the format; what is read but not written becomes PNG (JPEG) or one
        OME-TIFF (numbered TIFF frames).
    name
        Of a result, without number and ending: ``{stem}`` is the name of the input, ``{parent}``
        that of its folder, ``{image}`` that of an image of a file of several. A slash makes a
        subfolder. Where ``{parent}`` or a slash stands in it, it alone says the subfolder.
    file_format
        Another ending, such as ``"ome.tif"``.
    root
        The folder whose subfolders are kept; None for that which all inputs have in common.

    Raises
    ------
    ValueError
        The name or the format cannot be used.
    """
    _check_template(name)
    if not sources:
        return []
    ending = _ending(file_format)
    if root is None:
        root = Path(os.path.commonpath([s.files[0].absolute().parent for s in sources]))
    return [_placed(source, folder, root, name, ending) for source in sources]


def root_of(inputs: Iterable[PathLike]) -> Path:
    """Return the folder that all inputs as they were named have in common.

    What a folder holds does not matter: a result keeps its place when files are added.
    """
    folders = []
    for entry in inputs:
        path = Path(entry).expanduser().absolute()
        if is_store(path) or not path.is_dir():
            path = path.parent
        wild = [n for n, part in enumerate(path.parts) if set(part) & set("*?[#")]
        folders.append(Path(*path.parts[: wild[0]]) if wild and not path.is_dir() else path)
    return Path(os.path.commonpath(folders))


def collisions(tasks: Sequence[BatchTask]) -> dict[BatchTask, str]:
    """Find tasks whose result would be written over that of another, and say why."""
    taken: dict[Path, BatchTask] = {}
    clashes: dict[BatchTask, str] = {}
    for task in tasks:
        for file in task.outputs or [task.target]:
            other = taken.setdefault(file, task)
            if other is not task:
                text = (
                    f"{file}: {other.name!r} and {task.name!r} would both be written there; "
                    "denoise them into different folders, or tell their names apart"
                )
                clashes.setdefault(other, text)
                clashes.setdefault(task, text)
    return clashes


def check_outputs(tasks: Iterable[BatchTask], *, overwrite: bool) -> None:
    """Refuse results that are there already, or that would replace their own input.

    Raises
    ------
    FileExists
        A result exists and `overwrite` is false.
    ValueError
        A result is one of the inputs, or two would be one file; that holds with `overwrite` too.
    """
    tasks = list(tasks)
    for task in tasks:
        for file in task.outputs or [task.target]:
            check_reachable(file)
    inputs = {file.resolve() for task in tasks for file in task.source.files}
    maps = [task.frames_used for task in tasks if task.frames_used is not None]
    outputs = [*(file for task in tasks for file in task.outputs), *maps]
    for file in outputs:
        if file.resolve() in inputs:
            raise ValueError(
                f"{file}: the result would replace an input; choose another folder, or add "
                "a suffix to the names (--suffix _denoised)"
            )
    places = [file.resolve() for file in outputs]
    for file in maps:
        if places.count(file.resolve()) > 1:
            raise ValueError(
                f"{file}: a map of frames used would be written over a result or another map; "
                "name another place for the maps (--frames-used)"
            )
    if not overwrite:
        check_absent(file for task in tasks for file in task.taken)
        check_absent(file for file in maps if file.exists())


def is_there(task: BatchTask) -> bool:
    """Whether the result of a task is there, whole.

    Raises
    ------
    FileError
        Something is there that cannot be read.
    """
    if not task.outputs or not all(file.exists() for file in task.outputs):
        return False
    try:
        with listening(), lazily(0):
            read(task.outputs, sequence=len(task.outputs) > 1)
    except FileError as error:
        raise FileError(
            task.target,
            f"it is there and cannot be read ({error.rule})",
            "remove it, or replace it with --overwrite (overwrite=True)",
        ) from error
    return True


def with_maps(tasks: Sequence[BatchTask], place: Path | None) -> list[BatchTask]:
    """Say where the maps of frames used go.

    Parameters
    ----------
    tasks
        From `plan`.
    place
        A TIFF or NPY file for one task, else a folder; None for no maps.

    Raises
    ------
    ValueError
        The file cannot hold a map, or one file was named for several inputs.
    """
    if place is None:
        return list(tasks)
    suffix = suffix_of(place).lower()
    if not suffix:
        return [replace(task, frames_used=place / _map_name(task)) for task in tasks]
    if suffix not in _MAPS:
        raise ValueError(
            f"--frames-used {place}: a map is written as {', '.join(_MAPS)}; name such a file, or "
            "a folder"
        )
    if len(tasks) > 1:
        raise ValueError(
            f"--frames-used {place}: one file cannot hold the maps of {len(tasks)} inputs; name a "
            "folder"
        )
    return [replace(task, frames_used=place) for task in tasks]


def with_layers(tasks: Sequence[BatchTask], choice: LayerChoice) -> list[BatchTask]:
    """Say which layers of renders are denoised."""
    return [replace(task, choice=choice) for task in tasks]


def with_version(tasks: Sequence[BatchTask], version: str | None) -> list[BatchTask]:
    """Say which version of OME-Zarr is written; None for that of the input, else 0.5.

    Raises
    ------
    ValueError
        It is not written.
    """
    if version is not None and version not in VERSIONS:
        raise ValueError(f"--ome-zarr-version {version}: expected one of {', '.join(VERSIONS)}")
    return [replace(task, ome_zarr_version=version) for task in tasks]


def _map_name(task: BatchTask) -> str:
    stem = task.target.name.removesuffix(suffix_of(task.target)).rstrip("#").rstrip("._-")
    ending = "_frames_used.ome.tif"
    return fitting(stem, len(ending)) + ending


def _frames(pattern: Path) -> list[Path]:
    try:
        return expand(pattern) if "#" in pattern.name else []
    except FileError:
        return []


def _names_a_file(place: Path, text: str) -> bool:
    suffix = suffix_of(place).lower()
    if suffix in STORE_SUFFIXES and (is_store(place) or not place.is_dir()):
        return True
    if place.is_dir() or text.endswith(("/", os.sep)):
        return False
    if suffix in WRITABLE or suffix in TIFF_SUFFIXES:
        return True
    if re.fullmatch(r"\.(?!v?\d+$)\w{2,5}", place.suffix):  # "results.v2" is a folder
        raise FileError(
            place,
            f"the format {place.suffix!r} is not written",
            f"use one of {', '.join(WRITABLE)}, or end the name of a folder with /",
        )
    return False


def _single(
    sources: list[ImageInput], place: Path, suffix: str, file_format: str | None
) -> BatchTask:
    if len(sources) > 1:
        names = " and ".join(repr(BatchTask(source, place).name) for source in sources[:2])
        raise ValueError(
            f"{place}: it names one file but there are {len(sources)} inputs, for example "
            f"{names}; name a folder (-o {place.parent / 'denoised'})"
            + (" or one image of the file (--position, --series)" if _of_one_file(sources) else "")
        )
    if suffix or file_format:
        raise ValueError(
            f"{place}: a suffix or format is for results in a folder; put it into the name"
        )
    return BatchTask(sources[0], place)


def _of_one_file(sources: list[ImageInput]) -> bool:
    return len({source.files for source in sources}) == 1


def _ending(file_format: str | None) -> str | None:
    if file_format is None:
        return None
    ending = "." + file_format.lower().removeprefix(".")
    if ending not in WRITABLE:
        known = ", ".join(entry.removeprefix(".") for entry in WRITABLE)
        raise ValueError(f"format {file_format!r} is not written: choose one of {known}")
    return ending


_FIELDS = ("stem", "parent", "image")


def _check_template(name: str) -> None:
    try:
        parts = list(Formatter().parse(name))
    except ValueError as error:
        raise ValueError(f"name {name!r}: {error}") from error
    fields = [field for _, field, _, _ in parts if field is not None]
    if unknown := sorted(set(fields) - {*_FIELDS}):
        raise ValueError(
            f"name {name!r} holds {{{unknown[0]}}}: expected {{stem}}, {{parent}} or {{image}}"
        )
    if "stem" not in fields and "image" not in fields:
        raise ValueError(f"name {name!r} is the same for all inputs: it needs {{stem}}")
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or name.endswith("/"):
        raise ValueError(f"name {name!r}: expected a name, or one in a subfolder of the output")


def _placed(
    source: ImageInput, folder: Path, root: Path, name: str, wanted: str | None
) -> BatchTask:
    parent = source.files[0].absolute().parent
    own = suffix_of(source.pattern)
    given = own or (STORE_SUFFIXES[0] if is_store(source.pattern) else "")
    ending = wanted or (".png" if own.lower() in (".jpg", ".jpeg") else given)
    if ending.lower() not in WRITABLE:
        ending = ".ome.tif"
    stem = source.pattern.name.removesuffix(own)
    if source.is_stack and (ending.lower() not in FRAME_FORMATS or len(source.axes) > 1):
        stem, ending = source.name, wanted or ".ome.tif"
    head, number = re.fullmatch(r"(.*?)([_.\- ]*#*)", stem, re.DOTALL).groups()  # type: ignore[union-attr]
    if source.label and "{image}" not in name:
        head = f"{head}_{source.label}"
    below = Path() if "/" in name or "{parent}" in name else parent.relative_to(root)
    made = name.format(stem=head, parent=parent.name, image=source.label or head)
    return BatchTask(source, folder / below / f"{made}{number}{ending}")


def _escaped(name: str, suffix: str) -> str:
    return name + suffix.replace("{", "{{").replace("}", "}}")
