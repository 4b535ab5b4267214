"""The controls to draw regions with, and the layers they are drawn in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari.layers import Image, Shapes
from psygnal import Signal
from qtpy.QtWidgets import QCheckBox, QFileDialog, QWidget

from napari_denoise.plugin.finetune.entries import PairEntry
from napari_denoise.plugin.finetune.region_layers import (
    COLORS,
    Kind,
    Parts,
    PartsLayer,
    clear,
    draw,
    drawn_in,
    lies_flat,
    make_layer,
    parts_of,
    regions_of,
    show_regions,
)
from napari_denoise.plugin.finetune.sight import PairsInView
from napari_denoise.plugin.kit.docked import EXPECTED, notify
from napari_denoise.plugin.kit.parts import (
    NO_PAIR,
    Status,
    button,
    column,
    enable,
    row,
    small_print,
)
from napari_denoise.plugin.kit.workers import WorkerTask
from napari_denoise.plugin.layers.source import bare
from napari_denoise.training.data.regions import Regions, read_regions, write_regions

_NOTHING = (
    "Nothing is drawn: a quarter at the end of each image is the validation set, and the rest is "
    "trained on."
)
_RECTANGLE = "Drag over the image to draw a rectangle."
_POLYGON = "Click the corners of a polygon; a double click ends it."
_ENOUGH = "Press the button again when all is drawn."


class Drawing(QWidget):  # type: ignore[misc]  # Qt has no types
    """Draws regions for the chosen pair, and shows what they come to.

    Signals
    -------
    changed : ()
        Other regions are drawn now, or others are to be shown.
    said : (kind, text)
        Something for the status line.
    """

    changed = Signal()
    said = Signal(str, str)

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._sight = PairsInView(viewer)
        self._entries: list[PairEntry] = []
        self.entry: PairEntry | None = None
        self.layers: dict[str, Shapes] = {}
        """Of each pair that was drawn on, by its name."""
        self.parts = PartsLayer(viewer)
        self._task: WorkerTask | None = None
        self._build()
        self.set_entries([])

    def _build(self) -> None:
        self.train = button("Draw: train on", "Only what is drawn is trained on.")
        self.validate = button(
            "Draw: validate on", "What is drawn is measured on, and never trained on."
        )
        for made, kind in ((self.train, "train"), (self.validate, "validate")):
            made.native.setCheckable(True)
            made.native.setStyleSheet(
                f"QPushButton {{ border-left: 4px solid {COLORS[kind]}; }}"
                f"QPushButton:checked {{ background-color: {COLORS[kind]}; color: black; }}"
            )
        self.polygon = QCheckBox("Polygons")
        self.polygon.setToolTip("Draw polygons, ended by a double click, instead of rectangles.")
        self.every = QCheckBox("On every frame")
        self.every.setToolTip("The next regions hold for all frames of the stack.")
        self.show_parts = QCheckBox("Show parts")
        self.show_parts.setToolTip(
            "Colour the training set (green), the validation set (yellow), and what is drawn as "
            "both (red)."
        )
        self.save = button(
            "Save …", "As a file that Load and `napari-denoise finetune --regions` read."
        )
        self.load = button(
            "Load …",
            "Draw the regions of a saved file on pairs of the same names, in place of what is "
            "drawn there.",
        )
        self.hint = small_print()
        self.note = small_print()
        self.left_out = Status(button("", ""))  # which has no remedy to offer
        rows = column(self, 6)
        rows.addLayout(row(self.train, self.validate))
        boxes = row()
        for box in (self.polygon, self.every, self.show_parts):
            boxes.addWidget(box)
        rows.addLayout(boxes)
        for part in (self.hint, self.note, self.left_out):
            rows.addWidget(part)
        rows.addLayout(row(self.save, self.load))
        self.train.changed.connect(lambda: self._draw_clicked("train"))
        self.validate.changed.connect(lambda: self._draw_clicked("validate"))
        for box in (self.polygon, self.every):
            box.toggled.connect(lambda _on: self._draw_otherwise())
        self.show_parts.toggled.connect(lambda _on: self.refresh())
        self.save.changed.connect(self._ask_save)
        self.load.changed.connect(self._ask_load)

    # --- pairs --------------------------------------------------------------------------

    def set_entries(self, entries: Sequence[PairEntry]) -> None:
        """Follow the pairs in the table."""
        self._entries = list(entries)
        if self.entry not in self._entries:
            self.choose(self._entries[-1] if self._entries else None)
        for made in (self.train, self.validate, self.save, self.load):
            enable(made, bool(self._entries), NO_PAIR)
        for box in (self.polygon, self.every, self.show_parts):
            box.setEnabled(bool(self._entries))
        self.refresh()

    def choose(self, entry: PairEntry | None) -> None:
        """Draw on this pair from now on."""
        self.entry = entry
        several = entry is not None and len(entry.pair.layout.frames) > 1
        self.every.setVisible(several)
        self.every.setChecked(several and entry is not None and entry.pair.one_scene)
        self.show_tool()
        self.refresh()

    def forget_removed(self) -> None:
        """Forget layers that left the viewer."""
        there = [bare(layer) for layer in self._viewer.layers]
        gone = [name for name, layer in self.layers.items() if layer not in there]
        for name in gone:
            del self.layers[name]
        if gone:
            self.changed.emit()

    # --- drawing ------------------------------------------------------------------------

    @property
    def drawing(self) -> Kind | None:
        """What the mouse draws now on the chosen pair; None while it draws nothing."""
        layer = self.layers.get(self.entry.pair.name) if self.entry is not None else None
        active = self._viewer.layers.selection.active
        if layer is None or active is None or bare(active) is not layer:
            return None
        return drawn_in(layer)

    def draw(self, kind: Kind) -> None:
        """Let the user draw on the chosen pair."""
        if self.entry is None:
            return
        layer = self._layer(self.entry)
        self._viewer.layers.selection = {layer}
        draw(layer, kind, every_frame=self.every.isChecked(), polygon=self.polygon.isChecked())
        self.show_parts.setChecked(True)
        self.show_tool()
        self.changed.emit()

    def _draw_clicked(self, kind: Kind) -> None:
        """Begin to draw, or end it where this kind is drawn already."""
        if self.entry is not None and self.drawing == kind:
            self.layers[self.entry.pair.name].mode = "select"
        else:
            self.draw(kind)

    def _draw_otherwise(self) -> None:
        """Go on with the tool, or for the frames, that were chosen just now."""
        if self.drawing is not None:
            self.draw(self.drawing)

    def show_tool(self, _event: Any = None) -> None:
        """Show as pressed what is drawn now, and say how."""
        drawing = self.drawing
        self.train.native.setChecked(drawing == "train")
        self.validate.native.setChecked(drawing == "validate")
        how = _POLYGON if self.polygon.isChecked() else _RECTANGLE
        self.hint.say(f"{how} {_ENOUGH}" if drawing else "")

    def shown(self, entry: PairEntry) -> PairEntry:
        """Return a pair with its noisy layer, which is added where it came from files."""
        if entry.layer is not None and entry.layer in self._viewer.layers:
            return entry
        pair = entry.pair
        made = Image(pair.noisy, name=pair.name, rgb="S" in pair.axes)
        self._viewer.add_layer(made)
        found = replace(entry, layer=made)
        self._entries = [found if other is entry else other for other in self._entries]
        if self.entry is entry:
            self.entry = found
        return found

    def _layer(self, entry: PairEntry) -> Shapes:
        name = entry.pair.name
        if name not in self.layers:
            base = self.shown(entry).layer
            assert base is not None  # noqa: S101 - `shown` puts one there
            layer = make_layer(self._viewer, entry, base)
            layer.events.data.connect(self._drawn)
            layer.events.mode.connect(self.show_tool)
            self.layers[name] = layer
        return self.layers[name]

    def _drawn(self, _event: Any = None) -> None:
        self.changed.emit()

    def regions(self) -> Regions:
        """Return everything that is drawn; what cannot be used is said and left out."""
        found, left_out = [], []
        for entry in self._entries:
            if entry.pair.name in self.layers:
                regions, notes = regions_of(self.layers[entry.pair.name], entry.pair)
                found += regions
                left_out += notes
        self.left_out.say("warning", " ".join(dict.fromkeys(left_out)))
        return Regions(tuple(found))

    # --- what it comes to ---------------------------------------------------------------

    def refresh(self) -> None:
        """Say, and if wanted show, what the frame in view is used for."""
        entry, regions, wanted = self.entry, self.regions(), self.show_parts.isChecked()
        if not wanted or entry is None:
            self.hide_parts()
        if entry is None or not (wanted or regions.regions):
            self.note.say(_NOTHING if self._entries else "")
            return
        self.stop_work()
        self._task = WorkerTask(
            parts_of,
            tuple(self._entries),
            regions,
            entry,
            self._sight.frame(entry),
            on_event=self._show,
            on_error=self._failed,
        )

    def _show(self, parts: Parts) -> None:
        self.note.say(parts.text if parts.drawn else _NOTHING)
        layer = parts.entry.layer
        there = layer is not None and layer in self._viewer.layers
        wanted = self.show_parts.isChecked() and lies_flat(parts.entry.pair)
        if layer is not None and there and wanted:
            self.parts.show(parts.labels, layer)

    def _failed(self, error: Exception) -> None:
        if not isinstance(error, EXPECTED):  # else nobody asked for it: the status is enough
            notify(error)
        self.said.emit("error", str(error))

    def hide_parts(self) -> None:
        """Take the coloured layer away."""
        self.stop_work()
        self.parts.remove()

    def stop_work(self) -> None:
        """Forget what is being computed."""
        if self._task is not None:
            self._task.detach()

    # --- files --------------------------------------------------------------------------

    def _ask_save(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Save regions", "regions.json", "JSON (*.json)")
        if name:
            self.write(Path(name))

    def write(self, path: Path) -> None:
        """Save what is drawn."""
        try:
            write_regions(path, self.regions())
        except (ValueError, OSError) as error:
            self.said.emit("error", str(error))
        else:
            self.said.emit("good", f"Saved regions to {path}.")

    def _ask_load(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Load regions", "", "JSON (*.json)")
        if name:
            self.read(Path(name))

    def read(self, path: Path) -> None:
        """Draw regions of a file on the pairs that they name."""
        try:
            regions = read_regions(path).regions
        except (ValueError, OSError) as error:
            self.said.emit("error", str(error))
            return
        names = [entry.pair.name for entry in self._entries]
        for entry in list(self._entries):
            mine = [r for r in regions if r.pair in (None, entry.pair.name)]
            if mine:
                layer = self._layer(entry)
                clear(layer)
                show_regions(layer, entry.pair, mine, self._sight.frame(entry))
        strange = sorted({str(r.pair) for r in regions if r.pair not in (None, *names)})
        if strange:
            self.said.emit("warning", f"No pair is called {', '.join(strange)}: left out.")
        self.changed.emit()
