"""A temporary layer over a part of another, which it hides where it would shine through."""

from __future__ import annotations

from typing import Any

from napari.layers import Image
from qtpy.QtCore import QTimer

from napari_denoise.plugin.layers.apply import covers, insert_above, offset_translate, twin
from napari_denoise.plugin.layers.source import HELPER, Box


class Cover:
    """A layer that looks like another one, right above it.

    Parameters
    ----------
    viewer
        Gets the layer.
    base
        What is covered. It is hidden where both would be seen, as in additive blending.
    plane
        The part that is covered.
    pixels
        What to show instead.
    title
        First words of the layer's name.
    role
        What the layer is for, one word in its metadata.
    """

    def __init__(
        self, viewer: Any, base: Image, plane: Box, pixels: Any, title: str, role: str
    ) -> None:
        self.base, self.plane = base, plane
        self._viewer = viewer
        offset = [s.start for s in plane]
        self.layer: Image = twin(base, (pixels,), f"{title} {base.name}", offset=offset)
        self.layer.metadata = {HELPER: role}
        self._hides = base.visible and not covers(base)
        insert_above(viewer, base, self.layer)
        if self._hides:
            base.visible = False

    def move(self, plane: Box) -> None:
        """Cover another part of the same size; the pixels are to be changed in place."""
        self.plane = plane
        self.layer.translate = offset_translate(self.base, [s.start for s in plane])

    def refresh(self) -> None:
        """Show pixels that were changed in place."""
        self.layer.refresh(thumbnail=False, extent=False)

    def lift(self, lifted: bool) -> None:
        """Show the covered layer instead, for a moment."""
        self.layer.visible = not lifted
        if self._hides:
            self.base.visible = lifted

    def remove(self, *, soon: bool = False) -> None:
        """Take the layer away and show what it covered, if that was hidden for it.

        Parameters
        ----------
        soon
            As for `remove_helper`.
        """
        if self._hides:
            self.base.visible = True
            self._hides = False
        remove_helper(self._viewer, self.layer, soon=soon)


def remove_helper(viewer: Any, layer: Image, *, soon: bool) -> None:
    """Take a layer of ours away, if the user has not.

    Parameters
    ----------
    viewer, layer
        Where it is, and which.
    soon
        Once the event at work is over, and out of sight until then: napari deletes what is
        selected layer by layer, and stumbles over one that went with another.
    """
    if layer not in viewer.layers:
        return
    if not soon:
        viewer.layers.remove(layer)
        return
    layer.visible = False  # drawn without what it belongs to, it can crash Mesa
    QTimer.singleShot(0, lambda: remove_helper(viewer, layer, soon=False))
