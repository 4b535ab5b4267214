"""The wipe: one plane in which a line parts what was before from the result.

The plane is shown by a temporary layer. The layers of the user keep their data, so that saving
them at any time saves the results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from napari.experimental import link_layers, unlink_layers
from napari.layers import Image
from psygnal import Signal

from napari_denoise.plugin.denoise.compare import BeforeAfter, before_after
from napari_denoise.plugin.denoise.preview import wanted_plane
from napari_denoise.plugin.denoise.wipe_handle import WipeHandle
from napari_denoise.plugin.layers.apply import covers, insert_above, twin
from napari_denoise.plugin.layers.history import History
from napari_denoise.plugin.layers.source import (
    HELPER,
    Box,
    Source,
    bare,
    current_plane,
    current_point,
    displayed_axes,
    levels_of,
    visible_part,
)

SAID = "Left of the line: before. Right of it: denoised. Drag the line; Esc ends the wipe."
NEEDS_2D = "The wipe parts one plane: switch to the 2-D view (cube button at the lower left)."
NO_GRID = (
    "In the grid every layer has a place of its own: switch the grid off (button at the lower left)"
    " for the wipe."
)
BESIDE = "There is nothing to part here: move the sliders to where the result has data."
_LOOKS = ("contrast_limits", "colormap", "gamma", "opacity", "blending", "interpolation2d")
_LOOKS_OF_COLOUR = ("gamma", "opacity", "blending", "interpolation2d")


class WipedLayer:
    """A temporary layer over a result, with the noisy pixels on one side of a line.

    It holds one plane, which stands for every position of the sliders.

    Parameters
    ----------
    viewer
        Gets the layer, right above the result.
    pair
        The result and the noisy data.
    box
        The part of the layer's current plane that is shown.
    """

    def __init__(self, viewer: Any, pair: BeforeAfter, box: Box) -> None:
        self._viewer, self.pair = viewer, pair
        base = pair.layer
        shown = displayed_axes(viewer.dims.order, base.ndim)
        self.corner = tuple(s.start if a in shown else 0 for a, s in enumerate(box))
        self.shape = tuple(s.stop - s.start for s in box)
        samples = levels_of(base)[0].shape[base.ndim :]
        self._plane = np.zeros((*self.shape, *samples), levels_of(base)[0].dtype)
        full = tuple(
            n if a in shown else length
            for a, (n, length) in enumerate(zip(self.shape, base.level_shapes[0], strict=True))
        )
        self._planes: tuple[Any, Any] = (self._plane, self._plane)
        everywhere = np.broadcast_to(self._plane, (*full, *samples))  # takes no memory
        name = f"Wipe of {base.name}"
        self.layer = twin(base, (everywhere,), name, offset=self.corner, visible=True)
        self.layer.metadata = {HELPER: "wipe"}
        self._looks = _LOOKS_OF_COLOUR if base.rgb else _LOOKS
        self._hides = base.visible and not covers(base)

    def show(self) -> None:
        """Add the layer; one that it would be added up with is hidden."""
        base = self.pair.layer
        link_layers((base, self.layer), self._looks)
        insert_above(self._viewer, base, self.layer)
        if self._hides:
            base.visible = False

    def read(self, box: Box) -> None:
        """Take the two planes at the position of the sliders."""
        after = levels_of(self.pair.layer)[0]
        self._planes = np.asarray(self.pair.noisy[box]), np.asarray(after[box])

    def part(self, position: float, leftwards: bool) -> None:
        """Draw the line at a position along the horizontal axis of the world."""
        before, after = self._planes
        left = self._side(position) != leftwards
        self._plane[...] = after
        np.copyto(self._plane, before, where=left[..., None] if self.layer.rgb else left)
        self.layer.refresh(thumbnail=False, extent=False)

    def _side(self, position: float) -> Any:
        """Whether pixels lie below a position; of the shape of the plane or to be broadcast."""
        layer, shown = self.pair.layer, displayed_axes(self._viewer.dims.order, self.layer.ndim)
        across = self._viewer.dims.order[-1] - self._viewer.dims.ndim  # counted from the end
        origin = np.asarray(self.corner, float)
        start = layer.data_to_world(origin)[across]
        place = np.full((1,) * layer.ndim, start)
        for axis in shown:
            step = np.zeros(layer.ndim)
            step[axis] = 1
            slope = layer.data_to_world(origin + step)[across] - start
            if abs(slope) > 1e-12:  # else the axis runs along the line
                shape = [1] * layer.ndim
                shape[axis] = self.shape[axis]
                place = place + slope * np.arange(self.shape[axis]).reshape(shape)
        return place < position

    def remove(self) -> None:
        """Take the layer away, and show what was hidden for it."""
        unlink_layers((self.pair.layer, self.layer), self._looks)
        if self._hides:
            self.pair.layer.visible = True
        if self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)


class Wipe:
    """Before and after on both sides of a line that the user drags.

    Parameters
    ----------
    viewer
        Where the layers are.
    history
        Knows what was before.

    Signals
    -------
    said : (kind, text)
        Something for the status line.
    changed : ()
        It went on or off.
    """

    said = Signal(str, str)
    changed = Signal()

    def __init__(self, viewer: Any, history: History) -> None:
        self._viewer, self._history = viewer, history
        self._layers: list[WipedLayer] = []
        self._pairs: list[BeforeAfter] = []
        self._handle: WipeHandle | None = None
        self._position = 0.0
        self._working = False

    @property
    def active(self) -> bool:
        """Whether the line is on the screen."""
        return bool(self._pairs)

    @property
    def handle(self) -> WipeHandle | None:
        """What the user drags."""
        return self._handle

    @property
    def layers(self) -> tuple[Image, ...]:
        """The temporary layers."""
        return tuple(wiped.layer for wiped in self._layers)

    def start(self, layers: Sequence[Image]) -> None:
        """Part the results of some layers, which may be noisy or denoised."""
        self.end()
        if self._viewer.dims.ndisplay == 3 or self._viewer.canvas.grid.enabled:
            self.said.emit("info", NEEDS_2D if self._viewer.dims.ndisplay == 3 else NO_GRID)
            return
        pairs = {id(p.layer): p for x in layers if (p := before_after(self._history, [x]))}
        self._pairs = list(pairs.values())
        self._handle = WipeHandle(bare(self._viewer), self._dragged, self.end)
        self._position = self._world(0.5)
        self._draw()
        if not self._layers:
            self._let_go()
            self.said.emit("info", BESIDE)
            return
        self._place()
        for emitter, callback in self._events():
            emitter.connect(callback)
        self.said.emit("info", SAID)
        self.changed.emit()

    def end(self, _event: Any = None) -> None:
        """Take line and temporary layers away."""
        if not self._pairs or self._working:
            return
        for emitter, callback in self._events():
            emitter.disconnect(callback)
        self._let_go()
        self.said.emit("info", "")
        self.changed.emit()

    def _let_go(self) -> None:
        self._pairs = []
        self._clear()
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.take_away()

    def _clear(self) -> None:
        self._working = True
        try:
            while self._layers:
                self._layers.pop().remove()
        finally:
            self._working = False

    def _events(self) -> Iterable[tuple[Any, Callable[..., None]]]:
        dims, camera = self._viewer.dims, self._viewer.scene.camera
        yield dims.events.ndisplay, self.end  # in 3-D, removing a layer later can crash the canvas
        yield self._viewer.canvas.grid.events.enabled, self.end
        yield self._viewer.layers.events.removed, self._removed
        for pair in self._pairs:
            yield pair.layer.events.data, self.end
        for emitter in (dims.events.current_step, dims.events.order):
            yield emitter, self._draw
        for emitter in (camera.events.center, camera.events.zoom, self._viewer.canvas.events.size):
            yield emitter, self._moved

    def _removed(self, event: Any) -> None:
        mine = [*self.layers, *(pair.layer for pair in self._pairs)]
        if any(bare(event.value) is layer for layer in mine):
            self.end()

    # --- planes -------------------------------------------------------------------------

    def _draw(self, _event: Any = None) -> None:
        """Show the planes at the position of the sliders."""
        if self._working:
            return
        boxes = [(pair, box) for pair in self._pairs if (box := self._box(pair)) is not None]
        same = [(id(w.pair), w.corner, w.shape) for w in self._layers]
        if same != [(id(pair), self._corner(pair, box), _shape(box)) for pair, box in boxes]:
            self._clear()
            self._working = True
            try:
                for pair, box in boxes:
                    wiped = WipedLayer(self._viewer, pair, box)
                    wiped.read(box)
                    wiped.part(self._position, self._turned)  # its thumbnail is made of it
                    self._layers.append(wiped)
                    wiped.show()
            finally:
                self._working = False
        for wiped, (_, box) in zip(self._layers, boxes, strict=True):
            wiped.read(box)
        self._part()

    def _box(self, pair: BeforeAfter) -> Box | None:
        point = current_point(self._viewer, pair.layer)
        if point is None:
            return None
        source = Source.of(pair.layer)
        plane = current_plane(self._viewer, source, point)
        return wanted_plane(source, plane, visible_part(self._viewer, source, plane))

    def _corner(self, pair: BeforeAfter, box: Box) -> tuple[int, ...]:
        shown = displayed_axes(self._viewer.dims.order, pair.layer.ndim)
        return tuple(s.start if a in shown else 0 for a, s in enumerate(box))

    def _part(self) -> None:
        for wiped in self._layers:
            wiped.part(self._position, self._turned)

    # --- where the line is --------------------------------------------------------------

    @property
    def _turned(self) -> bool:
        """Whether the canvas shows the horizontal axis from right to left."""
        return str(self._viewer.scene.camera.orientation2d[1]) == "left"

    @property
    def _width(self) -> int:
        """Of the canvas, in pixels of the screen."""
        return self._handle.canvas_width if self._handle is not None else 1

    def _world(self, share: float) -> float:
        """Return the position in the world of a share of the canvas's width."""
        camera, width = self._viewer.scene.camera, self._width
        offset = (share - 0.5) * width / camera.zoom
        return float(camera.center[-1] + (-offset if self._turned else offset))

    def _share(self) -> float:
        camera, width = self._viewer.scene.camera, self._width
        offset = (self._position - camera.center[-1]) * camera.zoom / width
        return 0.5 + float(-offset if self._turned else offset)

    def _dragged(self, share: float) -> None:
        self._position = self._world(share)
        self._place()
        self._part()

    def _moved(self, _event: Any = None) -> None:
        """Keep the line in sight, and of a large plane what is in sight."""
        share = self._share()
        if not 0 <= share <= 1:
            self._position = self._world(min(max(share, 0.0), 1.0))
        self._place()
        if not 0 <= share <= 1 or any(self._outgrown(w) for w in self._layers):
            self._draw()

    def _outgrown(self, wiped: WipedLayer) -> bool:
        box = self._box(wiped.pair)
        return box is not None and (wiped.corner, wiped.shape) != (
            self._corner(wiped.pair, box),
            _shape(box),
        )

    def _place(self) -> None:
        if self._handle is not None:
            self._handle.place(self._share())


def _shape(box: Box) -> tuple[int, ...]:
    return tuple(s.stop - s.start for s in box)
