"""One training loop: a generator of reports that any front end can consume."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from napari_denoise.engines.device import choose_precision
from napari_denoise.models.architectures.grow import StateDict
from napari_denoise.settings.recipe import AdversarialStage, DistortionStage, TrainSettings
from napari_denoise.training.data.pairs import Pairs
from napari_denoise.training.loop.checkpoints import load_checkpoint, save_checkpoint
from napari_denoise.training.loop.fabric import Fabric
from napari_denoise.training.loop.stages import (
    NotFinite,
    adversarial_step,
    distortion_step,
    learning_rate,
)
from napari_denoise.training.loop.state import TrainingState
from napari_denoise.training.loop.validation import Validation

Stage = Literal["distortion", "adversarial"]
Validate = Callable[[TrainingState], Validation]
"""Measures what there is by now; `validation.Validator`, or one of held-out real images."""


@dataclass(frozen=True)
class StepReport:
    """What one step did."""

    step: int
    """Steps done, this one included."""
    stage: Stage
    terms: Mapping[str, float]
    """Every loss term before its weight, and the norm of the generator's gradient."""
    learning_rate: float
    seconds: float
    """Since this run started."""
    steps_per_second: float
    """Over the whole of this run, validation included."""
    validation: Validation | None = None
    saved: Path | None = None
    """The checkpoint written after this step, if any."""

    @property
    def finite(self) -> Mapping[str, bool]:
        """Which terms are numbers; all, unless the loop is about to stop."""
        return {name: math.isfinite(value) for name, value in self.terms.items()}


def train(
    settings: TrainSettings,
    pairs: Pairs,
    checkpoint: Path,
    *,
    resume: bool = False,
    device: str = "cpu",
    processes: int = 1,
    base: StateDict | None = None,
    validator: Validate | None = None,
    until: float | None = None,
) -> Iterator[StepReport]:
    """Train as a recipe says, yielding a report per step.

    Parameters
    ----------
    settings
        The recipe.
    pairs
        Where batches come from.
    checkpoint
        Where the state is kept, every `settings.save_every` steps and at the end.
    resume
        Go on from `checkpoint` if it exists. On a CPU with one thread the continuation is
        bit for bit what an uninterrupted run would have computed.
    device
        As `models.device.choose_device` returned it.
    processes
        Above 1, that many GPUs or CPU processes, each with its own batch.
    base
        Weights to start from instead of random ones.
    validator
        Measures every `settings.validate_every` steps and at the end.
    until
        By `time.monotonic`: the step at work then is the last one, and `checkpoint` is written.

    Raises
    ------
    NotFinite
        A term is NaN or infinite; its report was yielded, and `checkpoint` holds the last
        good state.
    ValueError
        The network or the discriminator cannot be built, or `base` does not fit.
    """
    state = TrainingState(settings, launch(settings, device, processes), base)
    if resume and checkpoint.exists():
        state.load_state_dict(load_checkpoint(checkpoint))
    clock = _Clock(state.step)
    over = False
    while state.step < settings.steps and not over:
        stage, plan = _enter_stage(state)
        rate = learning_rate(state.stage_step, plan)
        batch = pairs.batch(state.step, state.fabric.global_rank)
        try:
            run_step = distortion_step if stage == "distortion" else adversarial_step
            terms = run_step(state, batch)
        except NotFinite as error:
            yield StepReport(state.step, stage, error.values, rate, *clock.read(state.step))
            kept = f"; {checkpoint} holds the last good state" if checkpoint.exists() else ""
            raise NotFinite(error.step, error.values, kept) from None
        state.step += 1
        state.update_average()
        found = _validation(state, validator)
        over = _is_over(state, until)
        saved = _save(state, checkpoint, over)
        yield StepReport(state.step, stage, terms, rate, *clock.read(state.step), found, saved)


def launch(settings: TrainSettings, device: str, processes: int) -> Fabric:
    """Start the library that knows devices, precision and several processes."""
    kind, _, number = device.partition(":")
    chosen: list[int] | int = [int(number or 0)] if kind == "cuda" and processes == 1 else processes
    precision = settings.precision
    if precision == "auto":
        fast = choose_precision(device) != "float32"
        precision = "bf16-mixed" if fast else "32-true"
    fabric = Fabric(accelerator=kind, devices=chosen, precision=precision)
    fabric.launch()
    return fabric


def _enter_stage(state: TrainingState) -> tuple[Stage, DistortionStage | AdversarialStage]:
    """Tell which stage the next step belongs to; prepare the adversarial one at its start."""
    settings = state.settings
    if settings.adversarial is None or state.step < settings.distortion.steps:
        return "distortion", settings.distortion
    if state.adversary is None:
        state.enter_adversarial(settings.adversarial)
    return "adversarial", settings.adversarial


def _validation(state: TrainingState, validator: Validate | None) -> Validation | None:
    due = state.step % state.settings.validate_every == 0 or state.step == state.settings.steps
    return validator(state) if validator is not None and due else None


def _is_over(state: TrainingState, until: float | None) -> bool:
    """Whether the time is over; of several processes the first one decides."""
    if until is None:
        return False
    over = time.monotonic() >= until
    return over if state.fabric.world_size == 1 else bool(state.fabric.broadcast(over))


def _save(state: TrainingState, checkpoint: Path, over: bool) -> Path | None:
    due = state.step % state.settings.save_every == 0 or state.step == state.settings.steps
    if not (due or over):
        return None
    if state.fabric.is_global_zero:
        save_checkpoint(checkpoint, state.state_dict())
    state.fabric.barrier()  # whoever reads it next reads this one
    return checkpoint


class _Clock:
    def __init__(self, first: int) -> None:
        self.first, self.start = first, time.perf_counter()

    def read(self, step: int) -> tuple[float, float]:
        """Seconds, and steps per second."""
        seconds = time.perf_counter() - self.start
        return seconds, (step - self.first) / max(seconds, 1e-9)
