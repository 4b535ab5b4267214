"""OpenEXR frames in linear light: one or many parts, layers and views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
from numpy.typing import NDArray

from napari_denoise.io.errors import FileError, ReadWarning, say
from napari_denoise.io.formats.exr_bounds import lost_parts
from napari_denoise.io.formats.exr_chroma import luminance_weights, rgb_of
from napari_denoise.io.formats.exr_layers import (
    Layer,
    alike,
    choose_color,
    choose_feature,
    colors_of_light,
    find_layers,
    find_named,
    light_passes,
    noisy_twin,
)
from napari_denoise.io.formats.exr_names import ALBEDO, COLOR, NORMAL
from napari_denoise.io.formats.exr_windows import Box, box_of, overlap, place
from napari_denoise.io.guarded import guarded, whole


@dataclass(frozen=True)
class ExrFrame:
    """One frame: "color", albedo, normal and passes where the file has them; float32."""

    images: dict[str, NDArray[np.float32]]
    extra: dict[str, Any] = field(default_factory=dict)
    """JSON values: part, name and channels of the colour, names of all layers, of those of the
    colour's kind, and of its passes; data and display window."""


@dataclass(frozen=True)
class ExrRequest:
    """What is wanted of each frame.

    Parameters
    ----------
    layer
        Name of the image; None chooses.
    passes
        Whether to read the light passes that belong to the image.
    window
        Of the result; None takes that of the image.
    """

    layer: str | None = None
    passes: bool = False
    window: Box | None = None


PASS = "pass "  # noqa: S105 - what goes before a pass's name
"""Begins the keys of passes among the images of a frame."""


def open_exr(path: Path) -> Any:
    """Read a file with every channel by itself.

    Raises
    ------
    FileError
        Not an EXR, truncated, or deep data.
    """
    again = "it may be truncated or another format: render or copy it again"
    with guarded(path, whole(path, "OpenEXR file", again)):
        lost = lost_parts(path)
        if not lost:
            with path.open("rb") as stream:
                wanted = OpenEXR.File(stream, separate_channels=True, header_only=True).parts
                stream.seek(0)
                file = OpenEXR.File(stream, separate_channels=True)
            found = {part.part_index for part in file.parts if part.channels}
            lost = [part.part_index for part in wanted if part.part_index not in found]
    if unread := _unread(lost):
        raise FileError(path, f"it is damaged or truncated ({unread})", "render or copy it again")
    deep = (OpenEXR.deepscanline, OpenEXR.deeptile)
    if any(part.type() in deep for part in file.parts):
        raise FileError(path, "it holds deep data", "flatten it to a plain image first")
    return file


def _unread(lost: Sequence[int]) -> str:
    """Name the parts that a file announces and that could not be read; empty if there are none.

    OpenEXR leaves them out, and says so on stdout alone.
    """
    if not lost:
        return ""
    return f"no pixels of part{'s' if lost[1:] else ''} {', '.join(map(str, lost[:8]))}"


def read_exr(path: Path, request: ExrRequest | None = None) -> ExrFrame:
    """Read colour and features of one frame, and what else is wanted.

    Returns
    -------
    Images of (Y, X, 3), (Y, X, 4) with alpha, or (Y, X) of a luminance file; the data
    window of the colour, in which the others are placed by their own.

    Raises
    ------
    FileError
        Damaged, without colour, or without the layer that is wanted.
    """
    request = request or ExrRequest()
    file = open_exr(path)
    layers = layers_of(file)
    color = _wanted(path, file, layers, request.layer)
    own = _box(file, color)
    window = request.window or own
    images = {"color": place(_pixels(path, file, color), own, window)}
    for role, names in (("albedo", ALBEDO), ("normal", NORMAL)):
        layer = choose_feature(layers, names, color)
        if layer is None:
            continue
        if _is_apart(_box(file, layer), own):
            text = f"{path}: {role} {layer.label!r} lies outside the colour: left out"
            say(text, ReadWarning, stacklevel=2)
            continue
        images[role] = _guide(_pixels(path, file, layer), role, _box(file, layer), window)
    passes = light_passes(layers, color) if request.passes else []
    if request.passes and not passes:
        there = ", ".join(repr(layer.label) for layer in layers)
        rule = f"it has no light passes beside {color.label!r}, only {there}"
        raise FileError(path, rule, "render some, such as diffuse, specular and emission")
    for layer in [*passes, *colors_of_light(layers, passes)]:
        image = _pixels(path, file, layer)[..., :3]
        images[PASS + layer.label] = place(image, _box(file, layer), window)
    if color.is_chroma:
        text = f"{path}: its luminance and chroma (Y, RY, BY) were converted to RGB"
        say(text, ReadWarning, stacklevel=2)
    extra = {
        "part": color.part,
        "name": color.name,
        "channels": list(color.channels),
        "layers": [layer.name for layer in layers],
        "label": color.label,
        "passes": [layer.label for layer in light_passes(layers, color)],
        "alike": [layer.label for layer in alike(layers, color)],
        "window": list(window),
        "display": list(box_of(file.parts[color.part].header, "displayWindow")),
    }
    return ExrFrame(images, extra)


