"""How to fine-tune: base, recipe, time, device; what few people need is folded away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from magicgui import widgets as mg
from psygnal import Signal
from qtpy.QtWidgets import QFormLayout, QWidget

from napari_denoise.plugin.kit.parts import (
    Section,
    add_option,
    add_row,
    column,
    form_layout,
    only_digits,
    small_print,
)
from napari_denoise.plugin.kit.text import as_labels
from napari_denoise.settings.finetune import FineTuneSettings
from napari_denoise.settings.finetune_fields import MINUTES
from napari_denoise.settings.option import options_of
from napari_denoise.settings.problems import SettingsError
from napari_denoise.settings.recipe import TermWeights
from napari_denoise.weights.catalogue import WeightsError, WeightsInfo, check_there, list_weights

_OPTIONS = options_of(FineTuneSettings)
RECIPES = (
    ("Faithful", "faithful"),
    ("Realistic (GAN)", "realistic"),
    ("ImageDenoisingGAN (2017)", "thomas2017"),
    ("GANDenoising (2018)", "iteapoy2018"),
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
        self.base = mg.ComboBox(choices=[("Auto", "auto")], value="auto")
        self.recipe = mg.ComboBox(choices=list(RECIPES), value="faithful")
        self.recipe_note = small_print()
        self.minutes = mg.ComboBox(choices=list(_TIMES), value=MINUTES)
        self.steps = mg.SpinBox(value=500, min=1, max=10_000_000)
        only_digits(self.steps)
        self.device = mg.ComboBox(choices=[("Auto", "auto")], value="auto")
        self._field("base", self._layout)
        self._field("recipe", self._layout)
        self._layout.addRow(self.recipe_note)
        for name in ("minutes", "steps", "device"):
            self._field(name, self._layout)
        rows.addWidget(self._advanced())
        self.recipe.changed.connect(self._show)
        self.minutes.changed.connect(self._show)
        self.fill_base(list_weights())
        self._show()

    def _advanced(self) -> Section:
        body = QWidget()
        layout = form_layout(body)
        self._advanced_layout = layout
        self.patch = _optional((16, 32, 48, 64, 96, 128, 192, 256))
        self.batch = _optional((1, 2, 4, 8, 16, 32))
        self.learning_rate = mg.LineEdit(value="")
        self.learning_rate.native.setPlaceholderText("as in the recipe, such as 3e-4")
        for name in ("patch", "batch", "learning_rate"):
            self._field(name, layout)
        self.own_weights = mg.CheckBox(
            value=False,
            text="Custom loss weights",
            tooltip="How much each loss counts, in place of what the recipe says.",
        )
        add_row(layout, "", self.own_weights)
        self._follow(self.own_weights)
        self.terms: dict[str, mg.FloatSpinBox] = {}
        usual = TermWeights()
        for name, option in options_of(TermWeights).items():
            widget = mg.FloatSpinBox(value=getattr(usual, name), min=0, max=1000, step=0.01)
            widget.native.setDecimals(4)
            self.terms[name] = widget
            add_option(layout, option, widget)
            self._follow(widget)
        self.own_weights.changed.connect(self._show)
        self.section = Section(
            "Advanced", body, "Patch, batch, learning rate, loss weights; few people need them."
        )
        return self.section

    def _field(self, name: str, layout: QFormLayout) -> None:
        """Add the control of a field of the settings, which is called as the field is."""
        widget = getattr(self, name)
        add_option(layout, _OPTIONS[name], widget)
        self._follow(widget)

    def _follow(self, widget: Any) -> None:
        widget.changed.connect(lambda _value: self.changed.emit())

    def _show(self, _value: Any = None) -> None:
        note = _OPTIONS["recipe"].values[self.recipe.value]
        self.recipe_note.say(f"{note[0].upper()}{note[1:]}.")
        self._layout.setRowVisible(self.steps.native, self.minutes.value == _STEPS)
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
        timed = self.minutes.value != _STEPS
        values = {
            "base": self.base.value,
            "recipe": self.recipe.value,
            "minutes": self.minutes.value if timed else None,
            "steps": None if timed else self.steps.value,
            "device": self.device.value,
            "batch": self.batch.value or None,
            "patch": self.patch.value or None,
            "learning_rate": self.learning_rate.value.strip() or None,
            "weights": self._loss_weights(),
            "align": align,
        }
        try:
            return FineTuneSettings.parse(values)
        except SettingsError as error:
            raise ValueError(as_labels(error, _OPTIONS)) from error

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


def _optional(values: Sequence[int]) -> mg.ComboBox:
    """Offer some values, and first 0, which leaves it to the recipe."""
    choices = [("as in the recipe", 0), *((str(value), value) for value in values)]
    return mg.ComboBox(choices=choices, value=0)


def _label(info: WeightsInfo) -> str:
    return info.card.title if info.bundled else f"{info.name} (yours)"
