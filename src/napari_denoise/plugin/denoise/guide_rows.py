"""The rows of the form that show and choose albedo and normal."""

from __future__ import annotations

from collections.abc import Sequence

from psygnal import Signal
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QComboBox, QFormLayout, QLabel

from napari_denoise.plugin.kit.parts import narrow, small_print
from napari_denoise.plugin.layers.guides import GuideOffer
from napari_denoise.plugin.layers.source import GUIDES
from napari_denoise.weights.catalogue import WeightsInfo

_TIP = (
    "Noisy albedo and normal of the same frames keep textures and edges; worth about 1 dB.\n"
    "Auto takes the layer that was opened with the colour, or none."
)
_SEVERAL = "\nWith several layers selected each has its own: select one alone to choose."


class GuideRows:
    """A row per role and a line below, shown only where they are of use.

    Parameters
    ----------
    layout
        The form that gets the rows.

    Signals
    -------
    chosen : (role, choice)
        The user chose; see `guides.Guiding.choose`.
    """

    chosen = Signal(str, str)

    def __init__(self, layout: QFormLayout) -> None:
        self._layout = layout
        self._offer: GuideOffer | None = None
        self._weights: WeightsInfo | None = None
        self.combos = {role: self._row(role) for role in GUIDES}
        self.note = small_print()
        layout.addRow(self.note)
        self._show()

    def _row(self, role: str) -> QComboBox:
        combo = QComboBox()
        narrow(combo)
        label = QLabel(role.capitalize())
        label.setToolTip(_TIP)
        self._layout.addRow(label, combo)
        combo.currentIndexChanged.connect(lambda _: self.chosen.emit(role, combo.currentData()))
        return combo

    def offer(self, offer: GuideOffer | None) -> None:
        """Show what can be chosen; None where there is no render."""
        if offer != self._offer:
            self._offer = offer
            self._show()

    def weights(self, info: WeightsInfo | None) -> None:
        """Follow the weights; None while it is unknown which will be taken."""
        self._weights = info
        self._show()

    def _show(self) -> None:
        offer, weights = self._offer, self._weights
        wanted = weights is not None and bool(weights.card.config.get("features"))
        shown = offer is not None and (wanted or offer.found)
        for combo in self.combos.values():  # of no use to weights that cannot take them
            self._layout.setRowVisible(combo, shown and (wanted or weights is None))
        if offer is None or not shown:
            self.note.say("")
            return
        for role, combo in self.combos.items():
            _fill(combo, offer.choices[role], offer.values[role])
        lines = [offer.faults] if offer.faults else []
        if weights is not None and offer.used and not wanted:
            lines.append(f"“{weights.card.title}” makes no use of albedo and normal.")
        self.note.say("\n".join(lines))


def _fill(combo: QComboBox, choices: Sequence[tuple[str, str]], value: str) -> None:
    """Offer other choices without telling anybody."""
    blocker = QSignalBlocker(combo)
    combo.clear()
    for number, (label, choice) in enumerate(choices):
        combo.addItem(label, choice)
        combo.setItemData(number, label, Qt.ItemDataRole.ToolTipRole)
    combo.setCurrentIndex(max(combo.findData(value), 0))
    combo.setEnabled(combo.count() > 1)
    combo.setToolTip(_TIP if combo.count() > 1 else _TIP + _SEVERAL)
    blocker.unblock()
