"""A frame as planes: colour samples first, and back; means over blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_denoise.image.axes import Layout


def color_samples(frame: NDArray[Any], layout: Layout) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Turn a frame into (C, Y, X) colour samples, and (Y, X) alpha if it has any."""
    axes = layout.frame_axes
    order = [axes.index(letter) for letter in ("SYX" if "S" in axes else "YX")]
    planes = frame.transpose(order)
    if "S" not in axes:
        return planes[None], None
    if len(planes) in (2, 4):
        return planes[:-1], planes[-1]
    return planes, None


def frame_order(planes: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """Turn (C, Y, X) samples, alpha among them, into a frame in the data's own order of axes."""
    if "S" not in layout.axes:
        return np.asarray(planes[0] if layout.frame_axes == "YX" else planes[0].T)
    order = ["SYX".index(letter) for letter in layout.frame_axes]
    return np.asarray(planes.transpose(order))


def block_means(plane: NDArray[Any], size: int = 4) -> NDArray[Any]:
    """Average (Y, X) over blocks; a plane smaller than a block is returned as it is."""
    rows, columns = (length // size for length in plane.shape)
    if not (rows and columns):
        return plane
    blocks = plane[: rows * size, : columns * size].reshape(rows, size, columns, size)
    return np.asarray(blocks.mean(axis=(1, 3), dtype=np.float32))
