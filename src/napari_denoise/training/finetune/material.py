"""Pairs, regions and checks -> what is trained on and what is held out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from napari_denoise.engines.torch import TorchEngine
from napari_denoise.image.axes import Layout
from napari_denoise.image.long_work import InParts, finished
from napari_denoise.image.planes import color_samples, frame_order
from napari_denoise.image.tiles import Window
from napari_denoise.inference.albedo import guide_steps
from napari_denoise.inference.guides import Features
from napari_denoise.inference.stack import albedo_job
from napari_denoise.measure.channels import Channel, measured
from napari_denoise.settings.denoise import DenoiseSettings
from napari_denoise.settings.finetune import FineTuneSettings
from napari_denoise.settings.recipe import TrainSettings
from napari_denoise.training.data.mapped import (
    MappedFrame,
    as_network_takes,
    common_width,
    map_frame,
)
from napari_denoise.training.data.pair_checks import Match, Verdict, check_pair
from napari_denoise.training.data.pair_planes import PairPlanes
from napari_denoise.training.data.pairs import RealPairs
from napari_denoise.training.data.real_pairs import Pair
from napari_denoise.training.data.regions import (
    Mask,
    Place,
    Regions,
    Split,
    bounding_box,
    largest_rectangle,
    split,
)
from napari_denoise.training.data.stack_pairs import StackPairs
from napari_denoise.training.finetune.line_free import line_free
from napari_denoise.training.finetune.stack_material import Learnt, Open, StackMaterial
from napari_denoise.weights.card import WeightsCard
from napari_denoise.weights.catalogue import WeightsInfo
from napari_denoise.weights.files import load_network

_TILE = 512
"""Pixels of an albedo at a time: the same whatever memory is free, as a resumed run is the same to
the last bit."""
_SPLINE = 2
"""Pixels that a cubic spline draws on directly."""
MOST_PIXELS = 2**26
"""Pixels of all training frames together; of more frames, some are taken, evenly."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """A frame with pixels that are validated on."""

    pair: Pair
    frame: int
    mask: Mask
    target: NDArray[np.float32]
    """(S, Y, X) in the units of the noisy image; NaN where there is none."""
    noisy: NDArray[np.float32]
    """(S, Y, X) as it is."""
    second: NDArray[np.float32] | None = None
    """(S, Y, X), where the target is a noisy shot, another one, independent of it; NaN where there
    is none."""


@dataclass(frozen=True, eq=False)
class Material:
    """All that a fine-tuning learns from and is measured on.

    Parameters
    ----------
    frames, masks, features
        In the network's units, the pixels of each that may be trained on, and planes beside
        them, of networks that take such.
    held_out
        In the data's units.
    verdicts
        One per pair.
    noisy_target
        The targets are second noisy shots.
    notes
        What the user should know of trimming and choosing.
    pixels
        How many are trained on, those of one scene counted once.
    shots
        (Y, X, 1) of each frame of noisy stacks, of how many neighbours its target is the mean.
    """

    frames: tuple[MappedFrame, ...]
    masks: tuple[Mask, ...]
    features: tuple[NDArray[np.float32], ...] | None
    held_out: tuple[HeldOut, ...]
    verdicts: tuple[Verdict, ...]
    noisy_target: bool
    notes: tuple[str, ...]
    pixels: int
    shots: tuple[NDArray[np.float32], ...] | None = None

    @property
    def log_width(self) -> float | None:
        """See `Batch`."""
        return common_width(self.frames)

    def pairs(self, settings: TrainSettings) -> RealPairs:
        """Draw patches of what may be trained on, for a recipe."""
        noisy = [frame.noisy for frame in self.frames]
        targets = [frame.target for frame in self.frames]
        sigmas = [frame.sigma for frame in self.frames]
        if self.shots is not None:
            return StackPairs(noisy, targets, self.shots, sigmas, settings, masks=self.masks)
        return RealPairs(
            noisy,
            targets,
            sigmas,
            settings,
            factors=[frame.factor for frame in self.frames],
            noisy_target=self.noisy_target,
            log_width=self.log_width,
            masks=self.masks,
            features=self.features,
        )

    @property
    def bytes(self) -> int:
        """Memory that the training frames take, once more than they are stacked."""
        return 2 * sum(frame.noisy.nbytes + frame.target.nbytes for frame in self.frames)


def gather(
    pairs: Sequence[Pair],
    regions: Regions,
    settings: FineTuneSettings,
    base: WeightsInfo,
    device: str = "cpu",
) -> Material:
    """Do what `gathering` does, without listening."""
    return finished(gathering(pairs, regions, settings, base, device))


def gathering(
    pairs: Sequence[Pair],
    regions: Regions,
    settings: FineTuneSettings,
    base: WeightsInfo,
    device: str,
) -> InParts[Material]:
    """Check pairs, part their frames, and map what is trained on as inference would.

    Neither the mapping, nor the noise that is told, nor the fit of a clean image to its noisy
    one, nor an albedo looks at a pixel that is held out. Each part is named before it begins.

    Parameters
    ----------
    pairs, regions, settings
        What to learn from, where, and how.
    base, device
        The weights to start from, which denoise the albedo of renders, and where.

    Raises
    ------
    ValueError
        No pairs, a pair that cannot be used, kinds that do not go together, or regions that
        leave nothing.
    """
    card, engine = base.card, None
    _check_kinds(pairs)
    for pair in pairs:  # before regions are laid over frames that there may not be
        _refuse(check_pair(pair) if _is_broken(pair) else None)
    splits, pixels = _splits(pairs, regions)
    if pairs[0].stack:
        return (yield from _gathering_stacks(pairs, splits, pixels, settings, base, device))
    verdicts, frames, masks, planes, held = [], [], [], [], []
    takes_features = bool(card.config.get("features", 0))
    total = sum(int(s.train.sum() > 0) * s.train.size for parts in splits for s in parts)
    every = max(1, -(-total // MOST_PIXELS))
    for pair, parts in zip(pairs, splits, strict=True):
        yield f"checking the pair {pair.name}"
        open_part = _open_part(parts)
        verdict = check_pair(pair, *open_part)
        _refuse(verdict)
        if takes_features and "S" not in pair.layout.axes:
            raise ValueError(
                f"{pair.name}: the weights {base.name!r} are for colour renders, and axes "
                f"{pair.axes!r} have no colour (S): start from others, such as microscopy"
            )
        verdicts.append(verdict)
        yield f"measuring the noise of {pair.name}, and preparing its frames"
        targets = _Targets(pair.noisy_target, verdict, settings)
        channels = _prepared(pair, open_part, settings, card)
        used = {*[n for n, part in enumerate(parts) if part.train.any()][::every]}
        guides = None
        if takes_features and used:
            engine = engine or TorchEngine(load_network(base), card.channels, device, "float32")
            guides = _Guides(pair, open_part, engine, base)
        for number, part in enumerate(parts):
            seen = pair.planes(number)
            if number in used:
                mapped, mask = _mapped(seen, channels, targets, part, card)
                frames += mapped
                masks += [mask] * len(mapped)
                if guides is not None:
                    if guides.channels:
                        yield f"denoising the albedo of {pair.name}, frame {number + 1}"
                    planes += [guides.frame(number, part.train)] * len(mapped)
            if part.validate.any():
                target, noisy = targets.to_measure(seen), seen.noisy.astype(np.float32)
                held.append(HeldOut(pair, number, part.validate, target, noisy))
    if not frames:
        raise ValueError(
            "nothing is left to train on: every frame is in the validation set; draw a region to "
            "train on, or a smaller validation set"
        )
    return Material(
        tuple(frames),
        tuple(masks),
        tuple(planes) if takes_features else None,
        tuple(held),
        tuple(verdicts),
        pairs[0].noisy_target,
        (*_trimming(pairs, splits), *_choosing(every), *_doubles(pairs)),
        pixels,
    )


def _gathering_stacks(
    pairs: Sequence[Pair],
    splits: Sequence[Sequence[Split]],
    pixels: int,
    settings: FineTuneSettings,
    base: WeightsInfo,
    device: str,
) -> InParts[Material]:
    """Find what noisy stacks teach by themselves."""
    engine = TorchEngine(load_network(base), base.card.channels, device, "float32")
    learnt: list[Learnt] = []
    verdicts, held, notes = [], [], list[str]()
    for pair, parts in zip(pairs, splits, strict=True):
        yield f"checking the stack {pair.name}"
        open_part = _open_part(parts)
        verdict = check_pair(pair, *open_part)
        _refuse(verdict)
        verdicts.append(verdict)
        yield f"measuring the noise of {pair.name}"
        channels = _prepared(pair, open_part, settings, base.card, line_noise="auto")
        pair, channels, said = yield from line_free(pair, channels)
        notes += [said] if said else []
        stack = StackMaterial(pair, parts, open_part, channels, engine, base)
        learnt += yield from stack.learning()
        for found in (yield from stack.measuring()):
            noisy = pair.planes(found.frame).noisy.astype(np.float32)
            held.append(
                HeldOut(pair, found.frame, found.mask, found.shots[0], noisy, found.shots[1])
            )
    if not held:
        raise ValueError(
            "no part of the validation set is seen in three frames, of which two measure the "
            "third: validate on the same part of three frames in a row, or leave the choice to "
            "the program"
        )
    return Material(
        tuple(each.mapped for each in learnt),
        tuple(each.mask for each in learnt),
        None,
        tuple(held),
        tuple(verdicts),
        True,
        (*_trimming(pairs, splits), *_doubles(pairs), *notes),
        pixels,
        tuple(each.shots for each in learnt),
    )


class _Targets:
    """What noisy frames should become, in their units: matched and aligned as was asked.

    A clean average is seldom exactly as bright as one shot of it: lamps flicker and dyes bleach.
    That is no noise, and a network that learnt it would change mean intensities; so in training
    clean images are always scaled to their noisy ones, unless that is forbidden. Figures are
    of the clean image as it is, unless it is clearly in other units.
    """

    def __init__(self, noisy_target: bool, verdict: Verdict, settings: FineTuneSettings) -> None:
        self.noisy_target = noisy_target
        fit = not noisy_target and settings.match != "never"
        asked = settings.match == "always" or verdict.differs
        self.trained = tuple(
            match if fit and (asked or match.certain) else Match() for match in verdict.matches
        )
        self.measured = verdict.matches if fit and asked else (Match(),) * len(verdict.matches)
        self.shift = verdict.shift if settings.align else None

    def to_measure(self, seen: PairPlanes) -> NDArray[np.float32]:
        """(S, Y, X); NaN where a shift brings nothing."""
        planes = _matched(seen, self.measured)
        return planes if self.shift is None else _moved(planes, self.shift)

    def to_train(self, seen: PairPlanes, closed: Mask) -> NDArray[np.float32]:
        """(S, Y, X); NaN also where a shift would bring in what is closed."""
        planes = _matched(seen, self.trained)
        if self.shift is None:
            return planes
        reach = int(np.ceil(max(map(abs, self.shift)))) + _SPLINE
        near = binary_dilation(closed, np.ones((2 * reach + 1, 2 * reach + 1)))
        # A spline depends on every pixel: what is closed must not be there at all.
        opened = np.where(closed, np.nan, planes)
        moved = _moved(np.stack([_filled(plane) for plane in opened]), self.shift)
        return np.where(near, np.float32(np.nan), moved)


def _matched(seen: PairPlanes, matches: tuple[Match, ...]) -> NDArray[np.float32]:
    """Bring the target to the intensities of its noisy frame, by the fit of its channel."""
    match = matches[seen.channel]
    return seen.target.astype(np.float32) * np.float32(match.factor) + np.float32(match.offset)


class _Guides:
    """Planes beside the frames of a pair, as in use; what is held out is not there.

    The albedo is denoised by the weights that training starts from.
    """

    def __init__(self, pair: Pair, open_part: Open, engine: TorchEngine, base: WeightsInfo) -> None:
        self.whole = Features(pair.features, pair.layout)
        self.engine, self.base = engine, base
        self.channels: tuple[Channel, ...] = ()
        albedo = pair.features.get("albedo")
        if albedo is not None:
            alone = replace(pair, noisy=albedo, features={})
            try:
                self.channels = _prepared(alone, open_part, FineTuneSettings(), base.card)
            except ValueError as error:
                raise ValueError(f"{pair.name}: albedo: {error}; or leave it out") from error

    def frame(self, number: int, train: Mask) -> NDArray[np.float32]:
        """(Y, X, planes) of a frame, to be looked at where it is trained on."""
        layout = self.whole.layout
        index = layout.frames[number]
        part = Layout(layout.frame_axes, tuple(layout.size(axis) for axis in layout.frame_axes))
        seen = {
            role: _blanked(np.asarray(array[index], np.float32), train, part)
            for role, array in self.whole.arrays.items()
        }
        features = Features(seen, part)
        channels = self.channels and (self.channels[layout.channel_of(number)],)
        albedo = albedo_job(features, channels, self.engine, self.base, _TILE)
        planes = features.frame(part.frames[0])
        if where := bounding_box(train):
            *_, last = guide_steps(features, albedo, 0, where)
            planes[:, *where] = last.result
        return np.ascontiguousarray(np.moveaxis(planes, 0, -1))


def _blanked(frame: NDArray[np.float32], train: Mask, layout: Layout) -> NDArray[np.float32]:
    """Put the middle of what is trained on wherever else."""
    planes = color_samples(frame.copy(), layout)[0]
    for plane in planes:
        inside = plane[train & np.isfinite(plane)]
        plane[~train] = np.median(inside) if inside.size else 0
    return frame_order(planes, layout)


def _moved(planes: NDArray[np.float32], by: tuple[float, float]) -> NDArray[np.float32]:
    """Shift (S, Y, X) by cubic splines; NaN where it brings nothing."""
    from scipy.ndimage import shift

    return np.stack([shift(p, by, order=3, mode="constant", cval=np.nan) for p in planes])


def _check_kinds(pairs: Sequence[Pair]) -> None:
    if not pairs:
        raise ValueError("no pairs: give a noisy image and a clean one, or a second noisy shot")
    if len({pair.stack for pair in pairs}) > 1:
        raise ValueError(
            "noisy stacks among pairs: what a stack gains is measured otherwise; train on one kind "
            "at a time"
        )
    if len({pair.noisy_target for pair in pairs}) > 1:
        raise ValueError(
            "clean images among second noisy shots: the losses differ; train on one kind at a time"
        )
    names = [pair.name for pair in pairs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"two pairs are called {twice[0]!r}: give each a name of its own")


def _is_broken(pair: Pair) -> bool:
    return pair.denoised or tuple(pair.noisy.shape) != tuple(pair.target.shape)


def _refuse(verdict: Verdict | None) -> None:
    if verdict is not None and not verdict.usable:
        raise ValueError(f"{verdict.pair}: {verdict.findings[0]}")


def _splits(pairs: Sequence[Pair], regions: Regions) -> tuple[list[list[Split]], int]:
    """Part the frames of each pair; also count the pixels to train on, of each scene once."""
    places = []
    for pair in pairs:
        layout = pair.layout
        shape = layout.size("Y"), layout.size("X")
        places += [
            Place(pair.name, n, shape, pair.scene(n), pair.held_out_whole(n))
            for n in range(len(layout.frames))
        ]
    parts = split(places, regions)
    of_scenes: dict[str, int] = {}
    for place, part in zip(places, parts, strict=True):
        most = of_scenes.get(place.scene, 0)
        of_scenes[place.scene] = max(most, int(part.train.sum()))
    done = iter(parts)
    return [[next(done) for _ in pair.layout.frames] for pair in pairs], sum(of_scenes.values())


def _open_part(parts: Sequence[Split]) -> Open:
    """Find what may be looked at; all, where all is held out and nothing is learnt from it.

    Where some frames are held out as a whole, the window is that of the others.
    """
    shape = parts[0].train.shape
    best = 0
    window = slice(0, shape[0]), slice(0, shape[1])
    for chosen in (parts, [part for part in parts if part.train.any()]):
        blocked = np.zeros(shape, bool)
        for part in chosen:
            blocked |= part.closed
        found = largest_rectangle(~blocked) if chosen else None
        if found is not None and (area := _area(found) * len(chosen)) > best:
            best, window = area, found
    frames = tuple(n for n, part in enumerate(parts) if not part.closed[window].any())
    return Open(window, frames or tuple(range(len(parts))))


def _area(window: Window) -> int:
    rows, columns = window
    return int((rows.stop - rows.start) * (columns.stop - columns.start))


def _prepared(
    pair: Pair,
    open_part: Open,
    settings: FineTuneSettings,
    card: WeightsCard,
    line_noise: Literal["auto", "keep"] = "keep",
) -> tuple[Channel, ...]:
    """Fix noise and mapping from pixels that are not held out."""
    layout = pair.layout
    asked = pair.described.settings_for(
        card, DenoiseSettings(noise=settings.noise, line_noise=line_noise)
    )
    cut = dict(zip("YX", open_part.window, strict=True))
    if len(open_part.frames) == len(layout.frames):
        array = pair.noisy[tuple(cut.get(letter, slice(None)) for letter in layout.axes)]
        return measured(array, Layout(layout.axes, array.shape), card, asked)
    done: list[Channel] = []
    rows_and_columns = tuple(cut.get(letter, slice(None)) for letter in layout.frame_axes)
    for channel in range(layout.size("C")):
        numbers = [n for n in layout.series(channel) if n in open_part.frames]
        if not numbers:
            raise ValueError(
                f"{pair.name}: every frame of channel {channel} is in the validation set; use "
                "one of them to train on, or leave the channel out"
            )
        frames = [np.asarray(pair.noisy[layout.frames[n]])[rows_and_columns] for n in numbers]
        stack = np.stack(frames)
        noise = asked.noise
        alone = replace(asked, noise=noise[channel]) if isinstance(noise, tuple) else asked
        done += measured(stack, Layout("T" + layout.frame_axes, stack.shape), card, alone)
    return tuple(done)


def _mapped(
    seen: PairPlanes,
    channels: tuple[Channel, ...],
    targets: _Targets,
    part: Split,
    card: WeightsCard,
) -> tuple[list[MappedFrame], Mask]:
    """Map a frame; without what is not to be trained on, or has no target."""
    wanted = targets.to_train(seen, part.closed)
    mask = part.train & np.isfinite(wanted).all(axis=0) & seen.finite[0]
    # What is held out is not merely left undrawn: it is not there.
    noisy, wanted = (np.where(part.train, side, np.nan) for side in (seen.noisy, wanted))
    noisy, wanted = (
        np.stack([_filled(plane) for plane in side]).astype(np.float32) for side in (noisy, wanted)
    )
    frames = [
        map_frame(channels[seen.channel], one, other, noisy_target=targets.noisy_target)
        for one, other in zip(
            as_network_takes(noisy, card.channels),
            as_network_takes(wanted, card.channels),
            strict=True,
        )
    ]
    return frames, mask


def _filled(plane: NDArray[Any]) -> NDArray[Any]:
    """Put something finite where no patch will be."""
    finite = np.isfinite(plane)
    return plane if finite.all() else np.where(finite, plane, np.median(plane[finite]))


def _trimming(pairs: Sequence[Pair], splits: Sequence[Sequence[Split]]) -> list[str]:
    notes = []
    for pair, parts in zip(pairs, splits, strict=True):
        if count := sum(part.trimmed for part in parts):
            notes.append(
                f"{pair.name}: {count} pixels drawn to train on are in the validation set, there "
                "or in a frame of the same scene; they were left out of training"
            )
    return notes


def _choosing(every: int) -> list[str]:
    if every == 1:
        return []
    return [f"one of {every} frames is trained on: all would hold more than {MOST_PIXELS} pixels"]


def _doubles(pairs: Sequence[Pair]) -> list[str]:
    names: dict[str, list[str]] = {}
    for pair in pairs:
        names.setdefault(pair.sha256, []).append(pair.name)
    return [
        f"{' and '.join(same)} hold the very same images: one of them would do"
        for same in names.values()
        if len(same) > 1
    ]
