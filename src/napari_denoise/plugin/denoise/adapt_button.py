"""The way from a noisy stack in the Denoise panel to the Fine-tune widget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from napari.layers import Image

from napari_denoise.plugin.kit.parts import button, enable
from napari_denoise.plugin.layers.source import Source, bare, provenance

TEXT = "Adapt to this stack …"
_TIP = (
    "Open Fine-tune with this layer as a noisy stack: the weights learn from its own frames, "
    "without clean images."
)
ONE_LAYER = "Select one layer only."
UNDO_FIRST = "The frames must be noisy to teach: press Undo first, or select the noisy layer."


class AdaptButton:
    """Shown for stacks over time or depth; says why where it cannot be pressed.

    Parameters
    ----------
    viewer
        Whose window gets the Fine-tune widget.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._layer: Image | None = None
        self.button = button(TEXT, _TIP)
        self.button.changed.connect(self._open)

    def offer(self, sources: Sequence[Source]) -> None:
        """Follow what is selected."""
        stacks = [s for s in sources if _is_stack(s)]
        self.button.native.setVisible(bool(stacks))
        if not stacks:
            self._layer = None
            return
        self._layer = stacks[0].layer
        why_not = ONE_LAYER if len(sources) > 1 else UNDO_FIRST if provenance(self._layer) else ""
        self.button.tooltip = _TIP
        enable(self.button, not why_not, why_not)

    def _open(self) -> None:
        from napari_denoise.plugin.finetune.adapting import adapt_to

        if self._layer is not None:
            adapt_to(bare(self._viewer), self._layer)


def _is_stack(source: Source) -> bool:
    sizes = zip(source.axes, source.array.shape, strict=True)
    return any(letter in "TZ" and size > 1 for letter, size in sizes)
