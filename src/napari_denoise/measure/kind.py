"""What kind of data a stack holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from napari_denoise.measure.sampled import robust_range


def is_radiance(frames: Sequence[NDArray[Any]]) -> bool:
    """Tell linear HDR from a photograph in floating point.

    Only radiance is never negative, above 1 in highlights, and yet does not count to 255.
    """
    if not frames or frames[0].dtype.kind != "f":
        return False
    least = min(float(frame.min()) for frame in frames)
    most = max(float(frame.max()) for frame in frames)
    return least >= 0 and most > 1 and robust_range(frames)[1] < 64
