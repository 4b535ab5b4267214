"""Light passes of a render, denoised so that they still add up to its beauty."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_denoise.image.axes import Layout
from napari_denoise.image.frames import evenly
from napari_denoise.inference.adding_up import Sum, balanced, find_sum
from napari_denoise.inference.notes import found_notes, unnoisy_notes
from napari_denoise.inference.steps import Step
from napari_denoise.io.formats.exr_names import (
    color_of_light,
    has_albedo_in_it,
    is_light_pass,
    is_like_the_beauty,
    spelled,
)
from napari_denoise.io.meta import ImageMeta
from napari_denoise.measure.channels import Measuring

if TYPE_CHECKING:
    from napari_denoise.inference.denoiser import Denoiser
    from napari_denoise.inference.stack import StackJob
    from napari_denoise.settings.denoise import DenoiseSettings

REST = ""
"""Name of what the passes lack of the beauty, which is denoised as one more of them."""
_MOST_LOOKED_AT = 40_000


@dataclass(frozen=True)
class PassStep(Step):
    """One tile is done; the last one of a frame carries the beauty and the passes."""

    layers: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """As they are stored in the file: (Y, X, 3) by name."""


class PassesJob:
    """A render and its passes, each measured and fixed as a stack of its own.

    Parameters
    ----------
    beauty
        The image; its own pixels are those of the result where passes are like it.
    jobs
        Of every pass that adds up, by name; `REST` for what they lack.
    plan
        Which passes they are.
    stored, colors
        The passes as the file holds them; what some of them are multiplied with to be light.
    """

    def __init__(
        self,
        beauty: StackJob,
        jobs: Mapping[str, StackJob],
        plan: Sum,
        stored: Mapping[str, Any],
        colors: Mapping[str, Any],
    ) -> None:
        self.beauty, self.jobs, self.plan = beauty, dict(jobs), plan
        self._stored, self._colors = stored, colors
        self.layout: Layout = beauty.layout
        self.dtype = beauty.dtype
        members = [name for name in jobs if name != REST]
        self.sums = plan.adds_up and not any(is_like_the_beauty(_key(n)) for n in members)
        """Whether the beauty is the sum of its passes; else passes are fitted to it."""

    @property
    def names(self) -> tuple[str, ...]:
        """The layers that get new pixels."""
        totals = self.plan.totals if self.plan.adds_up else ()
        return (*(name for name in self.jobs if name != REST), *totals)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know."""
        said = [*_adding_up(self.plan), *self.beauty.warnings]
        for name, job in self.jobs.items():
            plain = {*found_notes(job.channels), *unnoisy_notes(job.channels, job.settings)}
            said += [f"{name}: {text}" for text in job.warnings if name and text not in plain]
        return tuple(dict.fromkeys(said))

    def provenance(self) -> dict[str, Any]:
        """Return that of the beauty, with the passes that were denoised with it."""
        return self.beauty.provenance() | {
            "passes": list(self.names),
            "beauty_is_their_sum": self.sums,
        }

    def let_go(self) -> None:
        """Give memory back that only makes further frames faster."""
        for job in (self.beauty, *self.jobs.values()):
            job.let_go()

    def steps(self, which: Sequence[int] | None = None) -> Iterator[PassStep]:
        """Denoise frames, yielding after every tile; the last one of a frame carries it."""
        numbers = range(len(self.beauty.frames)) if which is None else which
        alpha = self.layout.size("S") == 4
        # The sum needs the beauty's own denoising for alpha alone.
        work = [*self.jobs.items()]
        if not self.sums or alpha:
            work.insert(0, (None, self.beauty))  # type: ignore[arg-type]
        for done, number in enumerate(numbers):
            clean: dict[str | None, NDArray[Any]] = {}
            for turn, (name, job) in enumerate(work):
                for step in job.steps([number]):
                    if step.result is not None:
                        clean[name] = step.result
                    tile = turn * step.tiles + step.tile
                    if turn + 1 < len(work) or step.result is None:
                        counts = done, len(numbers), tile, len(work) * step.tiles
                        yield PassStep(*counts)
            own = clean.pop(None, None)
            result, parts = self._together(number, own, {k or "": v for k, v in clean.items()})
            index = self.beauty.frames[number]
            yield PassStep(done, len(numbers), 1, 1, index, result, layers=parts)

    def _together(
        self, number: int, own: NDArray[Any] | None, clean: dict[str, NDArray[Any]]
    ) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
        """Make beauty and passes agree; give totals and what Cycles stores."""
        names = list(clean)
        if self.sums:
            total = np.sum([clean[n] for n in names], axis=0, dtype=np.float64)
            beauty = total.astype(self.dtype)
            if own is not None:
                beauty = np.concatenate([beauty, own[..., 3:]], axis=-1)
        else:
            assert own is not None  # noqa: S101 - only a sum goes without
            beauty = own
            if self.plan.adds_up:
                noisy = [self.jobs[n].array[self.jobs[n].frames[number]] for n in names]
                parts = balanced(
                    own[..., :3], [clean[n] for n in names], [np.asarray(part) for part in noisy]
                )
                clean = dict(zip(names, parts, strict=True))
        for name, members in self.plan.totals.items() if self.plan.adds_up else ():
            clean[name] = np.asarray(sum(clean[n].astype(np.float64) for n in members))
        clean.pop(REST, None)
        index = self.beauty.frames[number]
        return beauty, {n: self._as_stored(n, light, index) for n, light in clean.items()}

    def _as_stored(self, name: str, light: NDArray[Any], index: Any) -> NDArray[Any]:
        """Divide by the colour of the surface where the file keeps it apart."""
        color = self._colors.get(name)
        if color is None:
            return np.asarray(light, np.float32)
        factor = np.asarray(color[index], np.float64)
        old = np.asarray(self._stored[name][index], np.float32)
        divided = np.divide(light, factor, out=np.array(old, np.float64), where=factor > 1e-6)
        return np.asarray(divided, np.float32)