def layers_of(file: Any) -> list[Layer]:
    """List the layers of an open file."""
    parts = [(part.name(), [c.name for c in part.header["channels"]]) for part in file.parts]
    headers = [part.header for part in file.parts]
    views = next((list(h["multiView"]) for h in headers if h.get("multiView")), [])
    return find_layers(parts, views, [str(h.get("view", "")) for h in headers])


def image_layers(path: Path) -> list[str]:
    """List the layers that may be the image, by their headers alone: the one chosen first.

    Empty for what cannot be read: reading it says why.
    """
    try:
        with path.open("rb") as stream:
            layers = layers_of(OpenEXR.File(stream, separate_channels=True, header_only=True))
    except (OSError, RuntimeError, ValueError, TypeError, KeyError):
        return []
    color = choose_color(layers)
    if color is None:
        return []
    twin = noisy_twin(layers, color)
    first = [color, *([twin] if twin else []), *alike(layers, color)]
    return list(dict.fromkeys(layer.label for layer in first))


def windows_of(files: Sequence[Path], part: int) -> list[Box]:
    """Read the data window of one part of each file; of its header alone.

    Raises
    ------
    FileError
        A file is damaged, or has no such part.
    """
    return [_window_of(file, part) for file in files]


def _window_of(path: Path, part: int) -> Box:
    try:
        with path.open("rb") as stream:
            parts = OpenEXR.File(stream, separate_channels=True, header_only=True).parts
            return box_of(parts[part].header)
    except (OSError, RuntimeError, ValueError, TypeError, IndexError, KeyError):
        return box_of(open_exr(path).parts[0].header)  # says what is wrong, with the file's name


def read_guide(
    path: Path, role: str, window: Box | None = None, display: Box | None = None
) -> NDArray[np.float32]:
    """Read albedo or normal from a file of its own: (Y, X, 3).

    Parameters
    ----------
    role
        "albedo" or "normal".
    window, display
        Data and display window of the colour beside it; without them the file's own.

    Raises
    ------
    FileError
        No layer of three samples, another display window, or nothing of it in the window.
    """
    file = open_exr(path)
    layers = [layer for layer in layers_of(file) if len(layer.channels) >= 3]
    names = ALBEDO if role == "albedo" else NORMAL
    known = min(
        (x for x in layers if x.key in names), key=lambda x: names.index(x.key), default=None
    )
    layer = known or next((x for x in layers if not x.key), None) or next(iter(layers), None)
    if layer is None:
        raise FileError(path, f"it has no {role} of three samples", "name another file")
    own, shown = _box(file, layer), box_of(file.parts[layer.part].header, "displayWindow")
    if display is not None and shown != display:
        rule = f"its display window {shown} is not that of the colour, {display}"
        raise FileError(path, rule, f"render the {role} at the same size")
    if window is not None and _is_apart(own, window):
        rule = f"its data window {own} lies outside that of the colour, {window}"
        raise FileError(path, rule, f"name the {role} of the same frame")
    return _guide(_pixels(path, file, layer), role, own, window or own)


def display_range(frames: Sequence[NDArray[np.float32]]) -> tuple[float, float]:
    """Contrast limits for linear light: 0 to the brightest 99th percentile of the frames."""
    tops = [1e-6]
    for frame in frames:
        values = frame[..., :3] if frame.ndim == 3 else frame
        values = values[::4, ::4] if min(values.shape[:2]) > 256 else values
        finite = values[np.isfinite(values)]
        if finite.size:
            tops.append(float(np.percentile(finite, 99)))
    top = max(tops)
    return (0.0, top if top > 1e-6 else 1.0)


