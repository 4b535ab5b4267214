"""Which files belong together: folders, wildcards, sets and numbered frames.

The rule: single-plane files in one folder with equal names but for numbers that count time, planes
or channels are ONE stack. Positions and wells are an input each, and so is every other file.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import tifffile
from natsort import natsorted

from napari_denoise.io.errors import FileError
from napari_denoise.io.grouping import Stack, grouped
from napari_denoise.io.guarded import Log, guarded
from napari_denoise.io.names import LONGEST, length
from napari_denoise.io.numbering import WELL, Counter, counters, missing_numbers
from napari_denoise.io.sets.parts import entrances, files_of_description, is_part
from napari_denoise.io.tiff_bounds import check_planes
from napari_denoise.io.zarr_folders import MARKS, STORE_SUFFIXES, holds_images, is_store

FRAME_SUFFIXES = (".png", ".jpg", ".jpeg", ".exr")
TIFF_SUFFIXES = (".ome.tif", ".ome.tiff", ".tif", ".tiff", ".ome.btf", ".btf", ".tf8")
TIFF_DIALECTS = (".lsm", ".stk", ".companion.ome")
"""TIFF by other names, and files that describe it: read, never written."""
LIF_SUFFIXES = (".lif", ".lof", ".xlif")
VENDOR_SUFFIXES = (".nd2", *LIF_SUFFIXES, ".czi")
"""Files of microscopes that need their vendors' libraries; read, never written."""
SUFFIXES = (
    *(*TIFF_SUFFIXES, *TIFF_DIALECTS, *FRAME_SUFFIXES),
    *(".npy", *STORE_SUFFIXES, *VENDOR_SUFFIXES),
)
"""What `read` opens; longer suffixes first."""
_ANYTHING = re.compile("")

PathLike = str | Path
_WHOLE = "Full resolution"
_JOINTS = "_-. "


