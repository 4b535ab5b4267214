"""Axes that nothing but the shape tells: they are asked for before the night starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_denoise.io.errors import FileError
from napari_denoise.io.meta import ImageMeta
from napari_denoise.io.sidecar import sidecar_path

if TYPE_CHECKING:
    from napari_denoise.batch.survey import PlanRow


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
        f"state them (--axes {row.axes}, axes={row.axes!r}, or Axes of the selected rows), or "
        "take what is guessed (--guess-axes, guess_axes=True)",
        value=row.axes,
    )
