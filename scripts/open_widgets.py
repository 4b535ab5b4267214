"""Open every dock widget in a napari that has the plugin without extras."""

from __future__ import annotations

import sys

import napari
import numpy as np
from napari.utils.notifications import notification_manager

WIDGETS = ("Denoise", "Fine-tune", "Batch")


def main() -> None:
    """Open them one by one; what napari would show as an error ends it."""
    viewer = napari.Viewer(show=False)
    stack = np.random.default_rng(0).poisson(40, (3, 96, 96)).astype(np.uint16)
    viewer.add_image(stack)
    for name in WIDGETS:
        dock, widget = viewer.window.add_plugin_dock_widget("napari-denoise", name)
        napari.qt.get_qapp().processEvents()
        print(f"{name}: {type(widget).__name__} in {dock.name!r}")
    errors = [str(n) for n in notification_manager.records if n.severity.value == "error"]
    viewer.close()
    if errors:
        sys.exit("\n".join(errors))


if __name__ == "__main__":
    main()
