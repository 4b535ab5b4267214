"""Which files belong together: folders, wildcards and numbered frames.

The rule: single-plane files in one folder with an equal stem, an equal suffix and a
running number just before the suffix are ONE stack; anything else is one input per file.
"""

from __future__ import annotations

import re
import struct
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import tifffile
from natsort import natsorted

from napari_denoise.io.errors import FileError
from napari_denoise.io.zarr_folders import STORE_SUFFIXES, holds_images, is_store

FRAME_SUFFIXES = (".png", ".jpg", ".jpeg", ".exr")
TIFF_SUFFIXES = (".ome.tif", ".ome.tiff", ".tif", ".tiff", ".ome.btf", ".btf", ".tf8")
SUFFIXES = (*TIFF_SUFFIXES, *FRAME_SUFFIXES, ".npy", *STORE_SUFFIXES)
"""What `read` opens; longer suffixes first."""

PathLike = str | Path


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
    """

    files: tuple[Path, ...]
    numbers: tuple[int, ...] = ()
    series: int | None = None
    label: str = ""

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
        prefix, _, suffix = split_number(first)
        width = min(len(_digits(file)) for file in self.files)
        return first.with_name(f"{prefix}{'#' * width}{suffix}")

    @property
    def name(self) -> str:
        """A short name to show, without number and suffix."""
        prefix, number, suffix = split_number(self.files[0])
        if not self.is_stack:
            stem = self.files[0].name.removesuffix(suffix)
            return f"{stem}_{self.label}" if self.label else stem
        return prefix.rstrip("_-. ") or self.files[0].parent.name or str(number)

    @property
    def gaps(self) -> tuple[int, ...]:
        """Numbers that are missing between the first and the last."""
        if not self.numbers:
            return ()
        return tuple(sorted(set(range(self.numbers[0], self.numbers[-1])) - {*self.numbers}))


def suffix_of(path: Path) -> str:
    """Suffix as the file spells it, ".ome.tif" included; "" if `read` does not know it."""
    name = path.name.lower()
    known = next((s for s in SUFFIXES if name.endswith(s)), "")
    return path.name[len(path.name) - len(known) :] if known else ""


def is_image(path: Path) -> bool:
    """Whether `read` knows what a folder lists: a file by its ending, a store by what it says."""
    suffix = suffix_of(path).lower()
    if suffix in STORE_SUFFIXES and path.is_dir():
        return holds_images(path)
    return bool(suffix) and path.is_file()


def split_number(path: Path) -> tuple[str, int | None, str]:
    """Split ``frame_0012.exr`` into ("frame_", 12, ".exr")."""
    suffix = suffix_of(path)
    digits = _digits(path)
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
    if path.is_file() or is_store(path):
        return [path]
    if path.is_dir():
        return _known(path, path.iterdir(), "the folder holds no image")
    if re.search(r"[*?\[#]", path.name):
        return _known(path, _matching(path), "no image matches")
    raise FileError(path, "there is no such file or folder", _hint(path))


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
    groups: dict[tuple[Path, str, str], list[Path]] = defaultdict(list)
    for file in expand(paths):
        prefix, number, suffix = split_number(file)
        key = (file.parent, prefix, suffix.lower())
        groups[(file, "", "") if number is None else key].append(file)
    return [sequence for files in groups.values() for sequence in _divide(files)]


def as_sequence(files: Iterable[Path]) -> ImageInput:
    """Make one stack of the files in the order of their numbers, else in the one given."""
    files = tuple(files)
    split = [split_number(file) for file in files]
    numbers = tuple(number for _, number, _ in split if number is not None)
    running = len({(prefix, suffix.lower()) for prefix, _, suffix in split}) == 1
    if not running or len(set(numbers)) != len(files):
        return ImageInput(files)
    order = sorted(range(len(files)), key=numbers.__getitem__)
    return ImageInput(tuple(files[i] for i in order), tuple(numbers[i] for i in order))


def siblings(path: Path) -> ImageInput:
    """Find the stack that a numbered file belongs to; the file alone if it has none."""
    prefix, number, suffix = split_number(path)
    if number is None:
        return ImageInput((path,))
    names = (p for p in path.parent.iterdir() if split_number(p)[0] == prefix)
    group = [p for p in names if split_number(p)[2].lower() == suffix.lower()]
    found = find_sequences([p for p in group if split_number(p)[1] is not None])
    return next(s for s in found if path in s.files)


def is_single_plane(path: Path) -> bool:
    """Whether a file holds one image of Y and X (and colour samples), nothing more."""
    suffix = suffix_of(path).lower()
    if suffix not in TIFF_SUFFIXES:
        return suffix in FRAME_SUFFIXES
    try:
        with tifffile.TiffFile(path, _multifile=False) as tif:
            return _has_one_page(tif) and set(tif.series[0].axes) <= set("YXS")
    except (tifffile.TiffFileError, OSError, ValueError, IndexError, KeyError, struct.error):
        return True  # unreadable: whoever reads it says so, with its name


def _has_one_page(tif: tifffile.TiffFile) -> bool:
    try:
        tif.pages[1]
    except IndexError:
        return True
    return False


def _divide(files: list[Path]) -> list[ImageInput]:
    """Files with equal stem and a number: the single-plane ones together, if they can."""
    planes = [f for f in files if is_single_plane(f)] if len(files) > 1 else files
    stack = as_sequence(planes)
    if len(planes) < 2 or not stack.numbers:
        return [ImageInput((file,)) for file in files]
    rest = [ImageInput((file,)) for file in files if file not in planes]
    return [stack, *rest]


def _digits(path: Path) -> str:
    stem = path.name[: len(path.name) - len(suffix_of(path))]
    found = re.search(r"[0-9]+$", stem)
    return found.group() if found else ""


def _matching(path: Path) -> Iterable[Path]:
    pattern = re.sub(r"#+", "*", path.name)
    found = path.parent.glob(pattern) if path.parent.is_dir() else ()
    if "#" not in path.name:
        return found
    exact = "[0-9]+".join(re.escape(part) for part in re.split(r"#+", path.name))
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


def _hint(path: Path) -> str:
    suffix = suffix_of(path)
    if suffix and path.parent.is_dir():
        stem = path.name.removesuffix(suffix)
        pattern = path.with_name(f"{stem}_####{suffix}")
        if any(_matching(pattern)):
            return f"for the numbered frames there pass {pattern.name!r}"
    return "check the spelling"
