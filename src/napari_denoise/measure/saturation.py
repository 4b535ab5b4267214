"""The largest value that a camera gives, where it has fewer bits than the data type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST_BITS = 8
_PILED, _TIMES = 8, 4
"""Least count of the largest value, and how many times that of a value just below it is."""
_BELOW = 16


def camera_maximum(
    frames: Sequence[NDArray[Any]], extent: tuple[float, float], bits: int | None = None
) -> float | None:
    """Return what integer data end at, if that is less than their type holds.

    Parameters
    ----------
    frames
        (Y, X), some of the data.
    extent
        Lowest and highest value in them.
    bits
        Of the camera, as its file says; None lets the data tell: the largest value is one less
        than a power of two, and values are piled up there as clipping does.

    Returns
    -------
    The value, in the data's units; None where there is none, or the data contradict `bits`.
    """
    if not frames or frames[0].dtype.kind not in "iu":
        return None
    room = np.iinfo(frames[0].dtype).max
    if bits is not None:
        most = 2**bits - 1
        return float(most) if bits >= LEAST_BITS and extent[1] <= most < room else None
    most = int(extent[1])
    whole = most > 2**LEAST_BITS and most & (most + 1) == 0
    return float(most) if whole and most < room and _is_piled_up(frames, most) else None


def _is_piled_up(frames: Sequence[NDArray[Any]], most: int) -> bool:
    """Whether many more pixels have the largest value than have those just below."""
    at = below = 0
    for frame in frames:
        at += int(np.count_nonzero(frame == most))
        below += int(np.count_nonzero((frame >= most - _BELOW) & (frame < most)))
    return at >= _PILED and at > _TIMES * below / _BELOW
