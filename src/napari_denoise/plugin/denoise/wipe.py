"""Wipe: before on the left of a line in the canvas, after on its right."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.experimental import link_layers, unlink_layers
from napari.layers import Image
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import QTimer
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QMainWindow, QWidget

from napari_denoise.plugin.denoise.preview import wanted_plane
from napari_denoise.plugin.denoise.wipe_handle import WipeHandle
from napari_denoise.plugin.kit.workers import WorkerTask
from napari_denoise.plugin.layers.cover import Cover
from napari_denoise.plugin.layers.source import (
    Box,
    Source,
    bare,
    current_plane,
    current_point,
    displayed_axes,
    levels_of,
    visible_part,
)

NEEDS_2D = "The wipe shows one plane: switch to the 2-D view (cube button at the lower left)."
NEEDS_ONE_PLACE = "The wipe needs before and after in one place: leave the grid view first."
OUTSIDE = "The sliders are outside “{}”: move them to where it has data."
_LOOKS = ("contrast_limits", "gamma", "colormap", "opacity", "blending", "interpolation2d")
_LOOKS_RGB = ("gamma", "opacity", "blending", "interpolation2d")


@dataclass(frozen=True, eq=False)
class Sides:
    """What was before, and the layer that shows what came after.

    Parameters
    ----------
    layer
        Holds the result.
    before
        Pixels of the shape of the layer's finest level, or of what `plane` gives of them.
    after
        The layer's finest level.
    plane
        Of a preview, the part of `before` that it shows; None for a result, which shows all.
    """

    layer: Image
    before: Any
    after: Any
    plane: Box | None = None

    def same_as(self, other: Sides) -> bool:
        """Whether another one compares the very same pixels."""
        mine, others = ((side.layer, side.before, side.after, side.plane) for side in (self, other))
        return all(a is b for a, b in zip(mine[:3], others[:3], strict=True)) and (
            mine[3] == others[3]
        )


@dataclass(frozen=True, eq=False)
class _Sight:
    """The part of two sides that is to be seen."""

    sides: Sides
    view: Box

    def same_as(self, other: _Sight) -> bool:
        return self.view == other.view and self.sides.same_as(other.sides)


def _sizes(box: Box) -> tuple[int, ...]:
    return tuple(part.stop - part.start for part in box)


def reading(sights: Sequence[_Sight]) -> Iterator[tuple[_Sight, NDArray[Any], NDArray[Any]]]:
    """Read what is to be compared, off the GUI thread."""
    for sight in sights:
        plane, view = sight.sides.plane, sight.view
        if plane is not None:
            view = tuple(
                slice(p.start + v.start, p.start + v.stop) for p, v in zip(plane, view, strict=True)
            )
        before, after = (
            np.array(array[part])
            for array, part in ((sight.sides.before, view), (sight.sides.after, sight.view))
        )
        yield sight, before, after


class _Composite:
    """A cover that shows `before` on one side of a line, and `after` on the other."""

    def __init__(
        self, viewer: Any, sight: _Sight, before: NDArray[Any], after: NDArray[Any]
    ) -> None:
        self.sight, self._before, self._after = sight, before, after
        self._viewer, self._pixels = viewer, after.copy()
        layer = sight.sides.layer
        self._cover = Cover(viewer, layer, sight.view, self._pixels, "Wipe of", "wipe")
        self._looks = _LOOKS_RGB if layer.rgb else _LOOKS
        link_layers([layer, self._cover.layer], self._looks)

    def takes(self, sight: _Sight) -> bool:
        """Whether another part, of the same size, can be shown in place of this one."""
        mine, other = self.sight, sight
        return mine.sides.layer is other.sides.layer and _sizes(mine.view) == _sizes(other.view)

    def take(self, sight: _Sight, before: NDArray[Any], after: NDArray[Any]) -> None:
        """Show that part: another frame, or a newer result."""
        self.sight, self._before, self._after = sight, before, after
        self._cover.move(sight.view)

    def show(self, line: float, sign: int) -> None:
        """Put the line at a place along the world's horizontal axis; `sign` is that of right."""
        layer, view = self.sight.sides.layer, self.sight.view
        axes = displayed_axes(self._viewer.dims.order, layer.ndim)
        corner = np.array([s.start for s in view], float)

        def place(point: Any) -> float:
            return sign * float(layer.data_to_world(point)[axes[-1]])

        origin = place(corner)
        slopes = [place(corner + np.eye(layer.ndim)[axis]) - origin for axis in axes]
        down, across = (
            np.arange(view[axis].stop - view[axis].start) * slope
            for axis, slope in zip(axes, slopes, strict=True)
        )
        left = origin + down[:, None] + across[None] < sign * line
        if axes[0] > axes[1]:  # the view is transposed, the array is not
            left = left.T
        shape = _sizes(view)
        mask = left.reshape(shape + (1,) * (self._pixels.ndim - len(shape)))
        np.copyto(self._pixels, self._after)
        np.copyto(self._pixels, self._before, where=mask)
        self._cover.refresh()

    def update(self) -> None:
        """Take what the layer shows by now, where it is still computed."""
        if self.sight.sides.plane is not None:
            self._after[...] = np.asarray(self.sight.sides.after[self.sight.view])

    def remove(self, *, soon: bool = False) -> None:
        """Show the layer again as it is."""
        unlink_layers([self.sight.sides.layer, self._cover.layer], self._looks)
        self._cover.remove(soon=soon)


