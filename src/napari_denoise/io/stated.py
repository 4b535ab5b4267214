"""What a file says of its image, whatever the dialect: sizes, channels, bits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Stated:
    """Sizes and names that one dialect states; empty where it says nothing.

    Parameters
    ----------
    format
        The dialect, for `meta.extra`.
    sizes
        By letter: the step along an axis, and its unit.
    channel_names, channel_colors
        One per channel, in order.
    bits
        Of the camera.
    """

    format: str
    sizes: Mapping[str, tuple[float, str | None]] = field(default_factory=dict)
    channel_names: tuple[str, ...] = ()
    channel_colors: tuple[str, ...] = ()
    bits: int | None = None

    def fields(self, axes: str, channels: int) -> dict[str, Any]:
        """Fields of `ImageMeta` for an array with these axes and number of channels."""
        known = [self.sizes.get(axis) or (1.0, None) for axis in axes]
        fields: dict[str, Any] = {}
        if any(unit for _, unit in known):
            fields["scale"] = tuple(float(size) for size, _ in known)
            fields["units"] = tuple(unit for _, unit in known)
        if len(self.channel_names) == channels and any(self.channel_names):
            fields["channel_names"] = self.channel_names
        if len(self.channel_colors) == channels and "S" not in axes:
            fields["channel_colors"] = self.channel_colors
        return fields


def filled(fields: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of one dialect, and of a second where the first says nothing, axis by axis."""
    joined = {**more, **{name: value for name, value in fields.items() if value}}
    sizes = [(entry.get("scale", ()), entry.get("units", ())) for entry in (fields, more)]
    if all(scale and units for scale, units in sizes):
        (scale, units), (others, their_units) = sizes
        pairs = [
            (size, unit) if unit else (other, their_unit)
            for size, unit, other, their_unit in zip(scale, units, others, their_units, strict=True)
        ]
        joined["scale"] = tuple(size for size, _ in pairs)
        joined["units"] = tuple(unit for _, unit in pairs)
    return joined
