"""The lower part of the widget: buttons, progress, and the last message."""

from __future__ import annotations

from collections.abc import Sequence

from magicgui import widgets as mg
from qtpy.QtWidgets import QWidget

from napari_denoise.plugin.kit.parts import Status, button, column, row, small_print
from napari_denoise.plugin.kit.text import names_text

UNDO_TIP = "Take the last run back, with all of its layers: they get the data back that they had."
REDO_TIP = "Do again what Undo took back last, without computing it anew."


class Actions(QWidget):  # type: ignore[misc]  # Qt has no types
    """What can be done, and how far it is."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: dict[str, str] = {}
        """Shortcuts of buttons, for their tooltips."""
        self.preview = button(
            "Preview",
            "Show the result on the visible part of the current frame, and follow the view. "
            "The layer is not touched.",
        )
        self.preview.native.setCheckable(True)
        self.run = button("Run", "Denoise the layers named above.")
        self.cancel = button("Cancel", "Stop. A layer at work stays as it was.")
        self.undo = button("Undo", UNDO_TIP)
        self.redo = button("Redo", REDO_TIP)
        self.save = button(
            "Save …", "Save the selected layers, channels into one file, with scale and provenance."
        )
        self.compare = button(
            "Hold to compare", "Shows the original for as long as the button is held."
        )
        self.wipe = button(
            "Wipe",
            "Part the image by a line that you drag: before on its left, denoised on its right. "
            "Esc or a second click ends it.",
        )
        self.wipe.native.setCheckable(True)
        self.residual = button(
            "Residual",
            "Add noisy - denoised beside the layer, in units of the noise where that is known. It "
            "should look like noise: what stands out in it was taken from the image.",
        )
        self.residual.native.setCheckable(True)
        self.again = button("Denoise again anyway", "Denoise it a second time.")
        self.bar = mg.ProgressBar(value=0, min=0, max=1000)
        self.note = small_print()
        self.status = Status(self.again)
        rows = column(self, 6)
        rows.addLayout(row(self.preview, self.run, self.cancel))
        rows.addWidget(self.bar.native)
        rows.addWidget(self.note)
        rows.addLayout(row(self.compare, self.wipe, self.residual))
        rows.addLayout(row(self.undo, self.redo, self.save))
        rows.addWidget(self.status)

    def check(self, pressed: mg.PushButton, on: bool) -> None:
        """Show a button as on or off without telling anybody."""
        native = pressed.native
        native.blockSignals(True)
        native.setChecked(on)
        native.blockSignals(False)

    def check_preview(self, on: bool) -> None:
        """Show the preview as on or off."""
        self.check(self.preview, on)

    def show_progress(self, text: str, fraction: float) -> None:
        """Show how far a run is; 0 stands for work of unknown length."""
        self.note.say(text)
        self.bar.native.setRange(0, 1000 if fraction else 0)
        self.bar.native.setValue(int(1000 * fraction))

    def show_running(self, running: bool) -> None:
        """Show what belongs to a run at work, or to none."""
        self.run.native.setVisible(not running)
        self.cancel.native.setVisible(running)
        self.bar.native.setVisible(running)
        if not running:
            self.note.say("")

    def show_history(self, back: Sequence[str], forth: Sequence[str], idle: bool) -> None:
        """Say which layers Undo and Redo would change next."""
        for name, pressed, tip, names in (
            ("undo", self.undo, UNDO_TIP, back),
            ("redo", self.redo, REDO_TIP, forth),
        ):
            key = f" ({self.keys[name]})" if name in self.keys else ""
            pressed.tooltip = tip + (f" Next: {names_text(list(names))}." if names else "") + key
            pressed.enabled = bool(names) and idle
