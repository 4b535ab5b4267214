"""Everything that changes from step to step, as one thing to save and restore."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from napari_denoise.models.architectures.discriminator import PatchDiscriminator
from napari_denoise.models.architectures.grow import StateDict, grow_into
from napari_denoise.models.network import Network
from napari_denoise.models.registry import build, build_discriminator
from napari_denoise.settings.recipe import AdversarialStage, TrainSettings
from napari_denoise.training.loop.fabric import Fabric


class TrainingState:
    """Generator, its average and optimiser; in the adversarial stage also a discriminator.

    Parameters
    ----------
    settings
        The recipe.
    fabric
        Device, precision and number of processes.
    base
        Weights to start from; may be those of a smaller configuration of the architecture.

    Raises
    ------
    ValueError
        See `grow_into`; or the network is to be compiled, and nothing here can.
    """

    def __init__(
        self, settings: TrainSettings, fabric: Fabric, base: StateDict | None = None
    ) -> None:
        self.settings, self.fabric = settings, fabric
        self.step = 0
        with _seeded(settings.seed):
            self.network: Network = build(settings.architecture, settings.config)
        if settings.adversarial is not None:  # a wrong name must not wait for its stage
            _discriminator(settings, settings.adversarial)
        if base is not None:
            grow_into(self.network, base)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = deepcopy(self.network).requires_grad_(False)
        fabric.to_device(self.average)
        if settings.compile:
            _check_compiler(fabric.device.type)
            self.network.compile()
        rate = settings.distortion.learning_rate
        self.model, self.optimiser = self._prepare(self.network, rate, (0.9, 0.999))
        self.adversary: Adversary | None = None
        self.faithful: dict[str, Tensor] | None = None

    @property
    def stage_step(self) -> int:
        """Steps done in the current stage."""
        return self.step - (self.settings.distortion.steps if self.adversary else 0)

    def enter_adversarial(self, stage: AdversarialStage) -> None:
        """Keep the averaged weights as the faithful end, and go on from them."""
        self.faithful = {k: v.clone() for k, v in self.average.state_dict().items()}
        self.network.load_state_dict(self.faithful)
        self._start_adversary(stage)

    def state_dict(self) -> dict[str, Any]:
        """Tensors and numbers only, so that it loads without unpickling code."""
        state: dict[str, Any] = {
            "model": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
        }
        if self.adversary is not None:
            state["faithful"] = self.faithful
            state["discriminator"] = self.adversary.network.state_dict()
            state["discriminator_optimiser"] = self.adversary.optimiser.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state.

        Raises
        ------
        ValueError
            It is in a stage that the recipe does not have there.
        """
        if "faithful" in state:
            stage = self.settings.adversarial
            if stage is None or state["step"] < self.settings.distortion.steps:
                raise ValueError(
                    f"the checkpoint is at step {state['step']}, in an adversarial stage, and the "
                    "recipe has none there: resume with the recipe it was trained with"
                )
            self.faithful = self.fabric.to_device(state["faithful"])
            adversary = self._start_adversary(stage)
            adversary.network.load_state_dict(state["discriminator"])
            _restore(adversary.optimiser, state["discriminator_optimiser"])
        self.network.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        _restore(self.optimiser, state["optimiser"])
        self.step = state["step"]

    def update_average(self) -> None:
        """Move the averaged weights; the first steps of a stage average over fewer."""
        done = self.stage_step
        weight = 1 - min(self.settings.ema, (1 + done) / (10 + done))
        for mean, now in zip(self.average.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(now.detach(), weight)

    def _start_adversary(self, stage: AdversarialStage) -> Adversary:
        self.model, self.optimiser = self._prepare(self.network, stage.learning_rate, stage.betas)
        network = _discriminator(self.settings, stage)
        model, optimiser = self._prepare(network, stage.discriminator_rate, stage.betas)
        self.adversary = Adversary(network, model, optimiser)
        return self.adversary

    def _prepare(
        self, network: nn.Module, rate: float, betas: tuple[float, float]
    ) -> tuple[Any, Any]:
        """Let fabric place a network and wrap it with its optimiser."""
        self.fabric.to_device(network)
        parameters = network.parameters()
        optimiser = torch.optim.AdamW(parameters, lr=rate, betas=betas, weight_decay=0, fused=True)
        model, wrapped = self.fabric.setup(network, optimiser)
        return model, wrapped


def _restore(optimiser: Any, state: dict[str, Any]) -> None:
    """Load an optimiser's state, each moment laid out in memory as its weight is.

    A fused step goes through both as they lie there, and checks nothing.
    """
    optimiser.load_state_dict(state)
    for parameter, values in optimiser.optimizer.state.items():
        for name, value in values.items():
            if value.shape == parameter.shape:
                values[name] = torch.empty_like(parameter).copy_(value)


def _check_compiler(device: str) -> None:
    """Make sure that what PyTorch generates for a CPU can be built."""
    known = [os.environ.get("CXX", "g++"), "clang++", "cl"]
    if device == "cpu" and not any(map(shutil.which, known)):
        raise ValueError(
            f"compile = true, and there is no C++ compiler ({', '.join(known)}): install one, or "
            "leave compile out of the recipe, which only takes longer"
        )


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Random numbers that follow from the seed alone, and leave everybody else's as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _discriminator(settings: TrainSettings, stage: AdversarialStage) -> PatchDiscriminator:
    """Build the discriminator, and make sure that it can score a patch."""
    with _seeded(settings.seed + 1):
        network = build_discriminator(stage.discriminator, settings.channels)
    if settings.patch < network.smallest:
        raise ValueError(
            f"patch = {settings.patch}: the discriminator {stage.discriminator!r} needs at least "
            f"{network.smallest} pixels; raise patch, or name another in adversarial.discriminator"
        )
    return network


class Adversary:
    """A discriminator, as itself and as fabric wraps it, with its optimiser."""

    def __init__(self, network: nn.Module, model: Any, optimiser: Any) -> None:
        self.network, self.model, self.optimiser = network, model, optimiser
