"""A training run in a folder: recipe, checkpoint, log, and the weights it ends in."""

from __future__ import annotations

import csv
import json
import tomllib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from napari_denoise.core.settings import TrainSettings
from napari_denoise.models.card import TrainingData, WeightsCard
from napari_denoise.models.catalogue import WeightsInfo, read_info
from napari_denoise.models.weights import save_weights
from napari_denoise.training.checkpoints import load_checkpoint
from napari_denoise.training.loop import TrainingState, train
from napari_denoise.training.pairs import load_images

LOG_EVERY = 100
"""Steps per row of the log; losses are means over them."""
LOG_COLUMNS = ("step", "loss", "learning_rate", "seconds")
_MAPPINGS: dict[str, Literal["affine", "anscombe"]] = {"photo": "affine", "microscopy": "anscombe"}
_LIBRARIES = ("napari-denoise", "torch", "numpy")


@dataclass(frozen=True)
class RunReport:
    """What one step of a run did."""

    step: int
    steps_done: int
    """Since this run started or went on."""
    mean_loss: float
    """Over the last `LOG_EVERY` steps at most."""
    seconds: float
    saved: bool
    """Whether the checkpoint holds this step."""


def read_recipe(path: Path) -> TrainSettings:
    """Read a recipe file.

    Raises
    ------
    ValueError
        It is not TOML, or a setting is missing, unknown or wrong.
    FileNotFoundError
        There is no such file.
    """
    try:
        with path.open("rb") as file:
            values = tomllib.load(file)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: there is no such recipe; see recipes/") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: not a TOML file ({error})") from error
    try:
        return TrainSettings.parse(values)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


class Run:
    """A recipe and the folder in which it is carried out.

    Parameters
    ----------
    settings
        The recipe.
    folder
        Gets ``checkpoint.pt``, ``log.csv`` and ``recipe.json``.
    """

    def __init__(self, settings: TrainSettings, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        self.checkpoint = folder / "checkpoint.pt"
        self.log = folder / "log.csv"

    def train(
        self, data: Path, *, resume: bool = False, device: str = "cpu"
    ) -> Iterator[RunReport]:
        """Train to the end of the recipe, yielding a report per step.

        Parameters
        ----------
        data
            Folder of clean images.
        resume
            Go on from the checkpoint.
        device
            As `models.device.choose_device` returned it.

        Raises
        ------
        ValueError
            The folder holds another run, or an image is smaller than a patch.
        FileNotFoundError
            No images.
        NotFinite
            The loss diverged; the checkpoint holds the last good state.
        """
        first = self._first_step(resume)
        images = load_images(data, _channels(self.settings))
        _check_sizes(data, images, self.settings.patch)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._recipe_file.write_text(json.dumps(self.settings.to_json(), indent=2))
        before = _rows_until(self.log, first)
        recent: deque[float] = deque(maxlen=LOG_EVERY)
        with self.log.open("w", newline="") as file:
            log = csv.writer(file)
            log.writerows([LOG_COLUMNS, *before])
            elapsed = float(before[-1][-1]) if before else 0.0
            steps = train(self.settings, images, self.checkpoint, resume=resume, device=device)
            for report in steps:
                recent.append(report.loss)
                mean = float(np.mean(recent))
                if report.step % LOG_EVERY == 0 or report.step == self.settings.steps:
                    seconds = f"{elapsed + report.seconds:.1f}"
                    log.writerow(
                        (report.step, f"{mean:.6f}", f"{report.learning_rate:.3e}", seconds)
                    )
                    file.flush()
                done = report.step - first
                saved = report.saved is not None
                yield RunReport(report.step, done, mean, report.seconds, saved)

    def export(self, target: Path) -> WeightsInfo:
        """Write the averaged network of the checkpoint as a weights file.

        Parameters
        ----------
        target
            Ends in ``.safetensors``; replaced if it exists.

        Raises
        ------
        ValueError
            Wrong ending, no checkpoint, or one of another network.
        """
        if target.suffix != ".safetensors":
            raise ValueError(f"{target}: a weights file must end in .safetensors")
        state = TrainingState(self.settings, torch.device("cpu"))
        try:
            state.load_state_dict(self._saved())
        except (RuntimeError, KeyError) as error:
            raise ValueError(
                f"{self.checkpoint}: it does not hold the network of the recipe "
                f"{self.settings.name!r} ({str(error).splitlines()[0]}); use the recipe it "
                "was trained with"
            ) from error
        save_weights(target, make_card(self.settings, state.step), state.average.state_dict())
        return read_info(target)

    @property
    def _recipe_file(self) -> Path:
        return self.folder / "recipe.json"

    def _saved(self) -> dict[str, Any]:
        if not self.checkpoint.is_file():
            raise ValueError(f"{self.checkpoint}: there is no checkpoint; train first")
        return load_checkpoint(self.checkpoint)

    def _first_step(self, resume: bool) -> int:
        """Return the step to start from, after making sure that no other run is overwritten."""
        if not self.checkpoint.is_file():
            return 0
        step = int(self._saved()["step"])
        if not resume:
            raise ValueError(
                f"{self.folder}: it holds a run at step {step}: pass --resume to go on with "
                "it, or name another folder"
            )
        if self._recipe_file.is_file():
            started = json.loads(self._recipe_file.read_text())
            now = self.settings.to_json()
            changed = [k for k in ("architecture", "config") if started.get(k) != now[k]]
            if changed:
                key = changed[0]
                raise ValueError(
                    f"{self.folder}: its run has {key} {started.get(key)}, the recipe has "
                    f"{now[key]}: a network cannot change on the way; name another folder"
                )
        return step


def make_card(settings: TrainSettings, steps: int) -> WeightsCard:
    """Say on a card what a recipe made after so many steps."""
    return WeightsCard(
        title=settings.title or settings.name,
        description=settings.description,
        architecture=settings.architecture,
        config=settings.config,
        domain=settings.domain,
        channels=_channels(settings),
        mapping=_MAPPINGS[settings.domain],
        noise_range=settings.sigma,
        training_data=tuple(TrainingData(d.name, d.licence) for d in settings.training_data),
        recipe={**settings.to_json(), "steps_done": steps},
        libraries={name: version(name) for name in _LIBRARIES},
    )


def _channels(settings: TrainSettings) -> int:
    return int(settings.config.get("channels", 1))


def _rows_until(log: Path, step: int) -> list[list[str]]:
    """Rows of a log up to a step: later ones were lost with the steps they tell of."""
    if not step or not log.is_file():
        return []
    with log.open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    return [row for row in rows if row and int(row[0]) <= step]


def _check_sizes(data: Path, images: Sequence[NDArray[np.uint8]], patch: int) -> None:
    small = [image.shape for image in images if min(image.shape[:2]) < patch]
    if small:
        raise ValueError(
            f"{data}: {len(small)} of {len(images)} images are smaller than the patch of "
            f"{patch} pixels, for example {small[0][0]} x {small[0][1]}: remove them or "
            "lower `patch` in the recipe"
        )