class Wipe:
    """A line in the canvas, and what it divides.

    Parameters
    ----------
    viewer
        Where the layers are.
    panel
        A widget in the viewer's window.
    sides
        Tells what is to be compared now; None where there is nothing, which ends the wipe.

    Signals
    -------
    said : (kind, text)
        Something for the status line.
    changed : ()
        It went on or off.
    failed : (Exception,)
        What is to be compared cannot be read.
    """

    said = Signal(str, str)
    changed = Signal()
    failed = Signal(object)

    def __init__(
        self, viewer: Any, panel: QWidget, sides: Callable[[], Sequence[Sides] | None]
    ) -> None:
        self._viewer, self._panel, self._sides = viewer, panel, sides
        self._handle: WipeHandle | None = None
        self._sights: list[_Sight] = []
        self._shown: list[_Composite] = []
        self._task: WorkerTask | None = None
        self._settling = False
        # Changes of the selection come while a layer is removed; another one must not be then.
        self._soon = QTimer(panel)
        self._soon.setSingleShot(True)
        self._soon.setInterval(0)
        self._soon.timeout.connect(self.follow)

    @property
    def active(self) -> bool:
        """Whether the line is there."""
        return self._handle is not None

    @property
    def handle(self) -> WipeHandle | None:
        """The line."""
        return self._handle

    def covers(self, layer: Image) -> bool:
        """Whether a layer is divided now: it may be hidden for that."""
        return any(part.sight.sides.layer is layer for part in self._shown)

    def start(self) -> bool:
        """Show the line; False, having said why, where that makes no sense."""
        canvas = canvas_of(self._panel)
        if self.active or canvas is None or not self._possible():
            return self.active
        self._handle = WipeHandle(canvas)
        self._handle.moved.connect(self._draw)
        self._handle.left.connect(self.stop)
        for event, follow in self._events():
            event.connect(follow)
        self.follow()
        self.changed.emit()
        return self.active

    def stop(self, *, soon: bool = False) -> None:
        """Take the line away and show the results; covers `soon`, as for `remove_helper`."""
        if self._handle is None:
            return
        handle, self._handle = self._handle, None
        self.close(soon=soon)
        handle.take_away()
        self.changed.emit()

    def close(self, *, soon: bool = False) -> None:
        """Let go of the viewer and of what was read."""
        for event, follow in self._events():
            event.disconnect(follow)
        if self._task is not None:
            self._task.detach()
        self._sights = []
        self._clear(self._shown, soon=soon)

    def follow(self) -> None:
        """Compare what is selected and in view now; end where there is nothing."""
        if not self.active or self._settling:
            return
        if not self._possible():
            self.stop()
            return
        wanted = self._sides()
        if wanted is None:
            self.stop()
            return
        sights = [sight for sides in wanted if (sight := self._sight(sides)) is not None]
        if len(sights) == len(self._sights) and all(
            new.same_as(old) for new, old in zip(sights, self._sights, strict=True)
        ):
            self._draw()
        else:
            self._read(sights)

    def uncover(self, layer: Image, *, soon: bool = False) -> None:
        """Show a layer as it is, before it goes; `soon` once the event at work is over."""
        self._clear([p for p in self._shown if p.sight.sides.layer is layer], soon=soon)

    def update(self) -> None:
        """Show what is there by now of a preview that is still computed."""
        for part in self._shown:
            part.update()
        self._draw()

    def follow_soon(self, _event: Any = None) -> None:
        """Do so once the event at work is over."""
        if self.active and not self._settling:
            self._soon.start()

    def _follow(self, _event: Any = None) -> None:
        self.follow()

    def _removed(self, event: Any) -> None:
        """Let a cover go with its layer."""
        self.uncover(bare(event.value), soon=True)
        self.follow_soon()

    def _events(self) -> list[tuple[Any, Callable[..., None]]]:
        dims, layers = self._viewer.dims.events, self._viewer.layers
        camera, grid = self._viewer.scene.camera.events, self._viewer.canvas.grid.events
        return [
            (dims.ndisplay, self._follow),
            (grid.enabled, self._follow),
            (dims.current_step, self.follow_soon),
            (dims.order, self.follow_soon),
            (camera.center, self.follow_soon),
            (camera.zoom, self.follow_soon),
            (camera.orientation, self.follow_soon),
            (layers.events.removed, self._removed),
            (layers.selection.events.changed, self.follow_soon),
        ]

    def _possible(self) -> bool:
        if self._viewer.dims.ndisplay == 3:
            self.said.emit("warning", NEEDS_2D)
        elif self._viewer.canvas.grid.enabled:
            self.said.emit("warning", NEEDS_ONE_PLACE)
        else:
            return True
        return False

    def _sight(self, sides: Sides) -> _Sight | None:
        layer = sides.layer
        point = current_point(self._viewer, layer)
        if point is None:
            self.said.emit("info", OUTSIDE.format(layer.name))
            return None
        source = Source(layer, levels_of(layer), "")
        plane = current_plane(self._viewer, source, point)
        view = wanted_plane(source, plane, visible_part(self._viewer, source, plane))
        return _Sight(sides, view)

    def _read(self, sights: list[_Sight]) -> None:
        if self._task is not None:
            self._task.detach()
        self._clear([part for part in self._shown if not any(part.takes(s) for s in sights)])
        self._sights = sights
        self._task = WorkerTask(reading, sights, on_event=self._have, on_error=self._fail)

    def _have(self, event: tuple[_Sight, NDArray[Any], NDArray[Any]]) -> None:
        sight, before, after = event
        if not self.active or sight.sides.layer not in self._viewer.layers:
            return
        self._settling = True
        try:
            for part in self._shown:
                if part.takes(sight):
                    part.take(sight, before, after)
                    break
            else:
                self._shown.append(_Composite(self._viewer, sight, before, after))
        finally:
            self._settling = False
        self.update()

    def _fail(self, error: Exception) -> None:
        self.stop()
        self.failed.emit(error)

    def _draw(self) -> None:
        if self._handle is None:
            return
        line, sign = self._place_of(self._handle.x_of_line, self._handle.parentWidget().width())
        for part in self._shown:
            part.show(line, sign)

    def _place_of(self, x: float, width: int) -> tuple[float, int]:
        """Where a pixel of the canvas is in the world, along its horizontal axis."""
        camera = self._viewer.scene.camera
        sign = 1 if camera.orientation2d[1] == "right" else -1
        return float(camera.center[-1]) + sign * (x - width / 2) / float(camera.zoom), sign

    def _clear(self, parts: Sequence[_Composite], *, soon: bool = False) -> None:
        self._settling = True
        try:
            for part in list(parts):
                self._shown.remove(part)
                part.remove(soon=soon)
        finally:
            self._settling = False


def canvas_of(panel: QWidget) -> QWidget | None:
    """Find the canvas in the window of a panel; None where there is no window yet."""
    parent: Any = panel
    while parent is not None and not isinstance(parent, QMainWindow):
        parent = parent.parent()
    found = [] if parent is None else parent.findChildren(QOpenGLWidget)
    return max(found, key=lambda w: w.width() * w.height()) if found else None
