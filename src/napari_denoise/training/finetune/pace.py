"""Ending near the time that was asked for, however fast the machine turns out to be."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from napari_denoise.settings.recipe import AdversarialStage, DistortionStage, TrainSettings

_OFF = 0.1
"""Share of the time asked for by which it may end late or early before the plan is changed."""
_LOOK = 0.1
"""Share of the time asked for between two looks at the pace."""
_MANY = 100
"""Steps that the pace is a mean over; newer ones count a little more."""
_TIMED = 3
"""Steps that a pace known beforehand counts as much as."""
_Stage = TypeVar("_Stage", DistortionStage, AdversarialStage)


class Pace:
    """How long steps really take, next to the time that was asked for.

    Parameters
    ----------
    asked
        Seconds that training may take; None where steps were asked for.
    spent
        Seconds that it took before it was resumed.
    each
        Seconds of a step without validation, as far as is known; 0 where nothing is.
    second
        How many times longer a step of the adversarial stage takes than one before it.
    validation
        Seconds of one validation, as far as is known.
    """

    def __init__(
        self,
        asked: float | None,
        spent: float = 0.0,
        each: float = 0.0,
        second: float = 1.0,
        validation: float = 0.0,
    ) -> None:
        self.asked, self.spent, self.second = asked, spent, second
        self.each, self.validation = each, validation
        self._counted = _TIMED if each else 0
        self._validations = 1 if validation else 0
        self._stage = ""
        self.begin()

    def begin(self, stage: str = "") -> None:
        """Begin a stage or go on with it; the first step sets things up and tells nothing."""
        if (self._stage, stage) == ("distortion", "adversarial"):
            self.each, self._counted = self.each * self.second, min(self._counted, _TIMED)
        self._stage = stage
        self._steps, self._seconds = -1, 0.0

    def add(self, seconds: float, validation: float = 0.0) -> None:
        """Take what a step took, and the validation in it."""
        self.spent += seconds
        if validation:
            self._validations += 1
            self.validation += (validation - self.validation) / self._validations
        took = seconds - validation
        self._steps += 1
        if self._steps:
            self._seconds += took
            self._counted += 1
            self.each += (took - self.each) / min(self._counted, _MANY)
        elif not self._counted:  # better than nothing, until the next step
            self.each = took

    @property
    def speed(self) -> float:
        """Steps per second, without validations: a mean over many; 0 where nothing is known."""
        return 1 / self.each if self.each else 0.0

    def left(self, settings: TrainSettings, step: int, validate_every: int) -> float:
        """Seconds that the rest of a plan will take: steps at the mean pace, and validations."""
        return self._left(self.each, settings, step, validate_every)

    def _left(self, each: float, settings: TrainSettings, step: int, validate_every: int) -> float:
        first = max(0, settings.distortion.steps - step)
        second = settings.steps - step - first
        steps = first + second * (self.second if first else 1.0)
        last = settings.steps % validate_every > 0 and step < settings.steps
        validations = settings.steps // validate_every - step // validate_every + last
        return each * steps + self.validation * validations

    def share(self, settings: TrainSettings, step: int, validate_every: int) -> float | None:
        """Say for which share of the steps left there is time, more than 1 if for others too.

        None where they end near the time asked for, or where it is too early to tell.
        """
        if self.asked is None or self._steps < 1 or self._seconds < _LOOK * self.asked:
            return None
        # At the pace since the last look: what came before has changed the plan already.
        left = self._left(self._seconds / self._steps, settings, step, validate_every)
        self._steps, self._seconds = 0, 0.0
        if not left or abs(self.spent + left - self.asked) <= _OFF * self.asked:
            return None
        return max(0.0, self.asked - self.spent) / left

    def why_changed(self, planned: int, steps: int) -> str:
        """Say why there are fewer or more steps than planned."""
        pace = "longer" if steps < planned else "less time"
        return (
            f"steps take {pace} than those that were timed: {steps} steps instead of {planned}, "
            f"to end near the {minutes_text(self.asked or 0)} asked for"
        )

    def describe(self, steps: int) -> str:
        """Say how long training took, next to what was asked for."""
        text = f"{steps} steps in {minutes_text(self.spent)} of training"
        return text if self.asked is None else f"{text} ({minutes_text(self.asked)} asked for)"


def minutes_text(seconds: float) -> str:
    """Say a duration.

    >>> minutes_text(66)
    '1.1 min'
    """
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s"


def stretched(settings: TrainSettings, step: int, share: float) -> TrainSettings:
    """Return a plan of which a share of the steps after `step` is left, less or more than all.

    What was done stays, and so does the learning rate reached: warm-up, fall and settling that
    are still to come become shorter or longer alike, none is left out.
    """
    first, second = settings.distortion, settings.adversarial
    if second is None:
        return replace(settings, distortion=_rest(first, step, share))
    if step < first.steps:
        first, second = _rest(first, step, share), _rest(second, 0, share)
    else:
        second = _rest(second, step - first.steps, share)
    return replace(settings, distortion=first, adversarial=second)


def _rest(stage: _Stage, done: int, share: float) -> _Stage:
    left = stage.steps - done
    settle = stage.settle if isinstance(stage, DistortionStage) else 0
    least = 2 if settle and left > settle else 1
    kept = max(min(left, least), int(left * share))

    def part(length: int) -> int:
        return max(1, round(length * kept / left)) if length else 0

    warming = max(0, stage.warmup - done)
    values = {"steps": done + kept, "decay": part(stage.decay)}
    values["warmup"] = min(stage.warmup, done) + part(warming)
    if isinstance(stage, DistortionStage):
        values["settle"] = min(part(settle), done + kept - 1)
    return replace(stage, **values)  # type: ignore[arg-type]


def slower(settings: TrainSettings) -> TrainSettings:
    """Return a plan with half the learning rates, for one that diverged."""
    first, second = settings.distortion, settings.adversarial
    first = replace(first, learning_rate=first.learning_rate / 2)
    if second is not None:
        second = replace(
            second,
            learning_rate=second.learning_rate / 2,
            discriminator_rate=second.discriminator_rate / 2,
        )
    return replace(settings, distortion=first, adversarial=second)
