"""A training run in a folder: recipe, checkpoint, log, and the weights it ends in."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import fields, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import napari_denoise
from napari_denoise.io.atomic import replacing
from napari_denoise.settings.files import read_toml
from napari_denoise.settings.recipe import TrainSettings
from napari_denoise.training.data.loaders import LoadedPairs
from napari_denoise.training.data.pairs import Pairs
from napari_denoise.training.data.shards import unpacked
from napari_denoise.training.data.sources import open_pairs
from napari_denoise.training.loop.checkpoints import load_checkpoint
from napari_denoise.training.loop.fabric import Fabric, rank_zero_only
from napari_denoise.training.loop.logs import RunLog
from napari_denoise.training.loop.report import StepReport
from napari_denoise.training.loop.state import TrainingState
from napari_denoise.training.loop.train import AfterStep, train
from napari_denoise.training.loop.validation import regularly
from napari_denoise.weights.card import TrainingData, WeightsCard
from napari_denoise.weights.catalogue import WeightsInfo, read_info
from napari_denoise.weights.files import load_network, save_weights

_MAPPINGS: dict[str, Literal["affine", "anscombe", "log"]] = {
    "photo": "affine",
    "microscopy": "anscombe",
    "render": "log",
}
LIBRARIES = ("napari-denoise", "torch", "numpy")


def read_recipe(path: Path, changes: Mapping[str, Any] | None = None) -> TrainSettings:
    """Read a recipe file.

    Parameters
    ----------
    path
        A TOML file.
    changes
        Values by dotted names, such as ``distortion.steps``, in place of those in the file; None
        leaves out what the file says.

    Raises
    ------
    ValueError
        It is not TOML, or a setting is missing, unknown or wrong.
    FileNotFoundError
        There is no such file.
    """
    try:
        values = read_toml(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: there is no such recipe; see recipes/") from None
    for name, value in (changes or {}).items():
        *sections, last = name.split(".")
        place = values
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise ValueError(f"{name}: {section} in {path} is no section")
        if value is None:
            place.pop(last, None)
        else:
            place[last] = value
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
        self,
        data: Path,
        *,
        resume: bool = False,
        device: str = "cpu",
        processes: int = 1,
        base: WeightsInfo | None = None,
        until: float | None = None,
        loaders: int = 0,
    ) -> Iterator[StepReport]:
        """Train to the end of the recipe, yielding a report per step.

        Parameters
        ----------
        data
            Folder of training data, see `sources.open_pairs`, or of their shards.
        resume
            Go on from the checkpoint.
        device, processes
            See `loop.train`.
        base
            Weights to start from instead of random ones.
        until
            By `time.monotonic`, see `loop.train`.
        loaders
            Processes that draw batches ahead; 0 draws them in this one.

        Raises
        ------
        ValueError
            The folder holds another run, or the data do not fit the recipe.
        FileNotFoundError
            No data.
        NotFinite
            The loss diverged; the checkpoint holds the last good state.
        """
        self._first_step(resume)
        with unpacked(data) as folder:
            pairs, validator = open_pairs(folder, self.settings, make_card(self.settings, 0))
        after_step = regularly(validator, self.settings.validate_every)
        options: dict[str, Any] = {"resume": resume, "device": device, "processes": processes}
        options |= {"base": base, "until": until}
        if not loaders:
            yield from self.train_on(pairs, after_step, **options)
            return
        with closing(LoadedPairs(pairs, loaders, device)) as drawn:
            yield from self.train_on(drawn, after_step, **options)

    def train_on(
        self,
        pairs: Pairs,
        after_step: AfterStep | None = None,
        *,
        resume: bool = False,
        device: str = "cpu",
        processes: int = 1,
        base: WeightsInfo | None = None,
        until: float | None = None,
        columns: Sequence[str] | None = None,
    ) -> Iterator[StepReport]:
        """Train as `train` does, on pairs that are there already.

        Parameters
        ----------
        pairs, after_step
            See `loop.train`.
        resume, device, processes, base, until
            As for `train`.
        columns
            Of the log; those of `log_columns` if None.
        """
        first = self._first_step(resume)
        self.folder.mkdir(parents=True, exist_ok=True)
        parent = self._started()["parent"] if first else base and base.sha256
        started = {"settings": self.settings.to_json(), "parent": parent}
        with replacing([self._recipe_file], overwrite=True) as (new,):
            new.write_text(json.dumps(started, indent=2))
        steps = train(
            self.settings,
            pairs,
            self.checkpoint,
            resume=resume,
            device=device,
            processes=processes,
            base=dict(load_network(base).state_dict()) if base and not first else None,
            after_step=after_step,
            until=until,
        )
        # The first process writes the log.
        if processes > 1 and rank_zero_only.rank:  # type: ignore[attr-defined]
            for report in steps:
                yield replace(report, mean_loss=report.terms.get("pixel", math.nan))
            return
        names = log_columns(self.settings) if columns is None else columns
        with RunLog(self.folder, names, first, last=self.settings.steps) as log:
            for report in steps:
                log.add(report)
                yield replace(report, mean_loss=log.mean("pixel"))

    def export(self, target: Path) -> WeightsInfo:
        """Write the averaged network of the checkpoint as a weights file.

        After an adversarial stage it holds both ends, the faithful and the realistic one.

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
        state = TrainingState(self.settings, Fabric(accelerator="cpu"))
        try:
            state.load_state_dict(self._saved())
        except (RuntimeError, KeyError) as error:
            raise ValueError(
                f"{self.checkpoint}: it does not hold the network of the recipe "
                f"{self.settings.name!r} ({str(error).splitlines()[0]}); use the recipe it "
                "was trained with"
            ) from error
        card = make_card(self.settings, state.step, self._started()["parent"])
        average = state.average.state_dict()
        if state.faithful is None:
            save_weights(target, card, average)
        else:
            save_weights(target, card, state.faithful, realistic=average)
        return read_info(target)

    @property
    def saved_step(self) -> int:
        """The step that the checkpoint holds; 0 without one."""
        return int(self._saved()["step"]) if self.checkpoint.is_file() else 0

    @property
    def _recipe_file(self) -> Path:
        return self.folder / "recipe.json"

    def _saved(self) -> dict[str, Any]:
        if not self.checkpoint.is_file():
            raise ValueError(f"{self.checkpoint}: there is no checkpoint; train first")
        return load_checkpoint(self.checkpoint)

    def _first_step(self, resume: bool) -> int:
        """Return the step to start from, after making sure that no other run is overwritten."""
        step = self.saved_step
        if not self.checkpoint.is_file():
            return 0
        if not resume:
            raise ValueError(
                f"{self.folder}: it holds a run at step {step}: pass --resume to go on with "
                "it, or name another folder"
            )
        started = self._started()["settings"]
        now = self.settings.to_json()
        changed = [key for key in ("architecture", "config") if started.get(key) != now[key]]
        if started and changed:
            key = changed[0]
            raise ValueError(
                f"{self.folder}: its run has {key} {started.get(key)}, the recipe has "
                f"{now[key]}: a network cannot change on the way; name another folder"
            )
        return step

    def _started(self) -> dict[str, Any]:
        """Return what the run was started with; nothing if the folder does not say."""
        if not self._recipe_file.is_file():
            return {"settings": {}, "parent": None}
        found: dict[str, Any] = json.loads(self._recipe_file.read_text())
        return found


