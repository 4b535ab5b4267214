"""What came out: figures in a table, a name to save under, and a look side by side."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui import widgets as mg
from napari.experimental import link_layers
from napari.layers import Image, Points
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from napari_denoise.image.tone import GAMMA
from napari_denoise.plugin.finetune.looks import Look
from napari_denoise.plugin.kit.colours import colours
from napari_denoise.plugin.kit.parts import Status, button, column, row, small_print
from napari_denoise.plugin.layers.source import HELPER
from napari_denoise.settings.recipe import SSIM_WINDOW

if TYPE_CHECKING:
    from napari_denoise.training.finetune.outcome import FineTuneResult

_HEADINGS = ("PSNR", "SSIM", "Mean error")
_COLUMNS = (
    ("psnr", "The validation set holds values that are no numbers."),
    (
        "ssim",
        f"SSIM compares windows of {SSIM_WINDOW} by {SSIM_WINDOW} px with a clean image: there is "
        "none, or the validation set is too small for one.",
    ),
    ("mean_error", "Relative to a mean intensity of 0 there is no such figure."),
)
"""What `Figures` calls it, and why there may be none."""
_DISTRUSTED = (
    "The clean image is in doubt, and these figures are against it: weights that blur may look "
    "better. Compare them by eye."
)
_ROW, _COLUMN = 26, 64
_LINKED = ("contrast_limits", "gamma", "colormap")
_GAP, _CAPTION = 0.03, 0.1
"""Between two images, in widths and heights of one."""
_LEGIBLE = 0.25  # of the height: names over images that are narrower would overlap


class ResultPanel(QWidget):  # type: ignore[misc]  # Qt has no types
    """Figures on the validation set, and what can be done with the weights."""

    def __init__(self) -> None:
        super().__init__()
        self._result: FineTuneResult | None = None
        self._distrusted = False
        self.table = _table()
        self.against = small_print()
        self.anyway = button("Save all the same", "They are no better than what you have.")
        self.verdict = Status(self.anyway)
        self.name = mg.LineEdit(value="", tooltip="Under this name they appear in Denoise.")
        self.name.native.setPlaceholderText("Name of the weights")
        self.save = button(
            "Save", "Save the weights and where they come from; Denoise offers them at once."
        )
        self.use = button("Use in Denoise", "Opens Denoise with these weights chosen.")
        self.side_by_side = button(
            "Side by side", "Show noisy, base, fine-tuned and clean of a held-out part in a grid."
        )
        rows = column(self, 6)
        for part in (self.table, self.against, self.verdict, self.name.native):
            rows.addWidget(part)
        rows.addLayout(row(self.save, self.use, self.side_by_side))
        self.anyway.changed.connect(self._insist)

    def show_result(
        self,
        result: FineTuneResult | None,
        name: str,
        curves: str = "",
        warnings: Sequence[str] = (),
        doubts: Sequence[str] = (),
    ) -> None:
        """Show figures and verdict; where they are not better, saving is not offered.

        Parameters
        ----------
        result
            None where there are no weights yet.
        name
            To save them under, unless the user says another.
        curves
            What the curves are of, where the figures are of more.
        warnings
            What was said of the pairs when they were checked.
        doubts
            Those that speak against a target: no figure against it is good news.
        """
        self.table.setVisible(result is not None and bool(result.rows))
        self.against.say("")
        good = result is not None and result.improved is not False and not doubts
        self._offer(good)
        self._distrusted = bool(doubts)
        self.use.native.setVisible(False)
        self.side_by_side.enabled = result is not None and bool(result.rows)
        if result is None:
            self.verdict.say(
                "warning", "There are no weights yet: let it train until the first figures appear."
            )
            return
        if not self.name.value:
            self.name.value = name
        self._result = result
        self._fill(result)
        kept = f"; the weights are {result.kept}" if result.kept else ""
        said = (f"{result.measured}{kept}", curves)
        self.against.say(". ".join(filter(None, said)) + "." if result.rows else "")
        sure = result.improved and not result.mixed and not doubts
        lines = [result.verdict[0].upper() + result.verdict[1:] + "."]
        if doubts:
            lines.insert(0, _DISTRUSTED)
        lines += [f"! {warning}." for warning in warnings]
        kind, remedy = "good" if sure else "warning", not good and result.offered
        self.verdict.say(kind, "\n".join(lines), remedy=remedy)

    def show_again(self) -> None:
        """Show the figures in the colours of the theme."""
        if self._result is not None:
            self._fill(self._result)

    def show_saved(self, name: str) -> None:
        """Say that it is done."""
        self._offer(False)
        self.use.native.setVisible(True)
        self.verdict.say("good", f"Saved as “{name}”: Denoise has it under Weights.")

    def _offer(self, on: bool) -> None:
        self.name.native.setVisible(on)
        self.save.native.setVisible(on)

    def _insist(self) -> None:
        self._offer(True)
        self.verdict.say(self.verdict.kind, self.verdict.text)

    def _fill(self, result: FineTuneResult) -> None:
        self.table.setRowCount(len(result.rows))
        self.table.setVerticalHeaderLabels([name.capitalize() for name in result.rows])
        base = result.rows.get("base")
        for number, (name, found) in enumerate(result.rows.items()):
            texts = found.texts(missing="–")  # noqa: RUF001
            for place, (text, (kind, why)) in enumerate(zip(texts, _COLUMNS, strict=True)):
                value = getattr(found, kind)
                item = QTableWidgetItem(text)
                item.setToolTip("" if isfinite(value) else why)
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                compared = kind != "mean_error" and name in ("fine-tuned", "realistic")
                compared = compared and not self._distrusted
                if compared and base is not None and isfinite(value):
                    better = value > getattr(base, kind)
                    item.setForeground(QColor(colours.kinds["good" if better else "warning"]))
                self.table.setItem(number, place, item)
        self.table.setFixedHeight(_ROW * (len(result.rows) + 1) + 4)


def _table() -> QTableWidget:
    table = QTableWidget(0, len(_HEADINGS))
    table.setHorizontalHeaderLabels(list(_HEADINGS))
    table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
    table.horizontalHeader().setMinimumSectionSize(_COLUMN)
    table.horizontalHeader().setStretchLastSection(True)
    table.verticalHeader().setDefaultSectionSize(_ROW)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
    return table


class SideBySide:
    """Linked layers of one window beside each other, named.

    Parameters
    ----------
    viewer
        Gets the layers; all others are hidden while these are there.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._layers: list[Any] = []
        self._hidden: list[Any] = []
        self._selected: set[Any] = set()

    @property
    def shown(self) -> bool:
        """Whether it is there."""
        return any(layer in self._viewer.layers for layer in self._layers)

    def show(self, look: Look, units: Any = None) -> None:
        """Add a layer per image, two in a row, all with the contrast of the last one.

        Parameters
        ----------
        look
            The images.
        units
            Of the other layers' rows and columns.
        """
        self.remove()
        self._hidden = [layer for layer in self._viewer.layers if layer.visible]
        self._selected = set(self._viewer.layers.selection)
        for layer in self._hidden:
            layer.visible = False
        last = np.asarray(list(look.images.values())[-1])
        origin = f"validation set, {look.place}" if look.place else "validation set"
        images = [
            Image(
                np.asarray(image),
                name=f"{name} ({origin})",
                translate=place,
                units=units,
                metadata={HELPER: "side by side"},
                **_display(last),
            )
            for (name, image), place in zip(
                look.images.items(), _places(last.shape, len(look.images)), strict=True
            )
        ]
        captions = [" · ".join(filter(None, (name, look.place))) for name in look.images]
        self._layers = [*images, _captions(captions, last.shape, units)]
        for layer in self._layers:
            self._viewer.add_layer(layer)
        link_layers(images, _LINKED)
        self._viewer.layers.selection = {images[0]}
        self._viewer.reset_view()

    def remove(self) -> None:
        """Take the layers away, and show and select what was before."""
        if not self._layers:
            return
        for layer in [x for x in self._layers if x in self._viewer.layers]:
            self._viewer.layers.remove(layer)
        for layer in [x for x in self._hidden if x in self._viewer.layers]:
            layer.visible = True
        self._viewer.layers.selection = {x for x in self._selected if x in self._viewer.layers}
        self._layers, self._hidden, self._selected = [], [], set()
        self._viewer.reset_view()


