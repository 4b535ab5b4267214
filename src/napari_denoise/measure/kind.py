"""What kind of data a stack holds: microscopy, a photograph, or path-traced light."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from napari_denoise.image.axes import Layout
from napari_denoise.image.frames import evenly
from napari_denoise.image.planes import color_samples
from napari_denoise.measure.sampled import SampledFrames, robust_range

Kind = Literal["microscopy", "photo", "render"]
_SIGNED, _MANY_SIGNED, _NEXT_TO_NOTHING = 0.02, 0.05, 0.01
"""Share of negative values, by weight and by number, from which on they are no lobes of a filter of
renderers; and the part of the mean size below which none is counted."""
_LOBES, _HIGHLIGHT = 1e-3, 2.0
"""Most of a render that lobes make negative, and the least light at its brightest then: a
photograph in floating point has noise around 0 as it has around 1."""
_MIDDLE, _LEAST_SIDE = 1024, 32
_SEEN = (0.06, 0.94)
"""Shares of the range of integers between which nothing is clipped."""
_GRAINY, _WHITE, _OWN, _AMOUNT = 0.025, -0.42, 0.2, 1.3
"""Least sd of noise; most correlation of adjacent differences, which is -1/2 of white noise; most
of the noise that is each colour's own; and most by which one factor for all colours explains it
worse than one amount does. Renders of 4 to 32 samples a pixel have 0.03 or more, -0.45, 0.09 and
1.03 or less, photographs 0.3 or more of the third, or, as JPEG, 3 or more of the last."""
_LOOKED_AT = 3
"""Frames that tell whether a sequence has a sign."""


def kind_of(array: Any, layout: Layout, *, linear: bool = False) -> Kind:
    """Tell the kind of a stack, of colour by whether it is light or was, before tone mapping.

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
    if np.dtype(array.dtype).kind == "f":
        light = is_radiance(SampledFrames.of(array, layout).frames)
    else:
        light = looks_tone_mapped(array, layout)
    return "render" if light else "photo"


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
    return is_signed([color_samples(frame, layout)[0] for frame in frames])


def is_signed(frames: Sequence[NDArray[Any]]) -> bool:
    """Whether negative values are more than the lobes of a filter leave in a render."""
    finite = [np.where(np.isfinite(frame), frame, 0) for frame in frames]
    values = sum(frame.size for frame in finite)
    total = sum(float(np.abs(frame).sum(dtype=np.float64)) for frame in finite)
    below = sum(float(-np.minimum(frame, 0).sum(dtype=np.float64)) for frame in finite)
    least = _NEXT_TO_NOTHING * total / max(values, 1)
    count = sum(int((frame < -least).sum()) for frame in finite)
    return below > _SIGNED * total or count > _MANY_SIGNED * values


def looks_tone_mapped(array: Any, layout: Layout) -> bool:
    """Whether colour in integers has the noise of sampled light: a render that was tone-mapped.

    Light that a renderer found or missed is so at each pixel by itself, and in every colour by the
    same factor. A camera has noise of its own for each colour; after JPEG the colours share it,
    but by the same amount. The middle of one frame is looked at.
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
    """Whether the detail of (S, Y, X), in shares of the range, is white and follows the colour."""
    detail = np.diff(np.diff(colors, axis=1), axis=2) / 2  # keeps the sd of white noise
    around = np.stack([uniform_filter(plane, 5) for plane in colors])[:, :-1, :-1]
    middle = around.mean(axis=0)
    exposed = (middle > _SEEN[0]) & (middle < _SEEN[1])
    chosen, colour = detail[:, exposed], around[:, exposed]
    spread = 1.4826 * float(np.median(np.abs(chosen))) if chosen.size else 0.0
    if spread < _GRAINY:
        return False
    detail = np.clip(detail, -3 * spread, 3 * spread)
    level = detail.mean(axis=0)
    along = float(np.corrcoef(level[:-1].ravel(), level[1:].ravel())[0, 1])
    chosen = detail[:, exposed]
    factor = (chosen * colour).sum(axis=0) / np.square(colour).sum(axis=0)
    by_factor = float(np.square(chosen - colour * factor).sum())
    by_amount = float(np.square(chosen - chosen.mean(axis=0)).sum())
    shared = by_factor < _OWN * float(np.square(chosen).sum())
    return along < _WHITE and shared and by_factor < _AMOUNT * by_amount


def _negative(frames: Sequence[NDArray[Any]]) -> float:
    """Share of the values that are below 0."""
    return float(np.mean([(frame < 0).mean() for frame in frames]))