def log_columns(settings: TrainSettings) -> tuple[str, ...]:
    """Name every term and figure that a recipe can log."""
    stage = settings.distortion
    terms = ["pixel", "gradient_norm", *(["spread"] if stage.spread else [])]
    second = settings.adversarial
    terms += ["intensity"] if stage.settle or (second and second.settle) else []
    ends = ["noisy", "faithful"]
    if settings.adversarial is not None:
        weights = settings.adversarial.weights
        terms += [f.name for f in fields(weights) if f.name != "pixel" and getattr(weights, f.name)]
        terms += ["discriminator", "penalty"]
        ends.append("realistic")
    figures = [f"{name}_{end}" for name in ("psnr", "ssim") for end in ends]
    return (*terms, *(figures if settings.held_out else []))


def make_card(settings: TrainSettings, steps: int, parent: str | None = None) -> WeightsCard:
    """Say on a card what a recipe made after so many steps."""
    return WeightsCard(
        title=settings.title or settings.name,
        description=settings.description,
        architecture=settings.architecture,
        config=settings.config,
        domain=settings.domain,
        channels=settings.channels,
        mapping=_MAPPINGS[settings.domain],
        noise_range=settings.noise.sigma,
        training_data=tuple(TrainingData(d.name, d.licence) for d in settings.training_data),
        recipe={**settings.to_json(), "steps_done": steps},
        parent=parent,
        libraries=library_versions(),
    )


def library_versions() -> dict[str, str]:
    """Return the versions that a card keeps; a source tree may be trained with uninstalled."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = napari_denoise.__version__
    return found
