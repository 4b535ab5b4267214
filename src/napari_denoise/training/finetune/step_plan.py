"""How many steps there is time for, and whether they fit into memory."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from napari_denoise.engines.device import free_memory, is_out_of_memory, release_memory
from napari_denoise.models.architectures.grow import StateDict
from napari_denoise.settings.files import read_toml
from napari_denoise.settings.finetune import FineTuneRecipe, FineTuneSettings
from napari_denoise.settings.recipe import NoiseRecipe, TrainSettings
from napari_denoise.training.data.pairs import Pairs
from napari_denoise.training.loop.stages import NotFinite, adversarial_step, distortion_step
from napari_denoise.training.loop.state import TrainingState
from napari_denoise.training.loop.train import launch
from napari_denoise.weights.card import WeightsCard

_RECIPES = "napari_denoise.training.finetune.recipes"
_RESERVE = 0.05
"""Share of the time for checkpoints and the last figures."""
_VALIDATING = 0.06
"""Share of the time that may go to validation."""
_FEWEST, _MOST = 4, 25
"""Validations of a run."""
_STOPS = 1.0
"""How far the exposure of radiance varies: few frames would be learnt by heart."""
SECONDS_BETWEEN_SAVES = 20.0
_ENOUGH = 1.0
"""Seconds of steps that are timed."""


@dataclass(frozen=True)
class Speed:
    """What the first steps took on this device.

    Parameters
    ----------
    first, second
        Seconds per step of each stage; 0 for a stage that there is not.
    validation
        Seconds of one validation.
    memory
        Bytes that a step needs at its peak, estimated.
    """

    first: float
    second: float
    validation: float
    memory: int


@dataclass(frozen=True)
class Plan:
    """What will be done, fixed before it begins so that it can be resumed.

    Parameters
    ----------
    settings
        Of the training loop.
    seconds
        That it is expected to take.
    speed
        Measured.
    memory, free_memory
        Bytes needed and at hand on the device.
    """

    settings: TrainSettings
    seconds: float
    speed: Speed
    memory: int
    free_memory: int

    @property
    def fits(self) -> bool:
        """Whether there is memory for it."""
        return self.memory < 0.9 * self.free_memory

    def describe(self) -> str:
        """Return it in a line for people."""
        settings = self.settings
        total = self.settings.steps / max(self.seconds, 1e-9)
        return (
            f"{settings.steps} steps of {settings.batch} patches of {settings.patch} px in about "
            f"{self.seconds / 60:.1f} min ({total:.1f} steps/s, measuring included); needs about "
            f"{self.memory / 2**20:.0f} MiB of {self.free_memory / 2**20:.0f} MiB free"
        )


def bundled_recipes() -> tuple[str, ...]:
    """Names of the recipes that come with the package."""
    names = (entry.name for entry in files(_RECIPES).iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")))


def load_recipe(name_or_path: str) -> FineTuneRecipe:
    """Read a recipe by name, or from a TOML file.

    Raises
    ------
    ValueError
        Unknown name, not TOML, or a setting that is missing or wrong.
    """
    if name_or_path in bundled_recipes():
        place = files(_RECIPES).joinpath(f"{name_or_path}.toml")
        values = tomllib.loads(place.read_text(encoding="utf-8"))
    elif name_or_path.endswith(".toml") and Path(name_or_path).is_file():
        values = read_toml(Path(name_or_path))
    else:
        raise ValueError(
            f"recipe {name_or_path!r}: choose {', '.join(bundled_recipes())}, or the path of a "
            "TOML file"
        )
    try:
        return FineTuneRecipe.parse(values)
    except ValueError as error:
        raise ValueError(f"{name_or_path}: {error}") from error


def training_settings(
    asked: FineTuneSettings,
    recipe: FineTuneRecipe,
    card: WeightsCard,
    steps: int,
    *,
    noisy_target: bool,
    radiance: bool,
) -> TrainSettings:
    """Say to the training loop what the user chose, for weights of a card.

    Against noisy targets the losses become ones that aim at the mean.
    """
    first, second = recipe.stretched(steps)
    rate = asked.learning_rate or first.learning_rate
    ratio = rate / first.learning_rate
    stated = bool(card.config.get("spread"))
    if not stated or noisy_target:  # settling knows no noise of the targets
        first = replace(first, settle=0)
    first = replace(first, learning_rate=rate, spread=(first.spread or 0.05) if stated else 0.0)
    if noisy_target:
        first = replace(first, loss="relative" if radiance else "l2", final_loss=None)
    if second is not None:
        second = replace(
            second,
            learning_rate=second.learning_rate * ratio,
            discriminator_rate=second.discriminator_rate * ratio,
            weights=asked.weights or second.weights,
        )
    return TrainSettings(
        name=Path(asked.recipe).stem,
        domain=card.domain,
        architecture=card.architecture,
        config=card.config,
        distortion=first,
        adversarial=second,
        noise=NoiseRecipe(sigma=card.noise_range),
        batch=asked.batch or recipe.batch,
        patch=asked.patch or recipe.patch,
        clip=recipe.clip,
        exposure_augmentation=_STOPS if radiance else 0.0,
        ema=recipe.ema,
        precision=asked.precision,
        seed=asked.seed,
        title=recipe.title,
    )


def make_plan(
    asked: FineTuneSettings,
    settings: Callable[[int], TrainSettings],
    pairs: Pairs,
    base: StateDict,
    device: str,
    *,
    validation: float,
    data: int,
) -> Plan:
    """Take a few steps on a copy, and see how many there is time for.

    Parameters
    ----------
    asked
        Time or steps.
    settings
        Those of the training loop, by the number of steps.
    pairs, base, device
        As for the training.
    validation
        Seconds that one validation took.
    data
        Bytes of the training frames.
    """
    trial = settings(1000)
    free = free_memory(device)
    speed = measure_speed(trial, pairs, base, device, validation)
    share = trial.distortion.steps / trial.steps
    each = share * speed.first + (1 - share) * speed.second
    if asked.seconds is None:
        steps = asked.steps or 1
        count = _validations(steps * each, validation)
    else:
        count = _validations(asked.seconds, validation)
        left = asked.seconds * (1 - _RESERVE) - count * validation
        steps = max(1 if trial.adversarial is None else 2, int(left / each))
    seconds = steps * each + count * validation
    chosen = replace(
        settings(steps),
        validate_every=max(1, -(-steps // count)),
        save_every=max(1, min(steps, int(SECONDS_BETWEEN_SAVES / each))),
    )
    on_device = data if device == "cpu" else 0
    return Plan(chosen, seconds, speed, speed.memory + on_device, free)


def _validations(seconds: float, each: float) -> int:
    return int(min(max(_VALIDATING * seconds / max(each, 1e-9), _FEWEST), _MOST))


def measure_speed(
    settings: TrainSettings, pairs: Pairs, base: StateDict, device: str, validation: float
) -> Speed:
    """Time steps of each stage on a state that is thrown away.

    Raises
    ------
    MemoryError
        Not even these fit.
    ValueError
        A term is not finite: the learning rate is too high, or the images hold NaN.
    """
    try:
        state = TrainingState(settings, launch(settings, device, 1), base)
        memory = _needed(state, settings)
        first = _timed(lambda: distortion_step(state, pairs.batch(state.step)))
        second = 0.0
        if settings.adversarial is not None:
            state.step = settings.distortion.steps
            state.enter_adversarial(settings.adversarial)
            second = _timed(lambda: adversarial_step(state, pairs.batch(state.step)))
            memory *= 2  # the discriminator and the features of clean patches
    except NotFinite as error:
        raise ValueError(str(error)) from error
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        release_memory(device)
        raise MemoryError(
            f"{settings.batch} patches of {settings.patch} px do not fit into the memory of "
            f"{device} ({free_memory(device) / 2**20:.0f} MiB free): lower batch or patch, or "
            "close other programs"
        ) from error
    return Speed(first, second, validation, memory)


def _timed(step: Callable[[], object], most: int = 3) -> float:
    """Seconds of a step: the middle one of some, after one that sets things up.

    Of steps that take long, fewer must do: the training itself shows how long they take.
    """
    step()
    found: list[float] = []
    while len(found) < most and sum(found) < _ENOUGH:
        start = perf_counter()
        step()
        found.append(perf_counter() - start)
    return sorted(found)[len(found) // 2]


def _needed(state: TrainingState, settings: TrainSettings) -> int:
    """Bytes of weights, gradients, moments and all that a forward pass keeps for the backward."""
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    side = settings.patch
    device = state.fabric.device
    image = torch.zeros(1, settings.channels, side, side, device=device)
    sigma = torch.zeros(1, 1, side, side, device=device)
    alive: list[Any] = []
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        alive.append(state.model(image, sigma, None))
    weights = sum(p.numel() * p.element_size() for p in state.network.parameters())
    own = {p.untyped_storage().data_ptr() for p in state.network.parameters()}
    activations = sum(size for place, size in kept.items() if place not in own)
    return int(6 * weights + 1.5 * settings.batch * activations)
