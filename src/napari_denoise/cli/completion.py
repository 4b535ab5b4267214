"""What a shell completes after an option: its values. Loads nothing that takes long."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

Values = list[tuple[str, str]]
"""Values and what they mean, for shells that show it."""


def among(values: Mapping[str, str]) -> Callable[[str], Values]:
    """Complete one of some values, each with its meaning."""

    def complete(incomplete: str) -> Values:
        return [(v, told) for v, told in values.items() if v.startswith(incomplete)]

    return complete


def weights(incomplete: str) -> Values:
    """Complete names of weights that are installed, and files of weights."""
    from napari_denoise.weights.catalogue import list_weights

    named = [("auto", "chosen by the image")]
    named += [(info.name, info.card.title) for info in list_weights()]
    return [(n, told) for n, told in named if n.startswith(incomplete)] + _files(incomplete)


def _files(incomplete: str) -> Values:
    given = Path(incomplete)
    folder = given if incomplete.endswith("/") else given.parent
    try:
        entries = sorted(folder.iterdir()) if incomplete else []
    except OSError:
        return []
    found = [e for e in entries if str(e).startswith(incomplete) and not e.name.startswith(".")]
    return [
        (f"{entry}/" if entry.is_dir() else str(entry), "")
        for entry in found
        if entry.is_dir() or entry.suffix == ".safetensors"
    ]


OME_ZARR = among({"0.5": "Zarr 3", "0.4": "Zarr 2"})


def formats(incomplete: str) -> Values:
    """Complete endings that can be written."""
    from napari_denoise.io.write import WRITABLE

    endings = [ending.removeprefix(".") for ending in WRITABLE]
    return [(ending, "") for ending in endings if ending.startswith(incomplete)]
