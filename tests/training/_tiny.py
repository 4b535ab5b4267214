"""What the training tests share: recipes that run in a blink, pictures, and sources of batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray

from napari_denoise.models import registry
from napari_denoise.models.architectures.discriminator import DiscriminatorConfig
from napari_denoise.settings.recipe import AdversarialStage, DistortionStage, TrainSettings
from napari_denoise.training.data.pairs import Batch, Pairs, SyntheticPairs
from napari_denoise.training.loop.report import StepReport
from napari_denoise.training.loop.state import TrainingState
from napari_denoise.training.loop.train import train

TINY = TrainSettings(
    name="tiny",
    domain="microscopy",
    architecture="two-scale",
    config={"channels": 1, "widths": [8, 8], "blocks": [1, 1, 1]},
    distortion=DistortionStage(steps=4, warmup=2),
    batch=2,
    patch=16,
    save_every=2,
    precision="32-true",
)
ADVERSARIAL = AdversarialStage(steps=4, warmup=2, penalty_every=2, discriminator="tiny")
CRITIC = {"objective": "wasserstein", "discriminator": "tiny critic"}
_SHAPE = DiscriminatorConfig(widths=(8, 8, 1), strides=(2, 1, 1))
DISCRIMINATORS = {
    **registry.DISCRIMINATORS,
    "tiny": _SHAPE,
    "tiny critic": replace(_SHAPE, spectral_norm=False),
}
"""With two that the conftest makes known to the registry."""


def tiny(
    *,
    distortion: Mapping[str, Any] | None = None,
    adversarial: Mapping[str, Any] | None = None,
    noise: Mapping[str, Any] | None = None,
    **fields: Any,
) -> TrainSettings:
    """Change fields of the tiny recipe; it has an adversarial stage where that is given."""
    stage = None if adversarial is None else replace(ADVERSARIAL, **adversarial)
    return replace(
        TINY,
        distortion=replace(TINY.distortion, **(distortion or {})),
        adversarial=stage,
        noise=replace(TINY.noise, **(noise or {})),
        **fields,
    )


def pictures(count: int = 3, channels: int = 1) -> list[NDArray[np.uint8]]:
    """Ramps with some texture, (40, 48, C)."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 200, 40)[:, None, None]
    return [np.uint8(ramp + rng.integers(0, 9, (40, 48, channels))) for _ in range(count)]


def synthetic(settings: TrainSettings) -> SyntheticPairs:
    """Give batches of the pictures, made noisy."""
    return SyntheticPairs(pictures(channels=settings.channels), settings)


def trained(
    settings: TrainSettings, checkpoint: Path, pairs: Pairs | None = None, **options: Any
) -> list[StepReport]:
    """Train to the end."""
    return list(train(settings, pairs or synthetic(settings), checkpoint, **options))


def fresh(settings: TrainSettings) -> TrainingState:
    """Make a state at step 0, or at the start of the adversarial stage if there is one."""
    state = TrainingState(settings, Fabric(accelerator="cpu", devices=1))
    if settings.adversarial is not None:
        state.step = settings.distortion.steps
        state.enter_adversarial(settings.adversarial)
    return state


class Poisoned:
    """Batches of another source, of which one is changed."""

    noisy_target = False

    def __init__(self, pairs: Pairs, at: int, **arrays: Any) -> None:
        self.pairs, self.at, self.arrays = pairs, at, arrays

    def batch(self, step: int, rank: int = 0) -> Batch:
        """Draw a batch; at one step some of its arrays are filled with a value."""
        batch = self.pairs.batch(step, rank)
        if step != self.at:
            return batch
        filled = {
            name: value if getattr(batch, name) is None else np.full_like(batch.noisy, value)
            for name, value in self.arrays.items()
        }
        return replace(batch, **filled)


def assert_equal_states(one: Any, other: Any, path: str = "") -> None:
    """Compare checkpoints bit for bit, through dicts and lists."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), path
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for key, value in one.items():
            assert_equal_states(value, other[key], f"{path}/{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), path
        for number, value in enumerate(one):
            assert_equal_states(value, other[number], f"{path}/{number}")
    else:
        assert one == other, path
