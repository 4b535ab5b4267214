"""A stack and all that is known of it: what its file says, or who calls, or a guess.

`described` is the one place where that is put together: batch, command line, widget, Python and
fine-tuning denoise alike because all of them ask it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_denoise.image.axes import Layout, guess_axes, looks_like_color
from napari_denoise.io.meta import SIGNIFICANT_BITS, ImageMeta
from napari_denoise.measure.kind import holds_no_light
from napari_denoise.settings.denoise import DenoiseSettings
from napari_denoise.weights.card import WeightsCard
from napari_denoise.weights.catalogue import choose_weights


@dataclass(frozen=True, eq=False)
class Described:
    """What there is to know of a stack before a pixel of it is measured.

    Parameters
    ----------
    array
        The data.
    layout
        Its axes.
    features
        "albedo" and "normal" beside a render; empty without.
    linear
        Its colour is known to be light: a renderer wrote it, or gave its albedo or normal.
    bits
        Of the camera, as the file says; None where it says nothing.
    """

    array: Any
    layout: Layout
    features: Mapping[str, Any]
    linear: bool = False
    bits: int | None = None

    @property
    def has_light_alpha(self) -> bool:
        """Whether its colour is light with an alpha beside it, sampled by the same rays."""
        return self.linear and self.layout.size("S") == 4

    def weights(self, mapping: str = "auto") -> str:
        """Name the bundled weights that fit it.

        Parameters
        ----------
        mapping
            As in `DenoiseSettings`: one that is not for light says that this is none.
        """
        light = self.linear and mapping in ("auto", "log")
        return choose_weights(self.array, self.layout, linear=light)

    def settings_for(self, card: WeightsCard, settings: DenoiseSettings) -> DenoiseSettings:
        """Choose the logarithm for light where the weights would not."""
        if self.linear and settings.mapping == "auto" and card.mapping == "affine":
            return replace(settings, mapping="log")
        return settings


def described(
    array: Any,
    axes: str | None = None,
    features: Mapping[str, Any] | None = None,
    meta: ImageMeta | None = None,
) -> Described:
    """Put together what is known of a stack.

    Parameters
    ----------
    array
        The data.
    axes, features
        As they are given; else those of `meta`, else guessed and none.
    meta
        What its file says.

    Raises
    ------
    TypeError
        `meta` is no `ImageMeta`, or stands where axes belong.
    ValueError
        The axes do not fit the data, or `axes` and `meta` contradict each other.
    """
    _check_kinds(axes, meta)
    shape = tuple(array.shape)
    letters = _letters(shape, axes, meta)
    guides = usable_features(array, meta) if meta is not None else {}
    if features is not None:
        guides = dict(features)
    layout = Layout(letters, shape)
    return Described(
        array,
        layout,
        guides,
        linear=_is_light(array, layout, guides, meta),
        bits=None if meta is None else significant_bits(meta),
    )


def usable_features(array: Any, meta: ImageMeta) -> dict[str, Any]:
    """Return the albedo and normal of a file that have three samples at the colour's size."""
    wanted = (*array.shape[:-1], 3)
    return {role: a for role, a in meta.features.items() if tuple(a.shape) == wanted}


def is_linear_colour(array: Any, meta: ImageMeta) -> bool:
    """Whether a file says that it holds colour in linear light: OpenEXR does."""
    colour = "S" in meta.axes and np.dtype(array.dtype).kind == "f"
    return colour and meta.extra.get("format") == "exr"


def significant_bits(meta: ImageMeta) -> int | None:
    """Bits of the camera that a file names."""
    bits = meta.extra.get(SIGNIFICANT_BITS)
    return bits if isinstance(bits, int) else None


def _is_light(
    array: Any, layout: Layout, guides: Mapping[str, Any], meta: ImageMeta | None
) -> bool:
    """Whether colour is radiance for certain; a pass with a sign, such as motion, is none."""
    floats = "S" in layout.axes and np.dtype(array.dtype).kind == "f"
    said = meta is not None and is_linear_colour(array, meta)
    return floats and (said or bool(guides)) and not holds_no_light(array, layout)


def _letters(shape: tuple[int, ...], axes: str | None, meta: ImageMeta | None) -> str:
    if meta is None:
        return axes or guess_axes(shape, rgb=looks_like_color(shape))
    if axes and axes != meta.axes:
        raise ValueError(
            f"axes = {axes!r}, but meta says {meta.axes!r}: pass one of them, or "
            f"dataclasses.replace(meta, axes={axes!r})"
        )
    return meta.axes


def _check_kinds(axes: Any, meta: Any) -> None:
    if isinstance(axes, ImageMeta):
        raise TypeError("axes are letters, such as 'TYX': pass what read gave as meta=meta")
    if not isinstance(meta, ImageMeta | None):
        raise TypeError(
            f"meta is a {type(meta).__name__}: expected the ImageMeta that read gives beside the "
            "array"
        )
