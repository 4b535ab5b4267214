"""Images as napari layers and back: plain tuples, without importing napari."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_denoise.image.axes import Layout, guess_axes, letters_of
from napari_denoise.image.frames import planes_last
from napari_denoise.io.errors import FileError
from napari_denoise.io.formats import loaded
from napari_denoise.io.meta import ImageMeta
from napari_denoise.io.units import unit_name

LayerData = tuple[Any, dict[str, Any], str]
"""Array, keyword arguments, layer type: what napari's readers give and writers get."""

FILE = "napari_denoise_file"
GROUP = "napari_denoise_group"
PROVENANCE = "napari_denoise"
AXES = "napari_denoise_axes"
"""Keys of a layer's metadata: its file, its render, what was done to it, and its axes, where
these were chosen by hand or asked of the file behind it."""

PYRAMID_PIXELS = 2**26
"""Planes of more pixels are shown at the resolution of the screen, where their file has levels."""
_RANGES = {"albedo": (0.0, 1.0), "normal": (-1.0, 1.0)}
_TWO, _MORE = ("magenta", "green"), ("cyan", "yellow", "magenta", "red", "green", "blue")
"""Colours of channels whose file names none, as napari gives them."""
_KEPT_FIELDS = ("axes", "channel_names", "channel_colors")


def to_layers(array: Any, meta: ImageMeta) -> list[LayerData]:
    """Make one layer per channel, and hidden ones for albedo and normal.

    Parameters
    ----------
    array, meta
        As `napari_denoise.read` gave them.

    Returns
    -------
    The colour last, so that napari shows it on top and makes it the active layer. Layers
    of one render share the id in ``metadata["napari_denoise_group"]``, which survives a
    rename.
    """
    ordered, axes = planes_last(array, meta.axes)
    common = _common(axes, meta)
    levels = [ordered, *_levels(meta, ordered.shape, axes)]
    if "C" in axes:
        return [*_channels(levels, axes, meta, common)]
    group = str(uuid.uuid4()) if meta.features else ""
    layers = []
    for role, feature in meta.features.items():
        shown = {"visible": False, "contrast_limits": _RANGES.get(role, (0.0, 1.0))}
        # No pixels of the layer are the colour's: nothing of its file belongs to it.
        own = common | {"metadata": {}, "rgb": True}
        layers.append(_layer(feature, f"{meta.name} {role}", own, shown, group, role))
    return [*layers, _layer(_data(levels), meta.name, common, _display(meta, 0), group, "color")]


def from_layers(path: str, layers: Sequence[LayerData]) -> tuple[Any, ImageMeta]:
    """Join layers into the array and metadata that `napari_denoise.write` takes.

    Parameters
    ----------
    path
        The target, for messages.
    layers
        One image; or channels of equal shape and type; with any albedo and normal of
        the same render, which become features.

    Raises
    ------
    FileError
        The layers do not fit into one file.
    """
    guides = [layer for layer in layers if _role(layer) in _RANGES]
    colors = [layer for layer in layers if _role(layer) not in _RANGES] or list(layers[:1])
    features = {_role(x): _level(x) for x in guides if _same(x, colors[0])}
    metas = [_meta(layer) for layer in colors]
    if len(colors) == 1:
        return _level(colors[0]), replace(metas[0], features=features)
    arrays = [_level(layer) for layer in colors]
    kinds = {
        (tuple(a.shape), np.dtype(a.dtype), m.axes) for a, m in zip(arrays, metas, strict=True)
    }
    if len(kinds) > 1 or "S" in metas[0].axes or "C" in metas[0].axes:
        shapes = ", ".join(
            f"{attrs.get('name')!r} {a.shape} {a.dtype}"
            for a, (_, attrs, _) in zip(arrays, colors, strict=True)
        )
        raise FileError(
            path,
            f"the layers are not channels of one image: {shapes}",
            "save them one by one, or select layers of equal shape and data type",
        )
    return _stack(arrays, metas[0].axes), _joined(metas, [attrs for _, attrs, _ in colors])


def _common(axes: str, meta: ImageMeta) -> dict[str, Any]:
    """Keyword arguments that all layers of an image share."""
    scale = dict(zip(meta.axes, meta.scale, strict=False))
    units = dict(zip(meta.axes, meta.units, strict=False))
    shown = [a for a in axes if a not in "CS"]
    common: dict[str, Any] = {
        "scale": tuple(scale.get(a, 1.0) for a in shown),
        "units": tuple(units.get(a) or "pixel" for a in shown),
        "axis_labels": tuple(a.lower() for a in shown),
        "rgb": "S" in axes,
        "metadata": {FILE: file_note(meta)},
    }
    if len(meta.extra.get("translate", ())) == len(shown):
        common["translate"] = tuple(meta.extra["translate"])
    if PROVENANCE in meta.extra:
        common["metadata"][PROVENANCE] = meta.extra[PROVENANCE]
    return common


