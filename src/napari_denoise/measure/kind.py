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
_MIDDLE, _LEAST_SIDE = 1024, 32
_SEEN = (0.06, 0.94)
"""Shares of the range of integers between which nothing is clipped."""
_GRAINY, _FAR_OUT, _ALIKE, _WHITE = 0.025, 1e-3, 0.6, -0.42
"""Least noise, share beyond 4 sd and correlation of colours, and most of adjacent differences, of a
render that was tone-mapped: at 4 to 32 samples a pixel 0.03, 1.5e-3, 0.78 and -0.45."""
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


def looks_tone_mapped(array: Any, layout: Layout) -> bool:
    """Whether colour in integers has the noise of sampled light: a render that was tone-mapped.

    Light that a renderer found or missed is so in every colour, at each pixel by itself, and now
    and then far too much of it. A camera has noise of its own for each colour; after JPEG it is
    shared by the colours but no longer white. Strong noise in a JPEG can look like it: a hint, no
    proof.

    The middle of one frame is looked at.
    """
    if layout.size("S") < 3 or np.dtype(array.dtype).kind not in "iu":
        return False
    number = len(layout.frames) // 2
    place = layout.window(layout.frames[number], _middle(layout))
    colors = color_samples(np.asarray(array[place]), layout)[0].astype(np.float32)
    if min(colors.shape[1:]) < _LEAST_SIDE:
        return False
    return _is_sampled_light(colors / np.float32(np.iinfo(array.dtype).max))


def _middle(layout: Layout) -> tuple[slice, slice]:
    """Rows and columns in the middle of a frame."""
    starts = [max(0, layout.size(letter) - _MIDDLE) // 2 for letter in "YX"]
    rows, columns = (slice(start, start + _MIDDLE) for start in starts)
    return rows, columns


def _is_sampled_light(colors: NDArray[np.float32]) -> bool:
    detail = np.diff(np.diff(colors, axis=1), axis=2) / 2  # keeps the sd of white noise
    mean = colors.mean(axis=0)[:-1, :-1]
    exposed = (mean > _SEEN[0]) & (mean < _SEEN[1])
    chosen = detail[:, exposed]
    if chosen.shape[1] < _LEAST_SIDE**2:
        return False
    spread = 1.4826 * float(np.median(np.abs(chosen)))
    if spread < _GRAINY or (np.abs(chosen) > 4 * spread).mean() < _FAR_OUT:
        return False
    tamed = np.clip(chosen, -3 * spread, 3 * spread)
    alike = float(np.min(np.corrcoef(tamed)))
    # White noise has -1/2 between differences of adjacent pixels.
    level = np.clip(detail.mean(axis=0), -3 * spread, 3 * spread)
    along = np.corrcoef(level[:-1].ravel(), level[1:].ravel())[0, 1]
    return alike > _ALIKE and float(along) < _WHITE


def _negative(frames: Sequence[NDArray[Any]]) -> float:
    """Share of the values that are below 0."""
    return float(np.mean([(frame < 0).mean() for frame in frames]))
