"""What one step did: one report on its way from the loop to log, bars and curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari_denoise.training.finetune.outcome import FineTuneResult

Stage = Literal["distortion", "adversarial"]
Image3 = NDArray[np.float32]


@dataclass(frozen=True)
class Validation:
    """Figures by name, and images (C, Y, X) by column: noisy, faithful, realistic, clean."""

    figures: Mapping[str, float]
    columns: Mapping[str, Sequence[Image3]]


@dataclass(frozen=True)
class StepReport:
    """What one step did; the last report of a fine-tuning carries its result."""

    step: int
    """Steps done, this one included."""
    steps: int
    """Of the whole plan, as it is now."""
    stage: Stage
    terms: Mapping[str, float]
    """Every loss term before its weight, and the norm of the generator's gradient."""
    seconds: float = 0.0
    """Of this run; of a fine-tuning, with those before it was resumed, without pauses."""
    steps_per_second: float = 0.0
    """Over the whole of this run; of a fine-tuning over many steps, without validations."""
    seconds_left: float = 0.0
    """Of a fine-tuning, whose pace is known; else 0."""
    learning_rate: float = 0.0
    mean_loss: float = math.nan
    """Of the pixel term, over the last steps; NaN where nobody keeps a log."""
    validation: Validation | None = None
    saved: Path | None = None
    """The checkpoint written after this step, if any."""
    best_step: int | None = None
    note: str = ""
    """What happened that the user should know."""
    warning: bool = False
    """Whether the note tells of something that went wrong."""
    result: FineTuneResult | None = None

    @property
    def figures(self) -> Mapping[str, float] | None:
        """PSNR and SSIM of noisy, base, faithful and realistic, where it was validated."""
        return None if self.validation is None else self.validation.figures

    @property
    def finite(self) -> Mapping[str, bool]:
        """Which terms are numbers; all, unless the loop is about to stop."""
        return {name: math.isfinite(value) for name, value in self.terms.items()}
