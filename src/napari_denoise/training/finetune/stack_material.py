"""A noisy stack -> frames with the mean shots of their neighbours, and shots to measure it by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_denoise.engines.torch import TorchEngine
from napari_denoise.image.axes import Layout
from napari_denoise.image.frames import evenly
from napari_denoise.image.long_work import InParts
from napari_denoise.image.tiles import Window, shape_of
from napari_denoise.inference.neighbors import Neighbors
from napari_denoise.inference.stack import StackJob
from napari_denoise.measure.channels import Channel
from napari_denoise.measure.mappings import LogMapping
from napari_denoise.settings.denoise import DenoiseSettings
from napari_denoise.training.data.mapped import MappedFrame, as_network_takes
from napari_denoise.training.data.real_pairs import Pair
from napari_denoise.training.data.regions import Mask, Split, bounding_box
from napari_denoise.training.data.stack_pairs import MeanShot, mean_of
from napari_denoise.weights.catalogue import WeightsInfo

RADIUS = {"T": 2, "Z": 1}
"""Frames on each side that a frame learns from."""
_LEARNT, _MEASURED = 2**23, 2**21
"""Pixels of the frames that are trained on and measured on; of more, some are taken, evenly."""
_FEWEST = 4
"""Frames of each channel that are taken in any case."""
_AGREE = 0.2
"""Share of the neighbours' pixels that has to show the same."""


class Open(NamedTuple):
    """Rows and columns, and numbers of frames, of which nothing is held out in that window."""

    window: Window
    frames: tuple[int, ...]


class Learnt(NamedTuple):
    """A frame to train on: as the network gets it and should give it, and where."""

    mapped: MappedFrame
    shots: NDArray[np.float32]
    """(Y, X, 1), of how many neighbours its target is the mean."""
    mask: Mask
    """(Y, X)."""


class Measured(NamedTuple):
    """A frame that is held out, with two shots of it that are held out too."""

    frame: int
    mask: Mask
    """(Y, X), where there are both."""
    shots: tuple[NDArray[np.float32], NDArray[np.float32]]
    """(S, Y, X) each, independent of each other and of the frame, in the data's units."""


