"""From another widget to the Fine-tune widget, with a noisy stack to adapt to."""

from __future__ import annotations

from typing import Any

from napari.layers import Image

from napari_denoise.plugin.finetune.finetune_widget import FineTuneWidget
from napari_denoise.plugin.layers.source import bare

DOCK = "Fine-tune (Denoise)"


def adapt_to(viewer: Any, layer: Image) -> FineTuneWidget:
    """Open the Fine-tune widget, or show the one that is there, and add a layer as a noisy stack.

    Nothing is trained: *Start* is the user's.

    Parameters
    ----------
    viewer
        Whose window gets the widget.
    layer
        A stack over time or depth.
    """
    window = viewer.window
    found = [x for x in window.dock_widgets.values() if isinstance(x, FineTuneWidget)]
    if not found:
        found = [FineTuneWidget(viewer)]
        window.add_dock_widget(found[0], name=DOCK, tabify=True)
    dock = found[0].parentWidget()
    dock.show()
    dock.raise_()
    pairs = found[0].pairs
    pairs.kind.value, pairs.noisy.value = "stack", bare(layer)
    pairs.add_layers()
    return found[0]
