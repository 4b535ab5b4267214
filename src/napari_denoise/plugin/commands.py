"""What the command palette does with the Denoise widget: it opens the widget and presses a button.

What cannot be done now is said, never raised. Importing this loads neither napari nor Qt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import napari.viewer

    from napari_denoise.plugin.denoise.denoise_widget import DenoiseWidget

PLUGIN, WIDGET = "napari-denoise", "Denoise"
NO_IMAGE = "There is no image to denoise: open one and select its layer."
RUNNING = "A run is at work: wait for its end or cancel it."
NOTHING_TO_COMPARE = "There is nothing to compare yet: run or preview first, and select the layer."


def show(viewer: napari.viewer.Viewer) -> None:
    """Open the widget, or bring it to the front."""
    panel_of(viewer)


def run(viewer: napari.viewer.Viewer) -> None:
    """Denoise the selected layers with the settings of the widget."""
    panel = panel_of(viewer)
    _press(panel, "run", RUNNING if panel.runner.busy else NO_IMAGE)


def preview(viewer: napari.viewer.Viewer) -> None:
    """Turn the preview on or off."""
    panel = panel_of(viewer)
    _press(panel, "preview", RUNNING if panel.runner.busy else NO_IMAGE)


def undo(viewer: napari.viewer.Viewer) -> None:
    """Take the last run back."""
    panel = panel_of(viewer)
    _press(panel, "undo", RUNNING if panel.runner.busy else "There is no run to undo.")


def redo(viewer: napari.viewer.Viewer) -> None:
    """Do again what was undone last."""
    panel = panel_of(viewer)
    _press(panel, "redo", RUNNING if panel.runner.busy else "Nothing was undone: there is no redo.")


def compare(viewer: napari.viewer.Viewer) -> None:
    """Show the originals; the next time, the results again."""
    panel = panel_of(viewer)
    if panel.looking.comparing:
        panel.looking.stop_comparing()
    elif panel.actions.compare.enabled:
        panel.looking.start_comparing()
    else:
        _say(NOTHING_TO_COMPARE)


def wipe(viewer: napari.viewer.Viewer) -> None:
    """Show or take away the line between before and after."""
    _press(panel_of(viewer), "wipe", NOTHING_TO_COMPARE)


def panel_of(viewer: napari.viewer.Viewer) -> DenoiseWidget:
    """Return the Denoise widget of a viewer, in front; it is opened where there is none."""
    from napari_denoise.plugin.denoise.denoise_widget import DenoiseWidget

    found = [w for w in viewer.window.dock_widgets.values() if isinstance(w, DenoiseWidget)]
    if not found:
        opened: Any = viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)[1]
        return opened  # type: ignore[no-any-return]
    dock = found[0].parentWidget()
    dock.show()
    dock.raise_()
    return found[0]


def _press(panel: DenoiseWidget, name: str, why_not: str) -> None:
    button = getattr(panel.actions, name)
    if button.enabled and not button.native.isHidden():
        button.native.click()
    else:
        _say(why_not)


def _say(text: str) -> None:
    from napari.utils.notifications import show_info

    show_info(text)
