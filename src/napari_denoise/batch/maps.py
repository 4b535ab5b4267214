"""A map beside a result: how many frames each of its pixels is made of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_denoise.image.axes import Layout
from napari_denoise.io.atomic import temporary_folder
from napari_denoise.io.meta import ImageMeta
from napari_denoise.io.write import write

if TYPE_CHECKING:
    from napari_denoise.image.tiles import Window
    from napari_denoise.inference.stack import StackJob


class FramesUsed:
    """Maps of all frames of a stack, on the disk until they are whole.

    Parameters
    ----------
    layout
        Of the stack; the maps have its axes without colour, Y and X last.
    folder
        For the temporary file.
    """

    def __init__(self, layout: Layout, folder: Path) -> None:
        self._layout = layout
        self._before = [n for n, letter in enumerate(layout.axes) if letter not in "YXS"]
        self.axes = "".join(layout.axes[n] for n in self._before) + "YX"
        shape = tuple(layout.size(letter) for letter in self.axes)
        self.maps = np.lib.format.open_memmap(
            folder / "frames_used.npy", mode="w+", dtype=np.float32, shape=shape
        )

    def put(self, number: int, where: Window, frames: Any) -> None:
        """Put the map of a window of a frame; None stands for the frame alone."""
        index = self._layout.frames[number]
        place = (*(index[n] for n in self._before), *where)
        self.maps[place] = 1 if frames is None else frames

    def write(self, path: Path, *, overwrite: bool) -> None:
        """Write all of them, once they are whole."""
        write(path, self.maps, ImageMeta(self.axes), overwrite=overwrite)


@contextmanager
def frames_used_map(path: Path | None, job: StackJob) -> Iterator[FramesUsed | None]:
    """Keep a map on the disk while a result is computed; None gives none."""
    if path is None:
        yield None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(path) as folder:
        yield FramesUsed(job.layout, folder)


def used_text(job: StackJob) -> str:
    """Say of how many frames the pixels are made on average; empty for frames by themselves."""
    if job.neighbors is None or job.frames_used is None:
        return ""
    return f"{job.frames_used:.1f} of {job.neighbors.most} frames used on average"
