"""The images of one file: positions, scenes, fields. Each is an input by itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from napari_denoise.io.errors import FileError
from napari_denoise.io.formats import IMAGE_NAMES
from napari_denoise.io.inputs import ImageInput, kind_of


def images_of(source: ImageInput) -> list[ImageInput]:
    """Expand a file into its images; reads no pixels.

    Parameters
    ----------
    source
        A file, or the frames of a stack.

    Returns
    -------
    One input per image, with `series` and a `label` where there are several; the source
    itself where it holds one image, is the frames of a stack, or says its image already.
    A file that cannot be opened is returned too: reading it says what is wrong.
    """
    names_of = IMAGE_NAMES.get(kind_of(source.files[0]))
    if source.is_stack or source.series is not None or names_of is None:
        return [source]
    try:
        names = names_of(source.files[0])
    except FileError:
        return [source]
    if len(names) < 2:
        return [source]
    labels = enumerate(_labels(names))
    return [replace(source, series=number, label=label) for number, label in labels]


def images_among(
    sources: Iterable[ImageInput], series: int | None = None, position: str | None = None
) -> list[ImageInput]:
    """Expand files into their images, or find the one of each that is asked for.

    Parameters
    ----------
    sources
        Files and stacks.
    series
        Number of an image in its file, from 0.
    position
        Name or number of one.

    Raises
    ------
    FileError
        A file holds no such image.
    ValueError
        Both were given.
    """
    if series is not None and position is not None:
        raise ValueError(
            f"series {series} and position {position!r} both name an image: give one of them"
        )
    wanted = position if series is None else series
    if wanted is None:
        return [image for source in sources for image in images_of(source)]
    return [chosen(images_of(source), wanted) for source in sources]


def chosen(images: Sequence[ImageInput], wanted: str | int) -> ImageInput:
    """Find the image of a file that a number or a name asks for.

    Parameters
    ----------
    images
        From `images_of`.
    wanted
        A number from 0, or a name in any case.

    Raises
    ------
    FileError
        The file holds no such image; those that it holds are named.
    """
    for image in images:
        if str(wanted).casefold() in (str(image.series or 0), image.label.casefold()):
            return image
    held = ", ".join(f"{image.series}: {image.label}" for image in images if image.label)
    raise FileError(
        images[0].files[0],
        f"it holds no image {wanted!r}",
        f"choose one of {held}" if held else "it holds one image: ask for none, or for 0",
        value=wanted,
    )


def _labels(names: Iterable[str]) -> list[str]:
    """Names that may stand in the name of a file on every system, none of them twice."""
    labels: list[str] = []
    taken: set[str] = set()
    for number, name in enumerate(names):
        label = re.sub(r"[^\w.+-]+", "_", name)[:80].strip("._- ") or f"image{number}"
        if label.casefold() in taken:
            label = f"{label}_{number}"
        while label.casefold() in taken:
            label += "_"
        taken.add(label.casefold())
        labels.append(label)
    return labels
