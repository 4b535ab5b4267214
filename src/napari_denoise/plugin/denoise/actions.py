"""The lower part of the widget: the last message, progress, and buttons."""

from __future__ import annotations

from collections.abc import Sequence

from magicgui import widgets as mg
from qtpy.QtWidgets import QWidget

from napari_denoise.plugin.denoise.shortcuts import KEYS, tip_of
from napari_denoise.plugin.kit.parts import Status, button, column, enable, row, small_print
from napari_denoise.plugin.kit.text import names_text

UNDO_TIP = "Take the last run back, with all of its layers: they get the data back that they had."
REDO_TIP = "Do again what Undo took back last, without computing it anew."

NEEDS_FRAMES = "Select one stack of at least three frames over time or depth."


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
        self.redo = button("Redo", REDO_TIP)
        self.save = button(
            "Save …", "Save the selected layers, channels into one file, with scale and provenance."
        )
        self.compare = button(
            "Hold to compare", "Shows the original for as long as the button is held."
        )
        self.wipe = button(
            "Wipe",
            "Drag a line in the image: the original is on its left, the result on its right.",
        )
        self.wipe.native.setCheckable(True)
        self.residual = button(
            "Residual",
            "Add noisy - denoised beside the layer, in units of the noise where that is known. It "
            "should look like noise: what stands out in it was taken from the image.",
        )
        self.residual.native.setCheckable(True)
        self.again = button("Denoise again anyway", "Denoise it a second time.")
        self.adapt = button(
            "Adapt to this stack …",
            "Open Fine-tune with this stack: the weights learn from its own frames, without any "
            "clean image. Nothing is trained before you press Start there.",
        )
        for name in KEYS:
            pressed = getattr(self, name)
            pressed.tooltip += tip_of(name)
        self.bar = mg.ProgressBar(value=0, min=0, max=1000)
        self.note = small_print()
        self.status = Status(self.again)
        rows = column(self, 6)  # what comes and goes is above, so that no button moves
        rows.addWidget(self.status)
        rows.addWidget(self.note)
        rows.addWidget(self.bar.native)
        rows.addLayout(row(self.preview, self.run, self.cancel))
        rows.addLayout(row(self.compare, self.wipe, self.residual))
        rows.addLayout(row(self.undo, self.redo, self.save))
        rows.addLayout(row(self.adapt))

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
        for name, tip, names in (("undo", UNDO_TIP, back), ("redo", REDO_TIP, forth)):
            pressed = getattr(self, name)
            told = f" Next: {names_text(list(names))}." if names else ""
            pressed.tooltip = tip + told + tip_of(name)
            pressed.enabled = bool(names) and idle

    def offer_adapting(self, possible: bool) -> None:
        """Enable Adapt, or say what it takes."""
        enable(self.adapt, possible, NEEDS_FRAMES)
