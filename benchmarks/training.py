"""CPU seconds of a training step, naive and ours by turns: python -m benchmarks.training.

The naive loop does what textbook code does: a generator forward for the discriminator and
another for itself, features of the clean patches computed with their gradient, the penalty at
every step, separate passes over real and fake, an optimiser that loops over tensors. Both train
the generator of the bundled weights on the same noise, with the same discriminator and terms.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from benchmarks.tables import Table, environment, show
from benchmarks.timing import Timing, alternate
from napari_denoise.models.registry import build, build_discriminator
from napari_denoise.settings.recipe import AdversarialStage, DistortionStage, TrainSettings
from napari_denoise.training.data.pairs import Batch, SyntheticPairs
from napari_denoise.training.loop import losses
from napari_denoise.training.loop.objectives import OBJECTIVES
from napari_denoise.training.loop.stages import adversarial_step, distortion_step
from napari_denoise.training.loop.state import TrainingState
from napari_denoise.training.loop.vgg import vgg16_features

CONFIG = {"channels": 3, "widths": (48, 96), "blocks": (1, 4, 1)}


def recipe(batch: int, patch: int, precision: str) -> TrainSettings:
    """Return the settings that both loops follow."""
    return TrainSettings(
        name="benchmark",
        domain="photo",
        architecture="two-scale",
        config=CONFIG,
        distortion=DistortionStage(steps=1),
        adversarial=AdversarialStage(steps=10**6),
        batch=batch,
        patch=patch,
        precision=precision,  # type: ignore[arg-type]
    )


class NaiveLoop:
    """A GAN step as it is often written."""

    def __init__(self, settings: TrainSettings) -> None:
        assert settings.adversarial is not None
        self.stage = settings.adversarial
        self.network = build(settings.architecture, settings.config)
        self.discriminator = build_discriminator("patch", settings.channels)
        self.optimisers = [
            torch.optim.Adam(net.parameters(), lr=1e-4, foreach=False)
            for net in (self.network, self.discriminator)
        ]

    def distortion(self, batch: Batch) -> None:
        """Lower the distance to the clean patches."""
        noisy, clean, sigma = tensors(batch)
        self.optimisers[0].zero_grad(set_to_none=False)
        losses.l1(self.network(noisy, sigma), clean).backward()  # type: ignore[no-untyped-call]
        self.optimisers[0].step()

    def adversarial(self, batch: Batch) -> None:
        """Discriminator first, then generator, each with passes of its own."""
        noisy, clean, sigma = tensors(batch)
        objective = OBJECTIVES[self.stage.objective]
        fake = self.network(noisy, sigma).detach()
        self.optimisers[1].zero_grad(set_to_none=False)
        points = clean.clone().requires_grad_(True)
        loss = objective.discriminator(
            self.discriminator(clean), self.discriminator(fake)
        ) + losses.r1(self.discriminator(points), points)
        loss.backward()
        self.optimisers[1].step()
        self.optimisers[0].zero_grad(set_to_none=False)
        fake, vgg = self.network(noisy, sigma), vgg16_features()
        total = (
            losses.l1(fake, clean)
            + 0.1 * losses.feature_distance(vgg(fake), vgg(clean.requires_grad_(True)))
            + 0.1 * losses.mean_intensity(fake, clean)
            + 0.01 * objective.generator(self.discriminator(clean), self.discriminator(fake))
        )
        total.backward()
        self.optimisers[0].step()


def tensors(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Return noisy, clean and sigma."""
    noisy, clean, sigma = (torch.from_numpy(a) for a in (batch.noisy, batch.target, batch.sigma))
    return noisy, clean, sigma


def ours(settings: TrainSettings, *, adversarial: bool) -> TrainingState:
    """Prepare a state in one of the stages."""
    precision = "32-true" if settings.precision == "auto" else settings.precision
    state = TrainingState(settings, Fabric(accelerator="cpu", devices=1, precision=precision))
    if adversarial and settings.adversarial is not None:
        state.step = 1
        state.enter_adversarial(settings.adversarial)
    return state


def variants(settings: TrainSettings) -> dict[str, Callable[[], object]]:
    """Name one step of each loop; batches are drawn in both."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (256, 256, 3), np.uint8) for _ in range(4)]
    pairs, naive = SyntheticPairs(images, settings), NaiveLoop(settings)
    first, second = (ours(settings, adversarial=stage) for stage in (False, True))

    def adversarial() -> None:
        adversarial_step(second, pairs.batch(second.step))
        second.step += 1

    return {
        "distortion, naive": lambda: naive.distortion(pairs.batch(0)),
        "distortion, ours": lambda: distortion_step(first, pairs.batch(0)),
        "adversarial, naive": lambda: naive.adversarial(pairs.batch(0)),
        "adversarial, ours": adversarial,
    }


def table(timings: dict[str, Timing], settings: TrainSettings, rounds: int) -> Table:
    """Lay out CPU seconds a step and the ratio of naive to ours."""
    rows = []
    for stage in ("distortion", "adversarial"):
        naive, mine = timings[f"{stage}, naive"], timings[f"{stage}, ours"]
        mean = sum(naive.cpu) / sum(mine.cpu)
        low, middle, high = naive.ratio(mine)
        ratio = f"{middle:.2f} ({low:.2f}-{high:.2f}), of sums {mean:.2f}"
        rows.append((stage, naive.describe(digits=3), mine.describe(digits=3), ratio))
    about = (
        f"CPU seconds of one step, {settings.batch} patches of {settings.patch} pixels, {rounds} "
        "rounds by turns; medians, quartiles in brackets. The lazy penalty makes one of "
        f"{AdversarialStage(steps=1).penalty_every} steps dearer: the ratio of sums has it in."
    )
    header = ("stage", "naive", "ours", "naive over ours")
    return Table("training", header, tuple(rows), (about, environment()))


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--patch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch")
    parser.add_argument("--precision", default="32-true", choices=("32-true", "bf16-mixed"))
    parser.add_argument("--markdown", type=Path, help="document whose table to replace")
    chosen = parser.parse_args(argv)
    torch.set_num_threads(chosen.threads)
    settings = recipe(chosen.batch, chosen.patch, chosen.precision)
    timings = alternate(variants(settings), chosen.rounds)
    show([table(timings, settings, chosen.rounds)], chosen.markdown)


if __name__ == "__main__":
    main()
