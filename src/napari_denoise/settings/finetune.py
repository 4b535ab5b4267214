"""What the user chose for fine-tuning, and the recipes for it, as frozen values."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar, Literal, Self, TypeVar

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from napari_denoise.settings.base import STRICT, Settings
from napari_denoise.settings.denoise import ChannelNoise
from napari_denoise.settings.recipe import (
    LEAST_PATCH,
    AdversarialStage,
    Decay,
    DistortionStage,
    TermWeights,
)

MINUTES = 5.0
"""How long fine-tuning takes where nobody says."""
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
class FineTuneSettings(Settings):
    """How to fine-tune; the widget, the command line and Python all build this."""

    base: str = "auto"
    """Weights to start from: a name in the catalogue, a path, or "auto" to choose by the data."""
    recipe: str = "faithful"
    """One that is bundled, or the path of a TOML file."""
    minutes: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """How long; the number of steps follows from the speed of the first ones."""
    steps: Annotated[int, Field(gt=0, le=10**9)] | None = None
    """How many steps, in place of a time."""
    device: str = "auto"
    """"auto", "cpu", "cuda", "cuda:1", "mps"."""
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"
    batch: Annotated[int, Field(gt=0, le=4096)] | None = None
    """Patches per step; None takes the recipe's, as with the next three."""
    patch: Annotated[int, Field(ge=LEAST_PATCH, multiple_of=4)] | None = None
    """Their side, pixels."""
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Of the first stage; a second one is changed in proportion."""
    weights: TermWeights | None = None
    """How much each term of an adversarial stage counts."""
    noise: ChannelNoise | tuple[ChannelNoise, ...] = "auto"
    """As in `DenoiseSettings`; fine-tuned weights should be used with the same."""
    match: Literal["auto", "always", "never"] = "auto"
    """Scale clean images to noisy ones by least squares: where they clearly differ, or as said."""
    align: bool = False
    """Shift clean images onto noisy ones by the distance measured."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.minutes is not None and self.steps is not None:
            raise ValueError(
                f"minutes = {self.minutes:g} and steps = {self.steps}: give one of them"
            )
        return self

    @property
    def seconds(self) -> float | None:
        """The time there is; None where steps are given."""
        return None if self.steps is not None else 60 * (self.minutes or MINUTES)
