"""What a napari layer says about its pixels: array, axes, current frame, visible part."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import numpy as np
from napari.layers import Image

from napari_denoise.image.axes import Layout
from napari_denoise.io.meta import ImageMeta
from napari_denoise.plugin.layers.data import AXES, FILE, GROUP, PROVENANCE, axes_by_labels
from napari_denoise.settings.noise import NoiseModel

HELPER = "napari_denoise_helper"
"""Metadata key of a layer that was only made to look at."""

GUIDES = ("albedo", "normal")
"""Roles of the layers that a renderer gives beside the colour."""
_SAMPLE_BYTES = 1 << 16

Box = tuple[slice, ...]
"""A range per dimension of a layer, without the colour samples."""


@dataclass(frozen=True, eq=False)
class Guide:
    """The albedo or normal of a colour layer, as it is now.

    Parameters
    ----------
    role
        One of `GUIDES`.
    layer
        Where it comes from; it may leave the viewer, the array stays.
    array
        Its finest level, of the colour's shape with three samples.
    """

    role: str
    layer: Image
    array: Any


@dataclass(frozen=True, eq=False)
class Source:
    """The pixels of a layer as they are now, and how the engine should read them.

    Parameters
    ----------
    layer
        The napari layer.
    levels
        Its arrays, finest first; one where it is not multiscale.
    axes
        One letter per dimension, as in `Layout`.
    guides
        Albedo and normal that go with it; at most one of each.
    original
        The finest level from before any frame of it was denoised, where single frames were;
        None where the layer itself holds the noisy pixels.
    done
        Numbers of the frames that are denoised, where not all are.
    noise
        What the noise was when those were denoised, for frames that have no `original` to
        measure; None where there is nothing to fall back on.
    """

    layer: Image
    levels: tuple[Any, ...]
    axes: str
    guides: tuple[Guide, ...] = ()
    original: Any = None
    done: tuple[int, ...] = ()
    noise: tuple[NoiseModel, ...] | None = None

    @classmethod
    def of(cls, layer: Image) -> Source:
        """Take a layer's pixels and axes.

        Raises
        ------
        ValueError
            The data have more or fewer dimensions than can be denoised.
        """
        return cls(layer, levels_of(layer), axes_of(layer))

    @property
    def array(self) -> Any:
        """The finest level, as the layer shows it."""
        return self.levels[0]

    @property
    def noisy(self) -> Any:
        """The array to denoise: the finest level, with every frame as it was measured."""
        return self.levels[0] if self.original is None else self.original

    @cached_property
    def layout(self) -> Layout:
        """Frames of the array."""
        return Layout(self.axes, tuple(self.array.shape))

    @property
    def frames(self) -> int:
        """How many there are."""
        sizes = zip(self.axes, self.array.shape, strict=True)
        return math.prod(n for letter, n in sizes if letter not in "YXS")

    @property
    def nbytes(self) -> int:
        """Size of the pixels in memory, were they all there."""
        count: int = math.prod(self.array.shape)
        return count * int(np.dtype(self.array.dtype).itemsize)

    @property
    def in_memory(self) -> bool:
        """A plain array, neither on disk nor computed on demand."""
        return isinstance(self.array, np.ndarray) and not is_mapped(self.array)

    @property
    def current(self) -> bool:
        """Whether the layer still holds these very arrays."""
        return holds(self.layer, self.levels)

    @property
    def features(self) -> dict[str, Any]:
        """The guides as the engine takes them: role and array."""
        return {guide.role: guide.array for guide in self.guides}

    @property
    def meta(self) -> ImageMeta:
        """What the layer, its guides and the file that it came from say of the array."""
        file = self.layer.metadata.get(FILE, {})
        return ImageMeta(self.axes, features=self.features, extra=file.get("extra", {}))

    @property
    def samples(self) -> tuple[int, ...]:
        """Hashes of thin samples of all arrays, see `sample_hash`."""
        return tuple(sample_hash(a) for a in (self.noisy, *self.features.values()))

    def reads_as(self, other: Source) -> bool:
        """Whether a job that was prepared for another one is right for this one."""
        mine = [self.noisy, *self.features.values()]
        others = [other.noisy, *other.features.values()]
        return (
            self.axes == other.axes
            and self.noise == other.noise
            and [g.role for g in self.guides] == [g.role for g in other.guides]
            and len(mine) == len(others)
            and all(a is b for a, b in zip(mine, others, strict=True))
        )

    def same_as(self, other: Source) -> bool:
        """Whether another one reads the very same arrays in the same way."""
        mine = [self.noisy, *self.levels, *self.features.values()]
        others = [other.noisy, *other.levels, *other.features.values()]
        return (
            self.layer is other.layer
            and self.axes == other.axes
            and self.noise == other.noise
            and [g.role for g in self.guides] == [g.role for g in other.guides]
            and len(mine) == len(others)
            and all(a is b for a, b in zip(mine, others, strict=True))
        )


def levels_of(layer: Image) -> tuple[Any, ...]:
    """Arrays of a layer, finest first."""
    return tuple(layer.data) if layer.multiscale else (layer.data,)


def holds(layer: Image, levels: tuple[Any, ...]) -> bool:
    """Whether a layer's data are exactly these objects.

    The wrapper around a multiscale layer's levels is a new one after each assignment, so
    the levels are compared.
    """
    now = levels_of(layer)
    return len(now) == len(levels) and all(a is b for a, b in zip(now, levels, strict=True))


def is_mapped(array: Any) -> bool:
    """Whether an array, or what it is a view of, lies in a file."""
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            return True
        array = array.base
    return False


def sample_hash(array: Any) -> int:
    """Hash a thin sample of an array in memory; 0 for any other.

    Tells an array edited in place from the one that was measured, in about a millisecond.
    """
    if not isinstance(array, np.ndarray) or is_mapped(array) or array.size == 0:
        return 0
    step = max(1, int((array.nbytes / _SAMPLE_BYTES) ** (1 / array.ndim)))
    thin = array[tuple(slice(None, None, min(step, n)) for n in array.shape)]
    return zlib.crc32(np.ascontiguousarray(thin).view(np.uint8).data)


def axes_of(layer: Image) -> str:
    """Letters for a layer, as saving it finds them too.

    Raises
    ------
    ValueError
        The data have more or fewer dimensions than can be denoised.
    """
    shape = tuple(levels_of(layer)[0].shape)
    file = layer.metadata.get(FILE, {})
    stated = layer.metadata.get(AXES)
    return axes_by_labels(layer.axis_labels, shape, rgb=layer.rgb, file=file, stated=stated)


def bare(layer: Any) -> Any:
    """Return the layer behind the proxy that napari hands to plugins; identity needs it."""
    return getattr(layer, "__wrapped__", layer)


def is_helper(layer: Any) -> bool:
    """Whether this plugin made the layer for looking at (preview, residual)."""
    return HELPER in layer.metadata


def targets(layers: Any) -> list[Image]:
    """Layers to denoise: every selected image, else the active one, in list order.

    Albedo and normal layers of a render are left out unless one is selected alone.
    """
    images = [bare(x) for x in layers if isinstance(x, Image) and not is_helper(x)]
    chosen = [x for x in images if x in layers.selection]
    if len(chosen) > 1:
        chosen = [x for x in chosen if group_of(x)[1] not in GUIDES] or chosen
    return chosen


def group_of(layer: Any) -> tuple[str, str]:
    """Return the id of the render that a layer belongs to, and its role in it."""
    group = layer.metadata.get(GROUP)
    if not isinstance(group, dict):
        return "", ""
    return str(group.get("id", "")), str(group.get("role", ""))


def provenance(layer: Image) -> dict[str, Any] | None:
    """Return what was done to the layer's present data, if it was denoised."""
    note = layer.metadata.get(PROVENANCE)
    return note if isinstance(note, dict) else None


