"""Fine-tuning on a user's own pairs: a generator of reports, and weights that say how good."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import torch

from napari_denoise.engines.device import is_out_of_memory, release_memory
from napari_denoise.image.long_work import InParts, finished
from napari_denoise.io.errors import FileError
from napari_denoise.models.architectures.grow import StateDict
from napari_denoise.models.network import Network
from napari_denoise.models.registry import build
from napari_denoise.settings.finetune import FineTuneSettings
from napari_denoise.settings.recipe import TrainSettings
from napari_denoise.training.data.real_pairs import Pair
from napari_denoise.training.data.regions import Regions
from napari_denoise.training.finetune.blend import (
    ENOUGH,
    blended,
    choose_share,
    trusted_of_views,
)
from napari_denoise.training.finetune.keeper import Keeper
from napari_denoise.training.finetune.outcome import (
    FineTuneResult,
    check_target,
    run_folder,
    target_path,
)
from napari_denoise.training.finetune.pace import Pace, slower, stretched
from napari_denoise.training.finetune.prepared import Prepared
from napari_denoise.training.finetune.step_plan import SECONDS_BETWEEN_SAVES
from napari_denoise.training.finetune.tuned_card import tuned_card
from napari_denoise.training.loop.report import StepReport
from napari_denoise.training.loop.run import Run, log_columns
from napari_denoise.training.loop.stages import NotFinite
from napari_denoise.weights.catalogue import WeightsInfo, read_info
from napari_denoise.weights.files import save_weights

_SECOND_CHANCES = 2
"""So often a run that diverged goes on from its checkpoint at half the learning rate."""


@dataclass(frozen=True, eq=False)
class _Weights:
    """What is kept of a fine-tuning, as stored.

    Parameters
    ----------
    faithful, realistic
        Both ends; no realistic one where no GAN stage began.
    step
        Whose weights these are.
    share
        How far they went from the base.
    """

    faithful: Network
    realistic: Network | None
    step: int
    share: float


class FineTuning(Prepared):
    """A fine-tuning: prepared, trained, measured, saved.

    Nothing is written before `steps` or `training` is iterated. To pause, do not advance it; to
    stop, leave it: `result` and `save` work at any time after the first validation, or after
    a checkpoint.
    """

    _keeper: Keeper | None = None
    _every = 1
    _reached = 0
    """Step that the checkpoint holds."""
    _chosen: tuple[int, float] = (0, 1.0)
    """A step, and how far to go from the base to its weights."""
    _compared: tuple[int, ...] = ()
    """Steps that it was chosen from."""
    _measured: tuple[FineTuneResult, _Weights] | None = None
    """The last result, and the weights that it is of."""
    pace: Pace
    """How long training took so far, next to what was asked for; there once it began."""

    def steps(self) -> Iterator[StepReport]:
        """Train as `training` does; one more report at the end has the result."""
        yield from self.training()
        plan = self._kept.plan()
        assert plan is not None  # noqa: S101 - it was carried out
        yield replace(self._said(plan.steps, plan, ""), result=self.result())

    def training(self) -> Generator[StepReport, None, None]:
        """Train, yielding a report per step; out of memory or diverged, it goes on with less.

        Where minutes were asked for and steps take longer or less than those that were timed,
        the plan is changed on the way. Left between two steps, it writes a checkpoint of them.

        Raises
        ------
        NotFinite
            It diverged again and again; the best weights are kept.
        MemoryError
            Not even one patch fits.
        NotWritten
            The disk is full; resume when there is space.
        BlockingIOError
            Another process is at work in the folder.
        """
        settings = self._begin()
        with self._kept.in_use():
            if self.overwrite and not self.resume:
                self._kept.clear()
            elif not self.resume:
                self._kept.check_empty()
            self.resume = True  # left and iterated again, it goes on
            self._note_progress()
            yield from self._attempts(settings)

    def _attempts(self, settings: TrainSettings) -> Generator[StepReport, None, None]:
        """Train to the end of the last plan, from checkpoint to checkpoint."""
        chances = _SECOND_CHANCES
        while True:
            try:
                changed = yield from self._attempt(settings)
                if changed is None:
                    break
                settings = changed
            except NotFinite as error:
                if not chances:
                    raise
                chances -= 1
                settings = slower(settings)
                note = f"{error} Training resumes at half the rate."
                yield replace(self._said(error.step, settings, note), warning=True)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error) or settings.batch == 1:
                    raise
                release_memory(self.device)
                settings = replace(settings, batch=settings.batch // 2)
                note = f"out of memory: training resumes with {settings.batch} patches a step"
                saved = self._kept.state().get("step", 0)  # from where it goes on
                yield replace(self._said(saved, settings, note), warning=True)

    def keep(self) -> bool:
        """Write a checkpoint of the steps since the last one; say whether there is one now.

        To be called between two steps.

        Raises
        ------
        FileError
            The disk is full; the last checkpoint stays whole.
        """
        if self._keeper is not None:
            self._keeper.keep()
            self._reached = self._keeper.kept or self._reached
            self._note_progress()
        return self._kept.checkpoint.is_file()

    def result(self) -> FineTuneResult:
        """Measure noisy, base and fine-tuned on the validation set; at most on a megapixel of it.

        The weights are measured as they are stored, in float16.

        Raises
        ------
        ValueError
            There are no weights yet.
        """
        return finished(self.measuring())

    def measuring(self) -> InParts[FineTuneResult]:
        """Do what `result` does, naming each part of it before it begins."""
        if self.views.whole:
            yield from self._choose_share()
        kept = self._weights()
        result = FineTuneResult({}, None, "")
        if self.views.whole:
            result = yield from self._figures(kept)
        self._measured = result, kept
        return result

    def _figures(self, kept: _Weights) -> InParts[FineTuneResult]:
        rows = {"noisy": self.views.noisy(whole=True)}
        faithful, realistic = kept.faithful, kept.realistic
        named = {"base": self._base_network(), "fine-tuned": faithful}
        if realistic is not None:
            named["realistic"] = realistic
        images = {}
        for number, (name, network) in enumerate(named.items(), 1):
            part = f"{number} of {len(named)}"
            yield f"measuring the {name} weights on the validation set ({part})"
            calm = faithful if network is realistic else None
            rows[name], images[name] = self.views.denoised(network, calm, whole=True)
        gain = None
        if self.views.blind:
            gain = self.views.gain(images["base"], images["fine-tuned"])
        against = "a second noisy shot" if self.material.noisy_target else "the clean image"
        against = "two more noisy shots, whose noise cancels out" if gain else against
        note, extent = self.views.peak_note, self.views.extent
        return FineTuneResult(rows, kept.step, note, against, extent, kept.share, gain)

    def save(
        self, target: str | Path, result: FineTuneResult | None = None, *, overwrite: bool = False
    ) -> WeightsInfo:
        """Write the weights with their card; under a name they appear in the catalogue.

        They are those that the result is of; measured again, unless it is the last one.

        Raises
        ------
        ValueError
            There are no weights yet, or the name or file cannot be used.
        """
        path = target_path(target)
        check_target(path, overwrite=overwrite)
        if result is None or self._measured is None or result is not self._measured[0]:
            self.result()
        assert self._measured is not None  # noqa: S101 - by now
        result, kept = self._measured
        done = self._done_settings(kept)
        card = tuned_card(self.base, self.recipe.title, self._identity, done, result)
        far = kept.realistic.state_dict() if kept.realistic is not None else None
        save_weights(path, card, kept.faithful.state_dict(), far, overwrite=overwrite)
        return read_info(path)

    def ends(self) -> tuple[Network, Network | None]:
        """Return the faithful network that is kept so far, and the realistic one if any, as stored.

        Raises
        ------
        ValueError
            There are no weights yet.
        """
        kept = self._weights()
        return kept.faithful, kept.realistic

    def _weights(self) -> _Weights:
        """Return what `ends` does, and where it comes from.

        While it trains these are the best so far, all of the way from the base.
        """
        state = self._kept.state()
        if "faithful" in state:  # both ends must come from one run of weights to be blended
            plan = self._kept.plan()
            assert plan is not None  # noqa: S101 - it was begun
            both = self._stored(state["faithful"]), self._stored(state["average"])
            return _Weights(*both, plan.distortion.steps, 1.0)
        learnt = self._learnt(state)
        if not learnt:
            raise ValueError(f"{self.folder}: no weights yet; let it train a few steps")
        fresh = self._compared == tuple(learnt)
        step, share = self._chosen if fresh else (next(iter(learnt)), 1.0)
        way = blended(self._base_network().state_dict(), learnt[step], share)
        return _Weights(self._stored(way), None, step, share)

    def _begin(self) -> TrainSettings:
        """Return what to do: a new plan, or that of a run that is resumed, as it was left."""
        started = self._started()
        if started is None:
            plan = self.plan()
            first, second = plan.speed.first, plan.speed.second
            validation = plan.speed.validation
            self.pace = Pace(self.asked.seconds, 0.0, first, second / first, validation)
            self._every = plan.settings.validate_every
            return plan.settings
        before = self._kept.progress()
        self._reached = before.get("step", 0)
        names = ("spent", "each", "second", "validation")
        known = {name: before[name] for name in names if name in before}
        self.pace = Pace(before.get("asked"), **known)
        self._every = before.get("validate_every", started.validate_every)
        return started

    def _attempt(
        self, settings: TrainSettings
    ) -> Generator[StepReport, None, TrainSettings | None]:
        """Train to the end of a plan; or until another one is needed, which is returned."""
        keeper = Keeper(self.validator, self._every, self._kept.checkpoint)
        self._keeper, pace = keeper, self.pace
        stage, last_kept = "", pace.spent
        try:
            with closing(self._loop(settings, keeper)) as reports:
                start = perf_counter()
                for report in reports:
                    keeper.note(report)
                    if report.stage != stage:
                        stage = report.stage
                        pace.begin(stage)
                    pace.add(perf_counter() - start, keeper.took)
                    if report.saved or pace.spent - last_kept > SECONDS_BETWEEN_SAVES:
                        last_kept = pace.spent
                        self.keep()
                    yield self._report(report, settings)
                    start = perf_counter()
                    share = pace.share(settings, report.step, self._every)
                    plan = settings if share is None else stretched(settings, report.step, share)
                    if plan != settings:
                        self.keep()
                        note = pace.why_changed(settings.steps, plan.steps)
                        yield self._said(report.step, plan, note)
                        return plan
        except GeneratorExit:
            with suppress(OSError, FileError):  # what was written before stays whole
                self.keep()
            raise
        except BaseException:
            keeper.forget()  # it may be in the middle of a step
            raise
        return None

    def _loop(self, settings: TrainSettings, keeper: Keeper) -> Generator[StepReport, None, None]:
        """Run the training loop, which shows the keeper its state after every step."""
        run = Run(settings, self.folder)
        columns = list(log_columns(settings))
        if self.validator is not None:
            names = [*self.validator.references, "faithful"]
            names += ["realistic"] if settings.adversarial else []
            columns += [f"{kind}_{name}" for kind in ("psnr", "ssim") for name in names]
        yield from run.train_on(
            self.material.pairs(settings),
            keeper,
            resume=run.checkpoint.is_file(),
            device=self.device,
            base=self.base,
            columns=columns,
        )

    def _note_progress(self) -> None:
        pace = self.pace
        values = {
            "step": self._reached,
            "asked": pace.asked,
            "spent": pace.spent,
            "each": pace.each,
            "second": pace.second,
            "validation": pace.validation,
            "validate_every": self._every,
        }
        self._kept.write(self._identity, values)

    def _report(self, report: StepReport, settings: TrainSettings) -> StepReport:
        """Add what only the whole fine-tuning knows; whoever keeps reports keeps no pictures."""
        found = report.validation
        return replace(
            report,
            seconds=self.pace.spent,
            steps_per_second=self.pace.speed,
            seconds_left=self.pace.left(settings, report.step, self._every),
            validation=None if found is None else replace(found, columns={}),
            best_step=self._best_step,
        )

    def _said(self, step: int, settings: TrainSettings, note: str) -> StepReport:
        best = self._best_step
        return StepReport(step, settings.steps, "distortion", {}, best_step=best, note=note)

    @property
    def _best_step(self) -> int | None:
        return self._validator.best_step if self._validator else None

    def _choose_share(self) -> InParts[None]:
        """Choose how much of the change from the base to keep: all, where a GAN stage began.

        Of the best weights by themselves or of the last ones: these mostly went too far, and are
        often the better ones on the way back.
        """
        state = self._kept.state()
        learnt = self._learnt(state)
        if "faithful" in state or self._compared == tuple(learnt):
            return
        yield "choosing how far to go from the base weights"
        network = self._base_network()
        base, start = network.state_dict(), self.views.denoised(network)[0].psnr
        # A target's own noise keeps a view from being learnt by heart.
        by_heart = self.views.radiance and not self.material.noisy_target
        trusted = trusted_of_views(self.material.pixels) if by_heart else 1.0
        enough = 1.0 if self.views.blind else ENOUGH  # a stack teaches for itself alone
        most = -inf
        for step, weights in learnt.items():

            def quality(share: float, weights: StateDict = weights) -> float:
                return self.views.denoised(self._stored(blended(base, weights, share)))[0].psnr

            share, gain = choose_share(start, quality, trusted, enough)
            if gain > most:
                self._chosen, most = (step, share), gain
        self._compared = tuple(learnt)

    def _learnt(self, state: Mapping[str, Any]) -> dict[int, StateDict]:
        """Weights that can be kept, by their step: the best, then the last if they are others."""
        best = self._kept.best_kept()
        learnt = {best["step"]: best["weights"]} if best is not None else {}
        if state and state["step"] not in learnt:
            learnt[state["step"]] = state["average"]
        return learnt

    def _stored(self, weights: Mapping[str, torch.Tensor]) -> Network:
        network = build(self.base.card.architecture, self.base.card.config)
        network.load_state_dict({k: v.half().float() for k, v in weights.items()})
        return network.eval().requires_grad_(False)

    def _done_settings(self, kept: _Weights) -> dict[str, Any]:
        plan = self._kept.plan()
        done = replace(plan, validate_every=self._every).to_json() if plan is not None else {}
        return {**done, "kept_step": kept.step, "share_of_change": kept.share}


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
) -> Iterator[StepReport]:
    """Fine-tune weights on pairs, yielding a report per step; the last one has the result.

    Parameters
    ----------
    pairs
        From `napari_denoise.training.data.real_pairs`.
    settings, **fields
        `FineTuneSettings`, or single fields of it.
    regions
        To train and to validate on.
    save_as
        A name in the catalogue, or a .safetensors file; None only reports. Nothing is saved of
        noisy stacks whose gain is not certain, see `FineTuneResult.offered`.
    folder
        Where checkpoint and log are kept; that of the name, or a temporary one, if None.
    resume
        Go on with what the folder holds.
    overwrite
        Replace weights and run of that name.

    Examples
    --------
    >>> for report in finetune(open_pair("noisy.tif", "clean.tif"), minutes=5, save_as="mine"):
    ...     print(report.step, report.figures)                            # doctest: +SKIP
    """
    values = {**vars(settings), **fields} if settings is not None else fields
    chosen = FineTuneSettings.parse(values)
    several = [pairs] if isinstance(pairs, Pair) else list(pairs)
    target = target_path(save_as) if save_as is not None else None
    if target is not None:
        check_target(target, overwrite=overwrite)
    with TemporaryDirectory() as temporary:
        home = folder or (run_folder(target) if target is not None else Path(temporary))
        tuning = FineTuning(several, chosen, home, regions, resume=resume, overwrite=overwrite)
        for report in tuning.steps():
            if report.result is not None and target is not None and report.result.offered:
                tuning.save(target, report.result, overwrite=overwrite)
            yield report
