"""The settings of the widget, as magicgui controls in a narrow form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import floor, log10
from typing import Any

from magicgui import widgets as mg
from psygnal import Signal
from qtpy.QtWidgets import QFormLayout, QWidget

from napari_denoise.plugin.denoise.guide_rows import GuideRows
from napari_denoise.plugin.kit.parts import (
    Section,
    add_row,
    flatten,
    form_layout,
    percent_of,
    small_print,
)
from napari_denoise.plugin.kit.text import card_summary, card_text
from napari_denoise.settings.denoise import REALISM_NOTE, ChannelNoise, DenoiseSettings
from napari_denoise.settings.noise import MOST_SKEWED, NoiseModel
from napari_denoise.weights.catalogue import WeightsError, WeightsInfo, check_there, list_weights

TILES = ("auto", 64, 128, 256, 512, 1024)
_HUGE = 1e12
_UNPICKED = "Auto picks when it has measured the image."


class SettingsForm:
    """Controls for everything in `DenoiseSettings` that the widget offers.

    Signals
    -------
    changed : ()
        The settings are different now.
    """

    changed = Signal()

    def __init__(self) -> None:
        self.native = QWidget()
        self._layout = form_layout(self.native)
        self._weights_row()
        self._noise_rows()
        self.strength = mg.Slider(
            value=100,
            min=0,
            max=100,
            readout=False,
            tooltip="Percent of the noise to take out: 100 gives the network's result, less "
            "mixes the noisy pixels back in.",
        )
        self._row("Strength", self.strength, after=percent_of(self.strength))
        self._realism_row()
        self.scope = mg.RadioButtons(
            choices=[("Whole stack", "stack"), ("This frame", "frame")],
            value="stack",
            orientation="horizontal",
            tooltip="Denoise every frame, or only the one on the screen.",
        )
        flatten(self.scope)
        self._row("Apply to", self.scope, tells=False)
        self.offer_scope(False)
        self.output = mg.RadioButtons(
            choices=[("In place", "in_place"), ("New layer", "new")],
            value="in_place",
            orientation="horizontal",
            tooltip="In place: the layer gets the denoised data, and Undo brings the original "
            "back. New layer: the layer stays as it is.",
        )
        flatten(self.output)
        self._row("Output", self.output, tells=False)
        self.outliers = mg.ComboBox(
            choices=[("Auto", "auto"), ("Replace", "replace"), ("Keep", "keep")],
            value="auto",
            tooltip="What the result shows at lone hot, dead or cosmic pixels and fireflies. Auto "
            "replaces them in renders and keeps them in all other data. Their neighbours are "
            "denoised as if they were not there.",
        )
        self._row("Outliers", self.outliers)
        self._speed_section()
        self.fill_weights(list_weights())

    # --- rows ---------------------------------------------------------------------------

    def _weights_row(self) -> None:
        self._catalogue: dict[str, WeightsInfo] = {}
        self.weights = mg.ComboBox(choices=[("Auto", "auto")], value="auto")
        self._row("Weights", self.weights)
        self.picked = small_print()
        self.card = small_print()
        self.card.setVisible(True)
        self.card_section = Section(
            "About these weights", self.card, "What they are for, and what they were trained on."
        )
        self._layout.addRow(self.picked)
        self._layout.addRow(self.card_section)
        self.guides = GuideRows(self._layout)
        self.weights.changed.connect(self._show_card)

    def _noise_rows(self) -> None:
        self.noise = mg.ComboBox(
            choices=[
                ("Auto: estimate it", "auto"),
                ("Sigma", "sigma"),
                ("Gain, offset, read noise", "model"),
            ],
            value="auto",
            tooltip="How strong the noise is. Auto measures it in the data; the others take "
            "your own figures, in the data's units.",
        )
        self._row("Noise", self.noise)
        self.sigma = _figure("Standard deviation of Gaussian noise, in the data's units.")
        self._inverted = False
        self.gain = _figure("Data units per photo-electron; 0 for purely Gaussian noise.")
        self.offset = _figure("Mean of an unexposed pixel, in the data's units.", -_HUGE)
        self.read_noise = _figure("Standard deviation of an unexposed pixel, in the data's units.")
        self.skewness = mg.FloatSpinBox(
            value=1.0,
            min=1.0,
            max=MOST_SKEWED,
            step=0.05,
            tooltip="How lopsided the noise is: 1 for an ordinary camera, 1.5 behind an electron "
            "multiplier (EMCCD); photomultipliers lie between. It keeps the mean brightness right "
            "at a few photons per pixel. In doubt leave what Auto measured.",
        )
        self._row("Sigma", self.sigma)
        self._row("Gain", self.gain)
        self._row("Offset", self.offset)
        self._row("Read noise", self.read_noise)
        self._row("Skewness", self.skewness)
        self.noise_known = False
        self.noise_note = small_print()
        self._layout.addRow(self.noise_note)
        self.noise.changed.connect(self._show_noise_rows)
        self._show_noise_rows()

    def _realism_row(self) -> None:
        self.realism = mg.Slider(
            value=0,
            min=0,
            max=100,
            readout=False,
            tooltip="0 is faithful: what the data say, for every measurement. More looks sharper "
            "and more natural, with texture that is likely but was not measured.",
        )
        self._row("Realism", self.realism, after=percent_of(self.realism))
        self.realism_note = small_print()
        self._layout.addRow(self.realism_note)
        self.realism.changed.connect(self._warn_of_realism)

    def _offer_realism(self, info: WeightsInfo | None) -> None:
        """Show the slider for weights that carry both ends."""
        self._realistic = info is not None and info.realistic
        self._layout.setRowVisible(self.realism.native.parentWidget(), self._realistic)
        self._warn_of_realism()

    def _warn_of_realism(self, _value: Any = None) -> None:
        invents = self._realistic and self.realism.value > 0
        self.realism_note.say(REALISM_NOTE if invents else "")

    def _speed_section(self) -> None:
        body = QWidget()
        self._speed = form_layout(body)
        self.tile = mg.ComboBox(
            choices=[("Auto" if t == "auto" else f"{t} x {t}", t) for t in TILES],
            value="auto",
            tooltip="Size of the parts, in pixels, that are denoised one after the other. Small "
            "ones need less memory and more time; the result is the same.",
        )
        self._row("Tile", self.tile, self._speed)
        self.device = mg.ComboBox(
            choices=[("Auto", "auto")],
            value="auto",
            tooltip="What computes: the processor or a graphics card. Auto takes the fastest.",
        )
        self._row("Device", self.device, self._speed)
        self.cost = small_print()
        self._speed.addRow(self.cost)
        self.dtype = mg.ComboBox(
            choices=[("As the data", "same"), ("float32", "float32")],
            value="same",
            tooltip="How the pixels of the result are held. Whole numbers round what lies between "
            "them: for images of a photon or less per pixel choose float32. Colour keeps its type.",
        )
        self._row("Data type", self.dtype, self._speed)
        self.speed_section = Section(
            "Speed, memory and data type",
            body,
            "Tile size and device, which do not change the result, and the data type it has.",
        )
        self._layout.addRow(self.speed_section)

    def _row(
        self,
        label: str,
        widget: Any,
        layout: QFormLayout | None = None,
        tells: bool = True,
        after: QWidget | None = None,
    ) -> None:
        add_row(self._layout if layout is None else layout, label, widget, after)
        if tells:
            widget.changed.connect(self._tell)

    def _tell(self, _value: Any = None) -> None:
        self.changed.emit()

    # --- values -------------------------------------------------------------------------

    def check_weights(self) -> None:
        """Look whether the chosen weights are still there; list what is, where they are not.

        Raises
        ------
        WeightsError
            They were renamed or removed.
        """
        try:
            check_there(self._catalogue.get(self.weights.value))
        except WeightsError:
            self.fill_weights(list_weights())
            self._tell()  # other weights are chosen now
            raise

    def settings(self) -> DenoiseSettings:
        """Return what is chosen now."""
        return DenoiseSettings(
            weights=self.weights.value,
            noise=self._noise_value(),
            strength=self.strength.value / 100,
            realism=self.realism.value / 100 if self._realistic else 0.0,
            outliers=self.outliers.value,
            tile=self.tile.value,
            device=self.device.value,
            dtype=self.dtype.value,
        )

    @property
    def this_frame(self) -> bool:
        """Whether to denoise only the frame on the screen, of those there are."""
        return bool(self._several_frames and self.scope.value == "frame")

    def offer_scope(self, several_frames: bool) -> None:
        """Ask for the whole stack or one frame only where these are not the same."""
        self._several_frames = several_frames
        self._layout.setRowVisible(self.scope.native, several_frames)

    def _noise_value(self) -> ChannelNoise:
        if self.noise.value == "sigma":
            return float(self.sigma.value)
        if self.noise.value == "model":
            return NoiseModel(
                self.gain.value,
                self.offset.value,
                self.read_noise.value,
                skewness=self.skewness.value,
                inverted=self._inverted,
            )
        return "auto"

    def suggest_noise(self, model: NoiseModel, sigma: float) -> None:
        """Start the user's own figures from what was measured."""
        if self.noise.value != "auto":
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

    def fill_weights(self, found: Sequence[WeightsInfo]) -> None:
        """Offer these weights besides "Auto"."""
        self._catalogue = {info.name: info for info in found}
        _offer(self.weights, [("Auto", "auto"), *_weights_choices(found)])
        self._show_card()

    def fill_devices(self, devices: Sequence[str]) -> None:
        """Offer these devices besides "Auto"."""
        names = [(_device_name(d), d) for d in devices]
        _offer(self.device, [("Auto", "auto"), *names])

    def show_picked(self, name: str) -> None:
        """Say which weights "Auto" took."""
        info = self._catalogue.get(name)
        auto = self.weights.value == "auto" and name
        title = info.card.title if info else name
        self.picked.say(f"Auto picked “{title}”." if auto else "")
        self._show_card(name if auto else None)

    def unpicked(self) -> None:
        """Follow layers of which it is unknown what "Auto" will take."""
        if self.weights.value == "auto":
            self.guides.weights(None)
            self.picked.say(_UNPICKED)

    def measuring(self) -> None:
        """Say that the noise is being measured, in as many lines as the answer often has."""
        self.show_noise("Measuring the noise …\n\N{NO-BREAK SPACE}", known=False)

    def show_noise(self, text: str, known: bool = True) -> None:
        """Say what is known of the noise."""
        self.noise_known = known
        self.noise_note.say(text)

    def _show_card(self, name: str | None = None) -> None:
        info = self._catalogue.get(name or "") or self._catalogue.get(self.weights.value)
        if info is not None and not info.path.is_file():
            info = None  # `check_weights` says so
        if self.weights.value != "auto":
            self.picked.say("")
        elif info is None:
            self.picked.say(_UNPICKED)
        self.guides.weights(info)
        self._offer_realism(info)
        self.card.setText(card_text(info) if info else _UNPICKED)
        self.weights.tooltip = (
            card_summary(info)
            if info
            else (
                "The trained network. Auto picks by the image: one for colour photographs, one "
                "for single channels such as microscopy, one for renders."
            )
        )

    def _show_noise_rows(self) -> None:
        for widget, kind in (
            (self.sigma, "sigma"),
            (self.gain, "model"),
            (self.offset, "model"),
            (self.read_noise, "model"),
            (self.skewness, "model"),
        ):
            self._layout.setRowVisible(widget.native, self.noise.value == kind)


