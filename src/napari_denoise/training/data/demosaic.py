"""Full colour from a Bayer mosaic: three ways, from plain to edge-aware."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve

Plane = NDArray[np.float32]
"""(Y, X)."""
Colour = NDArray[np.float32]
"""(3, Y, X), red, green, blue."""
Phase = tuple[int, int]
"""Row and column of the RGGB order that the first pixel is at, each 0 or 1."""

_TENT = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], np.float32) / 4
_CROSS = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]], np.float32) / 4
# Malvar, He and Cutler 2004: an average of the wanted colour, and a Laplacian of the present one.
_GREEN = (
    np.array(
        [[0, 0, -1, 0, 0], [0, 0, 2, 0, 0], [-1, 2, 4, 2, -1], [0, 0, 2, 0, 0], [0, 0, -1, 0, 0]],
        np.float32,
    )
    / 8
)
_ALONG_ROW = (
    np.array(
        [
            [0, 0, 0.5, 0, 0],
            [0, -1, 0, -1, 0],
            [-1, 4, 5, 4, -1],
            [0, -1, 0, -1, 0],
            [0, 0, 0.5, 0, 0],
        ],
        np.float32,
    )
    / 8
)
_ACROSS = (
    np.array(
        [
            [0, 0, -1.5, 0, 0],
            [0, 2, 0, 2, 0],
            [-1.5, 0, 6, 0, -1.5],
            [0, 2, 0, 2, 0],
            [0, 0, -1.5, 0, 0],
        ],
        np.float32,
    )
    / 8
)


def mosaic(linear: Colour, phase: Phase) -> Plane:
    """Keep one colour a pixel."""
    return np.asarray((linear * _masks(linear.shape[1:], phase)).sum(axis=0), np.float32)


def bilinear(raw: Plane, phase: Phase) -> Colour:
    """Average the nearest pixels of each colour."""
    masks = _masks(raw.shape, phase)
    kernels = (_TENT, _CROSS, _TENT)
    return np.stack([_filtered(raw * m, k) for m, k in zip(masks, kernels, strict=True)])


def gradient_corrected(raw: Plane, phase: Phase) -> Colour:
    """Correct the averages by what the colour that is there does (Malvar, He and Cutler 2004)."""
    red, green, blue = _masks(raw.shape, phase).astype(bool)
    rows_of_red = _rows(red)
    at_any, across = _filtered(raw, _GREEN), _filtered(raw, _ACROSS)
    along, upright = _filtered(raw, _ALONG_ROW), _filtered(raw, _ALONG_ROW.T)
    beside = np.where(rows_of_red, along, upright)
    above = np.where(rows_of_red, upright, along)
    return np.stack(
        [
            np.where(red, raw, np.where(green, beside, across)),
            np.where(green, raw, at_any),
            np.where(blue, raw, np.where(green, above, across)),
        ]
    )


def edge_aware(raw: Plane, phase: Phase) -> Colour:
    """Green along the smaller gradient, red and blue by their distance to it.

    Hamilton and Adams 1997, US patent 5629734 (expired).
    """
    masks = _masks(raw.shape, phase)
    green: Plane = np.where(masks[1] > 0, raw, _green_along_edges(raw)).astype(np.float32)
    distance = raw - green
    others = [green + _filtered(distance * mask, _TENT) for mask in (masks[0], masks[2])]
    return np.stack([others[0], green, others[1]])


DEMOSAICERS: tuple[Callable[[Plane, Phase], Colour], ...] = (
    bilinear,
    gradient_corrected,
    edge_aware,
)


def _green_along_edges(raw: Plane) -> Plane:
    padded = np.pad(raw, 2, mode="reflect")
    rows, columns = raw.shape

    def moved(y: int, x: int) -> Plane:
        return padded[2 + y : 2 + y + rows, 2 + x : 2 + x + columns]

    estimates, gradients = [], []
    for y, x in ((0, 1), (1, 0)):
        bend = 2 * raw - moved(2 * y, 2 * x) - moved(-2 * y, -2 * x)
        estimates.append((moved(y, x) + moved(-y, -x)) / 2 + bend / 4)
        gradients.append(np.abs(moved(y, x) - moved(-y, -x)) + np.abs(bend))
    return np.where(gradients[0] < gradients[1], *estimates)


def _masks(shape: tuple[int, ...], phase: Phase) -> Colour:
    """(3, Y, X), 1 where the pixel has that colour."""
    masks = np.zeros((3, *shape), np.float32)
    y, x = phase
    masks[0, y::2, x::2] = 1
    masks[2, 1 - y :: 2, 1 - x :: 2] = 1
    masks[1] = 1 - masks[0] - masks[2]
    return masks


def _rows(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(Y, 1), the rows that hold a pixel of the mask."""
    return np.asarray(mask.any(axis=1, keepdims=True))


def _filtered(plane: NDArray[np.floating], kernel: NDArray[np.floating]) -> Plane:
    """Convolve; borders are mirrored about the pixel, which keeps the order of the mosaic."""
    return np.asarray(convolve(plane, kernel, output=np.float32, mode="mirror"))
