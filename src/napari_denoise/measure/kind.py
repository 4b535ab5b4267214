"""What kind of data a stack holds: microscopy, a photograph, or path-traced light."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_denoise.image.axes import Layout
from napari_denoise.measure.sampled import SampledFrames, robust_range

Kind = Literal["microscopy", "photo", "render"]


def kind_of(array: Any, layout: Layout, *, linear: bool = False) -> Kind:
    """Tell the kind of a stack; floating-point colour is looked at for radiance.

    Parameters
    ----------
    array, layout
        The data; S among its axes means colour.
    linear
        The file says that its colour is linear HDR.
    """
    if "S" not in layout.axes:
        return "microscopy"
    if linear:
        return "render"
    floats = np.dtype(array.dtype).kind == "f"
    return "render" if floats and is_radiance(SampledFrames.of(array, layout).frames) else "photo"


def is_radiance(frames: Sequence[NDArray[Any]]) -> bool:
    """Tell linear HDR from a photograph in floating point.

    Only radiance is never negative, above 1 in highlights, and yet does not count to 255.
    """
    if not frames or frames[0].dtype.kind != "f":
        return False
    least = min(float(frame.min()) for frame in frames)
    most = max(float(frame.max()) for frame in frames)
    return least >= 0 and most > 1 and robust_range(frames)[1] < 64