def _wanted(path: Path, file: Any, layers: Sequence[Layer], name: str | None) -> Layer:
    """Return the layer that is asked for, else the one chosen, which is said."""
    if name is not None:
        found = find_named(layers, name)
        if found is None:
            names = ", ".join(repr(layer.label) for layer in layers)
            raise FileError(path, f"it has no layer {name!r}", f"it has {names}", value=name)
        return found
    color = choose_color(layers)
    if color is None:
        raise _colorless(path, file)
    twin = noisy_twin(layers, color)
    if twin is not None and not _same_pixels(file, color, twin):
        text = (
            f"{path}: took {twin.label!r}, of which the renderer made {color.label!r}, which stays "
            f"as it is; layer={color.label!r} takes that"
        )
        say(text, ReadWarning, stacklevel=3)
        return twin
    _mention_choice(path, color, layers)
    return color


def _same_pixels(file: Any, one: Layer, other: Layer) -> bool:
    pairs = zip(one.channels[:3], other.channels[:3], strict=True)
    stored = file.parts[one.part].channels, file.parts[other.part].channels
    return all(np.array_equal(stored[0][a].pixels, stored[1][b].pixels) for a, b in pairs)


def _box(file: Any, layer: Layer) -> Box:
    return box_of(file.parts[layer.part].header)


def _guide(image: NDArray[np.float32], role: str, own: Box, window: Box) -> NDArray[np.float32]:
    """Place albedo or normal in the colour's window.

    Where it does not reach, an albedo is of its own median: even, which harms less than none
    beside one, or than a black one. A normal is zero there, as in front of nothing.
    """
    image = image[..., :3]
    placed = place(image, own, window)
    if role == "albedo" and own != window:
        outside = np.ones(placed.shape[:2], bool)
        outside[overlap(window, own)] = False
        placed[outside] = np.median(np.nan_to_num(image), axis=(0, 1))
    return placed


def _is_apart(box: Box, other: Box) -> bool:
    rows, columns = overlap(box, other)
    return bool(rows.start >= rows.stop or columns.start >= columns.stop)


def _pixels(path: Path, file: Any, layer: Layer) -> NDArray[np.float32]:
    part = file.parts[layer.part]
    channels = [part.channels[name] for name in layer.channels]
    full = channels[:1] + channels[3:] if layer.is_chroma else channels
    for channel in full:
        if (channel.xSampling, channel.ySampling) != (1, 1):
            raise FileError(
                path,
                f"channel {channel.name!r} is stored at reduced resolution",
                "save it with full-resolution RGB channels",
            )
    images = [np.asarray(channel.pixels, np.float32) for channel in channels]
    if layer.is_chroma:
        luminance, red, blue = images[:3]
        colors = rgb_of(luminance, red, blue, luminance_weights(part.header))
        return np.concatenate([colors, *(image[..., None] for image in images[3:])], axis=-1)
    return np.stack(images, axis=-1) if len(images) > 1 else np.ascontiguousarray(images[0])


def _colorless(path: Path, file: Any) -> FileError:
    names = [name for part in file.parts for name in part.channels]
    listed = ", ".join(names[:12]) + (" ..." if len(names) > 12 else "")
    return FileError(
        path,
        f"it has no colour, only the channels {listed}",
        "render it with R, G, B channels at the root or in a layer such as 'Combined'",
    )


def _mention_choice(path: Path, color: Layer, layers: Sequence[Layer]) -> None:
    others = alike(layers, color)
    if others:
        names = ", ".join(repr(layer.label) for layer in others)
        text = (
            f"{path}: took {color.label!r}; {names} {'are' if others[1:] else 'is'} left as "
            f"{'they are' if others[1:] else 'it is'}: choose by layer=, or denoise every view"
        )
        say(text, ReadWarning, stacklevel=4)
    elif color.key not in COLOR and len(layers) > 1:
        names = ", ".join(repr(layer.name) for layer in layers)
        text = f"{path}: no layer has a usual name for the image; took {color.name!r} of {names}"
        say(text, ReadWarning, stacklevel=4)