def frames_done(note: dict[str, Any] | None) -> tuple[int, ...] | None:
    """Return the frames that a note says are denoised; None for all or without a note."""
    if note is None or "frames" not in note:
        return None
    return tuple(int(number) for number in note["frames"])


def is_done(layer: Image) -> bool:
    """Whether all of a layer is denoised."""
    note = provenance(layer)
    return note is not None and "frames" not in note


def noise_told(note: dict[str, Any] | None) -> tuple[NoiseModel, ...] | None:
    """Return the noise that a note says was used, per channel; None where it tells none."""
    try:
        return tuple(NoiseModel(**_plain(c["noise"])) for c in (note or {})["channels"]) or None
    except (KeyError, TypeError, ValueError):  # of another version, or edited
        return None


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Undo what JSON makes of tuples."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}


def set_provenance(layer: Image, note: dict[str, Any] | None) -> None:
    """Write or remove the note; everything else in the metadata stays."""
    rest = {k: v for k, v in layer.metadata.items() if k != PROVENANCE}
    layer.metadata = rest if note is None else {**rest, PROVENANCE: note}


def stamped(note: dict[str, Any], frames: tuple[int, ...] | None) -> dict[str, Any]:
    """Add when, and which frames where it was not all of them."""
    time = datetime.now(UTC).isoformat(timespec="seconds")
    which = {} if frames is None else {"frames": list(frames)}
    return {**note, **which, "time": time}


