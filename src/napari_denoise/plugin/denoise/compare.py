"""Look at what a run did: the original while a button is held, and the residual."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import dask.array as da
import numpy as np
from napari.layers import Image

from napari_denoise.image.axes import Layout, plane_chunks
from napari_denoise.plugin.layers.apply import assign, insert_above, offset_translate
from napari_denoise.plugin.layers.history import History
from napari_denoise.plugin.layers.source import HELPER, Source, displayed_axes, holds, levels_of

_GAP = 1.02
"""Distance of the residual from its layer, in widths of the layer."""


class Compare:
    """Swaps layers' original data in while a button is held."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._swapped: list[tuple[Image, tuple[Any, ...], tuple[Any, ...]]] = []
        self._hidden: list[Image] = []

    @property
    def active(self) -> bool:
        """Whether originals are on the screen."""
        return bool(self._swapped or self._hidden)

    def press(self, layers: Sequence[Image], covers: Sequence[Image] = ()) -> None:
        """Show the originals.

        Parameters
        ----------
        layers
            Denoised in place: their earlier data are swapped in.
        covers
            Results in layers of their own: hidden.
        """
        self.release()
        self._hidden = [cover for cover in covers if cover.visible]
        for cover in self._hidden:
            cover.visible = False
        for layer in layers:
            original = self._history.original(layer)
            if original is not None:
                denoised = levels_of(layer)
                assign(layer, original)
                self._swapped.append((layer, original, denoised))

    def release(self) -> None:
        """Show the denoised data again, the same objects as before."""
        for cover in self._hidden:
            cover.visible = True
        self._hidden = []
        while self._swapped:
            layer, original, denoised = self._swapped.pop()
            if levels_of(layer)[0] is original[0]:  # nobody else changed it meanwhile
                assign(layer, denoised)


def residual(noisy: Any, denoised: Any, axes: str) -> Any:
    """Noisy - denoised, float32, computed frame by frame when it is looked at.

    Colour samples are averaged, so that one grey image shows every channel.
    """
    layout = Layout(axes, tuple(noisy.shape))
    chunks = plane_chunks(axes, layout.shape)
    a, b = (
        da.from_array(x, chunks=chunks, name=False) if not isinstance(x, da.Array) else x
        for x in (noisy, denoised)
    )
    lazy = a.astype(np.float32) - b.astype(np.float32)
    return lazy.mean(axis=axes.index("S")) if "S" in axes else lazy


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

    def show(self, source: Source, denoised: Image, frame: int) -> Image:
        """Add a residual in place of an older one, and bring it into view."""
        self._drop(lambda layer, _levels: layer is denoised)
        made = show_residual(self._viewer, source, denoised, frame)
        self._shown.append((denoised, levels_of(denoised), made))
        self._viewer.reset_view()
        return made

    def drop_stale(self) -> None:
        """Remove those whose layer holds other data by now, or was removed."""
        layers = self._viewer.layers
        self._drop(lambda layer, levels: layer not in layers or not holds(layer, levels))

    def _drop(self, unwanted: Callable[[Image, tuple[Any, ...]], bool]) -> None:
        gone = [entry for entry in self._shown if unwanted(*entry[:2])]
        self._shown = [entry for entry in self._shown if entry not in gone]
        for _, _, made in gone:
            if made in self._viewer.layers:
                self._viewer.layers.remove(made)


def show_residual(viewer: Any, source: Source, denoised: Image, frame: int) -> Image:
    """Add a layer with noisy - denoised beside the denoised one.

    Parameters
    ----------
    viewer
        Gets the layer.
    source
        The noisy data and their axes.
    denoised
        The layer that holds the result, of the same shape.
    frame
        Number of the frame that sets the contrast limits.
    """
    lazy = residual(source.array, levels_of(denoised)[0], source.axes)
    index = tuple(
        i for i, a in zip(source.layout.frames[frame], source.axes, strict=True) if a != "S"
    )
    limits = residual_limits(np.asarray(lazy[index]))
    base = source.layer
    axis = displayed_axes(viewer.dims.order, base.ndim)[-1]
    offset = np.zeros(base.ndim)
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
    insert_above(viewer, denoised, made)
    return made