def file_note(meta: ImageMeta) -> dict[str, Any]:
    """JSON values that a writer needs to write the image as its file held it."""
    values: dict[str, Any] = {name: getattr(meta, name) for name in _KEPT_FIELDS}
    values["source"] = [str(file) for file in meta.source]
    values["extra"] = {k: v for k, v in meta.extra.items() if k != PROVENANCE}
    plain: dict[str, Any] = json.loads(json.dumps(values, default=str))
    return plain


def _levels(meta: ImageMeta, shape: tuple[int, ...], axes: str) -> list[Any]:
    """Lower resolutions with planes last, for planes that are slow to show without them."""
    plane = math.prod(n for a, n in zip(axes, shape, strict=True) if a in "YX")
    return [planes_last(x, meta.axes)[0] for x in meta.levels] if plane > PYRAMID_PIXELS else []


def _data(levels: list[Any]) -> Any:
    """Give what napari takes: an array, or a pyramid as the list of its levels."""
    return levels if len(levels) > 1 else levels[0]


def _channels(
    levels: list[Any], axes: str, meta: ImageMeta, common: dict[str, Any]
) -> Iterator[LayerData]:
    where = axes.index("C")
    count = levels[0].shape[where]
    several = meta.extra.get(PROVENANCE)
    for i in range(count):
        channel = meta.channel_names[i] if i < len(meta.channel_names) else f"channel {i}"
        display = _display(meta, i)
        if count > 1 and len(set(meta.channel_colors)) < 2:  # all alike tells them not apart
            colors = _TWO if count == 2 else _MORE
            display["colormap"] = colors[i % len(colors)]
        metadata = {**common["metadata"], FILE: {**common["metadata"][FILE], "channel": i}}
        if isinstance(several, list) and len(several) == count:
            metadata[PROVENANCE] = several[i]
            if several[i] is None:
                del metadata[PROVENANCE]
        own = {
            **common,
            "metadata": metadata,
            "blending": "additive" if count > 1 else "translucent",
        }
        index = (slice(None),) * where + (i,)
        yield _layer(
            _data([level[index] for level in levels]), f"{meta.name} {channel}", own, display
        )


def _display(meta: ImageMeta, channel: int) -> dict[str, Any]:
    shown: dict[str, Any] = {"gamma": meta.gamma}
    if channel < len(meta.contrast_limits):
        shown["contrast_limits"] = meta.contrast_limits[channel]
    if channel < len(meta.channel_colors) and "S" not in meta.axes:
        color = meta.channel_colors[channel]
        # One channel of white light is gray, as napari shows it anyway.
        if color != "#000000" and ("C" in meta.axes or color != "#ffffff"):
            shown["colormap"] = color
    return shown


def _layer(
    data: Any,
    name: str,
    common: Mapping[str, Any],
    display: Mapping[str, Any],
    group: str = "",
    role: str = "",
) -> LayerData:
    metadata = dict(common["metadata"])
    if group:
        metadata[GROUP] = {"id": group, "role": role}
    if isinstance(data, list):
        display = {**display, "multiscale": True}
    return data, {**common, **display, "name": name, "metadata": metadata}, "image"


def _meta(layer: LayerData) -> ImageMeta:
    """Metadata of one layer: what it shows now, and what its file held besides."""
    attrs = layer[1]
    metadata = attrs.get("metadata", {})
    file = metadata.get(FILE, {})
    shape = tuple(_level(layer).shape)
    labels, rgb = attrs.get("axis_labels") or (), bool(attrs.get("rgb"))
    axes = axes_by_labels(labels, shape, rgb=rgb, file=file, stated=metadata.get(AXES))
    extra = {k: v for k, v in file.get("extra", {}).items() if k != "translate"}
    if np.any(attrs.get("translate", 0)):
        extra["translate"] = [float(v) for v in attrs["translate"]]
    if PROVENANCE in metadata:
        extra[PROVENANCE] = metadata[PROVENANCE]
    blank = (1.0,) if "S" in axes else ()
    scale = tuple(float(s) for s in attrs.get("scale", ())) + blank
    units = tuple(_unit(u) for u in attrs.get("units") or ()) + ((None,) if blank else ())
    limits = attrs.get("contrast_limits")
    alone = len(file.get("channel_colors", ())) == 1 and not rgb
    colors = (_color(attrs.get("colormap")),) if alone else ()
    return ImageMeta(
        axes,
        name=str(attrs.get("name", "")),
        source=tuple(Path(p) for p in file.get("source", ())),
        scale=scale if len(scale) == len(axes) else (),
        units=units if len(units) == len(axes) else (),
        contrast_limits=((float(limits[0]), float(limits[1])),) if limits is not None else (),
        channel_colors=colors,
        gamma=float(attrs.get("gamma", 1.0)),
        extra=extra,
    )


