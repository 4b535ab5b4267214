"""Settings of the selected inputs, in place of those of the batch."""

from __future__ import annotations

from typing import Any

from magicgui import widgets as mg
from qtpy.QtWidgets import QWidget

from napari_denoise.plugin.batch.running import Own
from napari_denoise.plugin.kit.parts import add_row, button, column, form_layout
from napari_denoise.settings.denoise import DenoiseSettings
from napari_denoise.weights.catalogue import list_weights

_AS_BATCH = "as the batch"
NEIGHBORS = ("auto", "off", "1", "2", "3", "4")
"""Frames on each side, as they are chosen."""


class OwnSettings(QWidget):  # type: ignore[misc]  # Qt has no types
    """Weights, noise, neighbors and axes for the selected rows."""

    def __init__(self) -> None:
        super().__init__()
        names = [info.name for info in list_weights()]
        self.weights = mg.ComboBox(
            choices=[_AS_BATCH, "auto", *names], tooltip="Weights for the selected inputs."
        )
        self.noise = mg.LineEdit(
            tooltip="Standard deviation of the noise of the selected inputs, such as 12; empty "
            "is as in the batch."
        )
        self.neighbors = mg.ComboBox(
            choices=[_AS_BATCH, *NEIGHBORS],
            tooltip="Frames on each side that help a frame, for the selected inputs.",
        )
        self.axes = mg.LineEdit(
            tooltip="Axes of the selected inputs, such as TZYX; empty is as their files say."
        )
        self.apply = button("Apply to selected rows", "Use these settings and plan again.")
        rows = column(self)
        form = form_layout()
        for label, part in (
            ("Weights", self.weights),
            ("Noise", self.noise),
            ("Neighbors", self.neighbors),
            ("Axes", self.axes),
        ):
            add_row(form, label, part)
        rows.addLayout(form)
        rows.addWidget(self.apply.native)

    def value(self) -> Own:
        """Return what is chosen.

        Raises
        ------
        ValueError
            A setting cannot be used.
        """
        own = Own(
            _chosen(self.weights.value),
            self.noise.value.strip() or None,
            _chosen(self.neighbors.value),
            self.axes.value.strip().upper() or None,
        )
        DenoiseSettings.parse(own.settings())
        return own


def _chosen(value: Any) -> str | None:
    return None if value == _AS_BATCH else str(value)
