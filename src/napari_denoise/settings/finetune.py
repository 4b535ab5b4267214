"""What the user chose for fine-tuning, and the recipes for it, as frozen values."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar, Self, TypeVar

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from napari_denoise.settings.base import STRICT, Settings
from napari_denoise.settings.finetune_fields import MINUTES, FineTuneFields
from napari_denoise.settings.problems import Problem, Wrong
from napari_denoise.settings.recipe import (
    AdversarialStage,
    Decay,
    DistortionStage,
    TermWeights,
)

_Stage = TypeVar("_Stage", DistortionStage, AdversarialStage)


@dataclass(frozen=True, config=STRICT)
class FineTuneRecipe(Settings):
    """How to fine-tune: stages whose steps are only shares, stretched to the time there is."""

    _nested: ClassVar[bool] = True

    title: str
    distortion: DistortionStage
    adversarial: AdversarialStage | None = None
    batch: Annotated[int, Field(gt=0)] = 8
    patch: Annotated[int, Field(gt=0, multiple_of=4)] = 64
    clip: Annotated[float, Field(gt=0)] = 0.1
    """Largest norm of the gradient."""
    ema: Decay = 0.99

    @property
    def steps(self) -> int:
        """Steps of all stages as the recipe states them."""
        return self.distortion.steps + (self.adversarial.steps if self.adversarial else 0)

    def stretched(self, steps: int) -> tuple[DistortionStage, AdversarialStage | None]:
        """Give the stages so many steps together, each its share, rise and fall in proportion."""
        if self.adversarial is None:
            return _stretch(self.distortion, max(1, steps)), None
        last = min(max(1, round(steps * self.adversarial.steps / self.steps)), max(1, steps - 1))
        first = max(1, steps - last)
        return _stretch(self.distortion, first), _stretch(self.adversarial, last)


def _stretch(stage: _Stage, steps: int) -> _Stage:
    def part(length: int, least: int) -> int:
        return min(max(round(length * steps / stage.steps), least), steps)

    decay = part(stage.decay, 1) if stage.decay else 0
    values: dict[str, int] = {"steps": steps, "warmup": part(stage.warmup, 0), "decay": decay}
    values["settle"] = min(part(stage.settle, 0), steps - 1)
    return replace(stage, **values)  # type: ignore[arg-type]


@dataclass(frozen=True, config=STRICT)
class FineTuneSettings(FineTuneFields, Settings):
    """How to fine-tune; the widget, the command line and Python all build this.

    `FineTuneFields` has its other fields with their defaults and what they mean.
    """

    weights: TermWeights | None = None
    """How much each term of an adversarial stage counts, in place of what the recipe says."""

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.minutes is not None and self.steps is not None:
            given = (self.minutes, self.steps)
            raise Wrong(Problem(("minutes", "steps"), "give one of them", given))
        return self

    @property
    def seconds(self) -> float | None:
        """The time there is; None where steps are given."""
        return None if self.steps is not None else 60 * (self.minutes or MINUTES)
