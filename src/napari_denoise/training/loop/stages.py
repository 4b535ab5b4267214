"""One step of each stage: what is computed, in which order, and what is updated."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils import parametrize

from napari_denoise.measure.mappings import AffineMapping
from napari_denoise.settings.recipe import AdversarialStage, DistortionStage, PixelLoss
from napari_denoise.training.data.pairs import Batch
from napari_denoise.training.loop import losses
from napari_denoise.training.loop.objectives import OBJECTIVES
from napari_denoise.training.loop.state import Adversary, TrainingState
from napari_denoise.training.loop.vgg import vgg16_features


class NotFinite(ArithmeticError):
    """A loss term or a gradient became NaN or infinite; no weight was touched by it.

    Parameters
    ----------
    step
        Steps done before.
    values
        All terms of the step, the culprit among them.
    kept
        What to say of the last good state.
    """

    def __init__(self, step: int, values: Mapping[str, float], kept: str = "") -> None:
        self.step, self.values = step, dict(values)
        bad = [f"{name} is {value}" for name, value in values.items() if not math.isfinite(value)]
        super().__init__(
            f"step {step}: {', '.join(bad)}; every term must be finite. Lower the learning rate, "
            f"or look for NaN in the images{kept}."
        )


@dataclass(frozen=True)
class Patches:
    """A batch on the device."""

    noisy: Tensor
    target: Tensor
    sigma: Tensor
    features: Tensor | None
    log_width: float | None
    shots: Tensor | None = None


def on_device(batch: Batch, state: TrainingState) -> Patches:
    """Move a batch to where the network is."""

    def move(array: NDArray[np.float32]) -> Tensor:
        tensor: Tensor = state.fabric.to_device(torch.from_numpy(array))
        return tensor

    given = batch.features if state.network.features else None
    features = None if given is None else move(given)
    noisy, target, sigma = move(batch.noisy), move(batch.target), move(batch.sigma)
    shots = None if batch.shots is None else move(batch.shots)
    return Patches(noisy, target, sigma, features, batch.log_width, shots)


def learning_rate(step: int, stage: DistortionStage | AdversarialStage) -> float:
    """Linear warm-up, constant, then a cosine to zero over the last `decay` steps of a stage.

    Another cosine from the top where only the variance settles.
    """
    rise = min(1.0, (step + 1) / max(1, stage.warmup))
    last = stage.steps - stage.settle
    if step >= last and stage.settle:
        return stage.settle_rate * _fall((step - last) / stage.settle)
    return stage.learning_rate * rise * _fall((step - (last - stage.decay)) / max(1, stage.decay))


def _fall(done: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, done))))


def distortion_step(state: TrainingState, batch: Batch) -> dict[str, float]:
    """Lower the distance to the target; return the terms.

    Raises
    ------
    NotFinite
        Before the weights are touched, so that the state stays usable.
    """
    stage = state.settings.distortion
    settling = state.step >= stage.steps - stage.settle
    state.network.learn_variance_alone(settling)
    patches = on_device(batch, state)
    output = state.model(patches.noisy, patches.sigma, patches.features).float()
    mean, variance = state.network.split(output)
    falling = state.step >= stage.steps - stage.settle - stage.decay
    kind = stage.final_loss if stage.final_loss and falling else stage.loss
    terms = {"pixel": pixel_loss(kind, mean, patches)}
    total = terms["pixel"]
    if stage.spread and variance is not None:
        shot = patches.noisy if batch.noisy_target else None
        terms["spread"] = losses.spread(
            mean, variance, patches.target, patches.sigma, shot, patches.shots
        )
        total = total + stage.spread * terms["spread"]
        if settling:
            total = _settling(state, batch, patches, mean, variance, terms)
    values = _checked(terms, state.step)
    rate = learning_rate(state.step, stage)
    norm = _update(state, state.model, state.optimiser, total, rate)
    return _finite(values | {"gradient_norm": norm}, state.step)


def adversarial_step(state: TrainingState, batch: Batch) -> dict[str, float]:
    """Update the discriminator, then the generator through the same forward pass.

    Raises
    ------
    NotFinite
        Before the weights of the network that it concerns are touched.
    """
    stage, adversary = state.settings.adversarial, state.adversary
    assert stage is not None and adversary is not None  # noqa: S101 - the loop entered the stage
    if state.stage_step >= stage.steps - stage.settle:
        return _settling_step(state, stage, batch)
    state.network.learn_variance_alone(False)
    patches = on_device(batch, state)
    output = state.model(patches.noisy, patches.sigma, patches.features).float()
    fake, _ = state.network.split(output)
    values: dict[str, float] = {}
    for turn in range(stage.critic_steps):
        values |= _discriminator_step(state, stage, adversary, patches, fake.detach(), turn)
    adversary.network.requires_grad_(False)
    try:
        with parametrize.cached():  # one set of spectrally normalised weights for all scores
            terms = _generator_terms(stage, adversary, patches, fake, state.network.radius)
        values |= _checked(terms, state.step)
        total = torch.stack([getattr(stage.weights, n) * t for n, t in terms.items()]).sum()
        rate = learning_rate(state.stage_step, stage)
        norm = _update(state, state.model, state.optimiser, total, rate)
    finally:
        adversary.network.requires_grad_(True)
    return _finite(values | {"gradient_norm": norm}, state.step)


def _settling_step(state: TrainingState, stage: AdversarialStage, batch: Batch) -> dict[str, float]:
    """Teach the variance what the realistic image needs: it holds texture, and so errs less."""
    state.network.learn_variance_alone(True)
    patches = on_device(batch, state)
    output = state.model(patches.noisy, patches.sigma, patches.features).float()
    mean, variance = state.network.split(output)
    assert variance is not None  # noqa: S101 - the settings checked it
    terms = {"pixel": pixel_loss(stage.loss, mean, patches)}
    total = _settling(state, batch, patches, mean, variance, terms)
    values = _checked(terms, state.step)
    norm = _update(
        state, state.model, state.optimiser, total, learning_rate(state.stage_step, stage)
    )
    return _finite(values | {"gradient_norm": norm}, state.step)


def _settling(
    state: TrainingState,
    batch: Batch,
    patches: Patches,
    mean: Tensor,
    variance: Tensor,
    terms: dict[str, Tensor],
) -> Tensor:
    """Return what the variance learns from alone, the image being done."""
    if all(isinstance(mapping, AffineMapping) for mapping, _ in batch.mappings):
        return losses.spread_deviance(variance, mean, patches.target, patches.sigma)
    # Next to the zeros around a patch the image is not what it will be.
    margin = min(state.network.radius, batch.target.shape[-1] // 3)
    terms["intensity"] = losses.intensity_error(
        mean, variance, patches.target, patches.sigma, batch.mappings, margin
    )
    return terms["intensity"]


def pixel_loss(kind: PixelLoss, output: Tensor, patches: Patches) -> Tensor:
    """Distance to the target, as the recipe names it."""
    if kind == "l1":
        return losses.l1(output, patches.target)
    if kind == "even_l1":
        return losses.even_l1(output, patches.target, patches.noisy)
    if kind == "l2":
        return losses.l2(output, patches.target, patches.sigma, patches.shots)
    return losses.relative(output, patches.target, patches.log_width)


def _discriminator_step(
    state: TrainingState,
    stage: AdversarialStage,
    adversary: Adversary,
    patches: Patches,
    fake: Tensor,
    turn: int,
) -> dict[str, float]:
    """Tell clean patches from denoised ones a little better."""
    real = patches.target
    # One pass over both: with spectral norm, two passes would use two sets of weights.
    scores = adversary.model(torch.cat([real, fake])).float()
    terms = {"discriminator": OBJECTIVES[stage.objective].discriminator(*scores.chunk(2))}
    total = terms["discriminator"]
    wasserstein = stage.objective == "wasserstein"
    if stage.penalty and (wasserstein or state.stage_step % stage.penalty_every == 0):
        terms["penalty"] = _penalty(state, adversary, real, fake, wasserstein, turn)
        lazy = 1 if wasserstein else stage.penalty_every
        total = total + stage.penalty * lazy * terms["penalty"]
    values = _checked(terms, state.step)
    rate = learning_rate(state.stage_step, stage) / stage.learning_rate * stage.discriminator_rate
    norm = _update(state, adversary.model, adversary.optimiser, total, rate)
    _finite(values | {"discriminator_gradient_norm": norm}, state.step)
    return values


def _penalty(
    state: TrainingState,
    adversary: Adversary,
    real: Tensor,
    fake: Tensor,
    wasserstein: bool,
    turn: int,
) -> Tensor:
    if not wasserstein:
        points = real.clone().requires_grad_(True)
        return losses.r1(_bare_scores(state, adversary, points), points)
    # Its own random numbers, from seed and step, so that a resumed run draws the same.
    seed = hash((state.settings.seed, state.step, turn))
    random = torch.Generator(device=real.device).manual_seed(seed & 0x7FFFFFFF)
    share = torch.rand(len(real), 1, 1, 1, generator=random, device=real.device)
    points = (share * real + (1 - share) * fake).requires_grad_(True)
    return losses.gradient_penalty(_bare_scores(state, adversary, points), points)


def _bare_scores(state: TrainingState, adversary: Adversary, points: Tensor) -> Tensor:
    """Score without fabric's wrapping, which in mixed precision lets nobody take a gradient."""
    with state.fabric.autocast():
        scores: Tensor = adversary.network(points)
    return scores.float()


