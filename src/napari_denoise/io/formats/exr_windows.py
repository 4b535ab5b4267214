"""Data windows of OpenEXR: where in the picture the stored pixels lie."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels of the display window; right and bottom are outside."""


def box_of(header: Mapping[str, Any], name: str = "dataWindow") -> Box:
    """Return the data window that a header states, or its "displayWindow"."""
    (left, top), (right, bottom) = header[name]
    return int(left), int(top), int(right) + 1, int(bottom) + 1


def union(boxes: Iterable[Box]) -> Box:
    """Return the least box that holds all."""
    left, top, right, bottom = zip(*boxes, strict=True)
    return min(left), min(top), max(right), max(bottom)


def size_of(box: Box) -> tuple[int, int]:
    """Rows and columns."""
    return box[3] - box[1], box[2] - box[0]


def place(image: NDArray[Any], own: Box, wanted: Box, fill: float = 0.0) -> NDArray[Any]:
    """Return the pixels of another box: what lies outside the image's own is `fill`.

    Parameters
    ----------
    image
        (Y, X, ...) of the box `own`.
    """
    if own == wanted:
        return image
    placed = np.full((*size_of(wanted), *image.shape[2:]), fill, image.dtype)
    inside, source = overlap(wanted, own), overlap(own, wanted)
    placed[inside] = image[source]
    return placed


def overlap(box: Box, other: Box) -> tuple[slice, slice]:
    """Rows and columns of a box that another one has, too."""
    left, top = max(box[0], other[0]), max(box[1], other[1])
    right, bottom = max(min(box[2], other[2]), left), max(min(box[3], other[3]), top)
    return slice(top - box[1], bottom - box[1]), slice(left - box[0], right - box[0])
