"""A fine-tuning before its first step: checked, held out, timed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Self

from napari_denoise.engines.device import choose_device
from napari_denoise.image.long_work import InParts, finished
from napari_denoise.models.network import Network
from napari_denoise.settings.finetune import FineTuneSettings
from napari_denoise.settings.recipe import TrainSettings
from napari_denoise.training.data.real_pairs import Pair
from napari_denoise.training.data.regions import Regions
from napari_denoise.training.finetune.held_out import HeldOutSet, HeldOutValidator
from napari_denoise.training.finetune.material import gathering
from napari_denoise.training.finetune.run_folder import Folder
from napari_denoise.training.finetune.step_plan import (
    Plan,
    load_recipe,
    make_plan,
    training_settings,
)
from napari_denoise.training.finetune.tuned_card import identity
from napari_denoise.weights.catalogue import find_weights
from napari_denoise.weights.files import load_network


class Prepared:
    """What a fine-tuning learns from, its validation set, how long it takes.

    Parameters
    ----------
    pairs
        Noisy images and their partners, from `real_pairs`.
    settings
        What the user chose.
    folder
        Where checkpoint, log and the best weights are kept.
    regions
        To train and to validate on; None holds a part out by itself.
    resume
        Go on with what the folder holds, by the settings that it was begun with.
    overwrite
        Begin anew where the folder holds another one, which stays until the first step.

    Raises
    ------
    ValueError
        Pairs, regions, settings and base do not go together; see `check_pair` for pairs.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        settings: FineTuneSettings,
        folder: Path,
        regions: Regions | None = None,
        *,
        resume: bool = False,
        overwrite: bool = False,
    ) -> None:
        finished(self._prepare(pairs, settings, folder, regions, resume, overwrite))

    @classmethod
    def preparing(
        cls,
        pairs: Sequence[Pair],
        settings: FineTuneSettings,
        folder: Path,
        regions: Regions | None = None,
        *,
        resume: bool = False,
        overwrite: bool = False,
    ) -> InParts[Self]:
        """Do what the constructor does, naming each part of it before it begins."""
        tuning = cls.__new__(cls)
        yield from tuning._prepare(pairs, settings, folder, regions, resume, overwrite)
        return tuning

    def _prepare(
        self,
        pairs: Sequence[Pair],
        settings: FineTuneSettings,
        folder: Path,
        regions: Regions | None,
        resume: bool,
        overwrite: bool,
    ) -> InParts[None]:
        self._kept = Folder(folder)
        if resume:
            settings = self._kept.resumed(settings)
        elif not overwrite:
            self._kept.check_empty()
        self.pairs, self.asked, self.folder = tuple(pairs), settings, folder
        self.regions, self.resume, self.overwrite = regions or Regions(), resume, overwrite
        self.base = find_weights(_base_of(pairs, settings))
        self.device = choose_device(settings.device)
        self.recipe = load_recipe(settings.recipe)
        yield "reading the pairs"
        self._identity = identity(self.pairs, self.regions, self.base, settings)
        if resume:
            self._kept.check_same(self._identity)
        self.material = yield from gathering(pairs, self.regions, settings, self.base, self.device)
        yield "reading the validation set"
        self.views = HeldOutSet(self.material.held_out, settings, self.base, self.device)
        self._validator: HeldOutValidator | None = None
        self._validation = 0.0
        self._plan: Plan | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """Findings of the pairs, trimming, and what else to say before it begins."""
        said = [f"{v.pair}: {finding}" for v in self.material.verdicts for finding in v.findings]
        if not self.views.whole:
            said.append("there is no validation set: no figures will tell whether it helped")
        if any(frame.sigma == 0 for frame in self.material.frames):
            said.append(
                "no noise was measured in some image, which denoising would leave as it is: leave "
                "it out, or give its noise with --noise, a sigma in the data's units"
            )
        return (*said, *self.material.notes)

    def plan(self) -> Plan:
        """Say how many steps there is time for and whether they fit; takes some steps to know."""
        return finished(self.planning())

    def planning(self) -> InParts[Plan]:
        """Do what `plan` does, naming each part of it before it begins."""
        if self._plan is None:
            yield from self._measuring_base()
            yield "timing the first steps"
            self._plan = make_plan(
                self.asked,
                self._settings,
                self.material.pairs(self._settings(1000)),
                dict(self._base_network().state_dict()),
                self.device,
                validation=self._validation,
                data=self.material.bytes,
            )
        return self._plan

    def beginning(self) -> InParts[Plan | None]:
        """Do what comes before the first step; return the plan, None where one is gone on with."""
        if self._started() is not None:
            yield from self._measuring_base()
            return None
        return (yield from self.planning())

    @property
    def validator(self) -> HeldOutValidator | None:
        """Measures on what is held out; None if nothing is."""
        return finished(self._measuring_base())

    def _measuring_base(self) -> InParts[HeldOutValidator | None]:
        if self._validator is None and self.views.whole:
            yield "measuring the weights to start from on the validation set"
            start = perf_counter()
            best = self._kept.best
            self._validator = HeldOutValidator(
                self.views, self._base_network(), best, resume=self.resume
            )
            self._validation = perf_counter() - start
        return self._validator

    def _started(self) -> TrainSettings | None:
        return self._kept.plan() if self.resume else None

    def _settings(self, steps: int) -> TrainSettings:
        return training_settings(
            self.asked,
            self.recipe,
            self.base.card,
            steps,
            noisy_target=self.material.noisy_target,
            radiance=self.material.log_width is not None,
        )

    def _base_network(self) -> Network:
        return load_network(self.base)


def _base_of(pairs: Sequence[Pair], settings: FineTuneSettings) -> str:
    """Choose bundled weights as denoising would."""
    if settings.base != "auto" or not pairs:
        return settings.base if settings.base != "auto" else "microscopy"
    return pairs[0].described.weights()
