"""Neighbours to learn from and to measure by: where they show the same, all count alike.

The weights of `fusion` fall as soon as two first passes differ by more than usual, which is good
for an average. Who learns from a neighbour, or measures by it, must not choose it by its noise:
what agrees by chance would be learnt. So this test is one that noise passes, and what fails is left
out with its surroundings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from napari_denoise.image.tiles import Window, within
from napari_denoise.image.values import Float32Array
from napari_denoise.inference.alignment import Blocks
from napari_denoise.inference.first_pass import FirstPass, FirstPasses
from napari_denoise.inference.fusion import (
    Brightened,
    Pair,
    Windows,
    aligned,
    compared,
    smoothed,
)

if TYPE_CHECKING:
    from napari_denoise.measure.channels import Channel

Mask = NDArray[np.bool_]
LEARNT, MEASURED = 12.0, 24.0
"""Squared difference of two first passes over the expected one from which on a neighbour is not
learnt from, and not measured by. Noise hardly reaches the first. Who measures must not leave out
errors of what is measured, which make a difference, too; what changed measures both sides alike."""
_MOST_USUAL = 10.0
"""The same of the usual pixel, which correlated noise may raise; above, it is another scene."""
_CAUTION = 8.0
"""Times that the expected difference has to be exceeded as usual before a block is looked for
elsewhere: where noise is alike, what is learnt from would hold the noise of the frame."""
_AROUND = 3
"""Pixels around what is unlike that are left out, too."""


@dataclass(frozen=True, eq=False)
class Other:
    """A neighbour as it would be seen in a window of a frame.

    Parameters
    ----------
    number
        Which frame it is.
    values
        (C, Y, X), noisy.
    agrees
        (Y, X), whether it shows the same there.
    """

    number: int
    values: Float32Array
    agrees: Mask


class Recorded:
    """First passes whose noisy pixels are in the data's units, and in part not to be looked at.

    Parameters
    ----------
    first
        In the network's units.
    values
        Gives (C, Y, X) of a frame as it was recorded.
    where
        (Y, X) of each frame: what may be looked at.
    """

    def __init__(
        self,
        first: FirstPasses,
        values: Callable[[int], Float32Array],
        where: Mapping[int, Mask],
    ) -> None:
        self._first, self._values, self._where = first, values, where

    def window(self, number: int, window: Window) -> FirstPass:
        """Return a window, as `FirstPasses.window` does."""
        part, open_ = self._first.window(number, window), self._where[number]
        rows, columns = (
            np.clip(np.arange(side.start, side.stop), 0, length - 1)
            for side, length in zip(window, open_.shape, strict=True)
        )
        place = rows[:, None], columns[None]
        return replace(
            part, noisy=self._values(number)[:, *place], usable=part.usable & open_[place]
        )

    def brightened(self, channel: Channel, mapped: Brightened) -> Brightened:
        """Return what takes such a first pass to another brightness.

        Parameters
        ----------
        channel
            Of the frame.
        mapped
            What does it in the network's units.
        """

        def brightened(first: FirstPass, pair: Pair) -> FirstPass:
            light = channel.above_black(first.noisy) * np.float32(pair.brightness)
            return replace(mapped(first, pair), noisy=channel.values_of(light))

        return brightened


def others(
    first: Windows,
    number: int,
    window: Window,
    pairs: Sequence[tuple[int, Pair]],
    brightened: Brightened,
    unlike: float,
) -> Iterator[Other]:
    """Yield each neighbour of a frame as it would be seen in a window of it.

    Parameters as for `fusion.fuse`; `unlike` is one of `LEARNT` and `MEASURED`.
    """
    blocks = Blocks.over(window)
    keep = within(window, blocks.around(0))
    here = first.window(number, blocks.around(0))
    for other, there in aligned(first, number, blocks, pairs, brightened, _CAUTION):
        agrees = agreeing(*compared(here, there), unlike) & there.usable
        yield Other(other, there.noisy[:, *keep], agrees[keep])


def agreeing(difference: Float32Array, expected: Float32Array, limit: float = LEARNT) -> Mask:
    """Mark where two first passes differ by no more than noise explains.

    Parameters
    ----------
    difference, expected
        As for `fusion.weigh`. Where most of the frame differs by more, as correlated noise makes
        it, so much more is expected everywhere.
    limit
        The ratio from which on they are unlike.
    """
    ratio = smoothed(difference) / (smoothed(expected) + np.float32(1e-12))
    usual = float(np.median(ratio))
    if usual > _MOST_USUAL:
        return np.zeros(ratio.shape, bool)
    unlike = ratio > limit * max(1.0, usual)
    return np.asarray(~maximum_filter(unlike, 2 * _AROUND + 1, mode="nearest"))
