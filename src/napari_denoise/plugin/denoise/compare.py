"""Look at what a run did: the original while a button is held, and the residual."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
from napari.layers import Image

from napari_denoise.image.axes import Layout, plane_chunks
from napari_denoise.plugin.layers.apply import assign, insert_above, offset_translate
from napari_denoise.plugin.layers.cover import remove_helper
from napari_denoise.plugin.layers.history import AddedEntry, History
from napari_denoise.plugin.layers.source import (
    HELPER,
    Source,
    axes_of,
    displayed_axes,
    holds,
    levels_of,
    noise_told,
    provenance,
)
from napari_denoise.settings.noise import NoiseModel

_GAP = 1.02
"""Distance of the residual from its layer, in widths of the layer."""
_SIGMAS = 4.0
"""Contrast limits of a residual in units of the noise."""


@dataclass(frozen=True, eq=False)
class BeforeAfter:
    """A result, and what it was made from.

    Parameters
    ----------
    layer
        The layer that holds the result.
    noisy
        The noisy pixels, of the shape of its finest level.
    axes
        Letters.
    """

    layer: Image
    noisy: Any
    axes: str


def before_after(history: History, layers: Sequence[Image]) -> BeforeAfter | None:
    """Find the result that belongs to the first of some layers, be they noisy or denoised."""
    for layer in layers:
        original = history.original(layer)
        if original is not None:
            return BeforeAfter(layer, original[0], axes_of(layer))
        for entry in history.added():
            found = _of_added(entry) if layer in (entry.source.layer, entry.layer) else None
            if found is not None:
                return found
    return None


def _of_added(entry: AddedEntry) -> BeforeAfter | None:
    source, noisy = entry.source, entry.source.noisy
    if entry.frame is not None:
        index = source.layout.frames[entry.frame]
        noisy = noisy[tuple(slice(i, i + 1) if isinstance(i, int) else i for i in index)]
    fits = tuple(levels_of(entry.layer)[0].shape) == tuple(noisy.shape)
    return BeforeAfter(entry.layer, noisy, source.axes) if fits else None


class Compare:
    """Swaps layers' original data in while a button is held."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._swapped: list[tuple[Image, tuple[Any, ...], tuple[Any, ...]]] = []
        self._turned: list[tuple[Image, bool]] = []

    @property
    def active(self) -> bool:
        """Whether originals are on the screen."""
        return bool(self._swapped or self._turned)

    def press(self, layers: Sequence[Image]) -> None:
        """Show the originals of some layers, which may be noisy or denoised.

        Data that were replaced are swapped in again. A result in a layer of its own is hidden, and
        the layer that it came from shown.
        """
        self.release()
        for entry in self._history.added():
            origin, made = entry.source.layer, entry.layer
            if (origin in layers or made in layers) and made.visible:
                self._turn(made, False)
                self._turn(origin, True)
        for layer in layers:
            original = self._history.original(layer)
            if original is not None:
                self._swapped.append((layer, original, levels_of(layer)))
                assign(layer, original)

    def _turn(self, layer: Image, visible: bool) -> None:
        self._turned.append((layer, layer.visible))
        layer.visible = visible

    def release(self) -> None:
        """Show the denoised data again, the same objects as before."""
        while self._turned:
            layer, visible = self._turned.pop()
            layer.visible = visible
        while self._swapped:
            layer, original, denoised = self._swapped[-1]
            if levels_of(layer)[0] is original[0]:  # nobody else changed it meanwhile
                assign(layer, denoised)
            self._swapped.pop()  # last: until then what layers hold is no news


def residual(
    noisy: Any, denoised: Any, axes: str, noise: Sequence[NoiseModel] | None = None
) -> Any:
    """Noisy - denoised, float32, computed frame by frame when it is looked at.

    Colour samples are averaged, so that one grey image shows every channel.

    Parameters
    ----------
    noisy, denoised
        Of one shape.
    axes
        Letters.
    noise
        Per channel: what to divide by, its standard deviation at the denoised intensity; None
        leaves the difference in the data's units.
    """
    layout = Layout(axes, tuple(noisy.shape))
    chunks = plane_chunks(axes, layout.shape)
    a, b = (
        (da.from_array(x, chunks=chunks, name=False) if not isinstance(x, da.Array) else x).astype(
            np.float32
        )
        for x in (noisy, denoised)
    )
    lazy = a - b
    if noise is not None:
        lazy = lazy / _deviation(b, axes, noise)
    return lazy.mean(axis=axes.index("S")) if "S" in axes else lazy


def _deviation(mean: Any, axes: str, noise: Sequence[NoiseModel]) -> Any:
    """Return the standard deviation that noise has at each pixel; NaN where it has none."""
    count = mean.shape[axes.index("C")] if "C" in axes else 1
    models = [noise[min(n, len(noise) - 1)] for n in range(count)]
    shape = [count if letter == "C" else 1 for letter in axes]
    slope, intercept = (
        np.array([getattr(model, name) for model in models], np.float32).reshape(shape)
        for name in ("slope", "intercept")
    )
    variance = slope * mean + intercept
    return da.sqrt(da.where(variance > 0, variance, np.float32(np.nan)))


