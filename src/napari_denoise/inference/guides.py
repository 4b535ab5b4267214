"""Albedo and normal beside a path-traced frame, as planes for the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_denoise.image.axes import Index, Layout
from napari_denoise.image.planes import color_samples
from napari_denoise.image.tiles import Window

ROLES = ("albedo", "normal")
PLANES = 3 * len(ROLES) + len(ROLES)
"""Three per role, then one per role that is 1 where it is there."""
SPARED = 0.015
"""Change of an albedo of which half is made; noise changes it by ten times that. Chosen on training
views, and on views of two scenes that are in no figure."""


class Features:
    """What a renderer knows beside the colour, read frame by frame.

    Parameters
    ----------
    arrays
        "albedo" and "normal", each of the shape of the colour without alpha; either may be
        missing.
    layout
        Axes of the colour.

    Raises
    ------
    ValueError
        An unknown role, data without colour, or a shape that differs.
    """

    def __init__(self, arrays: Mapping[str, Any], layout: Layout) -> None:
        unknown = sorted(set(arrays) - set(ROLES))
        if unknown:
            raise ValueError(f"features {unknown}: expected {' and '.join(ROLES)}")
        if "S" not in layout.axes:
            raise ValueError(
                f"features belong to colour renders, and axes {layout.axes!r} have no colour (S): "
                "leave them out"
            )
        colours = layout.axes.index("S")
        wanted = tuple(3 if n == colours else size for n, size in enumerate(layout.shape))
        for role, array in arrays.items():
            if tuple(array.shape) != wanted:
                raise ValueError(
                    f"{role} has shape {tuple(array.shape)}: expected {wanted}, that of the colour "
                    "with three samples; render it at the same size, or leave it out"
                )
        self.arrays, self.layout = dict(arrays), Layout(layout.axes, wanted)

    def frame(self, index: Index, where: Window | None = None) -> NDArray[np.float32]:
        """Read (8, Y, X) float32 of a frame or a window: albedo, normal, and what there is."""
        rows, columns = where or (slice(0, self.layout.size("Y")), slice(0, self.layout.size("X")))
        size = rows.stop - rows.start, columns.stop - columns.start
        planes = np.zeros((PLANES, *size), np.float32)
        for number, role in enumerate(ROLES):
            if role in self.arrays:
                part = self.arrays[role][self.layout.window(index, (rows, columns))]
                self._put(planes, number, np.asarray(part))
                planes[3 * len(ROLES) + number] = 1
        return planes

    def put_albedo(self, planes: NDArray[np.float32], albedo: NDArray[Any]) -> None:
        """Put denoised albedo, in the data's order of axes, into `frame`'s planes of that window.

        What is changed by less than `SPARED` mostly stays: textures without noise.
        """
        colours = slice(3 * ROLES.index("albedo"), 3 * ROLES.index("albedo") + 3)
        noisy = planes[colours].copy()
        self._put(planes, ROLES.index("albedo"), albedo)
        change = planes[colours] - noisy
        power = np.square(change).mean(axis=0)
        planes[colours] = noisy + change * (power / (power + np.float32(SPARED**2)))

    def _put(self, planes: NDArray[np.float32], number: int, part: NDArray[Any]) -> None:
        samples = color_samples(part, self.layout)[0].astype(np.float32)
        finite = np.nan_to_num(samples, copy=False, posinf=1, neginf=-1)
        planes[3 * number : 3 * number + 3] = np.clip(finite, -1, 1)
