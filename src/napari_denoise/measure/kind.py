"""What kind of data a stack holds: microscopy, a photograph, or path-traced light."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_denoise.image.axes import Layout
from napari_denoise.image.frames import evenly
from napari_denoise.image.planes import color_samples
from napari_denoise.measure.sampled import SampledFrames, robust_range

Kind = Literal["microscopy", "photo", "render"]
_SIGNED = 0.05
"""Share of negative values from which on they are no lobes of a renderer's filter."""
_LOBES, _HIGHLIGHT = 1e-3, 2.0
"""Most of a render that lobes make negative, and the least light at its brightest then: a
photograph in floating point has noise around 0 as it has around 1."""
_LOOKED_AT = 3
"""Frames that tell whether a sequence has a sign."""


def kind_of(array: Any, layout: Layout, *, linear: bool = False) -> Kind:
    """Tell the kind of a stack; floating-point colour is looked at for radiance.

    Parameters
    ----------
    array, layout
        The data; S among its axes means colour.
    linear
        It is known that its colour is linear HDR.
    """
    if "S" not in layout.axes:
        return "microscopy"
    if linear:
        return "render"
    floats = np.dtype(array.dtype).kind == "f"
    return "render" if floats and is_radiance(SampledFrames.of(array, layout).frames) else "photo"


def is_radiance(frames: Sequence[NDArray[Any]]) -> bool:
    """Tell linear HDR from a photograph in floating point.

    Only radiance is never negative but for the lobes of a filter, above 1 in highlights, and yet
    does not count to 255.
    """
    if not frames or frames[0].dtype.kind != "f":
        return False
    least = min(float(frame.min()) for frame in frames)
    most = max(float(frame.max()) for frame in frames)
    if least < 0 and (most < _HIGHLIGHT or _negative(frames) > _LOBES):
        return False
    return most > 1 and robust_range(frames)[1] < 64


def holds_no_light(array: Any, layout: Layout) -> bool:
    """Whether too much of a stack is negative for light: motion, a normal, a difference.

    A few frames of it are looked at.
    """
    frames = [np.asarray(array[index]) for index in evenly(layout.frames, _LOOKED_AT)]
    return _negative([color_samples(frame, layout)[0] for frame in frames]) > _SIGNED


def _negative(frames: Sequence[NDArray[Any]]) -> float:
    """Share of the values that are below 0."""
    return float(np.mean([(frame < 0).mean() for frame in frames]))
