"""One training loop: a generator of reports that any front end can consume."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from napari_denoise.engines.device import choose_precision
from napari_denoise.models.architectures.grow import StateDict
from napari_denoise.settings.recipe import AdversarialStage, DistortionStage, TrainSettings
from napari_denoise.training.data.pairs import Pairs
from napari_denoise.training.loop.checkpoints import load_checkpoint, save_checkpoint
from napari_denoise.training.loop.fabric import Fabric
from napari_denoise.training.loop.report import Stage, StepReport, Validation
from napari_denoise.training.loop.stages import (
    NotFinite,
    adversarial_step,
    distortion_step,
    learning_rate,
)
from napari_denoise.training.loop.state import TrainingState

AfterStep = Callable[[TrainingState], Validation | None]
"""Is shown the state after every step; gives what it measured, if it did."""


def train(
    settings: TrainSettings,
    pairs: Pairs,
    checkpoint: Path,
    *,
    resume: bool = False,
    device: str = "cpu",
    processes: int = 1,
    base: StateDict | None = None,
    after_step: AfterStep | None = None,
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
    after_step
        Is shown the state after every step, and may measure it: `validation.regularly` does so
        now and then.
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
            yield _report(state, stage, error.values, clock, learning_rate=rate)
            kept = f"; {checkpoint} holds the last good state" if checkpoint.exists() else ""
            raise NotFinite(error.step, error.values, kept) from None
        state.step += 1
        state.update_average()
        found = after_step(state) if after_step is not None else None
        over = _is_over(state, until)
        saved = _save(state, checkpoint, over)
        yield _report(state, stage, terms, clock, learning_rate=rate, validation=found, saved=saved)


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


def _report(
    state: TrainingState, stage: Stage, terms: Mapping[str, float], clock: _Clock, **fields: Any
) -> StepReport:
    seconds, speed = clock.read(state.step)
    steps = state.settings.steps
    return StepReport(state.step, steps, stage, terms, seconds, speed, **fields)


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