def preparing_passes(
    denoiser: Denoiser,
    array: Any,
    meta: ImageMeta,
    settings: DenoiseSettings | None = None,
    **fields: Any,
) -> Generator[Measuring | None, None, PassesJob]:
    """Find which passes add up to the beauty, and measure each, yielding after every frame.

    Parameters
    ----------
    denoiser
        Weights and device.
    array, meta
        As ``read(path, passes=True)`` gave them.
    settings, **fields
        As for `Denoiser.prepare`.

    Raises
    ------
    ValueError
        There are no passes, or they do not fit the beauty.
    """
    _check(array, meta)
    colors = _colors(meta.layers)
    stored = {n: a for n, a in meta.layers.items() if is_light_pass(_key(n))}
    light = {n: a * colors[n] if n in colors else a for n, a in stored.items()}
    layout = Layout(meta.axes, tuple(array.shape))
    yield None
    plan = find_sum(*_looked_at(array, light, layout))
    parts = {name: light[name] for name in (plan.members if plan.adds_up else light)}
    if plan.adds_up and not plan.is_whole:
        parts[REST] = array[..., :3] - sum(light[name] for name in plan.members)
    beauty = yield from denoiser.preparing(array, settings=settings, meta=meta, **fields)
    jobs = {}
    for name, part in parts.items():
        features = dict(meta.features)
        if name != REST and not has_albedo_in_it(_key(name)):
            features.pop("albedo", None)
        own = replace(meta, features=features, layers={})
        jobs[name] = yield from denoiser.preparing(part, settings=settings, meta=own, **fields)
    return PassesJob(beauty, jobs, plan, stored, colors)


def _check(array: Any, meta: ImageMeta) -> None:
    if not meta.layers or not meta.axes.endswith("S"):
        raise ValueError(
            "there are no passes beside this image: open an OpenEXR with read(path, passes=True)"
        )
    wanted = (*array.shape[:-1], 3)
    for name, part in meta.layers.items():
        if tuple(part.shape) != wanted:
            raise ValueError(f"pass {name!r} has shape {tuple(part.shape)}: expected {wanted}")


def _colors(layers: Mapping[str, Any]) -> dict[str, Any]:
    """Return what each pass of Cycles is multiplied with to be light."""
    by_place = {(name.rpartition(".")[0], _key(name)): a for name, a in layers.items()}
    found = {}
    for name in layers:
        color = by_place.get((name.rpartition(".")[0], color_of_light(_key(name))))
        if color is not None:
            found[name] = color
    return found


def _key(name: str) -> str:
    return spelled(name.rpartition(".")[2])


def _looked_at(
    array: Any, light: Mapping[str, Any], layout: Layout
) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
    """Return the same pixels of beauty and passes, from up to three frames."""
    frames = evenly(layout.frames, 3)
    step = max(1, int((layout.size("Y") * layout.size("X") * len(frames) / _MOST_LOOKED_AT) ** 0.5))

    def some(stack: Any) -> NDArray[np.float32]:
        parts = [np.asarray(stack[index])[::step, ::step, :3] for index in frames]
        return np.nan_to_num(np.stack(parts).astype(np.float32), posinf=0, neginf=0)

    return some(array), {name: some(part) for name, part in light.items()}


def _adding_up(plan: Sum) -> Iterator[str]:
    names = ", ".join(plan.members)
    if not plan.adds_up:
        yield (
            f"the passes do not add up to the beauty ({names} differ from it by {plan.wrong:.1%} "
            "of its light, and are brighter in places): each was denoised by itself"
        )
    elif not plan.is_whole:
        yield (
            f"{names} add up to {1 - plan.missing:.1%} of the beauty: what is missing was denoised "
            "as a pass of its own, and is in no layer"
        )