def _weights_choices(found: Sequence[WeightsInfo]) -> list[tuple[str, str]]:
    """Label bundled weights by titles, by names too where these repeat; a user's by the name."""
    count = Counter(info.card.title for info in found)
    repeated = {title for title, times in count.items() if times > 1}
    return [(_label(info, repeated), info.name) for info in found]


def _label(info: WeightsInfo, repeated: set[str]) -> str:
    if not info.bundled:
        return f"{info.name} (yours)"
    title = info.card.title
    return f"{title} ({info.name})" if title in repeated else title


def _decimals(value: float) -> int:
    """Count the places that show three digits of a value, and two at least."""
    return max(2, 2 - floor(log10(abs(value)))) if value else 2


def _figure(tip: str, low: float = 0.0) -> mg.FloatSpinBox:
    return mg.FloatSpinBox(value=0.0, min=low, max=_HUGE, step=0.1, tooltip=tip)


def _offer(combo: mg.ComboBox, choices: Sequence[tuple[str, str]]) -> None:
    """Set the choices, keeping the chosen one where it is still there."""
    kept = combo.value
    with combo.changed.blocked():
        combo.choices = list(choices)
        if any(value == kept for _, value in choices):
            combo.value = kept


def _device_name(device: str) -> str:
    if device == "cpu":
        return "Processor (cpu)"
    if device == "mps":
        return "Apple GPU (mps)"
    return f"NVIDIA GPU ({device})"
