"""The lower part of the widget: buttons, progress, and the last message."""

from __future__ import annotations

from magicgui import widgets as mg
from qtpy.QtWidgets import QWidget

from napari_denoise.plugin.kit.parts import Status, button, column, row, small_print

UNDO_TIP = "Take the last run back: the layer gets the data back that it had before."


class Actions(QWidget):  # type: ignore[misc]  # Qt has no types
    """What can be done, and how far it is."""

    def __init__(self) -> None:
        super().__init__()
        self.preview = button(
            "Preview",
            "Show the result on the visible part of the current frame, and follow the view. "
            "The layer is not touched.",
        )
        self.preview.native.setCheckable(True)
        self.run = button("Run", "Denoise the layers named above.")
        self.cancel = button("Cancel", "Stop. A layer at work stays as it was.")
        self.undo = button("Undo", UNDO_TIP)
        self.compare = button(
            "Hold to compare", "Shows the original for as long as the button is held."
        )
        self.residual = button(
            "Residual",
            "Add noisy - denoised beside the layer. It should look like noise: structure in "
            "it was taken from the image.",
        )
        self.again = button("Denoise again anyway", "Denoise it a second time.")
        self.bar = mg.ProgressBar(value=0, min=0, max=1000)
        self.note = small_print()
        self.status = Status(self.again)
        rows = column(self, 6)
        rows.addLayout(row(self.preview, self.run, self.cancel))
        rows.addWidget(self.bar.native)
        rows.addWidget(self.note)
        rows.addLayout(row(self.undo, self.compare, self.residual))
        rows.addWidget(self.status)

    def paint_run(self, colour: str) -> None:
        """Make the main action stand out in a colour of the theme."""
        self.run.native.setStyleSheet(
            f"QPushButton:enabled {{ background-color: {colour}; font-weight: bold; }}"
        )

    def check_preview(self, on: bool) -> None:
        """Show the preview as on or off without telling anybody."""
        native = self.preview.native
        native.blockSignals(True)
        native.setChecked(on)
        native.blockSignals(False)

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

    def show_undo(self, name: str | None, possible: bool) -> None:
        """Say which layer Undo would restore next."""
        self.undo.tooltip = UNDO_TIP + (f" Next: “{name}”." if name else "")
        self.undo.enabled = possible
