"""The offer to resume a fine-tuning that was interrupted."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtWidgets import QFrame, QMessageBox

from napari_denoise.plugin.finetune.kept import Kept
from napari_denoise.plugin.kit.colours import ROLE
from napari_denoise.plugin.kit.parts import Text, button, column, row


class ResumeOffer(QFrame):  # type: ignore[misc]  # Qt has no types
    """Names the latest unfinished fine-tuning; hidden where there is none."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: Kept | None = None
        self.text = Text()
        self.resume = button("Resume", "Train on from where it stopped.")
        self.later = button("Not now", "It is offered again next time.")
        self.discard = button("Discard", "Delete what it has reached.")
        self.setObjectName("status")  # looks like a message
        self.setProperty(ROLE, "info")
        rows = column(self, 6)
        rows.setContentsMargins(8, 4, 4, 4)
        rows.addWidget(self.text)
        rows.addLayout(row(self.resume, self.later, self.discard))
        self.show_kept([])

    def show_kept(self, found: Sequence[Kept]) -> None:
        """Offer the first of these."""
        self.kept = found[0] if found else None
        if self.kept is not None:
            kept = self.kept
            reached = f" It got to {kept.reached}." if kept.reached else ""
            more = f" {len(found) - 1} more wait." if len(found) > 1 else ""
            self.text.say(
                f"A fine-tuning on “{kept.title}”, begun {kept.began}, is not saved.{reached}{more}"
            )
        self.setVisible(self.kept is not None)

    def agreed_to_discard(self) -> bool:
        """Ask, for there is no way back."""
        assert self.kept is not None  # noqa: S101 - or else there is nothing to press
        reached = f", which got to {self.kept.reached}," if self.kept.reached else ""
        answer = QMessageBox.question(
            self,
            "Discard the fine-tuning?",
            f"The fine-tuning on “{self.kept.title}”, begun {self.kept.began}{reached} is deleted "
            "with the weights that it learnt so far. Layers, files and saved weights stay.",
            QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.No,
            QMessageBox.StandardButton.No,
        )
        return bool(answer == QMessageBox.StandardButton.Yes)
