"""Fine-tuning on a user's own pairs: a generator of reports, and weights that say how good."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import torch

from napari_denoise.core.finetune_settings import FineTuneSettings
from napari_denoise.core.recipe import TrainSettings
from napari_denoise.core.samples import Samples, is_radiance
from napari_denoise.io.atomic import replacing
from napari_denoise.models.card import TrainingData
from napari_denoise.models.catalogue import (
    WeightsInfo,
    choose_weights,
    find_weights,
    read_info,
)
from napari_denoise.models.device import choose_device, is_out_of_memory, release_memory
from napari_denoise.models.network import Network
from napari_denoise.models.registry import build
from napari_denoise.models.weights import load_network, save_weights
from napari_denoise.training.checkpoints import load_checkpoint
from napari_denoise.training.finetune_plan import (
    Plan,
    load_recipe,
    make_plan,
    training_settings,
)
from napari_denoise.training.finetune_result import Result, run_folder, target_path
from napari_denoise.training.held_out import HeldOutSet, HeldOutValidator
from napari_denoise.training.loop import StepReport
from napari_denoise.training.material import Material, gather
from napari_denoise.training.real_pairs import Pair
from napari_denoise.training.regions import Regions
from napari_denoise.training.run import LIBRARIES, Run, log_columns
from napari_denoise.training.stages import NotFinite

_SECOND_CHANCES = 2
"""So often a run that diverged goes on from its checkpoint at half the learning rate."""


@dataclass(frozen=True)
class FineTuneReport:
    """What one step did; the last report carries the result."""

    step: int
    steps: int
    stage: str
    terms: Mapping[str, float]
    seconds: float
    """Of this run, without those before it was resumed."""
    steps_per_second: float
    seconds_left: float
    figures: Mapping[str, float] | None = None
    """PSNR and SSIM of noisy, base, faithful and realistic, where it was validated."""
    best_step: int | None = None
    note: str = ""
    """What happened that the user should know."""
    result: Result | None = None


class FineTuning:
    """A fine-tuning, prepared: what it learns from, what is held out, how long it takes.

    Nothing is written before `steps` is iterated. To pause, do not advance that; to stop, leave
    it: `result` and `save` work at any time after the first validation.

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
        Go on with what the folder holds.

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
    ) -> None:
        self.pairs, self.asked, self.folder = tuple(pairs), settings, folder
        self.regions = regions or Regions()
        self.resume = resume
        self.base = find_weights(_base_of(pairs, settings))
        self.device = choose_device(settings.device)
        self.recipe = load_recipe(settings.recipe)
        self.material: Material = gather(pairs, self.regions, settings, self.base.card)
        self.views = HeldOutSet(self.material.held_out, settings, self.base, self.device)
        self._identity = self._describe()
        self._check_folder()
        self._validator: HeldOutValidator | None = None
        self._plan: Plan | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """Findings of the pairs, trimming, and what else to say before it begins."""
        said = [f"{v.pair}: {finding}" for v in self.material.verdicts for finding in v.findings]
        if not self.views.whole:
            said.append("nothing is held out: no figures will tell whether it helped")
        if any(frame.sigma == 0 for frame in self.material.frames):
            said.append(
                "no noise was measured in some image, which denoising would leave as it is: give "
                "noise, a sigma in the data's units"
            )
        return (*said, *self.material.notes)

    def plan(self) -> Plan:
        """Say how many steps there is time for and whether they fit; takes some steps to know."""
        if self._plan is None:
            start = perf_counter()
            validator = self.validator
            if validator is not None:
                self.views.denoised(self._base_network())
            took = (perf_counter() - start) / 2 if validator is not None else 0.0
            self._plan = make_plan(
                self.asked,
                self._settings,
                self.material.pairs(self._settings(1000)),
                dict(self._base_network().state_dict()),
                self.device,
                validation=took,
                data=self.material.bytes,
            )
        return self._plan

    @property
    def validator(self) -> HeldOutValidator | None:
        """Measures on what is held out; None if nothing is."""
        if self._validator is None and self.views.whole:
            self._validator = HeldOutValidator(self.views, self._base_network(), self._best)
        return self._validator

    def steps(self) -> Iterator[FineTuneReport]:
        """Train, yielding a report per step; out of memory or diverged, it goes on with less.

        Raises
        ------
        NotFinite
            It diverged again and again; the best weights are kept.
        MemoryError
            Not even one patch fits.
        OSError
            The disk is full; resume when there is space.
        """
        settings = self._started_settings() or self.plan().settings
        self.folder.mkdir(parents=True, exist_ok=True)
        with replacing([self._note], overwrite=True) as (new,):
            new.write_text(json.dumps(self._identity, indent=2))
        chances = _SECOND_CHANCES
        while True:
            try:
                yield from self._attempt(settings)
                break
            except NotFinite as error:
                if not chances:
                    raise
                chances -= 1
                settings = _slower(settings)
                yield self._said(error.step, settings, f"{error} Going on at half the rate.")
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error) or settings.batch == 1:
                    raise
                release_memory(self.device)
                settings = replace(settings, batch=settings.batch // 2)
                note = f"out of memory: going on with {settings.batch} patches a step"
                yield self._said(0, settings, note)
        last = self._said(settings.steps, settings, "")
        yield replace(last, result=self.result())

    def result(self) -> Result:
        """Measure noisy, base and fine-tuned on everything that was held out.

        The weights are measured as they are stored, in float16.

        Raises
        ------
        ValueError
            There are no weights yet.
        """
        faithful, realistic = self._ends()
        if not self.views.whole:
            return Result({}, None, "")
        rows = {"noisy": self.views.noisy(whole=True)}
        named = {"base": self._base_network(), "fine-tuned": faithful, "realistic": realistic}
        for name, network in named.items():
            if network is not None:
                rows[name], _ = self.views.denoised(network, whole=True)
        kept = self._best_kept()
        against = "a second noisy shot" if self.material.noisy_target else "the clean image"
        step = kept["step"] if kept else None
        return Result(rows, step, self.views.peak_note, against)

    def save(
        self, target: str | Path, result: Result | None = None, *, overwrite: bool = False
    ) -> WeightsInfo:
        """Write the weights with their card; under a name they appear in the catalogue.

        Raises
        ------
        ValueError
            There are no weights yet, or the name or file cannot be used.
        """
        path = target_path(target)
        if path.exists() and not overwrite:
            raise FileExistsError(f"{path}: it exists already; choose another name")
        result = result or self.result()
        faithful, realistic = self._ends()
        figures = {
            f"{kind} {name}": round(getattr(found, kind), 4)
            for name, found in result.rows.items()
            for kind in ("psnr", "ssim", "mean_error")
        }
        data = tuple(
            TrainingData(f"{p['name']} ({', '.join(p['files']) or 'in memory'})", "the user's own")
            for p in self._identity["pairs"]
        )
        card = replace(
            self.base.card,
            title=f"{self.base.name}, fine-tuned ({self.recipe.title})",
            description=f"Fine-tuned on {len(self.pairs)} pairs. {result.verdict}.",
            training_data=(*self.base.card.training_data, *data),
            figures=figures,
            recipe={**self._done_settings(), "finetune": self._identity},
            parent=self.base.sha256,
            libraries={name: version(name) for name in LIBRARIES},
        )
        far = realistic.state_dict() if realistic is not None else None
        save_weights(path, card, faithful.state_dict(), far)
        return read_info(path)

    @property
    def _best(self) -> Path:
        return self.folder / "best.pt"

    @property
    def _note(self) -> Path:
        return self.folder / "finetune.json"

    def _attempt(self, settings: TrainSettings) -> Iterator[FineTuneReport]:
        run = Run(settings, self.folder)
        validator = self.validator
        columns = list(log_columns(settings))
        if validator is not None:
            names = [*validator.references, "faithful"]
            names += ["realistic"] if settings.adversarial else []
            columns += [f"{kind}_{name}" for kind in ("psnr", "ssim") for name in names]
        reports = run.train_on(
            self.material.pairs(settings),
            validator,
            resume=run.checkpoint.is_file(),
            device=self.device,
            base=self.base,
            columns=columns,
        )
        for report in reports:
            yield self._report(report.last, settings.steps)

    def _report(self, last: StepReport, steps: int) -> FineTuneReport:
        figures = last.validation.figures if last.validation else None
        best = self._validator.best_step if self._validator else None
        left = (steps - last.step) / max(last.steps_per_second, 1e-9)
        return FineTuneReport(
            last.step,
            steps,
            last.stage,
            last.terms,
            last.seconds,
            last.steps_per_second,
            left,
            figures,
            best,
        )

    def _said(self, step: int, settings: TrainSettings, note: str) -> FineTuneReport:
        best = self._validator.best_step if self._validator else None
        return FineTuneReport(
            step, settings.steps, "distortion", {}, 0.0, 0.0, 0.0, None, best, note
        )

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

    def _best_kept(self) -> dict[str, Any] | None:
        return load_checkpoint(self._best) if self._best.is_file() else None

    def _ends(self) -> tuple[Network, Network | None]:
        """Return the best faithful network, and the realistic one if there is one, as stored."""
        checkpoint = self.folder / "checkpoint.pt"
        state = load_checkpoint(checkpoint) if checkpoint.is_file() else {}
        kept = self._best_kept()
        if "faithful" in state:  # both ends must come from one run of weights to be blended
            return self._stored(state["faithful"]), self._stored(state["average"])
        if kept is not None:
            return self._stored(kept["weights"]), None
        if not state:
            raise ValueError(f"{self.folder}: no weights yet; let it train to its first validation")
        return self._stored(state["average"]), None

    def _stored(self, weights: Mapping[str, torch.Tensor]) -> Network:
        network = build(self.base.card.architecture, self.base.card.config)
        network.load_state_dict({k: v.half().float() for k, v in weights.items()})
        return network.eval().requires_grad_(False)

    def _describe(self) -> dict[str, Any]:
        """Say what this is a fine-tuning of, as JSON values."""
        return {
            "pairs": [
                {
                    "name": pair.name,
                    "sha256": pair.sha256,
                    "files": list(pair.sources),
                    "frames": len(pair.layout.frames),
                    "noise2noise": pair.noisy_target,
                }
                for pair in self.pairs
            ],
            "regions": self.regions.to_json()["regions"],
            "base": self.base.name,
            "base_sha256": self.base.sha256,
            "settings": self.asked.to_json(),
        }

    def _check_folder(self) -> None:
        """Go on only with what was begun with the same pairs, regions and base."""
        begun = (self.folder / "checkpoint.pt").is_file() or self._best.is_file()
        if not begun:
            return
        if not self.resume:
            raise ValueError(
                f"{self.folder}: it holds a fine-tuning: pass --resume to go on with it, "
                "--overwrite to begin anew, or choose another name"
            )
        before = json.loads(self._note.read_text()) if self._note.is_file() else {}
        for key in ("pairs", "regions", "base_sha256"):
            if before and before.get(key) != self._identity[key]:
                raise ValueError(
                    f"{self.folder}: its fine-tuning was begun with other {key}: give the same "
                    "again, or begin anew under another name"
                )

    def _started_settings(self) -> TrainSettings | None:
        """Return the plan of the run that is resumed: it does not change on the way."""
        path = self.folder / "recipe.json"
        if not (self.resume and path.is_file()):
            return None
        return TrainSettings.parse(json.loads(path.read_text())["settings"])

    def _done_settings(self) -> dict[str, Any]:
        path = self.folder / "recipe.json"
        values: dict[str, Any] = json.loads(path.read_text())["settings"]
        kept = self._best_kept()
        return {**values, "kept_step": kept["step"] if kept else values["distortion"]["steps"]}


def finetune(
    pairs: Sequence[Pair] | Pair,
    settings: FineTuneSettings | None = None,
    *,
    regions: Regions | None = None,
    save_as: str | Path | None = None,
    folder: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    **fields: Any,
) -> Iterator[FineTuneReport]:
    """Fine-tune weights on pairs, yielding a report per step; the last one has the result.

    Parameters
    ----------
    pairs
        From `napari_denoise.training.real_pairs`.
    settings, **fields
        `FineTuneSettings`, or single fields of it.
    regions
        To train and to validate on.
    save_as
        A name in the catalogue, or a .safetensors file; None only reports.
    folder
        Where checkpoint and log are kept; that of the name, or a temporary one, if None.
    resume
        Go on with what the folder holds.
    overwrite
        Replace weights of that name.

    Examples
    --------
    >>> for report in finetune(open_pair("noisy.tif", "clean.tif"), minutes=5, save_as="mine"):
    ...     print(report.step, report.figures)                            # doctest: +SKIP
    """
    values = {**vars(settings), **fields} if settings is not None else fields
    chosen = FineTuneSettings.parse(values)
    several = [pairs] if isinstance(pairs, Pair) else list(pairs)
    target = target_path(save_as) if save_as is not None else None
    if target is not None and target.exists() and not overwrite:
        raise FileExistsError(f"{target}: it exists already; choose another name")
    with TemporaryDirectory() as temporary:
        home = folder or (run_folder(target) if target is not None else Path(temporary))
        tuning = FineTuning(several, chosen, home, regions, resume=resume)
        for report in tuning.steps():
            if report.result is not None and target is not None:
                tuning.save(target, report.result, overwrite=overwrite)
            yield report


def _base_of(pairs: Sequence[Pair], settings: FineTuneSettings) -> str:
    """Choose bundled weights as denoising would."""
    if settings.base != "auto" or not pairs:
        return settings.base if settings.base != "auto" else "microscopy"
    layout = pairs[0].layout
    colour = "S" in layout.axes and pairs[0].noisy.dtype.kind == "f"
    radiance = colour and is_radiance(Samples(pairs[0].noisy, layout, 0).frames)
    return choose_weights(layout.axes, radiance=radiance)


def _slower(settings: TrainSettings) -> TrainSettings:
    first, second = settings.distortion, settings.adversarial
    first = replace(first, learning_rate=first.learning_rate / 2)
    if second is not None:
        second = replace(
            second,
            learning_rate=second.learning_rate / 2,
            discriminator_rate=second.discriminator_rate / 2,
        )
    return replace(settings, distortion=first, adversarial=second)
