"""The neighbours of every frame of a stack: which they are, and what they add to it."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING
from weakref import proxy

import numpy as np
from numpy.typing import NDArray

from napari_denoise.engines.device import is_out_of_memory, release_memory
from napari_denoise.image.frames import evenly
from napari_denoise.image.tiles import Tile, Window, plan_tiles
from napari_denoise.image.values import Float32Array
from napari_denoise.inference.agreement import LEARNT, MEASURED, Other, Recorded, others
from napari_denoise.inference.albedo import guide_steps
from napari_denoise.inference.first_pass import CELL, FirstPass, FirstPasses, stitched
from napari_denoise.inference.frame_source import LargeFrame, WholeFrame, open_frame
from napari_denoise.inference.fusion import Brightened, Fused, Pair, fuse, moved, needed, smoothed
from napari_denoise.inference.pairs import (
    Thumbnail,
    are_independent,
    brightness_between,
    shift_between,
    shift_left,
)
from napari_denoise.measure.channels import Channel
from napari_denoise.measure.mappings import LogMapping
from napari_denoise.models.architectures.two_scale import DARKEST

if TYPE_CHECKING:
    from napari_denoise.engines.base import Engine
    from napari_denoise.inference.stack import StackJob

_MIDDLE = 192
"""Side of the window in the middle of a frame that tells whether noise is shared."""
_EXACT = 384
"""The same where a shift is found to the pixel."""
_LOOKED_AT = 2048
"""The same where frames are compared as wholes and are too large to be held."""
_SAMPLED = 3
"""Frames of each channel that tell whether neighbours agree."""
_AGREE = 0.2
"""Mean weight of neighbours below which they are left out."""
_CORRELATED = 1.1
"""Inflation of the noise from which on averages go to a network of their own."""
_USUAL = {"T": 2, "Z": 1}
"""Frames on each side, unless the user says otherwise."""
SMALLEST = 64
"""Side of the smallest parts of a cell that are tried where memory is short."""
_OPEN_FRAMES = 2
_THUMBNAILS = 64
"""Frames whose thumbnails are kept: a few MB each at most."""


class Neighbors:
    """What the frames before and after add to each frame of a job.

    Parameters
    ----------
    job
        The stack as it is denoised frame by frame.
    engine
        The faithful end of its weights.
    letter
        The axis that neighbours lie along: T or Z.
    radius
        Frames on each side.
    among
        The numbers of the frames that may be neighbours; all if None.
    exactly
        Whether shifts of whole frames are found to the pixel, in denoised frames. Where blocks move
        by themselves they need not be.
    """

    def __init__(
        self,
        job: StackJob,
        engine: Engine,
        letter: str,
        radius: int,
        among: Collection[int] | None = None,
        *,
        exactly: bool = False,
    ) -> None:
        self._job, self._engine, self._among, self._exactly = job, engine, among, exactly
        self.letter, self.radius = letter, radius
        self.second: Engine | None = None
        """Denoises the averages, with the frame by itself beside; None leaves it to the job's."""
        network = engine.halo, engine.multiple
        # What is kept for this must not keep it: a stack goes when its job does.
        me = proxy(self)
        self._first = FirstPasses(job.size, *network, lambda *cell: me._compute(*cell), self.most)
        self._pairs: dict[tuple[int, int], Pair | None] = {}
        # A preview and a run may ask at the same time.
        self._open = lru_cache(_OPEN_FRAMES)(lambda number: me._opened(number))
        self._thumbnail = lru_cache(_THUMBNAILS)(lambda number: me._looked_at(number))
        self._side = CELL
        self._middle = _middle(job.size, _MIDDLE)

    @property
    def most(self) -> int:
        """Frames that a pixel can be made of."""
        return min(2 * self.radius + 1, self._job.layout.size(self.letter))

    @property
    def pairs(self) -> dict[tuple[int, int], Pair | None]:
        """Shifts and brightness between frames, as far as they were measured."""
        return dict(self._pairs)

    def take(self, pairs: Mapping[tuple[int, int], Pair | None]) -> None:
        """Take what was measured elsewhere of the same stack."""
        self._pairs.update(pairs)

    def relating(self) -> Iterator[None]:
        """Measure all pairs of frames, yielding often; windows of large frames share them."""
        for number in range(len(self._job.frames)):
            for other in self._around(number):
                yield from self._relating(number, other)

    def agreeing(self) -> Generator[None, None, float]:
        """Measure how much neighbours weigh on average, 0 to 1, in the middle of some frames."""
        layout, weights = self._job.layout, []
        for channel in range(layout.size("C")):
            if self._job.channels[channel].scale.sigma == 0:
                continue
            for number in evenly(layout.series(channel), _SAMPLED):
                yield from self.steps(number, self._middle)
                fused = self.fused(number, self._middle)
                frames = [number, *self._around(number)]
                shown = [self._thumbnail(frame) is not None for frame in frames]
                if shown[0] and (around := sum(shown[1:])):
                    weights.append((float(fused.frames.mean()) - 1) / around if fused else 0.0)
        return float(np.mean(weights)) if weights else 1.0

    def second_of(self, channel: Channel) -> Engine | None:
        """Return the network of its own for averages of a channel; None where it is not better.

        Correlated noise is its case: it sees what of it the average has left. Of white noise it
        takes 0.1 dB more, and a sixth of short events with it.
        """
        return self.second if channel.noise.inflation > _CORRELATED else None

    def steps(self, number: int, window: Window) -> Iterator[None]:
        """Compute all that `fused` needs, yielding after every frame looked at and every cell."""
        for other in self._around(number):
            yield from self._relating(number, other)
        members = self._members(number)
        if not members:
            return
        for frame, part in needed(number, window, members):
            yield from self._first.steps(frame, part)

    def missing(self, number: int, window: Window) -> int:
        """Count the cells that `steps` would compute, as far as that is known."""
        members = [(other, Pair()) for other in self._around(number)]
        return sum(
            self._first.missing(frame, part) for frame, part in needed(number, window, members)
        )

    def fused(self, number: int, window: Window) -> Fused | None:
        """Average a window of a frame with its neighbours; None where there are none.

        In the network's units; `steps` has been run to its end for that window.
        """
        members = self._members(number)
        if not members:
            return None
        fused = fuse(self._first, number, window, members, self._brightened(number))
        guides = self._first.window(number, window).guides
        return replace(fused, values=self._mapped(number, fused.values, guides))

    def own(self, number: int, window: Window) -> Float32Array:
        """Return (C, Y, X) of a frame as its neighbours are compared with it, after `steps`.

        In the network's units, noisy.
        """
        return self._first.window(number, window).noisy

    def most_others(self, number: int) -> int:
        """Count the neighbours that a frame could have, at least 1."""
        return max(1, len(self._around(number)))

    def others(self, number: int, window: Window) -> Iterator[Other]:
        """Yield each neighbour as it would be seen in a window of a frame, after `steps`.

        In the network's units.
        """
        bright = self._brightened(number)
        yield from others(self._first, number, window, self._members(number), bright, LEARNT)

    def others_as_recorded(
        self, number: int, window: Window, where: Mapping[int, NDArray[np.bool_]]
    ) -> Iterator[Other]:
        """Do as `others`, in the data's units.

        Parameters
        ----------
        number, window
            The frame, and which of its rows and columns.
        where
            (Y, X) of each frame: which of its pixels may be looked at.
        """
        recorded = Recorded(self._first, self._values, where)
        bright = recorded.brightened(self._channel(number), self._brightened(number))
        yield from others(recorded, number, window, self._members(number), bright, MEASURED)

    def guides(self, number: int, window: Window) -> Float32Array | None:
        """Return the planes beside a window of a frame, after `steps`; None without any."""
        if not self._members(number):
            return self._guides(number, window)
        guides = self._first.window(number, window).guides
        return guides if len(guides) else None

    def let_go(self) -> None:
        """Give memory back that only makes the next frames faster."""
        self._first.let_go()
        self._open.cache_clear()
        self._thumbnail.cache_clear()

    def _around(self, number: int) -> list[int]:
        offsets = [n for far in range(1, self.radius + 1) for n in (-far, far)]
        around = [self._job.layout.along(number, self.letter, offset) for offset in offsets]
        among = self._among
        return [n for n in around if n is not None and (among is None or n in among)]

    def _members(self, number: int) -> list[tuple[int, Pair]]:
        pairs = [(other, self._seen_from(number, other)) for other in self._around(number)]
        return [(other, pair) for other, pair in pairs if pair is not None]

    def _seen_from(self, number: int, other: int) -> Pair | None:
        """How another frame relates to one; measured from the earlier of the two."""
        pair = self._pairs.get((min(number, other), max(number, other)))
        return pair if pair is None or number < other else pair.reversed()

    def _relating(self, number: int, other: int) -> Iterator[None]:
        """Find out how two frames relate, once."""
        one, two = min(number, other), max(number, other)
        if (one, two) in self._pairs:
            return
        looks = []
        for frame in (one, two):
            looks.append(self._thumbnail(frame))
            yield
        first, second = looks
        if first is None or second is None:
            self._pairs[one, two] = None
            return
        for frame in (one, two):
            yield from self._first.steps(frame, self._middle)
        self._pairs[one, two] = self._pair(one, first, two, second)

    def _pair(self, number: int, one: Thumbnail, other: int, two: Thumbnail) -> Pair | None:
        shift = shift_between(one, two)
        if self._exactly:
            shift = self._exact(number, other, shift)
        channel = self._channel(number)
        brightness = brightness_between(one, two, shift, channel.network_of)
        sigma = channel.scale.sigma * channel.scale.factor
        middles = self._middle_of(number), self._middle_of(other)
        if brightness is None or not are_independent(*middles, sigma):
            return None
        return Pair(shift, brightness)

    def _exact(self, number: int, other: int, shift: tuple[int, int]) -> tuple[int, int]:
        """Bring a shift to the pixel by the first passes in the middle."""
        middle = _middle(self._job.size, _EXACT)
        one = self._first.window(number, middle).mean.mean(axis=0)
        two = self._first.window(other, moved(middle, shift)).mean.mean(axis=0)
        noise = self._channel(number).noise
        lines = noise.correlation_y, noise.correlation_x
        together = [1 + 2 * float(np.square(line).sum()) for line in lines]
        left = shift_left(one, two, together[0] * together[1])
        return shift[0] + left[0], shift[1] + left[1]

    def _middle_of(self, number: int) -> FirstPass:
        part = self._first.window(number, self._middle)
        return replace(part, noisy=self._mapped(number, part.noisy, part.guides))

    def _mapped(self, number: int, noisy: Float32Array, guides: Float32Array) -> Float32Array:
        """Bring what is averaged to the network's units."""
        channel = self._channel(number)
        if not isinstance(channel.mapping, LogMapping):
            return noisy
        return channel.to_network(noisy * _albedo_factor(guides)).to_float32()

    def _looked_at(self, number: int) -> Thumbnail | None:
        frame = self._open(number)
        if frame.empty or frame.blank:
            return None
        where = _middle(self._job.size, _LOOKED_AT if frame.large else max(self._job.size))
        nothing = slice(0, 1), slice(0, 1)
        values = frame.part(Tile(where, nothing, nothing)).window.mean(axis=0, dtype=np.float32)
        channel = self._channel(number)
        mapped = channel.to_network(values[None]).to_float32()[0]
        return Thumbnail.of(channel.above_black(values), mapped)

    def _values(self, number: int) -> Float32Array:
        """(C, Y, X) of a frame in the data's units, without outliers."""
        whole = slice(0, self._job.size[0]), slice(0, self._job.size[1])
        part = self._open(number).part(Tile(whole, whole, whole))
        return np.asarray(part.window, np.float32)

    def _opened(self, number: int) -> WholeFrame | LargeFrame:
        job = self._job
        return open_frame(job.array, job.layout, job.frames[number], self._channel(number))

    def _channel(self, number: int) -> Channel:
        return self._job.channels[self._job.layout.channel_of(number)]

    def _compute(self, number: int, tile: Tile) -> FirstPass:
        """Denoise a cell of a frame by itself, in parts where memory is short."""
        while True:
            parts = [tile] if self._side >= CELL else self._parts(tile)
            try:
                return stitched(tile.write, [(p.write, self._denoised(number, p)) for p in parts])
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error) or self._side <= SMALLEST:
                    raise
                release_memory(self._engine.device)
                self._side //= 2

    def _parts(self, tile: Tile) -> tuple[Tile, ...]:
        engine = self._engine
        return plan_tiles(self._job.size, self._side, engine.halo, engine.multiple, tile.write)

    def _denoised(self, number: int, tile: Tile) -> FirstPass:
        part, channel = self._open(number).part(tile), self._channel(number)
        mapped = channel.to_network(part.window)
        sigma = channel.sigma_map(*part.window.shape[1:], where=tile.read)
        guides = self._guides(number, tile.read)
        (mean, variance), _ = self._job.estimate(mapped, sigma, guides, tile, self._engine)
        if variance is None:
            variance = unstated_variance(mean, float(sigma.mean()))
        beside = np.empty((0, *mean.shape[1:]), np.float32)
        if guides is not None:
            beside = guides[:, *tile.keep]
        if isinstance(channel.mapping, LogMapping):
            noisy = part.window[:, *tile.keep].astype(np.float32) / _albedo_factor(beside)
        else:
            noisy = mapped.to_float32()[:, *tile.keep]
        usable = np.asarray(~part.outliers.any(axis=0))
        if part.fill is not None:
            usable &= ~part.fill
        if part.bad is not None:
            usable &= ~part.bad
        if channel.largest is not None:
            usable &= (part.original < channel.largest).all(axis=0)
        return FirstPass(noisy, mean, variance.mean(axis=0), usable, beside)

    def _guides(self, number: int, read: Window) -> Float32Array | None:
        job = self._job
        if not (job.features and self._engine.features):
            return None
        *_, last = guide_steps(job.features, job.albedo, number, read)
        return np.asarray(last.result)

    def _brightened(self, number: int) -> Brightened:
        channel = self._channel(number)

        def brightened(first: FirstPass, pair: Pair) -> FirstPass:
            times = pair.brightness
            if times == 1:
                return first
            mean = channel.network_of(channel.light_of(first.mean) * np.float32(times))
            log = isinstance(channel.mapping, LogMapping)
            return replace(
                first,
                noisy=first.noisy * np.float32(times) if log else first.noisy + (mean - first.mean),
                mean=mean,
                variance=first.variance if log else first.variance * np.float32(max(times, 1.0)),
            )

        return brightened


