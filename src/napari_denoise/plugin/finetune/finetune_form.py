"""How to fine-tune: base, recipe, time, device; what few people need is folded away."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields
from math import inf
from typing import Any

from magicgui import widgets as mg
from psygnal import Signal
from qtpy.QtWidgets import QFormLayout, QWidget

from napari_denoise.plugin.kit.parts import (
    Section,
    add_row,
    column,
    form_layout,
    only_digits,
    small_print,
)
from napari_denoise.settings.finetune import FineTuneSettings
from napari_denoise.settings.recipe import TermWeights
from napari_denoise.weights.catalogue import WeightsError, WeightsInfo, check_there, list_weights

RECIPES = (
    ("Faithful", "faithful", "Comes near the clean image, pixel by pixel; for measurements."),
    (
        "Realistic (GAN)",
        "realistic",
        "First as Faithful, then towards texture that looks real, part of which is made up. "
        "Denoise's Realism slider goes from the one to the other.",
    ),
    (
        "ImageDenoisingGAN (2017)",
        "thomas2017",
        "Losses as in manumathewthomas/ImageDenoisingGAN, from the weights you start from.",
    ),
    (
        "GANDenoising (2018)",
        "iteapoy2018",
        "Losses as in iteapoy/GANDenoising, from the weights you start from.",
    ),
)
_STEPS = "steps"
_TIMES = (("2 minutes", 2.0), ("5 minutes", 5.0), ("20 minutes", 20.0), ("Steps …", _STEPS))


class FineTuneForm:
    """Controls for what `FineTuneSettings` holds.

    Signals
    -------
    changed : ()
        The settings are different now.
    """

    changed = Signal()

    def __init__(self) -> None:
        self.native = QWidget()
        rows = column(self.native, 6)
        self._layout = form_layout()
        rows.addLayout(self._layout)
        self.base = mg.ComboBox(
            choices=[("Auto", "auto")],
            value="auto",
            tooltip="Weights to start from. Auto takes those that Denoise would take.",
        )
        self.recipe = mg.ComboBox(
            choices=[(title, name) for title, name, _ in RECIPES],
            value="faithful",
            tooltip="Which losses training makes small.",
        )
        self.recipe_note = small_print()
        self.time = mg.ComboBox(
            choices=list(_TIMES), value=5.0, tooltip="How long to train; it can be stopped early."
        )
        self.steps = mg.SpinBox(
            value=500,
            min=1,
            max=10_000_000,
            tooltip="How many times the weights are changed a little.",
        )
        only_digits(self.steps)
        self.device = mg.ComboBox(
            choices=[("Auto", "auto")],
            value="auto",
            tooltip="Processor or graphics card. Auto takes the fastest.",
        )
        for label, widget in (("Start from", self.base), ("Recipe", self.recipe)):
            self._row(label, widget, self._layout)
        self._layout.addRow(self.recipe_note)
        for label, widget in (
            ("How long", self.time),
            ("Steps", self.steps),
            ("Device", self.device),
        ):
            self._row(label, widget, self._layout)
        rows.addWidget(self._advanced())
        self.recipe.changed.connect(self._show)
        self.time.changed.connect(self._show)
        self.fill_base(list_weights())
        self._show()

    def _advanced(self) -> Section:
        body = QWidget()
        layout = form_layout(body)
        self._advanced_layout = layout
        self.patch = _optional(
            (16, 32, 48, 64, 96, 128, 192, 256),
            "Side of the squares that are cut from the images to learn from, pixels.",
        )
        self.batch = _optional((1, 2, 4, 8, 16, 32), "Patches per step; fewer need less memory.")
        self.rate = mg.LineEdit(
            value="", tooltip="How far a step moves the weights; less is slower and safer."
        )
        self.rate.native.setPlaceholderText("as in the recipe, such as 3e-4")
        for label, widget in (
            ("Patch", self.patch),
            ("Batch", self.batch),
            ("Learning rate", self.rate),
        ):
            self._row(label, widget, layout)
        self.own_weights = mg.CheckBox(
            value=False,
            text="Custom loss weights",
            tooltip="How much each loss counts, in place of what the recipe says.",
        )
        self._row("", self.own_weights, layout)
        self.terms: dict[str, mg.FloatSpinBox] = {}
        for field in fields(TermWeights):
            widget = mg.FloatSpinBox(
                value=field.default,
                min=0,
                max=1000,
                step=0.01,
                tooltip="How much it counts; 0 leaves it out.",
            )
            widget.native.setDecimals(4)
            self.terms[field.name] = widget
            self._row(field.name.replace("_", " ").capitalize(), widget, layout)
        self.own_weights.changed.connect(self._show)
        self.section = Section(
            "Advanced", body, "Patch, batch, learning rate, loss weights; few people need them."
        )
        return self.section

    def _row(self, label: str, widget: Any, layout: QFormLayout) -> None:
        add_row(layout, label, widget)
        widget.changed.connect(lambda _value: self.changed.emit())

    def _show(self, _value: Any = None) -> None:
        note = next(text for _, name, text in RECIPES if name == self.recipe.value)
        self.recipe_note.say(note)
        self._layout.setRowVisible(self.steps.native, self.time.value == _STEPS)
        adversarial = self.recipe.value != "faithful"
        self._advanced_layout.setRowVisible(self.own_weights.native, adversarial)
        for widget in self.terms.values():
            shown = adversarial and bool(self.own_weights.value)
            self._advanced_layout.setRowVisible(widget.native, shown)

    # --- values -------------------------------------------------------------------------

    def settings(self, *, align: bool) -> FineTuneSettings:
        """Return what is chosen.

        Raises
        ------
        ValueError
            Names the field that is wrong.
        """
        self._check_base()
        timed = self.time.value != _STEPS
        return FineTuneSettings.parse(
            {
                "base": self.base.value,
                "recipe": self.recipe.value,
                "minutes": self.time.value if timed else None,
                "steps": None if timed else self.steps.value,
                "device": self.device.value,
                "batch": self.batch.value or None,
                "patch": self.patch.value or None,
                "learning_rate": _rate(self.rate.value),
                "weights": self._loss_weights(),
                "align": align,
            }
        )

    def _check_base(self) -> None:
        """Look whether the weights to start from are there; list what is, where they are not."""
        try:
            check_there(self._bases.get(self.base.value))
        except WeightsError:
            self.fill_base(list_weights())
            raise

    def _loss_weights(self) -> dict[str, float] | None:
        if self.recipe.value == "faithful" or not self.own_weights.value:
            return None
        rewards = {name: float(widget.value) for name, widget in self.terms.items()}
        if not any(rewards.values()):
            raise ValueError(
                "every loss weight is 0: raise one of them, or untick Custom loss weights"
            )
        return rewards

    def fill_base(self, found: Sequence[WeightsInfo]) -> None:
        """Offer these weights besides "Auto"."""
        self._bases = {info.name: info for info in found}
        kept = self.base.value
        choices = [("Auto", "auto"), *((_label(info), info.name) for info in found)]
        with self.base.changed.blocked():
            self.base.choices = choices
            if any(value == kept for _, value in choices):
                self.base.value = kept

    def fill_devices(self, devices: Sequence[str]) -> None:
        """Offer these devices besides "Auto"."""
        with self.device.changed.blocked():
            self.device.choices = [("Auto", "auto"), *((name, name) for name in devices)]


def _optional(values: Sequence[int], tip: str) -> mg.ComboBox:
    """Offer some values, and first 0, which leaves it to the recipe."""
    choices = [("as in the recipe", 0), *((str(value), value) for value in values)]
    return mg.ComboBox(choices=choices, value=0, tooltip=tip)


def _rate(text: str) -> float | None:
    if not text.strip():
        return None
    with suppress(ValueError):
        rate = float(text)
        if 0 < rate < inf:
            return rate
    raise ValueError(f"learning rate {text!r}: expected a number above 0, such as 3e-4")


def _label(info: WeightsInfo) -> str:
    return info.card.title if info.bundled else f"{info.name} (yours)"
