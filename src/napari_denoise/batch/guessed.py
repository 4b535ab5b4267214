"""Axes that nothing but the shape tells: they are asked for before the night starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_denoise.io.errors import FileError
from napari_denoise.io.inputs import suffix_of
from napari_denoise.io.meta import ImageMeta
from napari_denoise.io.sidecar import sidecar_path

if TYPE_CHECKING:
    from napari_denoise.batch.survey import PlanRow
    from napari_denoise.io.inputs import ImageInput

FEW = 5
"""Files from which a run of numbers is hardly chance."""


def is_guess(meta: ImageMeta) -> bool:
    """Whether letters of axes come from nowhere but the shape; two of an image never do."""
    several = len(meta.axes) - ("S" in meta.axes) > 2
    silent = meta.extra.get("format") == "npy" or "file_axes" in meta.extra
    return several and silent and not sidecar_path(meta.source[0]).is_file()


def guess_note(row: PlanRow) -> str:
    """Say what is guessed of an input."""
    return (
        f"{row.task.source.pattern}: its file names no axes, {row.axes} of shape {row.shape} is a "
        "guess"
    )


def axes_wanted(row: PlanRow) -> FileError:
    """Return the question that has to be answered before an input is denoised."""
    return FileError(
        row.task.source.pattern,
        f"its file names no axes, {row.axes} of shape {row.shape} is a guess",
        f"state its axes (--axes {row.axes}; in napari Axes of the selected rows), or take the "
        "guess (--guess-axes)",
        value=row.axes,
    )


def few_numbered(source: ImageInput) -> str:
    """Say that few files were taken as one stack because of their numbers; empty for others."""
    count = len(source.files)
    if not source.is_stack or not 1 < count < FEW or suffix_of(source.files[0]).lower() == ".exr":
        return ""
    return (
        f"{source.pattern}: {count} numbered files are taken as one stack; --separate (in napari "
        "Each file by itself) leaves them apart"
    )
