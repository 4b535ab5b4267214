"""The preview at work: overlays that follow the view, filled from a worker thread."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from napari.layers import Image
from psygnal import Signal

from napari_denoise.plugin.denoise.jobs import Jobs, Measured, Plane, PreviewOrder, Shown, preview
from napari_denoise.plugin.denoise.preview import Overlay, plan, wanted_plane
from napari_denoise.plugin.kit.workers import WorkerTask
from napari_denoise.plugin.layers.source import (
    Box,
    Source,
    current_plane,
    current_point,
    visible_part,
)
from napari_denoise.settings.denoise import DenoiseSettings

NEEDS_2D = (
    "The preview shows one plane, and the 3-D view shows many: switch to the 2-D view "
    "(cube button at the lower left)."
)
_BETWEEN_PAINTS = 0.25
"""Seconds; in software and over remote desktops a window takes long to paint."""
_OUTSIDE = "The sliders are outside “{}”: move them to where it has data."


class PlaneInView(NamedTuple):
    """What is to be seen of a layer: its current plane, and the visible part of that."""

    source: Source
    plane: Box
    view: Box


def _covered(wanted: Sequence[PlaneInView], under_way: Sequence[PlaneInView]) -> bool:
    """Whether what is being computed shows what is wanted, and little else."""
    return len(wanted) == len(under_way) and all(
        new.source.same_as(old.source)
        and new.plane == old.plane
        and all(_fills(n, o) for n, o in zip(new.view, old.view, strict=True))
        for new, old in zip(wanted, under_way, strict=True)
    )


def _fills(part: slice, whole: slice) -> bool:
    nearly_all: bool = 4 * (part.stop - part.start) >= 3 * (whole.stop - whole.start)
    return nearly_all and whole.start <= part.start and part.stop <= whole.stop


class Preview:
    """Temporary layers over what is visible of some layers.

    Signals
    -------
    said : (kind, text)
        Something for the status line; kind is "info", "warning" or "error".
    measured : (Measured,)
        A job became ready on the way.
    failed : (Exception,)
        The worker ended in an error.
    changed : ()
        It went on or off.
    painted : ()
        There is more to see than before.
    dropping : (Image, bool)
        An overlay is about to go, soon or at once: what lies above it must go first, as Mesa
        crashes otherwise.
    """

    said = Signal(str, str)
    measured = Signal(object)
    failed = Signal(object)
    changed = Signal()
    painted = Signal()
    dropping = Signal(object, bool)

    def __init__(self, viewer: Any, jobs: Jobs) -> None:
        self._viewer, self._jobs = viewer, jobs
        self._overlays: dict[int, Overlay] = {}
        self._settings: DenoiseSettings | None = None
        self._sights: list[PlaneInView] = []
        self._task: WorkerTask | None = None
        self.active = False
        self._painted = 0.0

    @property
    def busy(self) -> bool:
        """Whether pieces are still missing."""
        return self._task is not None and self._task.running and not self._task.cancelled

    @property
    def overlays(self) -> tuple[Overlay, ...]:
        """What stands in the viewer now."""
        return tuple(self._overlays.values())

    def show(self, sources: Sequence[Source], settings: DenoiseSettings) -> bool:
        """Preview what is visible now, keeping the pieces that are still right.

        Returns False, having said why, where there is nothing that could be shown.
        """
        if self._viewer.dims.ndisplay == 3:
            self.stop()
            self.say_needs_2d()
            return False
        sights = [sight for s in sources if (sight := self._sight(s)) is not None]
        if self.busy and settings == self._settings and _covered(sights, self._sights):
            return True  # adding the overlay lays the window out anew, and so asks again
        self._cancel()
        if settings != self._settings:
            if self._settings is not None and settings.dtype != self._settings.dtype:
                self._drop_others([])  # their pixels are of another type
            for overlay in self._overlays.values():
                overlay.known[:] = False
        self._settings, self._sights, self._painted = settings, sights, 0.0
        orders = [self._order(sight) for sight in sights]
        self._drop_others([o.source for o in orders])
        if not orders:
            return False
        self._start(orders, settings)
        return True

    def say_needs_2d(self) -> None:
        """Say why there is no preview in 3-D."""
        self.said.emit("warning", NEEDS_2D)

    def _start(self, orders: Sequence[PreviewOrder], settings: DenoiseSettings) -> None:
        was, self.active = self.active, True
        if any(order.pieces for order in orders):
            self._task = WorkerTask(
                preview,
                self._jobs,
                orders,
                settings,
                on_event=self._on_event,
                on_error=self._on_error,
            )
        if not was:
            self.changed.emit()

    def _sight(self, source: Source) -> PlaneInView | None:
        point = current_point(self._viewer, source.layer)
        if point is None:
            self.said.emit("info", _OUTSIDE.format(source.layer.name))
            return None
        plane = current_plane(self._viewer, source, point)
        return PlaneInView(source, plane, visible_part(self._viewer, source, plane))

    def _order(self, sight: PlaneInView) -> PreviewOrder:
        source = sight.source
        span = wanted_plane(source, sight.plane, sight.view)
        pieces = plan(source.layout, sight.view)
        overlay = self._overlays.get(id(source.layer))
        if overlay is None or overlay.plane != span or not overlay.source.same_as(source):
            return PreviewOrder(source, pieces, span)
        return PreviewOrder(source, [p for p in pieces if not overlay.has(p)], None)

    def _on_event(self, event: Plane | Measured | Shown) -> None:
        if isinstance(event, Measured):
            self.measured.emit(event)
        elif event.source.layer not in self._viewer.layers:
            return
        elif isinstance(event, Plane):
            self._drop(event.source.layer)
            self._overlays[id(event.source.layer)] = Overlay(
                self._viewer, event.source, event.box, event.pixels
            )
            self.painted.emit()
        elif overlay := self._overlays.get(id(event.source.layer)):
            overlay.put(event.piece, event.pixels, final=event.final)
            if not self._due(event):
                return
            for stale in self._overlays.values():
                stale.refresh()
            self.painted.emit()
            share = 100 * event.done // event.total
            text = "Preview ready." if share == 100 else f"Preview: {share} % of the view."
            if not event.final:
                text = f"Preview: {share} %. Frames by themselves; neighbours will follow."
            self.said.emit("info", text)

    def _due(self, event: Shown) -> bool:
        """Whether to paint: at once at first, then some times a second, and at the end."""
        now = time.monotonic()
        due = now - self._painted >= _BETWEEN_PAINTS or event.done == event.total
        if due:
            self._painted = now
        return due

    def _on_error(self, error: Exception) -> None:
        self.stop()
        self.failed.emit(error)

    def stop(self) -> None:
        """Remove every overlay."""
        self._cancel()
        self._drop_others([])
        self._settings = None
        was, self.active = self.active, False
        if was:
            self.changed.emit()

    def close(self) -> None:
        """Remove every overlay and call nobody any more."""
        if self._task is not None:
            self._task.detach()
        self.active = False
        self._drop_others([])

    def hide(self, hidden: bool) -> None:
        """Show what is under the overlays, or the overlays again."""
        for overlay in self._overlays.values():
            overlay.lift(hidden)

    def forget(self, layer: Image) -> None:
        """Follow the removal of a layer from the viewer."""
        self._drop(layer, soon=True)
        mine = [k for k, o in self._overlays.items() if o.layer is layer]
        for key in mine:  # the user removed the overlay itself
            self._drop(self._overlays[key].source.layer, soon=True)
        if self.active and not self._overlays and not self.busy:
            self.stop()

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _drop(self, layer: Image, *, soon: bool = False) -> None:
        overlay = self._overlays.pop(id(layer), None)
        if overlay is not None:
            self.dropping.emit(overlay.layer, soon)
            overlay.remove(soon=soon)

    def _drop_others(self, sources: Sequence[Source]) -> None:
        wanted = {id(s.layer) for s in sources}
        for key in [k for k in self._overlays if k not in wanted]:
            overlay = self._overlays.pop(key)
            self.dropping.emit(overlay.layer, False)
            overlay.remove()
