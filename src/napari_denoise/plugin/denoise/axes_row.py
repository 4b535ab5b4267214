"""The row of the form that says which axes a layer has, where these are guessed."""

from __future__ import annotations

from typing import Any

from napari.layers import Image
from psygnal import Signal
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QComboBox, QFormLayout, QLabel

from napari_denoise.plugin.kit.parts import narrow, small_print
from napari_denoise.plugin.layers.source import axes_of, levels_of
from napari_denoise.plugin.layers.stated_axes import (
    choices,
    described,
    is_guessed,
    is_stated,
    state,
)

_TIP = (
    "What the dimensions are: T time, Z depth, C channels, Y rows, X columns. Every channel has a "
    "noise of its own, and frames along T or Z help each other. Choose, or type letters in "
    "another order. Results and saved files keep it."
)
_GUESSED = "Guessed: nothing tells what the dimensions are. Choose if it is wrong."


class AxesRow:
    """Shown for a layer whose axes are guessed, or were chosen here.

    Parameters
    ----------
    layout
        The form that gets the row.

    Signals
    -------
    chosen : ()
        The layer has other axes now.
    said : (kind, text)
        Why letters do not fit.
    """

    chosen = Signal()
    said = Signal(str, str)

    def __init__(self, layout: QFormLayout) -> None:
        self._layout = layout
        self._layers: list[Image] = []
        self.combo = QComboBox()
        self.combo.setEditable(True)
        self.combo.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.combo.setToolTip(_TIP)
        narrow(self.combo)
        label = QLabel("Axes")
        label.setToolTip(_TIP)
        layout.addRow(label, self.combo)
        self.note = small_print()
        layout.addRow(self.note)
        self.combo.activated.connect(self._activated)
        self.combo.lineEdit().editingFinished.connect(self._typed)
        self.offer([])

    def offer(self, layers: list[Image]) -> None:
        """Show the row for those of some layers that are alike and whose axes may be wrong."""
        asked = [layer for layer in layers if is_guessed(layer) or is_stated(layer)]
        self._layers = [x for x in asked if _shape(x) == _shape(asked[0])]
        shown = bool(self._layers)
        self._layout.setRowVisible(self.combo, shown)
        if not shown:
            self.note.say("")
            return
        first = self._layers[0]
        blocker = QSignalBlocker(self.combo)
        self.combo.clear()
        for label, axes in choices(first):
            self.combo.addItem(label, axes)
            self.combo.setItemData(self.combo.count() - 1, label, Qt.ItemDataRole.ToolTipRole)
        axes = axes_of(first)
        self.combo.setCurrentIndex(self.combo.findData(axes))
        self.combo.setEditText(described(axes, _shape(first)))
        self.combo.lineEdit().setCursorPosition(0)
        blocker.unblock()
        guessed = [layer.name for layer in self._layers if is_guessed(layer)]
        self.note.say(_GUESSED if guessed else "")

    def choose(self, axes: str) -> None:
        """State the axes of the layers that the row is of."""
        try:
            for layer in self._layers:
                state(layer, axes)
        except ValueError as error:
            self.said.emit("error", str(error))
        self.chosen.emit()

    def _activated(self, index: int) -> None:
        self.choose(str(self.combo.itemData(index)))

    def _typed(self) -> None:
        """Take letters that were typed, with or without what stands behind them."""
        if not self._layers:
            return
        axes = self.combo.currentText().partition(":")[0].replace(" ", "").upper()
        if axes != axes_of(self._layers[0]):
            self.choose(axes)


def _shape(layer: Any) -> tuple[int, ...]:
    return tuple(levels_of(layer)[0].shape)
