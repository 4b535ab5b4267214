"""A look at the state between two steps: to measure when that is due, and to keep it when asked."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

from napari_denoise.training.finetune.held_out import HeldOutValidator
from napari_denoise.training.loop.checkpoints import save_checkpoint
from napari_denoise.training.loop.report import StepReport, Validation
from napari_denoise.training.loop.state import TrainingState


class Keeper:
    """What the loop calls after every step.

    Parameters
    ----------
    validator
        Measures; None if nothing is held out.
    every
        Steps between two validations.
    checkpoint
        Where the state is kept.
    """

    def __init__(self, validator: HeldOutValidator | None, every: int, checkpoint: Path) -> None:
        self.validator, self.every, self.checkpoint = validator, every, checkpoint
        self.took = 0.0
        """Seconds of the validation after the last step; 0 if there was none."""
        self.kept = 0
        """Step that was written last; 0 if none was since this began."""
        self._state: TrainingState | None = None

    def __call__(self, state: TrainingState) -> Validation | None:
        """Measure if it is time; the last step is always measured."""
        self._state, self.took = state, 0.0
        due = state.step % self.every == 0 or state.step == state.settings.steps
        if self.validator is None or not due:
            return None
        start = perf_counter()
        found = self.validator(state)
        self.took = perf_counter() - start
        return found

    def note(self, report: StepReport) -> None:
        """Take what the loop reports: whether it saved the state, or spoilt it."""
        if report.saved is not None:
            self.kept = report.step
        if not all(report.finite.values()):
            self.forget()

    def forget(self) -> None:
        """Keep nothing of a state in which half a step may have been taken."""
        self._state = None

    def keep(self) -> None:
        """Write the state, if a step was done since it was written last.

        To be called between two steps only.

        Raises
        ------
        FileError
            The disk is full; what was written before stays whole.
        """
        if self._state is not None and self._state.step > self.kept:
            save_checkpoint(self.checkpoint, self._state.state_dict())
            self.kept = self._state.step