class StackMaterial:
    """What a noisy stack teaches, and what is held out of it.

    Parameters
    ----------
    pair
        With the stack.
    parts
        Of each frame, what is trained on and held out.
    open_part
        Where nothing is held out: all that is learnt comes from there.
    channels
        Measured there.
    engine, info
        The weights to start from, which tell what shows the same.
    """

    def __init__(
        self,
        pair: Pair,
        parts: Sequence[Split],
        open_part: Open,
        channels: tuple[Channel, ...],
        engine: TorchEngine,
        info: WeightsInfo,
    ) -> None:
        if any(isinstance(channel.mapping, LogMapping) for channel in channels):
            raise ValueError(
                f"{pair.name}: radiance cannot teach itself from its neighbours: render it "
                "once more with another seed, and give that as --second"
            )
        self.pair, self.parts, self.open_part = pair, parts, open_part
        self.channels, self.engine, self.info = channels, engine, info

    def learning(self) -> InParts[list[Learnt]]:
        """Find the mean shots of frames to train on; each frame is named before it is looked at.

        Raises
        ------
        ValueError
            Frames do not show the same.
        """
        window, frames = self.open_part
        array = _Window(self.pair.noisy, self.pair.layout, window)
        neighbors = self._neighbors(array, array.layout, self.channels, frames)
        able = [n for n in frames if self.parts[n].train[window].any()]
        learnt: list[Learnt] = []
        agreeing: list[float] = []
        for number in self._some(able, _LEARNT):
            yield f"looking for what frame {number + 1} of {self.pair.name} shows again"
            where = array.whole
            for _ in neighbors.steps(number, where):
                pass
            noisy = neighbors.own(number, where)
            mean = mean_of(neighbors.others(number, where), noisy.shape)
            agreeing.append(float(mean.shots.mean()) / neighbors.most_others(number))
            if mean.there.any():  # a blank or a repeated frame has no others
                learnt += self._learnt(number, noisy, mean)
        neighbors.let_go()
        if not agreeing or np.mean(agreeing) < _AGREE:
            raise ValueError(
                f"{self.pair.name}: its frames do not show the same, and so cannot teach each "
                "other: give a stack in which each frame resembles the next, or pairs"
            )
        return learnt

    def measuring(self) -> InParts[list[Measured]]:
        """Find two shots of frames that are held out, each of which is held out too."""
        closed = {n: part.closed for n, part in enumerate(self.parts) if part.closed.any()}
        pair = self.pair
        neighbors = self._neighbors(pair.noisy, pair.layout, self.channels, closed)
        found = []
        for number in self._some([n for n in closed if self.parts[n].validate.any()], _MEASURED):
            yield f"looking for shots to measure frame {number + 1} of {pair.name} by"
            mask = self.parts[number].validate
            window = bounding_box(mask)
            assert window is not None  # noqa: S101 - it has pixels
            for _ in neighbors.steps(number, window):
                pass
            one, two = _two_shots(neighbors, number, window, closed)
            inside = mask[window] & one.there & two.there
            if inside.any():
                found.append(
                    _whole(Measured(number, inside, (one.values, two.values)), window, mask.shape)
                )
        neighbors.let_go()
        return found

    def _learnt(self, number: int, noisy: NDArray[np.float32], mean: MeanShot) -> Iterator[Learnt]:
        channel = self.channels[self.pair.layout.channel_of(number)]
        sigma = channel.scale.sigma * channel.scale.factor
        mask = self.parts[number].train[self.open_part.window]
        samples = self.info.card.channels
        sides = as_network_takes(noisy, samples), as_network_takes(mean.values, samples)
        for one, other in zip(*sides, strict=True):
            given, wanted = (np.ascontiguousarray(np.moveaxis(x, 0, -1)) for x in (one, other))
            mapped = MappedFrame(given, wanted, sigma, None, channel.scale.factor)
            yield Learnt(mapped, mean.shots[..., None], mask)

    def _neighbors(
        self, array: Any, layout: Layout, channels: tuple[Channel, ...], among: Any
    ) -> Neighbors:
        settings = DenoiseSettings(line_noise="keep", precision="float32")
        job = StackJob(array, layout, settings, channels, self.engine, self.info)
        along = self.pair.along
        return Neighbors(job, self.engine, along, RADIUS[along], among, exactly=True)

    def _some(self, numbers: Sequence[int], pixels: int) -> Sequence[int]:
        """Take as many frames as hold so many pixels, spread over each channel; at least some."""
        layout = self.pair.layout
        most = max(_FEWEST, pixels // (layout.size("Y") * layout.size("X") * layout.size("C")))
        chosen: list[int] = []
        for channel in range(layout.size("C")):
            chosen += evenly([n for n in numbers if layout.channel_of(n) == channel], most)
        return chosen


class _Window:
    """Some rows and columns of every frame of a stack, read when they are asked for.

    Parameters
    ----------
    array, layout
        The stack.
    window
        Which rows and columns.
    """

    def __init__(self, array: Any, layout: Layout, window: Window) -> None:
        cuts = dict(zip("YX", window, strict=True))
        self._array, self._axes, self._cuts = array, layout.axes, cuts
        self.shape = tuple(
            cuts[axis].stop - cuts[axis].start if axis in cuts else length
            for axis, length in zip(layout.axes, layout.shape, strict=True)
        )
        self.dtype = array.dtype
        self.layout = Layout(layout.axes, self.shape)
        self.whole: Window = slice(0, shape_of(window)[0]), slice(0, shape_of(window)[1])

    def __getitem__(self, index: tuple[Any, ...]) -> Any:
        return self._array[tuple(map(self._moved, self._axes, index))]

    def _moved(self, axis: str, entry: Any) -> Any:
        cut = self._cuts.get(axis)
        if cut is None:
            return entry
        start, stop, _ = entry.indices(cut.stop - cut.start)
        return slice(cut.start + start, cut.start + stop)


def _two_shots(
    neighbors: Neighbors, number: int, window: Window, closed: Mapping[int, Mask]
) -> tuple[MeanShot, MeanShot]:
    """Average the neighbours of a frame into two shots.

    The nearest two go to different shots, and so do the next: the second of a side beside the first
    of the other one, so that what moves evenly moves alike in both.
    """
    others = list(neighbors.others_as_recorded(number, window, closed))
    shape = others[0].values.shape if others else (1, *(s.stop - s.start for s in window))
    turns = np.resize([0, 1, 1, 0], len(others))
    one, two = ([o for o, turn in zip(others, turns, strict=True) if turn == n] for n in (0, 1))
    return mean_of(one, shape), mean_of(two, shape)


def _whole(part: Measured, window: Window, size: tuple[int, ...]) -> Measured:
    """Put what was found of a window into a whole frame, without values elsewhere."""
    mask = np.zeros(size, bool)
    mask[window] = part.mask
    shots = []
    for shot in part.shots:
        whole = np.full((len(shot), *size), np.nan, np.float32)
        whole[:, *window] = np.where(part.mask, shot, np.nan)
        shots.append(whole)
    return Measured(part.frame, mask, (shots[0], shots[1]))