# --- where the viewer looks -----------------------------------------------------------


def displayed_axes(order: Iterable[int], ndim: int, count: int = 2) -> tuple[int, ...]:
    """Dimensions of a layer on the screen, for the viewer's order of dimensions.

    A layer with fewer dimensions than the viewer has the last ones.
    """
    last = np.array(tuple(order)[-ndim:])
    ranks = np.argsort(np.argsort(last))
    return tuple(int(a) for a in ranks[-count:])


def current_point(viewer: Any, layer: Image) -> tuple[int, ...] | None:
    """Pixel of the layer under the sliders; None where they point beside it."""
    shape = layer.level_shapes[0]
    ndim = len(shape)
    point = np.rint(np.nan_to_num(layer.world_to_data(viewer.dims.point))).astype(int)
    shown = displayed_axes(viewer.dims.order, ndim)
    inside = [
        0 <= p < n
        for axis, (p, n) in enumerate(zip(point, shape, strict=True))
        if axis not in shown
    ]
    if not all(inside):
        return None
    return tuple(int(p) for p in np.clip(point, 0, np.asarray(shape) - 1))


def current_frame(source: Source, point: tuple[int, ...]) -> int:
    """Return the number of the frame that holds a pixel."""
    index: list[int | slice] = [
        slice(None) if letter in "YXS" else point[axis] for axis, letter in enumerate(source.axes)
    ]
    return source.layout.frames.index(tuple(index))


def current_plane(viewer: Any, source: Source, point: tuple[int, ...]) -> Box:
    """All of what the 2-D view can show of the layer without moving a slider."""
    shape = source.layer.level_shapes[0]
    shown = displayed_axes(viewer.dims.order, len(shape))
    return tuple(
        slice(0, int(n)) if axis in shown else slice(point[axis], point[axis] + 1)
        for axis, n in enumerate(shape)
    )


def visible_part(viewer: Any, source: Source, plane: Box) -> Box:
    """Cut a plane to the part inside the window, in pixels of the finest level."""
    layer = source.layer
    shape = layer.level_shapes[0]
    factors = np.asarray(layer.downsample_factors[layer.data_level])
    low, high = np.asarray(layer.corner_pixels, float) * factors
    part = list(plane)
    for axis in displayed_axes(viewer.dims.order, len(shape)):
        if high[axis] <= low[axis]:
            continue  # never drawn in this orientation: all of it counts as visible
        start = int(np.clip(np.floor(low[axis]), 0, shape[axis] - 1))
        stop = int(np.clip(np.ceil(high[axis] + factors[axis]), start + 1, shape[axis]))
        part[axis] = slice(start, stop)
    return tuple(part)
