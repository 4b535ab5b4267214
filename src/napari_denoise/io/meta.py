"""What a file says about its array."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SIGNIFICANT_BITS = "significant_bits"
"""Key of `ImageMeta.extra`: bits of the camera, where its file says that they are fewer than those
of the data type."""


@dataclass(frozen=True)
class ImageMeta:
    """Axes, physical size and appearance of an array, and what its format holds besides.

    Parameters
    ----------
    axes
        One letter per dimension, of T Z C Y X S (S: colour samples, last).
    name
        A short name to show.
    source
        The files that the array came from, in order.
    scale, units
        Per axis; 1.0 and None where the file does not say.
    channel_names, channel_colors
        Per entry of the C axis; empty where the file does not say. Colours as "#rrggbb".
    contrast_limits
        Per channel (one for data without C), or empty.
    gamma
        For display only.
    features
        "albedo" and "normal" of a render, arrays with the same axes as the colour.
    extra
        What else the format holds and a writer of that format passes through.
    layers
        Further layers of the same file by their names, arrays of the colour's axes: light passes
        that were read with it, or results to be written with it.
    levels
        The same image at lower resolutions, finest first, where the file has them: for display.
    """

    axes: str
    name: str = ""
    source: tuple[Path, ...] = ()
    scale: tuple[float, ...] = ()
    units: tuple[str | None, ...] = ()
    channel_names: tuple[str, ...] = ()
    channel_colors: tuple[str, ...] = ()
    contrast_limits: tuple[tuple[float, float], ...] = ()
    gamma: float = 1.0
    features: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    layers: Mapping[str, Any] = field(default_factory=dict)
    levels: tuple[Any, ...] = field(default=(), compare=False, repr=False)