def neighbors_of(
    job: StackJob, engine: Engine
) -> Generator[None, None, tuple[Neighbors | None, str]]:
    """Follow the settings of a job as far as its stack allows; yields often.

    Parameters
    ----------
    job
        Without neighbours yet.
    engine
        The faithful end of its weights.

    Returns
    -------
    The neighbours, None to take each frame by itself; and what to say of that, or nothing.
    """
    asked, letter = job.settings.neighbors, job.settings.along
    sizes = {axis: job.layout.size(axis) for axis in "TZ"}
    if letter == "auto":
        letter = "T" if sizes["T"] > 1 else "Z"
    if asked == 0 or all(channel.scale.sigma == 0 for channel in job.channels):
        return None, ""
    if sizes[letter] == 1:
        alone = f"there are no neighbours along {letter.lower()}: each frame is denoised by itself"
        wanted = asked != "auto" or job.settings.along != "auto"
        return None, alone if wanted else ""
    radius = min(_USUAL[letter] if asked == "auto" else asked, sizes[letter] - 1)
    neighbors = Neighbors(job.alone(), engine, letter, radius)
    if asked == "auto":
        weight = yield from neighbors.agreeing()
        if weight < _AGREE:
            return None, (
                f"frames along {letter.lower()} do not show the same (neighbours would weigh "
                f"{weight:.2f} of 1 on average), so each is denoised by itself; neighbors = 1 to 4 "
                "takes them nevertheless"
            )
    return neighbors, ""


