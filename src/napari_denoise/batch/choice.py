"""What of an input is denoised: the image that stands in it, or chosen layers of a render."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_denoise.io.errors import FileError, listening
from napari_denoise.io.formats.exr_reader import ExrRequest, read_exr
from napari_denoise.io.inputs import ImageInput, expand, suffix_of
from napari_denoise.io.meta import ImageMeta
from napari_denoise.io.read import read


@dataclass(frozen=True)
class LayerChoice:
    """What of a render is denoised.

    Parameters
    ----------
    layers
        Names; none takes the image that `read` chooses.
    every_view
        The other layers of the image's kind, too: of all views and view layers.
    passes
        Its light passes, too, so that they add up.
    albedo, normal
        Files of their own.
    """

    layers: tuple[str, ...] = ()
    every_view: bool = False
    passes: bool = False
    albedo: Path | None = None
    normal: Path | None = None

    def __bool__(self) -> bool:
        """Whether anything is asked for."""
        return self != LayerChoice()

    @property
    def files(self) -> list[Path]:
        """Albedo and normals, every file of them.

        Raises
        ------
        FileError
            One is not there.
        """
        given = [file for file in (self.albedo, self.normal) if file is not None]
        return [file for pattern in given for file in expand(pattern)]

    def to_json(self) -> dict[str, Any]:
        """Return what is asked for, as JSON values; of files their names."""
        return {
            name: list(value) if name == "layers" else getattr(value, "name", value)
            for name, value in vars(self).items()
            if value
        }


def read_image(
    source: ImageInput, axes: str | None = None, choice: LayerChoice | None = None
) -> tuple[Any, ImageMeta]:
    """Read the image of an input, or the first of the chosen layers.

    Raises
    ------
    FileError
        It cannot be read, or has no such layer.
    """
    return next(read_images(source, axes, choice))


def read_images(
    source: ImageInput, axes: str | None = None, choice: LayerChoice | None = None
) -> Iterator[tuple[Any, ImageMeta]]:
    """Read the image of an input, or each of the chosen layers.

    Raises
    ------
    FileError
        It cannot be read, or has no such layer.
    """
    choice = choice or LayerChoice()
    names: list[str | None] = [*choice.layers]
    if choice.every_view:
        names = _alike(source, names)
    for name in dict.fromkeys(names or [None]):
        yield read(
            source.files,
            axes=axes,
            sequence=source.is_stack,
            series=source.series,
            layer=name,
            passes=choice.passes,
            albedo=choice.albedo,
            normal=choice.normal,
        )


def _alike(source: ImageInput, names: list[str | None]) -> list[str | None]:
    """Name the layers of the image's kind: those that are asked for, and all others."""
    first = source.files[0]
    if suffix_of(first).lower() != ".exr":
        raise FileError(first, "only OpenEXR has several views", "leave --every-view out")
    with listening():  # what is left out is not
        chosen = read_exr(first, ExrRequest(names[0] if names else None)).extra
    return [chosen["label"], *names[1:], *chosen["alike"]]
