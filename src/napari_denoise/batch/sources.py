"""Which inputs there are: files, folders, wildcards, sequences, and every image of a file."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from glob import glob
from pathlib import Path

from natsort import natsorted

from napari_denoise.io import sidecar
from napari_denoise.io.errors import FileError, ReadWarning, say
from napari_denoise.io.images import images_of
from napari_denoise.io.inputs import (
    ImageInput,
    PathLike,
    as_sequence,
    check_name,
    expand,
    find_sequences,
    is_image,
    siblings,
    suffix_of,
)
from napari_denoise.io.zarr_folders import is_store


@dataclass(frozen=True)
class Found:
    """What files, folders and wildcards stand for.

    Parameters
    ----------
    sources
        The inputs.
    results
        Files in folders and wildcards that are results of ours, and are no inputs.
    missing
        What is not there, or holds no image.
    """

    sources: tuple[ImageInput, ...]
    results: tuple[Path, ...] = ()
    missing: tuple[FileError, ...] = ()


def find_inputs(
    inputs: Iterable[PathLike], sequence: bool | None = None, *, recursive: bool = False
) -> list[ImageInput]:
    """Find the inputs that files, folders and wildcards stand for.

    Parameters
    ----------
    inputs
        Wildcards may also stand in folder names, and ``**`` reaches into subfolders.
    sequence
        None: single-plane files with equal stem and running number are one stack.
        True: all files are one stack, each folder or wildcard one, and a single file brings
        its numbered neighbours. False: every file by itself.
    recursive
        Whether a folder stands for its subfolders too.

    Raises
    ------
    FileError
        Nothing is there.
    """
    entries = [entry for given in _given(inputs) for entry in _unfold(given, recursive)]
    if sequence is None:
        return find_sequences(entries)
    if not sequence:
        return [ImageInput((file,)) for file in expand(entries)]
    if not all(entry.is_file() for entry in entries):
        return [as_sequence(expand(entry)) for entry in entries]
    return [siblings(entries[0]) if len(entries) == 1 else as_sequence(entries)]


def _given(inputs: Iterable[PathLike]) -> list[Path]:
    paths = [Path(entry).expanduser() for entry in inputs]
    for path in paths:
        check_name(path)
    return paths


def find_all(
    inputs: Iterable[PathLike],
    sequence: bool | None = None,
    *,
    recursive: bool = False,
    results: Collection[Path] = (),
) -> Found:
    """Find inputs as `find_inputs` does, every image of a file, and leave out results of ours.

    Parameters
    ----------
    inputs, sequence, recursive
        As for `find_inputs`.
    results
        Files and folders that are no inputs unless they are named themselves.
    """
    given = _given(inputs)
    known = {path.resolve() for path in results}
    named = [entry for entry in given if entry.is_file() or is_store(entry)]
    groups = [[entry] for entry in given if entry not in named]
    if sequence:  # all of it is one stack
        named, groups = [], [given]
    sources, left, missing = list[ImageInput](), list[Path](), list[FileError]()
    for group in [named, *groups] if named else groups:
        try:
            found = find_inputs(group, sequence, recursive=recursive)
        except FileError as error:
            missing.append(error)
            continue
        for source in found:
            if group is not named and _is_result(source, known):
                left.append(source.pattern)
            else:
                sources.append(source)
    unique = dict.fromkeys(image for source in sources for image in images_of(source))
    return Found(tuple(unique), tuple(left), tuple(missing))


def find_measured(
    inputs: Iterable[PathLike], sequence: bool | None = None, *, recursive: bool = False
) -> list[ImageInput]:
    """Find inputs as `find_inputs` does, without results of ours that nobody named; say so.

    Raises
    ------
    FileError
        Nothing is there, or nothing but results.
    """
    given = _given(inputs)
    named = {entry.resolve() for entry in given if entry.exists()}
    found = find_inputs(given, sequence, recursive=recursive)
    kept = [s for s in found if s.files[0].resolve() in named or not _is_result(s, ())]
    left = len(found) - len(kept)
    if not kept:
        rule = f"all {left} images there are results of denoising"
        raise FileError(given[0], rule, "name one of them to denoise it once more")
    if left:
        count = "1 result of denoising was" if left == 1 else f"{left} results of denoising were"
        text = f"{count} left out; name one to denoise it once more"
        say(text, ReadWarning, stacklevel=3)
    return kept


def _is_result(source: ImageInput, known: Collection[Path]) -> bool:
    """Whether a file is what a run wrote: it says how it was denoised, or is known to be one."""
    place = source.files[0].resolve()
    if known and any(path in known for path in (place, *place.parents)):
        return True
    try:
        values = sidecar.load(source.pattern)
    except FileError:
        return False
    return "napari_denoise" in values.get("extra", {})


def _unfold(given: PathLike, recursive: bool) -> list[Path]:
    """Resolve wildcards in folder names and subfolders; those in file names `expand` resolves."""
    path = Path(given).expanduser()
    if path.is_dir() and not is_store(path):
        return _in_folder(path, recursive)
    if path.exists() or not re.search(r"[*?\[]", str(path.parent)):
        return [path]
    found = [Path(name) for name in glob(str(path), recursive=True)]
    files = [file for file in found if is_image(file)]
    if not files:
        raise FileError(path, "no image matches", "check the folders and the wildcard")
    ordered: list[Path] = natsorted(files, key=str)
    return ordered


def _in_folder(folder: Path, recursive: bool) -> list[Path]:
    if not recursive:
        _mention_subfolders(folder)
        return [folder]
    folders = [folder]
    for place, below, _ in os.walk(folder):
        below[:] = natsorted(name for name in below if _is_entered(Path(place) / name))
        folders += [Path(place) / name for name in below]
    found = [place for place in folders if any(map(_is_image, place.iterdir()))]
    if not found:
        raise FileError(folder, "neither it nor a folder in it holds an image", "name another one")
    return found


def _mention_subfolders(folder: Path) -> None:
    """Say what to do about a folder of folders, which is no input by itself."""
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    if any(map(_is_image, entries)):
        return
    below = [entry for entry in entries if entry.is_dir()]
    if below:
        raise FileError(
            folder,
            f"it holds no image, only {len(below)} folder{'s' if below[1:] else ''}",
            "pass --recursive (recursive=True) to take what is in them, or name one of them",
        )


def _is_image(path: Path) -> bool:
    there = path.is_file() or is_store(path)
    return not path.name.startswith(".") and bool(suffix_of(path)) and there


def _is_entered(path: Path) -> bool:
    """Whether a subfolder is looked into: an image in a folder is one input."""
    return not path.name.startswith(".") and not is_store(path)
