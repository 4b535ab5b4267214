"""The settings of the widget, as magicgui controls in a narrow form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from magicgui import widgets as mg
from psygnal import Signal
from qtpy.QtWidgets import QFormLayout, QWidget

from napari_denoise.plugin.denoise.axes_row import AxesRow
from napari_denoise.plugin.denoise.guide_rows import GuideRows
from napari_denoise.plugin.denoise.last_settings import FIELDS, of_kind
from napari_denoise.plugin.denoise.noise_rows import NoiseRows
from napari_denoise.plugin.kit.parts import (
    Section,
    add_option,
    add_row,
    flatten,
    form_layout,
    percent_of,
    small_print,
)
from napari_denoise.plugin.kit.text import card_summary, card_text
from napari_denoise.plugin.layers.source import Source
from napari_denoise.plugin.preferences import Preferences
from napari_denoise.settings.denoise import REALISM_NOTE, DenoiseSettings
from napari_denoise.settings.option import options_of
from napari_denoise.weights.catalogue import WeightsError, WeightsInfo, check_there, list_weights

_OPTIONS = options_of(DenoiseSettings)
TILES = ("auto", 64, 128, 256, 512, 1024)
_KINDS = {"microscopy": "microscopy data", "photo": "photographs", "render": "renders"}
_UNPICKED = "Auto picks when it has measured the image."


class SettingsForm:
    """Controls for everything in `DenoiseSettings` that the widget offers.

    Parameters
    ----------
    preferred
        What it begins with.

    Signals
    -------
    changed : ()
        The settings are different now.
    """

    changed = Signal()

    def __init__(self, preferred: Preferences | None = None) -> None:
        self.native = QWidget()
        self._quiet = False
        self._layout = form_layout(self.native)
        self.axes = AxesRow(self._layout)
        self._weights_row()
        self.noise = NoiseRows(self._layout)
        self.noise.changed.connect(self._tell)
        self.strength = mg.Slider(value=100, min=0, max=100, readout=False)
        self._field("strength", after=percent_of(self.strength))
        self._realism_row()
        self.scope = mg.RadioButtons(
            choices=[("Whole stack", "stack"), ("This frame", "frame")],
            value="stack",
            orientation="horizontal",
            tooltip="Denoise every frame, or only the one on the screen.",
        )
        flatten(self.scope)
        add_row(self._layout, "Apply to", self.scope)
        self._neighbor_rows()
        self.offer_scope(False)
        self.output = mg.RadioButtons(
            choices=[("In place", "in_place"), ("New layer", "new")],
            value="in_place",
            orientation="horizontal",
            tooltip="In place: the layer gets the denoised data, and Undo brings the original "
            "back. New layer: the layer stays as it is.",
        )
        flatten(self.output)
        add_row(self._layout, "Output", self.output)
        self.outliers = mg.ComboBox(
            choices=[("Auto", "auto"), ("Replace", "replace"), ("Keep", "keep")],
            value="auto",
        )
        self._field("outliers")
        self._speed_section()
        self.fill_weights(list_weights())
        self._begin_with(preferred or Preferences())

    # --- rows ---------------------------------------------------------------------------

    def _weights_row(self) -> None:
        self._catalogue: dict[str, WeightsInfo] = {}
        self.weights = mg.ComboBox(choices=[("Auto", "auto")], value="auto")
        self._field("weights")
        self.picked = small_print()
        self.card = small_print()
        self.card.setVisible(True)
        self.card_section = Section(
            "About these weights", self.card, "What they are for, and what they were trained on."
        )
        self._layout.addRow(self.picked)
        self.begun_note = small_print()
        self._layout.addRow(self.begun_note)
        self._layout.addRow(self.card_section)
        self.guides = GuideRows(self._layout)
        self.weights.changed.connect(self._show_card)

    def _realism_row(self) -> None:
        self.realism = mg.Slider(value=0, min=0, max=100, readout=False)
        self._field("realism", after=percent_of(self.realism))
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

    def _neighbor_rows(self) -> None:
        sides = [(f"{n} on each side", n) for n in range(1, 5)]
        self.neighbors = mg.ComboBox(choices=[("Auto", "auto"), ("Off", 0), *sides], value="auto")
        self._field("neighbors")
        self.along = mg.ComboBox(
            choices=[("Auto", "auto"), ("Time", "T"), ("Depth", "Z")], value="auto"
        )
        self._field("along")
        self.neighbors_note = small_print()
        self._layout.addRow(self.neighbors_note)

    def offer_neighbors(self, axes: Sequence[str]) -> None:
        """Offer neighbours where there are any: along T, Z or either."""
        self._layout.setRowVisible(self.neighbors.native, bool(axes))
        self._layout.setRowVisible(self.along.native, len(axes) > 1)
        if not axes:
            self.neighbors_note.say("")

    def _speed_section(self) -> None:
        body = QWidget()
        self._speed = form_layout(body)
        self.tile = mg.ComboBox(
            choices=[("Auto" if t == "auto" else f"{t} x {t}", t) for t in TILES],
            value="auto",
        )
        self._field("tile", self._speed)
        self.device = mg.ComboBox(choices=[("Auto", "auto")], value="auto")
        self._field("device", self._speed)
        self.cost = small_print()
        self._speed.addRow(self.cost)
        self.dtype = mg.ComboBox(
            choices=[("As the data", "same"), ("float32", "float32")], value="same"
        )
        self._field("dtype", self._speed)
        self.speed_section = Section(
            "Speed, memory and data type",
            body,
            "Tile size and device, which do not change the result, and the data type it has.",
        )
        self._layout.addRow(self.speed_section)

    # --- what it begins with ------------------------------------------------------------

    def _begin_with(self, preferred: Preferences) -> None:
        self._preferred = preferred
        self._kind = ""
        self.device.value = preferred.device if preferred.device in self.device.choices else "auto"
        self._wanted_device = preferred.device
        self._plain = {
            **self.remembered(),
            "strength": preferred.strength / 100,
            "neighbors": preferred.neighbors,
            "output": preferred.output,
        }
        self._put(self._plain)
        self._begun = self.remembered()

    def remembered(self) -> dict[str, Any]:
        """Return what is remembered for the kind of data, as JSON values."""
        values = self.settings().to_json()
        return {**{name: values[name] for name in FIELDS}, "output": self.output.value}

    def of_kind(self, kind: str) -> None:
        """Begin as on the last data of a kind; what the user changed before that was known stays.

        Nothing goes from one kind to another.
        """
        if not kind or kind == self._kind:
            return
        first, touched = not self._kind, self.remembered() != self._begun
        if first and touched:
            self._kind = kind
            return
        self._kind = kind
        last = of_kind(kind) if self._preferred.remember else {}
        last = {**last, "weights": self._there(last.get("weights", "auto"))} if last else {}
        values = {**self._plain, **last}
        if values != self.remembered():
            self._put(values)
            self._tell()
        self._begun = self.remembered()
        self.begun_note.say(f"Settings as in the last run on {_KINDS[kind]}." if last else "")

    def begin_again(self, values: Mapping[str, Any]) -> None:
        """Show the `state` of another panel that was closed."""
        if values:
            self._put({**values, "weights": self._there(values["weights"])})
            self._kind, self._begun = values["kind"], self.remembered()

    @property
    def state(self) -> dict[str, Any]:
        """What is remembered, and the kind of data that it is for, if that is known."""
        return {**self.remembered(), "kind": self._kind}

    def ran(self) -> None:
        """Note that the settings are the last ones now."""
        self._begun = self.remembered()
        self.begun_note.say("")

    def _there(self, weights: str) -> str:
        return weights if weights in self.weights.choices else "auto"

    def _put(self, values: Mapping[str, Any]) -> None:
        """Show values of the fields that are remembered, telling nobody."""
        self._quiet = True
        try:
            self.weights.value = values["weights"]
            self.strength.value = round(100 * values["strength"])
            self.realism.value = round(100 * values["realism"])
            for name in ("outliers", "neighbors", "along", "dtype", "output"):
                getattr(self, name).value = values[name]
        finally:
            self._quiet = False

    def _field(
        self, name: str, layout: QFormLayout | None = None, after: QWidget | None = None
    ) -> None:
        """Add the control of a field of the settings, which is called as the field is."""
        widget = getattr(self, name)
        add_option(self._layout if layout is None else layout, _OPTIONS[name], widget, after)
        widget.changed.connect(self._tell)

    def _tell(self, _value: Any = None) -> None:
        if not self._quiet:
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
            **self.noise.fields,
            strength=self.strength.value / 100,
            realism=self.realism.value / 100 if self._realistic else 0.0,
            outliers=self.outliers.value,
            neighbors=self.neighbors.value,
            along=self.along.value,
            tile=self.tile.value,
            device=self.device.value,
            dtype=self.dtype.value,
        )

    @property
    def this_frame(self) -> bool:
        """Whether to denoise only the frame on the screen, of those there are."""
        return bool(self._several_frames and self.scope.value == "frame")

    def suit(self, sources: Sequence[Source]) -> None:
        """Show the rows that mean something for some layers."""
        self.offer_scope(any(s.frames > 1 for s in sources))
        self.offer_neighbors([a for a in "TZ" if any(s.layout.size(a) > 1 for s in sources)])
        whole = any(
            np.dtype(s.noisy.dtype) != np.float32
            and not (s.layer.rgb and np.dtype(s.noisy.dtype).kind in "iu")
            for s in sources
        )
        self._speed.setRowVisible(self.dtype.native, whole)

    def offer_scope(self, several_frames: bool) -> None:
        """Ask for the whole stack or one frame only where these are not the same."""
        self._several_frames = several_frames
        self._layout.setRowVisible(self.scope.native, several_frames)

    def fill_weights(self, found: Sequence[WeightsInfo]) -> None:
        """Offer these weights besides "Auto"."""
        self._catalogue = {info.name: info for info in found}
        _offer(self.weights, [("Auto", "auto"), *_weights_choices(found)])
        self._show_card()

    def fill_devices(self, devices: Sequence[str]) -> None:
        """Offer these devices besides "Auto"."""
        names = [(_device_name(d), d) for d in devices]
        _offer(self.device, [("Auto", "auto"), *names])
        wanted, self._wanted_device = self._wanted_device, ""
        if wanted in self.device.choices:
            self.device.value = wanted

    def show_picked(self, name: str) -> None:
        """Say which weights "Auto" took."""
        info = self._catalogue.get(name)
        auto = self.weights.value == "auto" and name
        title = info.card.title if info else name
        self._show_card(name if auto else None)
        self.picked.say(f"Auto picked “{title}”." if auto else "")

    def unpicked(self) -> None:
        """Follow layers of which it is unknown what "Auto" will take."""
        if self.weights.value == "auto":
            self.guides.weights(None)
            self.picked.say(_UNPICKED)

    def _show_card(self, name: str | None = None) -> None:
        info = self._catalogue.get(name or "") or self._catalogue.get(self.weights.value)
        if info is not None and not info.path.is_file():
            info = None  # `check_weights` says so
        if self.weights.value != "auto":
            self.picked.say("")
        elif info is None:
            self.picked.say(_UNPICKED)
        self.guides.weights(info)
        self.noise.suit(info.card.mapping if info is not None else "")
        self._offer_realism(info)
        self.card.setText(card_text(info) if info else _UNPICKED)
        self.weights.tooltip = card_summary(info) if info else _OPTIONS["weights"].tip()


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