@dataclass(frozen=True)
class ImageInput:
    """One input: a file, or the numbered frames of a stack.

    Parameters
    ----------
    files
        In the order of their numbers.
    numbers
        Of the frames; empty for a file that stands alone.
    series
        Which image of its file it is; None where the file holds one, or was not asked.
    label
        The image's name as a part of file names, alike for no other image of the file.
    axes, shape
        What the files of a stack count, of T, Z and C, and how far; the last runs fastest.
    """

    files: tuple[Path, ...]
    numbers: tuple[int, ...] = ()
    series: int | None = None
    label: str = ""
    axes: str = "T"
    shape: tuple[int, ...] = ()

    @property
    def is_stack(self) -> bool:
        """Whether the files form the frames of one stack."""
        return len(self.files) > 1

    @property
    def pattern(self) -> Path:
        """The file, or the frames as ``folder/stem_####.exr``."""
        first = self.files[0]
        if not self.is_stack:
            return first
        name = first.name
        for counter in reversed(self._running):
            width = counter.stop - counter.start
            name = f"{name[: counter.start]}{'#' * width}{name[counter.stop :]}"
        return first.with_name(name)

    @property
    def name(self) -> str:
        """A short name to show, without running numbers and suffix."""
        first = self.files[0]
        stem = first.name.removesuffix(suffix_of(first))
        if not self.is_stack:
            return f"{stem}_{self.label}" if self.label else stem
        for counter in reversed(self._running):
            parts = stem[: counter.begin].rstrip(_JOINTS), stem[counter.stop :].lstrip(_JOINTS)
            stem = "_".join(filter(None, parts))
        return stem.strip(_JOINTS) or first.parent.name or str(split_number(first)[1])

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names of channels that stand in the names of files; empty for mere numbers."""
        if self.axes[-1:] != "C":
            return ()
        count = self.shape[-1] if self.shape else len(self.files)
        found = [_counters_of(file) for file in self.files[:count]]
        names = [next((c.label for c in each if c.kind == "C"), "") for each in found]
        return tuple(names) if all(names) else ()

    @property
    def _running(self) -> list[Counter]:
        """What varies in the names of the files, found in the first one."""
        first, last = _counters_of(self.files[0]), _counters_of(self.files[-1])

        def one(counter: Counter) -> Counter:  # of wells that are channels the number alone
            return replace(counter, start=counter.start + (counter.kind == WELL))

        if len(first) == len(last):
            pairs = zip(first, last, strict=True)
            varying = [one(before) for before, after in pairs if before.value != after.value]
            if varying:
                return varying
        return [counter for counter in first[-1:] if isinstance(counter.value, int)]

    @property
    def gaps(self) -> tuple[int, ...]:
        """Numbers that are missing between the first and the last."""
        return missing_numbers(self.numbers) if self.axes != "C" else ()


def suffix_of(path: Path) -> str:
    """Suffix as the file spells it, ".ome.tif" included; "" if `read` does not know it."""
    name = path.name.lower()
    known = next((s for s in SUFFIXES if name.endswith(s)), "")
    return path.name[len(path.name) - len(known) :] if known else ""


def kind_of(path: Path) -> str:
    """Suffix in lower case that tells who reads a file; of a store, whatever it is called, too."""
    return STORE_SUFFIXES[0] if is_store(path) else suffix_of(path).lower()


def is_image(path: Path) -> bool:
    """Whether `read` knows what a folder lists: a file by its ending, a store by what it says."""
    suffix = suffix_of(path).lower()
    if suffix in STORE_SUFFIXES and path.is_dir():
        return holds_images(path)
    return bool(suffix) and path.is_file()


def split_number(path: Path) -> tuple[str, int | None, str]:
    """Split ``frame_0012.exr`` into ("frame_", 12, ".exr")."""
    suffix = suffix_of(path)
    digits = _digits(path)  # with the sign of frames before the first
    prefix = path.name[: len(path.name) - len(suffix) - len(digits)]
    return prefix, int(digits) if digits else None, suffix


def expand(path: PathLike | Iterable[PathLike]) -> list[Path]:
    """List the files that a file, folder, wildcard, ``####`` pattern or list stands for.

    Returns
    -------
    In natural order (``f2`` before ``f10``); of a folder or wildcard only the files that
    `read` knows, without hidden ones and without subfolders.

    Raises
    ------
    FileError
        Nothing is there, or nothing that can be read.
    """
    if not isinstance(path, (str, Path)):
        files = list(dict.fromkeys(file for entry in path for file in expand(entry)))
        if not files:
            raise FileError("[]", "the list of files is empty", "name at least one file")
        return files
    _check_reach(path)
    path = Path(path).expanduser()
    if path.name in MARKS and is_store(path.parent):  # what a dialog for files can choose
        path = path.parent
    if is_store(path):
        return [path]
    if os.path.isfile(path):  # a name that is too long is not there
        return files_of_description(path) or [path]
    if os.path.isdir(path):
        if (path / _WHOLE).is_dir():  # NDTiff beside its smaller copies
            path = path / _WHOLE
        return _known(path, path.iterdir(), "the folder holds no image")
    if re.search(r"[*?\[#]", path.name):
        return _known(path, _matching(path), "no image matches")
    raise _not_there(path)


def find_sequences(paths: PathLike | Iterable[PathLike]) -> list[ImageInput]:
    """Group files into inputs by the rule of this module.

    Parameters
    ----------
    paths
        As for `expand`.

    Returns
    -------
    One entry per input, in natural order.

    Raises
    ------
    FileError
        Nothing is there.
    """
    alone, rest = entrances(expand(paths))
    stacks = grouped(rest, suffix_of, _plane_of)
    found = [*(ImageInput((file,)) for file in alone), *map(_input, stacks)]
    return natsorted(found, key=lambda entry: str(entry.files[0])) if alone else found


def as_sequence(files: Iterable[Path]) -> ImageInput:
    """Make one stack of the files in the order of their numbers, else in the one given."""
    files = tuple(files)
    stacks = list(grouped(files, suffix_of, lambda _: True, dense=False))
    return _input(stacks[0]) if len(stacks) == 1 else ImageInput(files)


def siblings(path: Path) -> ImageInput:
    """Find the stack that a numbered file belongs to; the file alone if it has none."""
    if not _counters_of(path) or is_part(path):
        return ImageInput((path,))
    suffix = suffix_of(path).lower()
    near = [p for p in path.parent.iterdir() if suffix_of(p).lower() == suffix]
    length = len(_counters_of(path))
    alike = [p for p in near if len(_counters_of(p)) == length and not p.name.startswith(".")]
    ordered: list[Path] = natsorted(alike, key=lambda file: file.name)
    found = (_input(stack) for stack in grouped(ordered, suffix_of, _plane_of))
    return next((s for s in found if path in s.files), ImageInput((path,)))


def is_single_plane(path: Path) -> bool:
    """Whether a file holds one image of Y and X (and colour samples), nothing more."""
    return _plane_of(path) is not None


def _plane_of(path: Path) -> Hashable:
    """Tell what a file of one plane holds, as far as its header says; None for others."""
    suffix = suffix_of(path).lower()
    if suffix not in TIFF_SUFFIXES:
        return suffix if suffix in FRAME_SUFFIXES else None
    try:
        with (
            guarded(path, lambda said: FileError(path, said, ""), Log(_ANYTHING)),
            tifffile.TiffFile(path, _multifile=False) as tif,
        ):
            check_planes(path, tif.ome_metadata, [tif.pages.first.size])
            single = _has_one_page(tif) and set(tif.series[0].axes) <= set("YXS")
            return (tif.series[0].shape, str(tif.series[0].dtype)) if single else None
    except (FileError, MemoryError):
        return suffix  # unreadable: whoever reads it says so, with its name


def _has_one_page(tif: tifffile.TiffFile) -> bool:
    try:
        tif.pages[1]
    except IndexError:
        return True
    return False


def _input(stack: Stack) -> ImageInput:
    return ImageInput(
        stack.files, stack.numbers, axes=stack.axes or "T", shape=stack.shape if stack.axes else ()
    )


def _counters_of(file: Path) -> tuple[Counter, ...]:
    return counters(file.name[: len(file.name) - len(suffix_of(file))])


def _digits(path: Path) -> str:
    stem = path.name[: len(path.name) - len(suffix_of(path))]
    # A dash after a separator is a sign (shot_-001), after a letter or number none (shot-001).
    found = re.search(r"(?:(?<=[_. ])-)?[0-9]+$", stem)
    return found.group() if found else ""


def _matching(path: Path) -> Iterable[Path]:
    pattern = re.sub(r"#+", "*", path.name)
    found = path.parent.glob(pattern) if path.parent.is_dir() else ()
    if "#" not in path.name:
        return found
    exact = r"(?:(?<![a-zA-Z0-9])-)?[0-9]+".join(
        re.escape(part) for part in re.split(r"#+", path.name)
    )
    return (file for file in found if re.fullmatch(exact, file.name))


def _known(path: Path, found: Iterable[Path], problem: str) -> list[Path]:
    files = [f for f in found if not f.name.startswith(".") and is_image(f)]
    if not files:
        raise FileError(path, problem, f"expected files that end in {', '.join(SUFFIXES)}")
    ordered: list[Path] = natsorted(files, key=lambda file: file.name)
    return ordered


def _check_reach(path: PathLike) -> None:
    """Refuse what lies elsewhere, or is packed."""
    text = str(path)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", text):
        raise FileError(text, "it is not on this machine", "copy it to a disk first", value=text)
    if text.lower().endswith((".zarr.zip", ".ozx")) and Path(text).is_file():
        raise FileError(text, "it is a zipped store", "unpack it first")


def check_name(path: Path) -> None:
    """Refuse what no file can be called.

    Raises
    ------
    FileError
        A name on the way is too long, or holds a null character.
    """
    if any(length(part) > LONGEST for part in path.parts) or "\0" in str(path):
        raise _not_there(path)


def _not_there(path: Path) -> FileError:
    """Say what stands in the place of a file or folder."""
    try:
        path.stat()
    except OSError as error:
        if error.errno == errno.ELOOP:
            return FileError(
                path, "a link on its way leads back to itself", "name what the link should lead to"
            )
        if error.errno == errno.ENAMETOOLONG:
            rule = "there is no such file: the name is too long for any"
            return FileError(path, rule, "check the spelling")
        if path.is_symlink():
            rule = f"it is a link to {os.readlink(path)}, which does not exist"
            return FileError(path, rule, "bring that back, or name the file itself")
        if error.errno == errno.EACCES:
            return FileError(path, "it may not be looked at", "ask for the right to read it")
        return FileError(path, "there is no such file or folder", _hint(path))
    except ValueError:  # a null character
        return FileError(repr(str(path)), "that is no name of a file", "check the spelling")
    rule = "it is neither a file nor a folder, but a pipe, a socket or a device"
    return FileError(path, rule, "save what it gives as a file")


def _hint(path: Path) -> str:
    suffix = suffix_of(path)
    if suffix and path.parent.is_dir():
        stem = path.name.removesuffix(suffix)
        pattern = path.with_name(f"{stem}_####{suffix}")
        if any(_matching(pattern)):
            return f"for the numbered frames there pass {pattern.name!r}"
    return "check the spelling"