def _middle(size: tuple[int, int], side: int) -> Window:
    """Return a square in the middle of a frame, or what there is of it."""
    rows, columns = (
        slice(max(0, (length - side) // 2), min(length, (length + side) // 2)) for length in size
    )
    return rows, columns


def unstated_variance(mean: Float32Array, sigma: float) -> Float32Array:
    """Guess the error of a network that does not state it, from the structure that it left.

    The error of `photo` on training photographs, by the local variance v of its result:
    0.16 (v / sigma^2)^(1/4) of the noise's variance at sigma 10, 25 and 50, within a quarter.

    Parameters
    ----------
    mean
        (C, Y, X) denoised.
    sigma
        Standard deviation of the noise.
    """
    middle = np.stack([smoothed(plane) for plane in mean])
    around = np.stack([smoothed(np.square(plane)) for plane in mean]) - np.square(middle)
    texture = np.maximum(around.mean(axis=0), 0) / np.float32(sigma**2)
    share = np.float32(0.004) + np.float32(0.16) * np.sqrt(np.sqrt(texture))
    return np.broadcast_to(share * np.float32(sigma**2), mean.shape)


def _albedo_factor(guides: Float32Array) -> Float32Array:
    """Return what albedo does to light, as the network reckons it; 1 without any."""
    if not len(guides):
        return np.ones((1, 1, 1), np.float32)
    there = guides[6:7] > 0
    return np.where(there, 2 * (np.maximum(guides[:3], 0) + np.float32(DARKEST)), np.float32(1))
