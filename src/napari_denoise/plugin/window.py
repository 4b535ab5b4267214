"""A napari window for a command that has something to show."""

from __future__ import annotations

from collections.abc import Callable

import napari


def show(title: str, fill: Callable[[napari.Viewer], object]) -> None:
    """Open napari, let `fill` add layers, and return when the window is closed.

    Parameters
    ----------
    title
        Of the window.
    fill
        Called once with the viewer.
    """
    viewer = napari.Viewer(title=title)
    fill(viewer)
    napari.run()