def axes_by_labels(
    labels: Iterable[Any],
    shape: tuple[int, ...],
    *,
    rgb: bool,
    file: Mapping[str, Any],
    stated: Any = None,
) -> str:
    """Find the letters of a layer: those of its axis labels, else of its file, else a guess.

    Letters that were stated in so many words go before all of these.

    Raises
    ------
    ValueError
        The data have more or fewer dimensions than can be denoised.
    """
    known = letters_of(labels)
    letters = known + "S" * rgb if known else str(file.get("axes", "")).replace("C", "")
    for found in (str(stated or ""), letters):
        if axes_fit(found, shape, rgb=rgb):
            return found
    return guess_axes(shape, rgb=rgb)


def axes_fit(axes: str, shape: tuple[int, ...], *, rgb: bool) -> bool:
    """Whether letters can be those of a layer's data."""
    try:
        Layout(axes, shape)
    except ValueError:
        return False
    return rgb == ("S" in axes)


def _unit(unit: Any) -> str | None:
    name = unit_name(str(unit)) or str(unit)
    return None if name in ("pixel", "dimensionless", "") else name


def _level(layer: LayerData) -> Any:
    """Take the array; of a pyramid its full resolution."""
    data = layer[0]
    return data[0] if layer[1].get("multiscale") else data


def _group(layer: LayerData) -> dict[str, Any]:
    group = layer[1].get("metadata", {}).get(GROUP)
    return group if isinstance(group, dict) else {}


def _role(layer: LayerData) -> str:
    return str(_group(layer).get("role", ""))


def _same(layer: LayerData, color: LayerData) -> bool:
    return _group(layer).get("id") == _group(color).get("id")


def _stack(arrays: Sequence[Any], axes: str) -> Any:
    """Channels before Y and X; on demand where the copy would be large."""
    where = min(axes.index("Y"), axes.index("X"))
    in_memory = all(type(a) is np.ndarray for a in arrays)
    size = sum(math.prod(a.shape) * np.dtype(a.dtype).itemsize for a in arrays)
    if in_memory and size <= loaded.LAZY_BYTES:
        return np.stack(arrays, axis=where)
    import dask.array as da

    chunks = tuple(n if a in "YX" else 1 for a, n in zip(axes, arrays[0].shape, strict=True))
    lazy = [a if isinstance(a, da.Array) else da.from_array(a, chunks) for a in arrays]
    return da.stack(lazy, axis=where)


def _joined(metas: Sequence[ImageMeta], attributes: Sequence[Mapping[str, Any]]) -> ImageMeta:
    first = metas[0]
    where = min(first.axes.index("Y"), first.axes.index("X"))
    notes = [meta.extra.get(PROVENANCE) for meta in metas]
    extra = dict(first.extra)
    if any(notes):
        extra[PROVENANCE] = notes[0] if all(n == notes[0] for n in notes) else notes
    limits = [meta.contrast_limits[:1] for meta in metas]
    return replace(
        first,
        axes=first.axes[:where] + "C" + first.axes[where:],
        scale=first.scale and (*first.scale[:where], 1.0, *first.scale[where:]),
        units=first.units and (*first.units[:where], None, *first.units[where:]),
        channel_names=tuple(_channel_name(a) for a in attributes),
        channel_colors=tuple(_color(a.get("colormap")) for a in attributes),
        contrast_limits=tuple(entry[0] for entry in limits) if all(limits) else (),
        extra=extra,
    )


def _channel_name(attrs: Mapping[str, Any]) -> str:
    """Name in the file while the layer still shows it, else the layer's own."""
    name = str(attrs.get("name", ""))
    file = attrs.get("metadata", {}).get(FILE, {})
    number, names = file.get("channel"), file.get("channel_names") or ()
    if isinstance(number, int) and number < len(names) and name.endswith(f" {names[number]}"):
        return str(names[number])
    return name


def _color(colormap: Any) -> str:
    """Colour of a colormap at its brightest, "#rrggbb"."""
    if isinstance(colormap, str):
        return colormap if colormap.startswith("#") else "#ffffff"
    colors = colormap.get("colors") if isinstance(colormap, Mapping) else None
    if colors is None:
        return "#ffffff"
    top = np.clip(np.rint(np.asarray(colors)[-1][:3] * 255), 0, 255).astype(np.uint8)
    return f"#{top.tobytes().hex()}"
