"""The preview: what to compute first, and the temporary layer that shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from math import ceil, sqrt
from typing import Any

import numpy as np

from napari_denoise.image.axes import Layout
from napari_denoise.plugin.layers.cover import Cover
from napari_denoise.plugin.layers.source import Box, Source

FIRST_PIXELS = 448 * 448
"""Around the centre, in one go: with its halo well under a second on two processor cores."""
CELL = 704
"""Edge of the windows that fill in the rest."""
LARGEST = 256 << 20
"""Bytes of a plane to copy as a whole; of a larger one only the visible part."""


@dataclass(frozen=True)
class Piece:
    """A window of one frame, and where it stands in the layer."""

    frame: int
    y: slice
    x: slice
    box: Box


def cut(length: slice, first: int, cell: int) -> list[slice]:
    """Cut a range into a central piece of about `first` and cells towards both ends.

    >>> cut(slice(0, 10), 4, 2)
    [slice(0, 1, None), slice(1, 3, None), slice(3, 7, None), slice(7, 9, None), slice(9, 10, None)]
    """
    size = length.stop - length.start
    inner = min(first, size)
    start = length.start + (size - inner) // 2
    left = list(range(start, length.start, -cell))
    right = list(range(start + inner, length.stop, cell))
    edges = [length.start, *reversed(left), *right, length.stop]
    edges = sorted(set(edges))
    return [slice(a, b) for a, b in pairwise(edges)]


def plan(
    layout: Layout, view: Box, first_pixels: int = FIRST_PIXELS, cell: int = CELL
) -> list[Piece]:
    """Cut the visible part of a stack into windows of frames, the central one first.

    Parameters
    ----------
    layout
        Of the layer's array.
    view
        The visible part. Where it runs through time or depth (a transposed view), each
        frame contributes the line that is seen of it.
    first_pixels
        Size of the central window.
    cell
        Edge of the others.
    """
    letters = layout.axes
    y, x = view[letters.index("Y")], view[letters.index("X")]
    height, width = y.stop - y.start, x.stop - x.start
    rows = min(height, max(ceil(sqrt(first_pixels)), ceil(first_pixels / width)))
    columns = min(width, max(1, first_pixels // rows))
    stack = [i for i, a in enumerate(letters) if a not in "YXS"]
    lengths = [layout.shape[i] for i in stack]
    pieces = []
    for position in product(*(range(view[i].start, view[i].stop) for i in stack)):
        frame = int(np.ravel_multi_index(position, lengths)) if stack else 0
        for ys, xs in product(cut(y, rows, cell), cut(x, columns, cell)):
            pieces.append(Piece(frame, ys, xs, _box(letters, stack, position, ys, xs)))
    centre = [(s.start + s.stop) / 2 for s in view]
    return sorted(pieces, key=lambda piece: _distance(piece.box, centre))


def _box(letters: str, stack: Sequence[int], position: Sequence[int], y: slice, x: slice) -> Box:
    at = dict(zip(stack, position, strict=True))
    ranges = {"Y": y, "X": x}
    return tuple(
        slice(at[i], at[i] + 1) if i in at else ranges[a] for i, a in enumerate(letters) if a != "S"
    )


def _distance(box: Box, centre: Sequence[float]) -> float:
    """Squared distance from the centre to the nearest point of a box, then its middle."""
    gaps: list[float] = [max(s.start - c, 0, c - s.stop) for s, c in zip(box, centre, strict=True)]
    middle: list[float] = [(s.start + s.stop) / 2 - c for s, c in zip(box, centre, strict=True)]
    return sum(g * g for g in gaps) + 1e-6 * sum(m * m for m in middle)


class Overlay(Cover):
    """A cover that is noisy at first, and denoised bit by bit.

    Parameters
    ----------
    viewer
        Gets the layer, right above the one that it covers.
    source
        What is previewed.
    plane
        The part that the overlay spans.
    noisy
        Its pixels.
    """

    def __init__(self, viewer: Any, source: Source, plane: Box, noisy: Any) -> None:
        self.source = source
        self._pixels = noisy
        self._stale = False
        self.known = np.zeros(tuple(s.stop - s.start for s in plane), bool)
        super().__init__(viewer, source.layer, plane, noisy, "Preview of", "preview")

    def has(self, piece: Piece) -> bool:
        """Whether a piece is there already."""
        return bool(self.known[self._inside(piece)].all())

    def put(self, piece: Piece, pixels: Any, *, final: bool = True) -> None:
        """Put denoised pixels in place; those that are not final are asked for again."""
        where = self._inside(piece)
        self._pixels[where] = np.reshape(pixels, self._pixels[where].shape)
        self.known[where] = final
        self._stale = True

    def refresh(self) -> None:
        """Show what was put in place since the last time."""
        if self._stale:
            self._stale = False
            super().refresh()

    def _inside(self, piece: Piece) -> Box:
        return tuple(
            slice(s.start - p.start, s.stop - p.start)
            for s, p in zip(piece.box, self.plane, strict=True)
        )


def wanted_plane(source: Source, plane: Box, view: Box) -> Box:
    """Span of an overlay: the whole plane, so that panning keeps it, if memory allows."""
    pixel = np.dtype(source.array.dtype).itemsize * (
        source.array.shape[-1] if source.layer.rgb else 1
    )
    size = int(np.prod([s.stop - s.start for s in plane])) * pixel
    return plane if size <= LARGEST else view
