"""The commands of napari's palette: they open the panel, and press its buttons."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import napari.viewer

    from napari_denoise.plugin.denoise.denoise_widget import DenoiseWidget


def show(viewer: napari.viewer.Viewer) -> DenoiseWidget:
    """Open the Denoise panel, or bring the one that is there to the front."""
    from napari_denoise.plugin.denoise.denoise_widget import DenoiseWidget

    found = [x for x in viewer.window.dock_widgets.values() if isinstance(x, DenoiseWidget)]
    if not found:
        found = [viewer.window.add_plugin_dock_widget("napari-denoise", "Denoise")[1]]
    dock = found[0].parentWidget()
    if dock is not None:
        dock.show()
        dock.raise_()
    return found[0]


def run(viewer: napari.viewer.Viewer) -> None:
    """Denoise what is selected, as the panel says."""
    _press(viewer, "run")


def preview(viewer: napari.viewer.Viewer) -> None:
    """Switch the preview on or off."""
    _press(viewer, "preview")


def undo(viewer: napari.viewer.Viewer) -> None:
    """Take the last run back."""
    _press(viewer, "undo")


def redo(viewer: napari.viewer.Viewer) -> None:
    """Repeat the run that was taken back last."""
    _press(viewer, "redo")


def compare(viewer: napari.viewer.Viewer) -> None:
    """Show the original, or the result again."""
    _press(viewer, "compare")


def wipe(viewer: napari.viewer.Viewer) -> None:
    """Part before and after by a line, or take the line away."""
    _press(viewer, "wipe")


def _press(viewer: napari.viewer.Viewer, name: str) -> None:
    from napari_denoise.plugin.denoise.shortcuts import press

    press(show(viewer).actions, name)
