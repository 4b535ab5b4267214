"""OME-TIFF sets: one image in many files, described by a companion or by one of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import tifffile

from napari_denoise.io.errors import FileError, ReadWarning, say
from napari_denoise.io.guarded import Log, guarded
from napari_denoise.io.tiff_bounds import sizes_of_pages

COMPANION = ".companion.ome"
_FORWARD = re.compile(r"<(?:\w+:)?BinaryOnly\b[^>]*\bMetadataFile=\"([^\"]+)\"")


@dataclass(frozen=True)
class OmeSet:
    """Files that one OME-XML speaks of.

    Parameters
    ----------
    holder
        The file with the XML.
    images
        Names of files per image, each in the order of its planes.
    """

    holder: Path
    images: tuple[tuple[str, ...], ...]

    @property
    def files(self) -> set[Path]:
        """All files of the set, there or not."""
        names = {name for image in self.images for name in image}
        return {self.holder, *(self.holder.parent / name for name in names)}

    @property
    def entrances(self) -> list[Path]:
        """Files that open all images between them, each the first of an image."""
        firsts = (self.holder.parent / image[0] for image in self.images if image)
        return list(dict.fromkeys(firsts))


def open_tiff(path: Path, *, multifile: bool = True) -> tifffile.TiffFile:
    """Open a TIFF, and with it the set of which it is a part, or that its companion describes.

    Raises
    ------
    FileError
        A companion that is no OME-XML, or whose files are not there.
    """
    if path.name.lower().endswith(COMPANION):
        described = set_of(path)
        member = next((f for f in described.entrances if f.is_file()), None) if described else None
        if member is None:
            raise FileError(
                path,
                "it describes images in other files, and none of them is there"
                if described
                else "it is not OME-XML that names the files of a set",
                "put all files of the set into one folder",
            )
        return _described(member, path)
    tif = tifffile.TiffFile(path, _multifile=multifile)
    forward = _forwarded(tif) if multifile else None
    if forward is None:
        return tif
    place = path.parent / forward
    if not place.is_file():
        say(
            f"{path}: its axes, sizes and other planes are described in {forward!r}, which is not "
            "there: this file was opened by itself",
            ReadWarning,
            stacklevel=6,
        )
        return tif
    tif.close()
    if place.suffix.lower() in (".ome", ".xml"):
        return _described(path, place)
    return tifffile.TiffFile(place)


def _described(path: Path, companion: Path) -> tifffile.TiffFile:
    tif = tifffile.TiffFile(path, omexml=_text(companion))
    tif.is_ome = True  # whatever stands in the file itself
    return tif


def sets_among(files: Iterable[Path]) -> list[OmeSet]:
    """Find the sets that some files belong to; a file of its own is none."""
    found: list[OmeSet] = []
    taken: set[Path] = set()
    for file in sorted(files, key=lambda f: not f.name.lower().endswith(COMPANION)):
        if file in taken or not re.search(r"\.(ome|ome\.tiff?|ome\.btf)$", file.name.lower()):
            continue
        described = set_of(file)
        if described is not None:
            found.append(described)
            taken |= described.files
    return found


def set_of(path: Path) -> OmeSet | None:
    """Find the set that a file belongs to, or describes; None for one that stands alone."""
    try:
        if path.name.lower().endswith(COMPANION):
            holder, text = path, _text(path)
        else:
            with _glanced(path) as tif:
                holder, text = path, tif.ome_metadata or ""
                forward = _forwarded(tif)
            if forward:
                holder = path.parent / forward
                text = _text(holder) if holder.suffix.lower() in (".ome", ".xml") else ""
                if not text:
                    with _glanced(holder) as tif:
                        text = tif.ome_metadata or ""
        images = _files_of_images(text)
    except (OSError, ValueError, IndexError, KeyError, TypeError, ElementTree.ParseError):
        return None  # whoever reads it says what is wrong
    if len({name for image in images for name in image}) < (
        1 if holder != path or _is(path) else 2
    ):
        return None
    return OmeSet(holder, images)


@contextmanager
def _glanced(path: Path) -> Iterator[tifffile.TiffFile]:
    """Open a TIFF for a look at its metadata; nothing of what is wrong with it is logged."""
    with guarded(path, lambda said: FileError(path, said, ""), Log(expected=re.compile(""))):
        sizes_of_pages(path)
        with tifffile.TiffFile(path, _multifile=False) as tif:
            yield tif


def _is(path: Path) -> bool:
    return path.name.lower().endswith(COMPANION)


def _files_of_images(xml: str) -> tuple[tuple[str, ...], ...]:
    if "<UUID" not in xml and ":UUID" not in xml:
        return ()
    images = []
    for image in ElementTree.fromstring(xml):  # noqa: S314 - expat stops entities that grow
        if image.tag.rpartition("}")[2] != "Image":
            continue
        names = [e.get("FileName") for e in image.iter() if e.tag.rpartition("}")[2] == "UUID"]
        images.append(tuple(dict.fromkeys(name for name in names if name)))
    return tuple(images)


def _forwarded(tif: tifffile.TiffFile) -> str | None:
    """Name of the file that has the metadata of a binary-only one."""
    found = _FORWARD.search(tif.pages.first.description) if tif.is_ome else None
    return found.group(1) if found else None


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8-sig", errors="replace")
