"""The rows of the form that say how strong the noise is: measured, stated, or a camera's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, log10
from pathlib import Path
from typing import Any

import numpy as np
from magicgui import widgets as mg
from napari.layers import Image
from psygnal import Signal
from qtpy.QtWidgets import QAbstractSpinBox, QFileDialog, QFormLayout, QInputDialog

from napari_denoise.plugin.denoise import cameras
from napari_denoise.plugin.kit.parts import add_option, add_row, button, small_print
from napari_denoise.plugin.kit.text import names_text
from napari_denoise.plugin.kit.workers import WorkerTask
from napari_denoise.plugin.layers.source import levels_of
from napari_denoise.settings.denoise import ChannelNoise, DenoiseSettings
from napari_denoise.settings.noise import MOST_SKEWED, NoiseModel
from napari_denoise.settings.option import options_of

_OPTIONS = options_of(DenoiseSettings)
_NOISE = _OPTIONS["noise"]
_HUGE = 1e12
_ALIKE = 8.0
"""Ranges of intensity that differ by more than this factor are in other units."""
_OPEN = "open"
_KINDS = (
    ("Auto: estimate it", "auto"),
    ("Sigma", "sigma"),
    ("Gain, offset, read noise", "model"),
    ("Of a camera or file", "file"),
)


@dataclass(frozen=True)
class Scale:
    """What the figures of a layer's noise are in.

    Parameters
    ----------
    name
        Of the layer.
    dtype
        Of its data.
    span
        Of its intensities.
    """

    name: str
    dtype: str
    span: float

    @classmethod
    def of(cls, layer: Image) -> Scale:
        """Read it off a layer, without looking at its pixels."""
        low, high = layer.contrast_limits_range
        return cls(layer.name, str(np.dtype(levels_of(layer)[0].dtype)), float(high - low))

    def is_like(self, other: Scale) -> bool:
        """Whether figures for one may be meant for the other."""
        low, high = sorted((self.span, other.span))
        return self.dtype == other.dtype and high <= _ALIKE * low


class NoiseRows:
    """Where the noise comes from, and what is known of it.

    Parameters
    ----------
    layout
        The form that gets the rows.

    Signals
    -------
    changed : ()
        It is another noise now.
    said : (kind, text)
        Something for the status line.
    failed : (Exception,)
        A camera could not be saved.
    """

    changed = Signal()
    said = Signal(str, str)
    failed = Signal(object)

    def __init__(self, layout: QFormLayout) -> None:
        self._layout = layout
        self._inverted = False
        self._scales: list[Scale] = []
        self._meant: list[Scale] = []
        self._measured: tuple[tuple[NoiseModel, ...], str] | None = None
        self._saving: WorkerTask | None = None
        self._linear = False
        self._camera: str | None = None
        self.known = False
        self.kind = mg.ComboBox(
            choices=list(_KINDS),
            value="auto",
            tooltip=f"{_NOISE.help} Sigma and Gain take your own figures, in the data's units; a "
            "camera's were saved before, here or with napari-denoise info --save-noise.",
        )
        self.save = button("Save …", "Keep this noise under the name of a camera, for others.")
        add_row(layout, _NOISE.label, self.kind, after=self.save.native)
        self.kind.changed.connect(self._edited)
        self.sigma = _figure("Standard deviation of Gaussian noise, in the data's units.")
        self.gain, self.offset, self.read_noise = _figure(), _figure(low=-_HUGE), _figure()
        self.skewness = mg.FloatSpinBox(value=1.0, min=1.0, max=MOST_SKEWED, step=0.05)
        add_row(layout, "Sigma", self.sigma)
        self.sigma.changed.connect(self._edited)
        for name, option in options_of(NoiseModel).items():
            widget = getattr(self, name)
            add_option(layout, option, widget)
            widget.changed.connect(self._edited)
        self.camera = mg.ComboBox(choices=[], nullable=True)
        add_option(layout, _OPTIONS["noise_from"], self.camera)
        self.camera.changed.connect(self._camera_chosen)
        self.note = small_print()
        layout.addRow(self.note)
        self.meant = small_print()
        layout.addRow(self.meant)
        self.save.changed.connect(self._ask_name)
        self.kind.changed.connect(self._kind_changed)
        self._fill_cameras()
        self._show()

    # --- values -------------------------------------------------------------------------

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of `DenoiseSettings` that say what the noise is."""
        if self.kind.value == "file":
            return {"noise_from": self._camera}
        return {"noise": self._stated}

    @property
    def _stated(self) -> ChannelNoise:
        if self.kind.value == "sigma":
            return float(self.sigma.value)
        if self.kind.value == "model":
            return NoiseModel(
                self.gain.value,
                self.offset.value,
                self.read_noise.value,
                skewness=self.skewness.value,
                inverted=self._inverted,
            )
        return "auto"

    def suggest(self, model: NoiseModel, sigma: float) -> None:
        """Start the user's own figures from what was measured."""
        if self.kind.value != "auto":
            return
        self._inverted = model.inverted
        values = (
            (self.sigma, sigma),
            (self.gain, model.gain),
            (self.offset, model.offset),
            (self.read_noise, model.read_noise),
            (self.skewness, model.skewness),
        )
        for widget, value in values:
            with widget.changed.blocked():
                widget.native.setDecimals(_decimals(value))
                widget.value = float(f"{value:.6g}")

    def show(self, text: str, known: bool) -> None:
        """Say what is known of the noise."""
        self.known = known
        self.note.say(text)
        if not known:
            self._measured = None
        self._show_save()

    def measured(self, models: tuple[NoiseModel, ...], layer: str) -> None:
        """Take the noise of a layer that could be saved as a camera's."""
        self._measured = None if NoiseModel() in models else (models, layer)
        self._show_save()

    def suit(self, mapping: str) -> None:
        """Leave out what means nothing to weights of a mapping.

        Weights for light see its logarithm, whose noise has no gain.
        """
        self._linear = mapping == "log"
        kinds = [k for k in _KINDS if k[1] != "model" or not self._linear]
        if tuple(value for _, value in kinds) != tuple(self.kind.choices):
            kept = self.kind.value
            with self.kind.changed.blocked():
                self.kind.choices = kinds
                self.kind.value = kept if kept in self.kind.choices else "auto"
            self._show()

    # --- which layers the figures are for -----------------------------------------------

    def follow(self, layers: Sequence[Image]) -> None:
        """Follow the selection: figures for other units do not wander along in silence."""
        self._scales = [Scale.of(layer) for layer in layers]
        meant, own = self._meant, self.kind.value in ("sigma", "model")
        strangers = [s for s in self._scales if meant and not any(s.is_like(m) for m in meant)]
        self.meant.say("")
        if own and self._scales and len(strangers) == len(self._scales):
            with self.kind.changed.blocked():
                self.kind.value = "auto"
            self._show()
            self.meant.say(
                f"Your figures were for {names_text([m.name for m in meant])}, whose values are "
                f"of another type or range. The noise of {names_text([s.name for s in strangers])} "
                "is measured."
            )
        else:
            self._warn_of_units()

    def _warn_of_units(self) -> None:
        """Say so where one figure is told to layers of different units."""
        own = self.kind.value in ("sigma", "model")
        first = self._scales[:1]
        others = [s.name for s in self._scales[1:] if not s.is_like(first[0])]
        if own and others:
            self.meant.say(
                f"These figures are for all {len(self._scales)} layers, but {names_text(others)} "
                f"has values of another type or range than {first[0].name}: denoise it by itself."
            )
        elif own and len(self._scales) > 1:
            self.meant.say(f"These figures are for all {len(self._scales)} layers.")

    def _edited(self, _value: Any = None) -> None:
        self._meant = list(self._scales)
        self.meant.say("")
        self._warn_of_units()
        self.changed.emit()

    # --- cameras ------------------------------------------------------------------------

    def _kind_changed(self, kind: str) -> None:
        if kind == "file":
            self._fill_cameras()
            if self.camera.value is None:
                self._open_file()
        self._show()

    def _camera_chosen(self, value: str | None) -> None:
        if value == _OPEN:
            self._open_file()
        else:
            self._camera = value
            self._edited()

    def _open_file(self) -> None:
        """Ask for a file; without an answer everything is as before."""
        name, _ = QFileDialog.getOpenFileName(
            self.save.native, "Noise of a camera: its file, or an image of it"
        )
        self._fill_cameras(name)
        if self.camera.value is None:
            self.kind.value = "auto"
        elif name:
            self._edited()

    def _fill_cameras(self, chosen: str = "") -> None:
        """Offer the saved ones, a file that was opened, and to open another one."""
        files = {str(cameras.path_of(name)): name for name in cameras.names()}
        chosen = chosen or self._camera or next(iter(files), "")
        if chosen and chosen not in files:
            files[chosen] = Path(chosen).name
        self._camera = chosen or None
        with self.camera.changed.blocked():
            self.camera.choices = [
                *((name, file) for file, name in files.items()),
                ("Open a file …", _OPEN),
            ]
            self.camera.value = self._camera

    def _ask_name(self) -> None:
        if self._measured is None:
            return
        name, agreed = QInputDialog.getText(
            self.save.native, "Save this noise", "Name of the camera and its settings:"
        )
        if agreed:
            self.save_as(name)

    def save_as(self, name: str) -> None:
        """Save what was measured under a name."""
        if self._measured is None:
            return
        try:
            path = cameras.path_of(name)
        except ValueError as error:
            self.failed.emit(error)
            return
        self._saving = WorkerTask(
            cameras.saving,
            path,
            *self._measured,
            on_event=lambda saved: self._saved(saved, path),
            on_error=self.failed.emit,
        )

    def _saved(self, name: str, path: Path) -> None:
        self._fill_cameras()
        self.said.emit(
            "good", f"Saved as “{name}”: Noise > Of a camera or file has it. It lies in {path}."
        )

    def stop_work(self) -> None:
        """Forget what is being saved."""
        if self._saving is not None:
            self._saving.detach()

    # --- showing the state --------------------------------------------------------------

    def _show(self) -> None:
        kind = self.kind.value
        for widget, shown in (
            (self.sigma, kind == "sigma"),
            (self.gain, kind == "model"),
            (self.offset, kind == "model"),
            (self.read_noise, kind == "model"),
            (self.skewness, kind == "model"),
            (self.camera, kind == "file"),
        ):
            self._layout.setRowVisible(widget.native, shown)
        self._show_save()

    def _show_save(self) -> None:
        savable = self._measured is not None and self.kind.value != "file" and not self._linear
        self.save.native.setVisible(savable)


def _decimals(value: float) -> int:
    """Count the places that show three digits of a value, and two at least."""
    return max(2, 2 - floor(log10(abs(value)))) if value else 2


def _figure(tip: str = "", low: float = 0.0) -> mg.FloatSpinBox:
    box = mg.FloatSpinBox(value=0.0, min=low, max=_HUGE, step=0.1, tooltip=tip)
    # A step is a tenth of the figure's leading digit, whatever the unit.
    box.native.setStepType(QAbstractSpinBox.StepType.AdaptiveDecimalStepType)
    return box
