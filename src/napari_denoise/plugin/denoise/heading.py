"""The heading of the Denoise widget: which layers are denoised, and what they are."""

from __future__ import annotations

from napari_denoise.plugin.denoise.selection import Selection
from napari_denoise.plugin.kit.parts import Header
from napari_denoise.plugin.kit.text import names_text, provenance_text, shape_text, size_text
from napari_denoise.plugin.layers.source import provenance


def show_layers(header: Header, selection: Selection) -> None:
    """Name the layers that Run would denoise, or say what to select."""
    sources = selection.sources
    if not sources:
        text = selection.problem or "Select one or more image layers in the layer list."
        header.show_layers("No layer to denoise", text)
        return
    first = sources[0]
    facts = shape_text(first.array.shape, first.axes, first.array.dtype)
    names = [s.layer.name for s in sources]
    size = size_text(sum(s.nbytes for s in sources))
    if len(names) > 1:
        facts = f"{len(names)} layers, one after the other"
    notes = [n for s in sources if (n := provenance(s.layer))]
    note = provenance_text(notes[0]) if notes else ""
    header.show_layers(names_text(names), f"{facts} · {size}", note or selection.problem)
