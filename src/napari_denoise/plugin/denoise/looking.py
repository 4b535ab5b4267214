"""How a panel looks at what runs did: compare, wipe and residual, from either layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from psygnal import Signal
from qtpy.QtWidgets import QWidget

from napari_denoise.plugin.denoise.compare import (
    BeforeAfter,
    Compare,
    before_after,
    noise_of_result,
    shown_frame,
)
from napari_denoise.plugin.denoise.previewing import Preview
from napari_denoise.plugin.denoise.session import Session
from napari_denoise.plugin.denoise.wipe import Sides, Wipe
from napari_denoise.plugin.layers.source import Source, current_frame, current_point, levels_of

_RESIDUAL = (
    "The residual is what was taken out of “{}”. It should look like noise: what stands out in it, "
    "edges and structure, was taken from the image too."
)
_IN_SIGMAS = (
    "The residual is what was taken out of “{}”, in units of the noise expected at each pixel. "
    "It should look like noise that is the same everywhere: what stands out in it, edges and "
    "structure, was taken from the image too."
)


class Looking:
    """Before and after, for what is selected.

    Parameters
    ----------
    viewer
        Where the layers are.
    panel
        A widget in the viewer's window.
    session
        Has history and residuals.
    preview
        Compared with the layer below, while it is on.
    sources
        Tells what is selected.

    Signals
    -------
    said : (kind, text)
        Something for the status line.
    """

    said = Signal(str, str)

    def __init__(
        self,
        viewer: Any,
        panel: QWidget,
        session: Session,
        preview: Preview,
        sources: Callable[[], Sequence[Source]],
    ) -> None:
        self._viewer, self._session, self._preview = viewer, session, preview
        self._sources = sources
        self.compare = Compare(session.history)
        self._lifted = False
        self.wipe = Wipe(viewer, panel, self._sides)
        preview.painted.connect(self.wipe.update)
        preview.dropping.connect(lambda _layer, soon: self.wipe.stop(soon=soon))
        preview.changed.connect(self.wipe.follow_soon)

    @property
    def pair(self) -> BeforeAfter | None:
        """The result that belongs to what is selected."""
        return before_after(self._session.history, [s.layer for s in self._sources()])

    @property
    def residual_shown(self) -> bool:
        """Whether the residual of the selected result is there."""
        pair = self.pair
        return pair is not None and self._session.residuals.shown_of(pair.layer) is not None

    def _sides(self) -> list[Sides] | None:
        """Tell what a wipe divides: previews, else results."""
        if self._preview.active:
            return [
                Sides(o.layer, o.source.noisy, levels_of(o.layer)[0], o.plane)
                for o in self._preview.overlays
            ]
        pairs: dict[int, BeforeAfter] = {}
        for source in self._sources():
            pair = before_after(self._session.history, [source.layer])
            if pair is not None and pair.layer.visible | self.wipe.covers(pair.layer):
                pairs[id(pair.layer)] = pair
        return [Sides(p.layer, p.noisy, levels_of(p.layer)[0]) for p in pairs.values()] or None

    def toggle_wipe(self, on: bool) -> None:
        """Show the line between before and after, or take it away."""
        if on:
            self.stop_comparing()
            self.wipe.start()
        else:
            self.wipe.stop()

    @property
    def comparing(self) -> bool:
        """Whether the originals are shown."""
        return self._lifted or self.compare.active

    def start_comparing(self) -> None:
        """Show what was before."""
        self._lifted = self._preview.active
        if self._preview.active:
            self._preview.hide(True)
        else:
            self.compare.press([s.layer for s in self._sources()])

    def stop_comparing(self) -> None:
        """Show the results again."""
        self._lifted = False
        if self._preview.active:
            self._preview.hide(False)
        self.compare.release()

    def toggle_residual(self, on: bool) -> None:
        """Show the residual of what is selected, or take it away again."""
        pair = self.pair
        if pair is None:
            return
        if not on:
            self._session.residuals.hide(pair.layer)
            self.said.emit("info", "")
            return
        source = next(iter(self._sources()))
        point = current_point(self._viewer, source.layer)
        frame = 0 if point is None else current_frame(source, point)
        self._session.residuals.show(pair, shown_frame(pair, source, frame))
        text = _RESIDUAL if noise_of_result(pair.layer) is None else _IN_SIGMAS
        self.said.emit("info", text.format(pair.layer.name))
