"""Where the user looks, in terms of pairs, and the layer that shows the weights so far there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.layers import Image

from napari_denoise.plugin.finetune.entries import PairEntry
from napari_denoise.plugin.finetune.looks import Look, LookedAt
from napari_denoise.plugin.layers.apply import insert_above, twin
from napari_denoise.plugin.layers.source import (
    HELPER,
    Source,
    bare,
    current_frame,
    current_plane,
    current_point,
    is_helper,
    visible_part,
)


class PairsInView:
    """Tells what is in view, and shows held-out windows over their layers.

    Parameters
    ----------
    viewer
        Where the layers are.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self.layer: Image | None = None

    def view(self, entries: Sequence[PairEntry]) -> LookedAt | None:
        """Return the visible part of the topmost layer that belongs to a pair."""
        for layer in map(bare, reversed(list(self._viewer.layers))):
            for entry in entries:
                if entry.layer is not None and layer is entry.layer and layer.visible:
                    return _seen(self._viewer, entry)
        return None

    def frame(self, entry: PairEntry) -> int:
        """Return the frame of a pair under the sliders; the first where they point beside it."""
        source = source_of(entry)
        point = current_point(self._viewer, source.layer) if source is not None else None
        return current_frame(source, point) if source is not None and point is not None else 0

    def show(self, look: Look, entries: Sequence[PairEntry]) -> None:
        """Show the last image of a look over the noisy layer, if that is there."""
        entry = next((x for x in entries if x.pair.name == look.view.pair), None)
        self.remove()
        source = source_of(entry) if entry is not None else None
        if source is None or source.layer not in self._viewer.layers:
            return
        pixels = list(look.images.values())[-1]
        frame, axes = source.layout.frames[look.view.frame], source.axes
        ranges = {"Y": look.view.rows, "X": look.view.columns}
        starts = [
            ranges[letter].start if letter in ranges else place
            for letter, place in zip(axes, frame, strict=True)
            if letter != "S"
        ]
        shape = tuple(
            pixels.shape["YXS".index(letter)] if letter in "YXS" else 1 for letter in axes
        )
        order = sorted("YXS"[: pixels.ndim], key=axes.index)
        turned = np.transpose(pixels, ["YXS".index(letter) for letter in order])
        made = twin(
            source.layer, (turned.reshape(shape),), "Fine-tuning so far", starts, visible=True
        )
        made.metadata = {HELPER: "fine-tuning"}
        self.layer = made
        shown = [layer for layer in self._viewer.layers if layer.visible and not is_helper(layer)]
        images = [layer for layer in shown if isinstance(layer, Image)]
        insert_above(self._viewer, (images or [source.layer])[-1], made)  # else it is covered

    def remove(self) -> None:
        """Take the layer away."""
        if self.layer is not None and self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)
        self.layer = None


def source_of(entry: PairEntry) -> Source | None:
    """Return the pixels of a pair as those of its layer; None where it came from a file."""
    if entry.layer is None:
        return None
    return Source(entry.layer, (entry.pair.noisy,), entry.pair.axes)


def _seen(viewer: Any, entry: PairEntry) -> LookedAt | None:
    source = source_of(entry)
    point = current_point(viewer, entry.layer) if entry.layer is not None else None
    if source is None or point is None:
        return None
    part = visible_part(viewer, source, current_plane(viewer, source, point))
    axes = source.axes.replace("S", "")
    frame = current_frame(source, point)
    return LookedAt(entry.pair.name, frame, part[axes.index("Y")], part[axes.index("X")])