def noise_of_result(layer: Image) -> tuple[NoiseModel, ...] | None:
    """Return the noise that a result was made for, in its own units; None where it is no line.

    The noise of renders is one of logarithms.
    """
    note = provenance(layer) or {}
    kinds = {str(channel.get("mapping", {}).get("kind")) for channel in note.get("channels", ())}
    models = noise_told(note)
    if models is None or "log" in kinds or NoiseModel() in models:
        return None
    return models


def residual_limits(frame: Any) -> tuple[float, float]:
    """Symmetric contrast limits that show noise of this strength well."""
    thin = np.asarray(frame)[..., ::4, ::4]
    finite = thin[np.isfinite(thin)]
    spread = float(np.percentile(np.abs(finite), 99)) if finite.size else 0.0
    return -(spread or 1.0), spread or 1.0


class Residuals:
    """The residuals in the viewer, one per result; each goes when its result does."""

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._shown: list[tuple[Image, tuple[Any, ...], Image]] = []
        self._view: tuple[Any, Any] | None = None
        """Where the camera was before any, and where it was put."""

    def shown_of(self, denoised: Image) -> Image | None:
        """Return the residual of a result, where it is to be seen."""
        found = (made for layer, _, made in self._shown if layer is denoised)
        return next((made for made in found if made in self._viewer.layers), None)

    def show(self, pair: BeforeAfter, frame: int) -> Image:
        """Add a residual in place of an older one, and bring it into view."""
        self._drop(lambda layer, _levels: layer is pair.layer)
        before = self._view[0] if self._view is not None else self._camera()
        made = show_residual(self._viewer, pair, frame)
        self._shown.append((pair.layer, levels_of(pair.layer), made))
        self._viewer.reset_view()
        self._view = before, self._camera()
        return made

    def hide(self, denoised: Image) -> None:
        """Take the residual of a result away; with the last one the view is as it was."""
        self._drop(lambda layer, _levels: layer is denoised)

    def drop_stale(self) -> None:
        """Remove those whose layer holds other data by now, or was removed."""
        layers = self._viewer.layers
        self._drop(lambda layer, levels: layer not in layers or not holds(layer, levels), soon=True)

    def _drop(
        self, unwanted: Callable[[Image, tuple[Any, ...]], bool], *, soon: bool = False
    ) -> None:
        gone = [entry for entry in self._shown if unwanted(*entry[:2])]
        self._shown = [entry for entry in self._shown if entry not in gone]
        for _, _, made in gone:
            remove_helper(self._viewer, made, soon=soon)
        if gone and not self._shown and self._view is not None:
            (before, put), self._view = self._view, None
            if self._camera() == put:  # nobody looked elsewhere since
                camera = self._viewer.scene.camera
                camera.zoom, camera.center = before

    def _camera(self) -> tuple[float, tuple[float, ...]]:
        camera = self._viewer.scene.camera
        return float(camera.zoom), tuple(map(float, camera.center))


def show_residual(viewer: Any, pair: BeforeAfter, frame: int) -> Image:
    """Add a layer with noisy - denoised beside the denoised one.

    Parameters
    ----------
    viewer
        Gets the layer.
    pair
        The result and the noisy data. Where it is known, the noise expected at each pixel is the
        unit of the residual.
    frame
        Number of the frame that sets the contrast limits.
    """
    base, axes = pair.layer, pair.axes
    noise = noise_of_result(base)
    lazy = residual(pair.noisy, levels_of(base)[0], axes, noise)
    layout = Layout(axes, tuple(pair.noisy.shape))
    index = tuple(i for i, a in zip(layout.frames[frame], axes, strict=True) if a != "S")
    limits = (-_SIGMAS, _SIGMAS) if noise else residual_limits(np.asarray(lazy[index]))
    offset = np.zeros(base.ndim)
    if not viewer.canvas.grid.enabled:  # where every layer has a place of its own
        axis = displayed_axes(viewer.dims.order, base.ndim)[-1]
        offset[axis] = _GAP * base.level_shapes[0][axis]
    made = Image(
        lazy,
        name=f"Residual of {base.name}",
        scale=base.scale,
        rotate=base.rotate,
        shear=base.shear,
        translate=offset_translate(base, offset),
        affine=base.affine.affine_matrix,
        units=base.units,
        axis_labels=base.axis_labels,
        colormap="gray",
        contrast_limits=limits,
        metadata={HELPER: "residual"},
    )
    insert_above(viewer, base, made)
    return made


def shown_frame(pair: BeforeAfter, source: Source, frame: int) -> int:
    """Return the frame of a result for the one of its source: the only one of a single frame."""
    same = tuple(pair.noisy.shape) == tuple(source.array.shape)
    return frame if same else 0
