"""Put a result where it belongs: into the layer, or into a new one beside it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
from napari.layers import Image, Layer
from napari.utils.transforms import Affine

from napari_denoise.image.axes import Layout
from napari_denoise.image.pyramid import halve, is_half
from napari_denoise.image.values import restore_dtype
from napari_denoise.plugin.layers.storage import allocate

_PART = (1, 1, 1, 1, 4096, 4096)
"""Sides of what is computed of a level at once."""
_OPAQUE = ("translucent", "translucent_no_depth", "opaque")


def assign(layer: Image, levels: tuple[Any, ...]) -> None:
    """Replace a layer's data; a multiscale layer needs all its levels at once."""
    layer.data = list(levels) if layer.multiscale else levels[0]


def rebuild_levels(
    finest: Any, old: tuple[Any, ...], axes: str
) -> Iterator[tuple[Any, ...] | None]:
    """Shrink a new finest level to the shapes of a pyramid's others.

    Yields None after each frame, or part of one, a place to stop, and the levels at the end.
    """
    levels = [finest]
    for other in old[1:]:
        level = allocate(tuple(other.shape), finest.dtype, axes)
        if axes.endswith("YX") and is_half(level.shape, levels[-1].shape):
            for _ in halve(levels[-1], level, _PART[-level.ndim :]):
                yield None
            levels.append(level)
            continue
        for index in Layout(axes, tuple(other.shape)).frames:
            level[index] = shrink(_frame_at(finest, other.shape, index, axes), level[index].shape)
            yield None
        levels.append(level)
    yield tuple(levels)


def _frame_at(finest: Any, shape: tuple[int, ...], index: tuple[Any, ...], axes: str) -> Any:
    """Return the frame of the finest level that a coarser level's frame shows."""
    wanted = tuple(
        i if isinstance(i, slice) else min(int(i * n / m), n - 1)
        for i, n, m in zip(index, finest.shape, shape, strict=True)
    )
    return np.asarray(finest[wanted])


def shrink(frame: Any, shape: tuple[int, ...]) -> Any:
    """Average a frame down to a shape, keeping its dtype and mean."""
    from skimage.transform import resize

    factors = [n // m if n % m == 0 else 0 for n, m in zip(frame.shape, shape, strict=True)]
    if all(factors):
        split = [k for m, f in zip(shape, factors, strict=True) for k in (m, f)]
        mean = frame.reshape(split).mean(tuple(range(1, 2 * len(shape), 2)), dtype=np.float32)
    else:
        mean = resize(frame.astype(np.float32), shape, order=1, anti_aliasing=True)
    return restore_dtype(mean.astype(np.float32), frame.dtype)


def offset_translate(layer: Image, offset: Any) -> Any:
    """Find the translation that puts a crop starting at `offset` (pixels) where it was."""
    to_world = Affine(
        scale=layer.scale,
        rotate=layer.rotate,
        shear=layer.shear,
        translate=layer.translate,
        ndim=layer.ndim,
    )
    return np.asarray(to_world(np.asarray(offset, float)))


def twin(
    layer: Image, levels: tuple[Any, ...], name: str, offset: Any = None, **changes: Any
) -> Image:
    """Make a layer that looks like another, around other data.

    Parameters
    ----------
    layer
        Gives scale, units, axis labels, colormap, limits, gamma and metadata (copied).
    levels
        The data; more than one for a multiscale layer.
    name
        Of the new layer.
    offset
        Pixel of `layer` where the data begin; None where they begin together.
    **changes
        Anything else of a layer's constructor.
    """
    _, state, kind = layer.as_layer_data_tuple()
    state = dict(state)
    state.pop("locked_data_level", None)
    state |= {"name": name, "metadata": copy.deepcopy(dict(layer.metadata))}
    state["multiscale"] = len(levels) > 1
    if offset is not None:
        state["translate"] = offset_translate(layer, offset)
    made = Layer.create(levels[0] if len(levels) == 1 else list(levels), state | changes, kind)
    if "contrast_limits" not in changes and not layer.rgb:
        made.contrast_limits_range = layer.contrast_limits_range
        made.contrast_limits = layer.contrast_limits
    return made


def insert_above(viewer: Any, layer: Image, made: Image) -> None:
    """Add a layer right above another, leaving the selection as it is."""
    chosen = set(viewer.layers.selection)
    active = viewer.layers.selection.active
    position = (
        list(viewer.layers).index(layer) + 1 if layer in viewer.layers else len(viewer.layers)
    )
    viewer.layers.insert(position, made)
    viewer.layers.selection.update(chosen)
    viewer.layers.selection.intersection_update(chosen)
    viewer.layers.selection.active = active


def covers(layer: Image) -> bool:
    """Whether what lies under a layer is not to be seen through it."""
    return layer.blending in _OPAQUE and layer.opacity >= 1


def show_alone(viewer: Any, layer: Any) -> None:
    """Show a layer, and hide what lies over it."""
    layer.visible = True
    above = list(viewer.layers)
    for other in above[above.index(layer) + 1 :]:
        other.visible = False


def show_instead(viewer: Any, layer: Image, other: Image, *, hide: bool) -> None:
    """Show a layer, selected where another one was, and hide that one where wanted."""
    chosen = viewer.layers.selection
    other.visible = True
    if hide:
        layer.visible = False
    if layer in chosen:
        active = chosen.active is layer
        chosen.discard(layer)
        chosen.add(other)
        if active:
            chosen.active = other