def _generator_terms(
    stage: AdversarialStage, adversary: Adversary, patches: Patches, fake: Tensor, radius: int
) -> dict[str, Tensor]:
    """Every term that has a weight."""
    clean, weights = patches.target, stage.weights
    wanted = [field.name for field in fields(weights) if getattr(weights, field.name)]
    terms: dict[str, Tensor] = {}
    for name in wanted:
        match name:
            case "pixel":
                terms[name] = pixel_loss(stage.loss, fake, patches)
            case "feature":
                terms[name] = _feature_distance(fake, clean)
            case "adversarial":
                objective = OBJECTIVES[stage.objective]
                scores = adversary.model(fake).float()
                real = _scores(adversary, clean) if objective.compares else scores
                terms[name] = objective.generator(real, scores)
            case "smoothness":
                terms[name] = losses.smoothness(fake)
            case "mean_intensity":
                terms[name] = losses.mean_intensity(fake, clean, radius)
            case "psnr":
                terms[name] = losses.negative_psnr(fake, clean)
            case "ssim":
                terms[name] = losses.dissimilarity(fake, clean)
    return terms


def _scores(adversary: Adversary, image: Tensor) -> Tensor:
    with torch.no_grad():
        scores: Tensor = adversary.model(image)
    return scores.float()


def _feature_distance(fake: Tensor, clean: Tensor) -> Tensor:
    vgg = vgg16_features().to(fake.device)
    with torch.no_grad():
        wanted = vgg(clean)
    return losses.feature_distance(vgg(fake), wanted)


def _update(state: TrainingState, model: Any, optimiser: Any, loss: Tensor, rate: float) -> float:
    """Backward, clip, step; return the norm of the gradient before clipping.

    Where it is not finite there is no step.
    """
    optimiser.zero_grad(set_to_none=True)
    state.fabric.backward(loss)
    norm = state.fabric.clip_gradients(
        model, optimiser, max_norm=state.settings.clip, error_if_nonfinite=False
    )
    value = float("nan") if norm is None else float(norm)
    if not math.isfinite(value):
        optimiser.zero_grad(set_to_none=True)
        return value
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.step()
    return value


def _checked(terms: Mapping[str, Tensor], step: int) -> dict[str, float]:
    """Bring terms to numbers, all of them finite."""
    return _finite({name: float(term.detach()) for name, term in terms.items()}, step)


def _finite(values: dict[str, float], step: int) -> dict[str, float]:
    if not all(map(math.isfinite, values.values())):
        raise NotFinite(step, values)
    return values
