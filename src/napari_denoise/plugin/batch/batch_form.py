"""What is asked of a batch: where to, how, and what is seldom needed below."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from magicgui import widgets as mg
from qtpy.QtWidgets import QWidget

from napari_denoise.batch import LayerChoice
from napari_denoise.plugin.batch.own_settings import NEIGHBORS
from napari_denoise.plugin.batch.running import Asked, Own
from napari_denoise.plugin.kit.parts import Section, add_row, column, form_layout
from napari_denoise.settings.denoise import DenoiseSettings
from napari_denoise.settings.denoise_fields import DenoiseFields
from napari_denoise.settings.option import options_of
from napari_denoise.weights.catalogue import list_weights

_OPTIONS = options_of(DenoiseFields)
_SAME = "as the input"
FORMATS = {
    _SAME: None,
    "OME-TIFF": "ome.tif",
    "OME-Zarr": "ome.zarr",
    "OpenEXR": "exr",
    "PNG": "png",
    "NPY": "npy",
}
LAYERS = {
    "the image": LayerChoice(),
    "every view": LayerChoice(every_view=True),
    "light passes too": LayerChoice(passes=True),
}
_LONGEST_MIN = 600
_USUAL_NAME = "{stem}"
_ALONE = "napari alone"
_MOST_PROCESSES = min(os.cpu_count() or 1, 32)


class BatchForm(QWidget):  # type: ignore[misc]  # Qt has no types
    """Folder, weights, noise and neighbors; names, formats and processes under a heading."""

    def __init__(self) -> None:
        super().__init__()
        self.recursive = mg.CheckBox(text="With subfolders", tooltip="Take subfolders too.")
        self.output = mg.FileEdit(
            mode="d",
            nullable=True,
            tooltip="Folder for results, journal and report. A batch that stopped goes on there.",
        )
        self.weights = mg.ComboBox(
            choices=["auto", *(info.name for info in list_weights())],
            tooltip=_OPTIONS["weights"].tip(),
        )
        self.noise = mg.LineEdit(
            value="auto",
            tooltip=_OPTIONS["noise"].tip(),
        )
        self.neighbors = mg.ComboBox(
            choices=NEIGHBORS,
            tooltip=_OPTIONS["neighbors"].tip(),
        )
        self.name = mg.LineEdit(
            value=_USUAL_NAME,
            tooltip="Names of results, without ending: {stem} is the input's name, {parent} that "
            "of its folder, {image} that of an image of a file of several. Such as "
            "{stem}_denoised or {parent}/{stem}.",
        )
        self.format = mg.ComboBox(choices=list(FORMATS), tooltip="File format of the results.")
        self.dtype = mg.ComboBox(
            choices=[_SAME, "float32"],
            tooltip=_OPTIONS["dtype"].tip(),
        )
        self.one_noise = mg.CheckBox(
            text="One noise model per camera setting",
            tooltip="Measure up to 8 inputs of each folder that have the same camera settings, and "
            "use one noise model for all of them. Else each input is measured.",
        )
        self.adapt = mg.FloatSpinBox(
            max=_LONGEST_MIN,
            step=5,
            tooltip="Minutes in which weights are adapted to the stacks of each camera setting "
            "before those are denoised. They are used only where they surely gain.",
        )
        self.adapt.native.setSuffix(" min")
        self.adapt.native.setSpecialValueText("off")
        self.layers = mg.ComboBox(
            choices=list(LAYERS),
            tooltip="What of an OpenEXR is denoised: its image alone, every view and view layer, "
            "or its light passes too, so that they add up to the image.",
        )
        self.workers = mg.ComboBox(
            choices=[_ALONE, *range(1, _MOST_PROCESSES + 1)],
            tooltip="Processes that denoise beside napari: one for each graphics card, at most so "
            "many, else of one thread each.",
        )
        self.separate = mg.CheckBox(
            text="Each file by itself",
            tooltip="Else single images with one name and a running number are one stack.",
        )
        self.guess_axes = mg.CheckBox(
            text="Take guessed axes as they are",
            tooltip="Else inputs whose axes are a guess wait until you say them for their rows.",
        )
        self.more = Section(
            "More settings", self._seldom(), "Names, formats, noise and weights of experiments."
        )
        rows = column(self, 6)
        form = form_layout()
        add_row(form, "", self.recursive)
        for label, part in (
            ("Results", self.output),
            ("Weights", self.weights),
            ("Noise", self.noise),
            ("Neighbors", self.neighbors),
        ):
            add_row(form, label, part)
        rows.addLayout(form)
        rows.addWidget(self.more)

    def _seldom(self) -> QWidget:
        body = QWidget()
        form = form_layout()
        for label, part in (
            ("Names", self.name),
            ("Format", self.format),
            ("Data type", self.dtype),
            ("Adapt weights", self.adapt),
            ("Render layers", self.layers),
            ("Processes", self.workers),
            ("", self.one_noise),
            ("", self.separate),
            ("", self.guess_axes),
        ):
            add_row(form, label, part)
        column(body).addLayout(form)
        return body

    @property
    def parts(self) -> tuple[mg.bases.ValueWidget, ...]:
        """All that is chosen here."""
        return (
            self.recursive, self.output, self.weights, self.noise, self.neighbors, self.name,
            self.format, self.dtype, self.one_noise, self.adapt, self.layers, self.workers,
            self.separate, self.guess_axes,
        )  # fmt: skip

    def on_change(self, act: Callable[[], object]) -> None:
        """Call back when something is chosen."""
        for part in self.parts:
            part.changed.connect(lambda _value: act())

    def enable(self, on: bool) -> None:
        """Let things be chosen, or not."""
        for part in self.parts:
            part.enabled = on

    @property
    def folder(self) -> Path | None:
        """For the results; None where none is chosen."""
        chosen = str(self.output.value or "").strip()
        return Path(chosen) if chosen else None

    def asked(self, inputs: tuple[str, ...], own: Mapping[str, Own]) -> Asked:
        """Put together what is chosen.

        Raises
        ------
        ValueError
            A setting cannot be used.
        """
        assert self.folder is not None  # noqa: S101 - the widget asks first
        chosen = Own(self.weights.value, self.noise.value.strip() or "auto", self.neighbors.value)
        values: dict[str, Any] = chosen.settings()
        if self.dtype.value != _SAME:
            values["dtype"] = self.dtype.value
        return Asked(
            inputs,
            self.folder,
            bool(self.recursive.value),
            DenoiseSettings.parse(values),
            tuple(own.items()),
            name=self.name.value.strip() or _USUAL_NAME,
            file_format=FORMATS[self.format.value],
            choice=LAYERS[self.layers.value],
            one_noise=bool(self.one_noise.value),
            separate=bool(self.separate.value),
            guess_axes=bool(self.guess_axes.value),
            adapt=float(self.adapt.value),
            workers=0 if self.workers.value == _ALONE else int(self.workers.value),
        )
