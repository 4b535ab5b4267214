"""How a panel looks at what runs did: compare and residual, from either layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from psygnal import Signal

from napari_denoise.plugin.denoise.compare import (
    BeforeAfter,
    Compare,
    before_after,
    noise_of_result,
    shown_frame,
)
from napari_denoise.plugin.denoise.previewing import Preview
from napari_denoise.plugin.denoise.session import Session
from napari_denoise.plugin.denoise.wipe import Wipe
from napari_denoise.plugin.layers.source import Source, current_frame, current_point

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
        session: Session,
        preview: Preview,
        sources: Callable[[], Sequence[Source]],
    ) -> None:
        self._viewer, self._session, self._preview = viewer, session, preview
        self._sources = sources
        self.compare = Compare(session.history)
        self.wipe = Wipe(viewer, session.history)
        self.wipe.said.connect(self.said.emit)

    @property
    def pair(self) -> BeforeAfter | None:
        """The result that belongs to what is selected."""
        return before_after(self._session.history, [s.layer for s in self._sources()])

    @property
    def residual_shown(self) -> bool:
        """Whether the residual of the selected result is there."""
        pair = self.pair
        return pair is not None and self._session.residuals.shown_of(pair.layer) is not None

    def toggle_wipe(self, on: bool) -> None:
        """Part what is selected by a line, or take the line away."""
        if on and not self._preview.active:
            self.wipe.start([s.layer for s in self._sources()])
        else:
            self.wipe.end()

    def start_comparing(self) -> None:
        """Show what was before."""
        self.wipe.end()
        if self._preview.active:
            self._preview.hide(True)
        else:
            self.compare.press([s.layer for s in self._sources()])

    def stop_comparing(self) -> None:
        """Show the results again."""
        if self._preview.active:
            self._preview.hide(False)
        self.compare.release()

    def end(self) -> None:
        """Show the results as they are, without a line."""
        self.wipe.end()
        self.stop_comparing()

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
