"""How good weights are on what was held out: denoised as a user would, in the data's units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from napari_denoise.engines.torch import TorchEngine
from napari_denoise.image.frames import evenly
from napari_denoise.image.long_work import finished
from napari_denoise.image.planes import color_samples
from napari_denoise.image.tone import TONE_MAPPED, tone_mapped
from napari_denoise.inference.albedo import measure_albedo
from napari_denoise.inference.guides import Features
from napari_denoise.inference.stack import StackJob, albedo_job
from napari_denoise.measure.channels import Channel, measured
from napari_denoise.measure.mappings import LogMapping
from napari_denoise.models.network import Network
from napari_denoise.models.registry import build
from napari_denoise.settings.denoise import DenoiseSettings
from napari_denoise.settings.finetune import FineTuneSettings
from napari_denoise.settings.recipe import SSIM_WINDOW
from napari_denoise.training.data.real_pairs import Pair
from napari_denoise.training.data.regions import bounding_box
from napari_denoise.training.finetune.gain import Gain, gain_of
from napari_denoise.training.finetune.material import HeldOut
from napari_denoise.training.loop.checkpoints import load_checkpoint, save_checkpoint
from napari_denoise.training.loop.report import Validation
from napari_denoise.training.loop.state import TrainingState
from napari_denoise.weights.catalogue import WeightsInfo

Planes = NDArray[np.float32]
_MOST_SHOWN, _SIDE = 3, 256
_SPAN = (0.1, 99.9)
"""Percentiles of a noisy shot that its range lies between."""
_LEAST_ERROR = 1e-4
"""Of the data range: what is measured without a clean image cannot be less."""
MOST_MEASURED, _MOST_WINDOWS = 2**20, 16
"""Pixels that the figures at the end are of, and windows. More can take longer than the training
does, and changes the figures little."""


@dataclass(frozen=True)
class Figures:
    """What was measured of one set of images, means over the held-out regions."""

    psnr: float
    ssim: float
    mean_error: float
    """Of the mean intensity, in percent of it."""

    def texts(self, missing: str) -> tuple[str, str, str]:
        """Write each of them, and something else for what is no number."""
        forms = (("psnr", "{:.2f} dB"), ("ssim", "{:.4f}"), ("mean_error", "{:+.2f} %"))
        psnr, ssim, mean = (
            form.format(value) if isfinite(value := getattr(self, name)) else missing
            for name, form in forms
        )
        return psnr, ssim, mean


@dataclass(frozen=True, eq=False)
class _View:
    """A window of a held-out frame: pixels to measure, what they should be, what they were."""

    job: int
    frame: int
    window: tuple[slice, slice]
    mask: NDArray[np.bool_]
    target: Planes
    noisy: Planes
    second: Planes | None = None


class HeldOutSet:
    """Held-out regions, and what any network makes of them.

    Parameters
    ----------
    held_out
        As `material.gather` found them.
    settings
        Whose noise is told to the network.
    info
        The base, whose card says how intensities are mapped.
    device
        To measure on, in float32.
    """

    def __init__(
        self,
        held_out: Sequence[HeldOut],
        settings: FineTuneSettings,
        info: WeightsInfo,
        device: str,
    ) -> None:
        self.info, self.device = info, device
        self.asked = DenoiseSettings(noise=settings.noise, line_noise="keep", precision="float32")
        self.pairs: list[Pair] = []
        self.channels: list[tuple[Channel, ...]] = []
        self.features: list[Features | None] = []
        self.albedos: list[tuple[Channel, ...]] = []
        self.whole = [view for held in held_out if (view := self._view(held)) is not None]
        self.shown = [_smaller(view, _SIDE) for view in evenly(self.whole, _MOST_SHOWN)]
        """A part of them, small enough to be measured time and again."""
        self.measured = _within(self.whole, MOST_MEASURED)
        """What the figures at the end are of."""
        self.blind = any(view.second is not None for view in self.whole)
        """Whether there is no clean image, but two more noisy shots."""
        mappings = [channel.mapping for entry in self.channels for channel in entry]
        self.radiance = bool(mappings) and all(isinstance(m, LogMapping) for m in mappings)
        self.peak = self._peak()

    @property
    def extent(self) -> str:
        """How much of what is held out the figures at the end are of; empty for all of it."""
        part, all_of_it = (sum(v.mask.sum() for v in vs) for vs in (self.measured, self.whole))
        if part == all_of_it:
            return ""
        return f"{part / 1e6:.1f} of its {all_of_it / 1e6:.1f} megapixels, spread over all"

    @property
    def peak_note(self) -> str:
        """What PSNR and SSIM relate to."""
        if self.radiance:
            return TONE_MAPPED
        return f"data range {self.peak:g}"

    def noisy(self, *, whole: bool = False) -> Figures:
        """Measure the noisy images, those shown or, for the end, as many as `extent` says."""
        views = self.measured if whole else self.shown
        return self._measured(views, [view.noisy for view in views])

    def denoised(
        self, network: Network, faithful: Network | None = None, *, whole: bool = False
    ) -> tuple[Figures, list[Planes]]:
        """Measure what a network makes of them; also give the images, (S, Y, X).

        Parameters
        ----------
        network
            To measure.
        faithful
            The faithful end of its weights, which denoises albedos; the network itself if None.
        whole
            As many as `extent` says, not those shown.
        """
        views = self.measured if whole else self.shown
        engine, calm = self._engines(network, faithful)
        jobs = [self._job(number, engine, calm) for number in range(len(self.pairs))]
        images = []
        for view in views:
            layout = self.pairs[view.job].layout
            region = jobs[view.job].region(view.frame, *view.window)
            images.append(color_samples(region, layout)[0].astype(np.float32))
        return self._measured(views, images), images

    def job(self, number: int, network: Network, faithful: Network | None = None) -> StackJob:
        """Denoise a pair as a user would who chose nothing.

        Parameters
        ----------
        number
            Of the pair, in `pairs`.
        network, faithful
            As for `denoised`.
        """
        return self._job(number, *self._engines(network, faithful))

    def _job(self, number: int, engine: TorchEngine, calm: TorchEngine) -> StackJob:
        pair, features = self.pairs[number], self.features[number]
        albedo = None
        if features is not None:
            albedo = albedo_job(features, self.albedos[number], calm, self.info)
        fixed = pair.layout, self.asked, self.channels[number], engine, self.info
        return StackJob(pair.noisy, *fixed, features=features, albedo=albedo)

    def _engines(
        self, network: Network, faithful: Network | None
    ) -> tuple[TorchEngine, TorchEngine]:
        """Engines of a network and of the faithful end: one, where they are the same."""
        engine = self._engine(network)
        if faithful is None or faithful is network:
            return engine, engine
        return engine, self._engine(faithful)

    def _engine(self, network: Network) -> TorchEngine:
        own = deepcopy(network).eval()
        return TorchEngine(own, self.info.card.channels, self.device, "float32")

    def picture(self, planes: Planes) -> Planes:
        """Bring values to [0, 1] for people to look at."""
        if self.radiance:
            return tone_mapped(planes)
        targets = np.concatenate([np.ravel(v.target[:, v.mask]) for v in self.shown])
        low, high = np.percentile(targets, [0.5, 99.8])
        scaled = (planes - low) / max(high - low, 1e-12)
        return np.asarray(np.clip(scaled, 0, 1), np.float32)

    def _view(self, held: HeldOut) -> _View | None:
        layout = held.pair.layout
        both = np.isfinite(held.target).all(axis=0) & np.isfinite(held.noisy).all(axis=0)
        mask = held.mask & both
        window = bounding_box(mask)
        if window is None:
            return None
        if held.pair not in self.pairs:
            self.pairs.append(held.pair)
            known, card = held.pair.described, self.info.card
            asked = known.settings_for(card, self.asked)
            self.channels.append(measured(known.array, layout, card, asked, bits=known.bits))
            features = Features(held.pair.features, layout) if held.pair.features else None
            self.features.append(features)
            self.albedos.append(
                finished(measure_albedo(features, self.info.card)) if features else ()
            )
        second = None if held.second is None else held.second[:, *window]
        return _View(
            self.pairs.index(held.pair),
            held.frame,
            window,
            mask[window],
            held.target[:, *window],
            held.noisy[:, *window],
            second,
        )

    def _peak(self) -> float:
        if self.radiance:
            return 1.0
        if all(np.dtype(pair.noisy.dtype) == np.uint8 for pair in self.pairs):
            return 255.0
        if self.blind:
            targets = [np.percentile(v.target[:, v.mask], _SPAN) for v in self.whole]
        else:
            targets = [view.target[:, view.mask] for view in self.whole]
        span = max(float(t.max()) for t in targets) - min(float(t.min()) for t in targets)
        return span if span > 0 else 1.0

    def _measured(self, views: Sequence[_View], images: Sequence[Planes]) -> Figures:
        if self.blind:
            return self._estimated(views, images)
        psnrs, ssims, wanted, got = [], [], 0.0, 0.0
        for view, image in zip(views, images, strict=True):
            inside = view.mask
            wanted += float(view.target[:, inside].sum(dtype=np.float64))
            got += float(image[:, inside].sum(dtype=np.float64))
            a, b = (self._shown_as(planes) for planes in (view.target, image))
            error = float(np.square(a - b, dtype=np.float64)[:, inside].mean())
            psnrs.append(10 * np.log10(self.peak**2 / max(error, 1e-30)))
            ssims.append(_similarity(a, b, inside, self.peak))
        known = [value for value in ssims if value is not None]
        return Figures(
            float(np.mean(psnrs)),
            float(np.mean(known)) if known else float("nan"),
            100 * (got - wanted) / abs(wanted) if wanted else float("nan"),
        )

    def _estimated(self, views: Sequence[_View], images: Sequence[Planes]) -> Figures:
        """Measure without a clean image: by two shots whose noise is independent.

        All places together: of a single one, noise can leave less than nothing.
        """
        found = [_blind_error(view, image) for view, image in zip(views, images, strict=True)]
        error = sum(float(e[v.mask].sum()) for e, v in zip(found, views, strict=True))
        error /= sum(int(view.mask.sum()) for view in views)
        wanted, got = (
            sum(float(side[:, v.mask].sum(dtype=np.float64)) for v, side in sides)
            for sides in (
                [(v, _mean_shot(v)) for v in views],
                list(zip(views, images, strict=True)),
            )
        )
        return Figures(
            float(10 * np.log10(self.peak**2 / max(error, (_LEAST_ERROR * self.peak) ** 2))),
            float("nan"),
            100 * (got - wanted) / abs(wanted) if wanted else float("nan"),
        )

    def gain(self, base: Sequence[Planes], tuned: Sequence[Planes]) -> Gain:
        """Estimate what weights gain, with an interval: from images that `denoised` gave.

        Of the whole, and measured without a clean image, see `blind`.
        """
        before, after = (
            [
                np.where(view.mask, _blind_error(view, image), 0)
                for view, image in zip(self.measured, images, strict=True)
            ]
            for images in (base, tuned)
        )
        return gain_of([(view.job, view.window) for view in self.measured], before, after)

    def _shown_as(self, planes: Planes) -> Planes:
        return tone_mapped(planes) if self.radiance else planes


class HeldOutValidator:
    """Measures the averaged weights from time to time, and keeps the best of them.

    Parameters
    ----------
    views
        What is held out.
    base
        The network that fine-tuning started from.
    best
        Where the best weights are kept.
    resume
        Take up the best ones that are there.
    """

    def __init__(
        self, views: HeldOutSet, base: Network, best: Path, *, resume: bool = False
    ) -> None:
        self.views, self.best = views, best
        found, images = views.denoised(base)
        self.references = {"noisy": views.noisy(), "base": found}
        """Lines that a curve is compared with."""
        shown = {"noisy": [v.noisy for v in views.shown], "base": images}
        self._pictures = {name: [*map(views.picture, of)] for name, of in shown.items()}
        self._clean = [views.picture(np.nan_to_num(view.target)) for view in views.shown]
        self._faithful: Network | None = None
        kept = load_checkpoint(best) if resume and best.is_file() else None
        self.best_step: int | None = kept["step"] if kept else None
        self._best_psnr: float = kept["psnr"] if kept else -np.inf

    def __call__(self, state: TrainingState) -> Validation:
        """Measure both ends that there are; keep the faithful one if none was better."""
        if state.faithful is not None and self._faithful is None:
            self._faithful = build(state.settings.architecture, state.settings.config)
            self._faithful.load_state_dict(state.faithful)
        ends: dict[str, Network] = {"faithful": self._faithful or state.average}
        if self._faithful is not None:
            ends["realistic"] = state.average
        figures, columns = dict(self.references), dict(self._pictures)
        for name, network in ends.items():
            figures[name], images = self.views.denoised(network, ends["faithful"])
            columns[name] = [*map(self.views.picture, images)]
        if self._faithful is None:
            self._keep(state, figures["faithful"].psnr)
        values: Mapping[str, float] = {
            f"{kind}_{name}": getattr(found, kind)
            for kind in ("psnr", "ssim")
            for name, found in figures.items()
        }
        return Validation(values, {**columns, "clean": self._clean})

    def _keep(self, state: TrainingState, psnr: float) -> None:
        if not psnr > self._best_psnr:
            return
        weights = {
            k: v.detach().to("cpu", copy=True) for k, v in state.average.state_dict().items()
        }
        save_checkpoint(self.best, {"step": state.step, "psnr": psnr, "weights": weights})
        self._best_psnr, self.best_step = psnr, state.step


def _mean_shot(view: _View) -> Planes:
    assert view.second is not None  # noqa: S101 - else there is a clean image
    return np.asarray((view.target + view.second) / 2)


def _blind_error(view: _View, image: Planes) -> NDArray[np.float64]:
    """(Y, X) whose mean is that of the squared error: noise of two shots cancels out."""
    assert view.second is not None  # noqa: S101 - else there is a clean image
    apart = (image - np.nan_to_num(shot) for shot in (view.target, view.second))
    one, two = (side.astype(np.float64) for side in apart)
    return np.asarray((one * two).mean(axis=0))


def _within(views: Sequence[_View], pixels: int) -> list[_View]:
    """Take all, or windows of some, so that they hold no more pixels together."""
    if sum(view.mask.size for view in views) <= pixels:
        return list(views)
    chosen = evenly(views, _MOST_WINDOWS)
    return [_smaller(view, int((pixels / len(chosen)) ** 0.5)) for view in chosen]


def _smaller(view: _View, longest: int) -> _View:
    """Cut the middle of what is held out of a frame."""
    rows, columns = np.nonzero(view.mask)
    cuts = []
    for places, length in ((rows, view.mask.shape[0]), (columns, view.mask.shape[1])):
        side = min(longest, length)
        start = int(np.clip(int(np.median(places)) - side // 2, 0, length - side))
        cuts.append(slice(start, start + side))
    cut = tuple(cuts)
    if not view.mask[cut].any():
        return view
    window = tuple(
        slice(outer.start + inner.start, outer.start + inner.stop)
        for outer, inner in zip(view.window, cuts, strict=True)
    )
    target, noisy = view.target[:, *cut], view.noisy[:, *cut]
    second = None if view.second is None else view.second[:, *cut]
    place = window[0], window[1]
    return _View(view.job, view.frame, place, view.mask[cut], target, noisy, second)


def _similarity(clean: Planes, image: Planes, mask: NDArray[np.bool_], peak: float) -> float | None:
    """Mean SSIM over the windows that lie inside; None where none does."""
    from scipy.ndimage import binary_erosion

    if min(mask.shape) < SSIM_WINDOW:
        return None
    inside = binary_erosion(mask, np.ones((SSIM_WINDOW, SSIM_WINDOW)))
    if not inside.any():
        return None
    values = []
    for one, other in zip(clean, image, strict=True):
        _, local = structural_similarity(
            np.nan_to_num(one).astype(np.float64),
            other.astype(np.float64),
            data_range=peak,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            full=True,
        )
        values.append(float(local[inside].mean()))
    return float(np.mean(values))
