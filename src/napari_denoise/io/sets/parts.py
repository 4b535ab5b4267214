"""Files that are parts of one set, whatever their names count: OME, Micro-Manager, PrairieView."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from napari_denoise.io.sets.ome import COMPANION, set_of, sets_among
from napari_denoise.io.sets.prairie import is_prairie, prairie_files

_CONTINUED = re.compile(
    r"(?P<first>.+(?:_MMStack|_NDTiffStack).*?)_[0-9]+(?P<suffix>(?:\.ome)?\.tiff?)"
)


def entrances(files: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Tell files that open a set from those that stand for themselves.

    Returns
    -------
    sets
        One file per image of a set; the other parts are opened with it.
    rest
        Files that belong to no set.
    """
    named = {file.name for file in files}
    parts = {
        f
        for f in files
        if (m := _CONTINUED.fullmatch(f.name)) and m["first"] + m["suffix"] in named
    }
    left = [file for file in files if file not in parts]
    opened: list[Path] = []
    taken: set[Path] = set()
    for found in sets_among(left):
        members = [file for file in left if file in found.files]
        taken |= set(members)
        if found.holder.name.lower().endswith(COMPANION) and found.holder in members:
            opened.append(found.holder)
            continue
        for image in found.images:
            first = next((f for f in members if f.name in image), None)
            if first is not None and first not in opened:
                opened.append(first)
    return opened, [file for file in left if file not in taken]


def is_part(path: Path) -> bool:
    """Whether a file opens a set of files by itself."""
    return bool(re.search(r"\.ome\.\w+$", path.name.lower()) and set_of(path) is not None)


def files_of_description(path: Path) -> list[Path]:
    """Files that PrairieView's XML lists; empty for every other file."""
    return prairie_files(path) if is_prairie(path) else []
