"""OpenEXR frames in linear light: one or many parts, layers and views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
from numpy.typing import NDArray

from napari_denoise.io.errors import FileError, ReadWarning, say
from napari_denoise.io.formats.exr_bounds import lost_parts
from napari_denoise.io.formats.exr_layers import (
    ALBEDO,
    COLOR,
    NORMAL,
    Layer,
    choose_color,
    choose_feature,
    find_layers,
)
from napari_denoise.io.guarded import guarded, whole


@dataclass(frozen=True)
class ExrFrame:
    """One frame: "color", and "albedo" and "normal" where the file has them, float32."""

    images: dict[str, NDArray[np.float32]]
    extra: dict[str, Any]
    """JSON values: part, name and channels of the colour, and names of all layers."""


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


def read_exr(path: Path) -> ExrFrame:
    """Read colour and features of one frame.

    Returns
    -------
    Images of (Y, X, 3), (Y, X, 4) with alpha, or (Y, X) of a luminance file; the data
    window only.

    Raises
    ------
    FileError
        Damaged, or without colour.
    """
    file = open_exr(path)
    layers = find_layers([(part.name(), list(part.channels)) for part in file.parts])
    color = choose_color(layers)
    if color is None:
        raise _colorless(path, file)
    _mention_choice(path, color, layers)
    images = {"color": _pixels(path, file, color)}
    size = images["color"].shape[:2]
    for role, names in (("albedo", ALBEDO), ("normal", NORMAL)):
        layer = choose_feature(layers, names, color)
        if layer is None:
            continue
        image = _pixels(path, file, layer)[..., :3]
        if image.shape[:2] == size:
            images[role] = image
        else:
            text = f"{path}: {role} {image.shape} does not fit the colour {size}: left out"
            say(text, ReadWarning, stacklevel=2)
    return ExrFrame(images, asdict(color) | {"layers": [layer.name for layer in layers]})


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


def _pixels(path: Path, file: Any, layer: Layer) -> NDArray[np.float32]:
    channels = [file.parts[layer.part].channels[name] for name in layer.channels]
    for channel in channels:
        if (channel.xSampling, channel.ySampling) != (1, 1):
            raise FileError(
                path,
                f"channel {channel.name!r} is stored at reduced resolution",
                "save it with full-resolution RGB channels",
            )
    images = [np.asarray(channel.pixels, np.float32) for channel in channels]
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
    if color.key not in COLOR and len(layers) > 1:
        names = ", ".join(repr(layer.name) for layer in layers)
        text = f"{path}: no layer has a usual name for the image; took {color.name!r} of {names}"
        say(text, ReadWarning, stacklevel=3)
