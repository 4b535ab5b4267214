"""Everything that changes from step to step, as one thing to save and restore."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from napari_denoise.core.recipe import AdversarialStage, TrainSettings
from napari_denoise.models.network import Network
from napari_denoise.models.registry import build, build_discriminator

StateDict = Mapping[str, Tensor]


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
    """

    def __init__(
        self, settings: TrainSettings, fabric: Fabric, base: StateDict | None = None
    ) -> None:
        torch.manual_seed(settings.seed)
        self.settings, self.fabric = settings, fabric
        self.step = 0
        self.network: Network = build(settings.architecture, settings.config)
        if base is not None:
            grow_into(self.network, base)
        if fabric.device.type == "cuda":  # measured on a CPU without matrix units: no gain
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = deepcopy(self.network).requires_grad_(False)
        fabric.to_device(self.average)
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
        """Continue from a saved state."""
        if "faithful" in state:
            stage = self.settings.adversarial
            if stage is None:
                raise ValueError(
                    f"the checkpoint is at step {state['step']}, in an adversarial stage, and the "
                    "recipe has none: resume with the recipe it was trained with"
                )
            self.faithful = self.fabric.to_device(state["faithful"])
            adversary = self._start_adversary(stage)
            adversary.network.load_state_dict(state["discriminator"])
            adversary.optimiser.load_state_dict(state["discriminator_optimiser"])
        self.network.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step = state["step"]

    def update_average(self) -> None:
        """Move the averaged weights; the first steps of a stage average over fewer."""
        done = self.stage_step
        weight = 1 - min(self.settings.ema, (1 + done) / (10 + done))
        for mean, now in zip(self.average.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(now.detach(), weight)

    def _start_adversary(self, stage: AdversarialStage) -> Adversary:
        self.model, self.optimiser = self._prepare(self.network, stage.learning_rate, stage.betas)
        network = build_discriminator(stage.discriminator, self.settings.channels)
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


class Adversary:
    """A discriminator, as itself and as fabric wraps it, with its optimiser."""

    def __init__(self, network: nn.Module, model: Any, optimiser: Any) -> None:
        self.network, self.model, self.optimiser = network, model, optimiser


def grow_into(network: nn.Module, state: StateDict) -> None:
    """Load weights of the same architecture with at most as many planes in and out.

    What the network has beyond them starts at zero, so that it gives the same images.

    Raises
    ------
    ValueError
        The weights are of another network.
    """
    own = network.state_dict()
    for name, value in own.items():
        given = state.get(name)
        if given is None or any(g > w for g, w in zip(given.shape, value.shape, strict=False)):
            shape = "missing" if given is None else tuple(given.shape)
            raise ValueError(
                f"weights to start from: {name!r} is {shape}, the recipe's network has "
                f"{tuple(value.shape)}; take weights of the same architecture and widths"
            )
        value.zero_()
        value[tuple(slice(n) for n in given.shape)] = given.to(value)
    network.load_state_dict(own)
