"""Which layer of an OpenEXR is the image, where several may be: asked when it is opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_denoise.io.formats.exr_reader import image_layers

EVERY = "All of them"

Files = str | list[str]


def with_layers(parent: Any, files: Files) -> list[tuple[Files, str | None]]:
    """Return the files with each layer to open; none where the user cancels.

    Parameters
    ----------
    parent
        Of the dialog.
    files
        One input. There is nothing to ask of what has one image.
    """
    from qtpy.QtWidgets import QInputDialog

    first = Path(files if isinstance(files, str) else files[0])
    names = image_layers(first) if first.suffix.lower() == ".exr" else []
    if len(names) < 2:
        return [(files, None)]
    text = f"{first.name} holds several images. Which one is to be denoised?"
    chosen, agreed = QInputDialog.getItem(
        parent, "Open noisy stack", text, [*names, EVERY], 0, False
    )
    if not agreed:
        return []
    return [(files, name) for name in (names if chosen == EVERY else [chosen])]
