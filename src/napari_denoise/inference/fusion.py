"""What neighbouring frames add to a frame: the average of what agrees, and how noisy it still is.

Each frame is denoised by itself first. Where a neighbour shows the same, by the errors that the
network states for both, its noisy pixels are averaged with the frame's own. Noisy ones, as their
noise is independent; so an average of n frames has 1/n of the variance, the network is told so
pixel by pixel, and what it has blurred in the first pass is not blurred for good.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from napari_denoise.image.tiles import Window, within
from napari_denoise.image.values import Float32Array
from napari_denoise.inference.alignment import (
    BLOCK,
    MARGIN,
    SUPPORT,
    Blocks,
    Compared,
    block_displacements,
)
from napari_denoise.inference.first_pass import FirstPass, FirstPasses

_STRICT = 1.0
"""How fast the weight falls once a difference exceeds what its errors explain."""
_LEAST = np.float32(0.05)
"""Weight below which a neighbour has none: a firefly times very little is still a firefly."""
_WIDTH = 1.5
"""Standard deviation, pixels, of the Gaussian over which differences are compared."""
_REACH = 6
_ALBEDO, _NORMAL = slice(0, 3), slice(3, 6)
_ALBEDO_SD, _NORMAL_SD = 0.05, 0.2
"""Differences of albedo and normal that are nothing yet, root mean square over colours."""


@dataclass(frozen=True, eq=False)
class Fused:
    """A window of a frame averaged with its neighbours, in the network's units.

    Parameters
    ----------
    values
        (C, Y, X).
    noise
        (Y, X) standard deviation of the noise over that of one frame, 0 to 1.
    frames
        (Y, X), how many frames it is made of, a neighbour counted by its weight: from 1.
    alone
        (2 C, Y, X) the frame by itself: noisy, and denoised by the first pass.
    """

    values: Float32Array
    noise: Float32Array
    frames: Float32Array
    alone: Float32Array


@dataclass(frozen=True)
class Pair:
    """How a whole frame relates to another one.

    Parameters
    ----------
    shift
        ``other[y + dy, x + dx]`` shows what ``frame[y, x]`` does, apart from what moves by itself.
    brightness
        Times that the frame is as bright as the other.
    """

    shift: tuple[int, int] = (0, 0)
    brightness: float = 1.0

    def reversed(self) -> Pair:
        """Return how the frame relates to the other one."""
        return Pair((-self.shift[0], -self.shift[1]), 1 / self.brightness)


Brightened = Callable[[FirstPass, Pair], FirstPass]


def weigh(difference: Float32Array, expected: Float32Array) -> Float32Array:
    """Weigh a neighbour by how far its difference exceeds the expected one.

    Parameters
    ----------
    difference, expected
        (Y, X) squared difference of two first passes, and the sum of their errors' variances.

    Returns
    -------
    (Y, X), 1 where they agree, towards 0 where they do not.
    """
    ratio = smoothed(difference) / (smoothed(expected) + np.float32(1e-12))
    weight = np.exp(np.float32(-_STRICT) * np.maximum(ratio - 1, 0))
    return np.asarray(np.maximum(weight - _LEAST, 0) * np.float32(1 / (1 - _LEAST)))


def same_surface(apart: Float32Array) -> Float32Array:
    """Weigh a neighbour by albedo and normal: whether it shows the same surface.

    Parameters
    ----------
    apart
        (G, Y, X) difference of the planes beside the colour.
    """
    albedo, normal = (np.square(apart[part]).mean(axis=0) for part in (_ALBEDO, _NORMAL))
    unlike = smoothed(albedo / np.float32(_ALBEDO_SD**2) + normal / np.float32(_NORMAL_SD**2))
    return np.asarray(np.exp(-np.maximum(unlike - 1, 0)))


_TAPS = np.exp(-0.5 * (np.arange(-_REACH, _REACH + 1) / _WIDTH) ** 2)
_TAPS = (_TAPS / _TAPS.sum()).astype(np.float32)


def smoothed(plane: Float32Array) -> Float32Array:
    """Average (Y, X) by a Gaussian; each pixel by the same sum wherever the window begins."""
    return np.asarray(
        correlate1d(correlate1d(plane, _TAPS, 0, mode="nearest"), _TAPS, 1, mode="nearest")
    )


def needed(
    number: int, window: Window, pairs: Sequence[tuple[int, Pair]]
) -> Iterator[tuple[int, Window]]:
    """Yield the windows of frames whose first pass `fuse` reads."""
    blocks = Blocks.over(_grown(window, _REACH))
    yield number, blocks.around(SUPPORT)
    for other, pair in pairs:
        yield other, blocks.around(MARGIN)
        if pair.shift != (0, 0):
            yield other, moved(blocks.around(MARGIN), pair.shift)


def fuse(
    first: FirstPasses,
    number: int,
    window: Window,
    pairs: Sequence[tuple[int, Pair]],
    brightened: Brightened,
) -> Fused:
    """Average a window of a frame with what of its neighbours agrees.

    Parameters
    ----------
    first
        Where the cells that it needs have been computed.
    number, window
        The frame, and which of its rows and columns.
    pairs
        Numbers of the neighbours, and how each relates to the frame.
    brightened
        Takes a first pass to another brightness.
    """
    blocks = Blocks.over(_grown(window, _REACH))
    keep = within(window, blocks.around(0))
    here = first.window(number, blocks.around(0))
    noisy = here.noisy[:, *keep]
    total = noisy.astype(np.float32, copy=True)
    weights = np.ones(noisy.shape[1:], np.float32)
    squares = np.ones_like(weights)
    for _, there in aligned(first, number, blocks, pairs, brightened):
        apart, expected = compared(here, there)
        weight = weigh(apart, expected)
        if len(here.guides):
            weight *= same_surface(there.guides - here.guides)
        weight = weight[keep] * there.usable[keep]
        total += weight * there.noisy[:, *keep]
        weights += weight
        squares += np.square(weight)
    left = np.asarray(np.sqrt(squares) / weights, np.float32)
    alone = np.concatenate([noisy, here.mean[:, *keep]])
    return Fused(total / weights, left, weights, alone)


def compared(one: FirstPass, two: FirstPass) -> tuple[Float32Array, Float32Array]:
    """Return the squared difference of two first passes, and what their errors explain of it."""
    return np.square(two.mean - one.mean).mean(axis=0), two.variance + one.variance


class Windows(Protocol):
    """First passes by frame and window."""

    def window(self, number: int, window: Window) -> FirstPass:
        """Return a window, which may reach beyond the frame."""


def aligned(
    first: Windows,
    number: int,
    blocks: Blocks,
    pairs: Sequence[tuple[int, Pair]],
    brightened: Brightened,
    caution: float = 1.0,
) -> Iterator[tuple[int, FirstPass]]:
    """Yield each neighbour of a frame as it would be seen where some blocks of the frame are.

    Parameters as for `fuse`, and `caution`: times that the expected difference has to be exceeded
    as usual before a block moves by itself.
    """
    here = first.window(number, blocks.around(SUPPORT))
    own = Compared(here.mean, here.variance * np.float32(caution))
    for other, pair in pairs:
        yield other, _aligned(first, other, pair, blocks, own, brightened, np.float32(caution))


def _aligned(
    first: Windows,
    other: int,
    pair: Pair,
    blocks: Blocks,
    own: Compared,
    brightened: Brightened,
    caution: np.float32,
) -> FirstPass:
    """Return another frame as it would be seen where the blocks are."""
    around = blocks.around(MARGIN)
    still = brightened(first.window(other, around), pair)
    shifted = None
    if pair.shift != (0, 0):
        shifted = brightened(first.window(other, moved(around, pair.shift)), pair)
    offsets, base = block_displacements(
        blocks,
        own,
        Compared(still.mean, still.variance * caution),
        None if shifted is None else Compared(shifted.mean, shifted.variance * caution),
    )
    if shifted is None:
        return _displaced(still, offsets)
    if base.all():
        return _displaced(shifted, offsets)
    if not base.any():
        return _displaced(still, offsets)
    one, two, chosen = _displaced(shifted, offsets), _displaced(still, offsets), _by_pixel(base)
    pairs = [(getattr(one, field.name), getattr(two, field.name)) for field in fields(one)]
    return FirstPass(*(np.where(chosen, a, b) for a, b in pairs))


def _displaced(source: FirstPass, offsets: NDArray[np.intp]) -> FirstPass:
    """Take each block from where it was found; the source reaches `MARGIN` beyond them."""
    if not offsets.any():
        inner = slice(MARGIN, -MARGIN)
        return source.each(lambda planes: planes[..., inner, inner])
    rows, columns = (_by_pixel(offsets[..., axis]) for axis in (0, 1))
    rows += np.arange(rows.shape[0])[:, None] + MARGIN
    columns += np.arange(columns.shape[1])[None] + MARGIN
    places = rows * source.variance.shape[1] + columns
    area = source.variance.size
    return source.each(lambda p: p.reshape(*p.shape[:-2], area).take(places, axis=-1))


def _by_pixel(values: NDArray[Any]) -> NDArray[Any]:
    return values.repeat(BLOCK, axis=0).repeat(BLOCK, axis=1)


def _grown(window: Window, margin: int) -> Window:
    rows, columns = (slice(part.start - margin, part.stop + margin) for part in window)
    return rows, columns


def moved(window: Window, shift: tuple[int, int]) -> Window:
    """Return a window elsewhere."""
    rows, columns = (
        slice(part.start + far, part.stop + far) for part, far in zip(window, shift, strict=True)
    )
    return rows, columns
