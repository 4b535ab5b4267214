"""One training loop: a generator of reports that any front end can consume."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_denoise.core.settings import TrainSettings
from napari_denoise.models.registry import build
from napari_denoise.training.checkpoints import load_checkpoint, save_checkpoint
from napari_denoise.training.losses import l1
from napari_denoise.training.pairs import Batch, synthetic_batch


class NotFinite(ArithmeticError):
    """A loss or a gradient became NaN or infinite; the last checkpoint is good."""


@dataclass(frozen=True)
class StepReport:
    """What one step did."""

    step: int
    loss: float
    gradient_norm: float
    learning_rate: float
    seconds: float
    """Since this run started."""
    saved: Path | None = None
    """The checkpoint written after this step, if any."""


def learning_rate(step: int, settings: TrainSettings) -> float:
    """Linear warm-up, constant, then a cosine to zero over the last `decay` steps."""
    rise = min(1.0, (step + 1) / max(1, settings.warmup))
    done = (step - (settings.steps - settings.decay)) / max(1, settings.decay)
    fall = 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, done))))
    return settings.learning_rate * rise * fall


class TrainingState:
    """Everything that changes from step to step, as one thing to save and restore."""

    def __init__(self, settings: TrainSettings, device: torch.device) -> None:
        torch.manual_seed(settings.seed)
        model = build(settings.architecture, settings.config)
        self.model = model.to(device)
        self.average = deepcopy(self.model).requires_grad_(False)
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), lr=settings.learning_rate, weight_decay=0.0, fused=True
        )
        self.step = 0

    def state_dict(self) -> dict[str, Any]:
        """Tensors and numbers only, so that it loads without unpickling code."""
        return {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step = state["step"]

    def update_average(self, decay: float) -> None:
        """Move the averaged weights; early steps average over fewer."""
        weight = 1 - min(decay, (1 + self.step) / (10 + self.step))
        for mean, now in zip(self.average.parameters(), self.model.parameters(), strict=True):
            mean.lerp_(now.detach(), weight)


def train_step(
    state: TrainingState, batch: Batch, settings: TrainSettings, device: torch.device
) -> tuple[float, float]:
    """Forward, backward, update; return loss and gradient norm.

    Raises
    ------
    NotFinite
        Before the weights are touched, so that the state stays usable.
    """
    noisy, clean, sigma = (
        _to_device(part, device) for part in (batch.noisy, batch.clean, batch.sigma)
    )
    with torch.autocast(device.type, torch.bfloat16, enabled=settings.bf16):
        output = state.model(noisy, sigma)
    loss = l1(output.float(), clean)
    state.optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    norm = nn.utils.clip_grad_norm_(state.model.parameters(), settings.clip)
    value = float(loss.detach())
    if not (math.isfinite(value) and math.isfinite(float(norm))):
        raise NotFinite(
            f"step {state.step}: the L1 loss is {value} and the gradient norm {float(norm)}; "
            "both must be finite. Lower the learning rate, or look for NaN in the images."
        )
    for group in state.optimiser.param_groups:
        group["lr"] = learning_rate(state.step, settings)
    state.optimiser.step()
    state.step += 1
    state.update_average(settings.ema)
    return value, float(norm)


def train(
    settings: TrainSettings,
    images: Sequence[NDArray[np.uint8]],
    checkpoint: Path,
    *,
    resume: bool = False,
    device: str = "cpu",
) -> Iterator[StepReport]:
    """Train from clean images, yielding a report per step.

    Parameters
    ----------
    settings
        The recipe.
    images
        (Y, X, C) uint8, none smaller than the patch.
    checkpoint
        Where the state is kept, every `settings.save_every` steps and at the end.
    resume
        Go on from `checkpoint` if it exists. On a CPU with one thread the continuation is
        bit for bit what an uninterrupted run would have computed.

    Raises
    ------
    NotFinite
        The loss diverged; `checkpoint` holds the last good state.
    """
    where = torch.device(device)
    state = TrainingState(settings, where)
    if resume and checkpoint.exists():
        state.load_state_dict(load_checkpoint(checkpoint))
    start = time.perf_counter()
    while state.step < settings.steps:
        rate = learning_rate(state.step, settings)
        batch = synthetic_batch(images, settings, state.step)
        loss, norm = train_step(state, batch, settings, where)
        saved = None
        if state.step % settings.save_every == 0 or state.step == settings.steps:
            save_checkpoint(checkpoint, state.state_dict())
            saved = checkpoint
        yield StepReport(state.step, loss, norm, rate, time.perf_counter() - start, saved)


def _to_device(array: NDArray[np.float32], device: torch.device) -> Tensor:
    return torch.from_numpy(array).to(device)