def _places(shape: tuple[int, ...], count: int) -> list[tuple[float, float]]:
    """Upper left corners of images, two in a row, tall ones in one; with room for captions."""
    columns = count if shape[0] > 1.5 * shape[1] else 2
    down = shape[0] * (1 + _CAPTION)
    across = max(shape[1] * (1 + _GAP), shape[0] * _LEGIBLE)
    return [(number // columns * down, number % columns * across) for number in range(count)]


def _captions(names: list[str], shape: tuple[int, ...], units: Any) -> Points:
    above = np.array([-_CAPTION / 2 * shape[0], shape[1] / 2])
    places = np.array(_places(shape, len(names))) + above
    return Points(
        places,
        name="Names (validation set)",
        size=0,
        face_color="transparent",
        border_color="transparent",
        units=units,
        features={"name": names},
        text={"string": "{name}", "size": 10, "color": "#c5c9d3"},
        metadata={HELPER: "side by side"},
    )


def _display(image: Any) -> dict[str, Any]:
    """Say how to show images like this one."""
    if image.dtype == np.uint8 and image.ndim == 3:
        return {"rgb": True}
    values = image[np.isfinite(image)].astype(np.float32)
    if image.ndim == 3:  # linear light
        return {
            "rgb": True,
            "contrast_limits": (0.0, max(float(np.percentile(values, 99)), 1e-6)),
            "gamma": GAMMA,
        }
    low, high = (float(v) for v in np.percentile(values, [0.1, 99.9]))
    return {"contrast_limits": (low, max(high, low + 1e-6))}
