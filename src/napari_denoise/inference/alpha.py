"""Alpha beside a render is sampled as its colour is: denoised as light, without its own colour."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, median_filter, minimum_filter

from napari_denoise.image.axes import Index, Layout
from napari_denoise.image.frames import evenly
from napari_denoise.image.planes import color_samples
from napari_denoise.image.tiles import Window, within
from napari_denoise.inference.steps import Step
from napari_denoise.measure.channels import Channel, Measuring, measure
from napari_denoise.settings.denoise import DenoiseSettings
from napari_denoise.weights.card import WeightsCard

if TYPE_CHECKING:
    from napari_denoise.inference.stack import StackJob

SETTLED_REACH = 4
"""Alpha stays as it is where it is one value this far around: inside and outside of things."""
_ALPHA, _COLOURS = 3, 3
_LEAST_NOISE = 0.01
"""Mean deviation at edges: about that of 64 samples. Clean edges, hard or smooth, stay below it."""
_MOST_ROWS = 1024


class AlphaAsLight:
    """Looks like a stack of RGB whose colours are all the alpha of another one.

    Parameters
    ----------
    array, layout
        The stack of RGBA and its axes.
    """

    def __init__(self, array: Any, layout: Layout) -> None:
        self._array, self._colours = array, layout.axes.index("S")
        sizes = list(layout.shape)
        sizes[self._colours] = _COLOURS
        self.shape, self.ndim = tuple(sizes), len(sizes)
        self.dtype = np.dtype(array.dtype)
        self.layout = Layout(layout.axes, self.shape)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        """Read a frame or a window of one."""
        entries = list(index if isinstance(index, tuple) else (index,))
        entries += [slice(None)] * (self.ndim - len(entries))
        entries[self._colours] = slice(_ALPHA, _ALPHA + 1)
        axis = sum(isinstance(entry, slice) for entry in entries[: self._colours])
        return np.repeat(np.asarray(self._array[tuple(entries)]), _COLOURS, axis)


def measure_alpha(
    alpha: AlphaAsLight, card: WeightsCard
) -> Generator[Measuring, None, tuple[Channel, ...]]:
    """Measure the noise of alpha; none where it has none, or no value to measure."""
    looked_at = evenly(alpha.layout.frames, 3)
    noisy = False
    for index in looked_at:
        noisy = noisy or _is_noisy(alpha, index)
        yield Measuring(0, 1, 0)
    if not noisy:
        return ()
    try:
        return (yield from measure(alpha, alpha.layout, card, DenoiseSettings(), plain=True))
    except ValueError:
        return ()


def _is_noisy(alpha: AlphaAsLight, index: Index) -> bool:
    """Whether pixels at edges leave the median around them, as no rendered edge does by itself."""
    rows, columns = alpha.layout.size("Y"), alpha.layout.size("X")
    top = max(0, (rows - _MOST_ROWS) // 2)
    window = slice(top, min(rows, top + _MOST_ROWS)), slice(0, columns)
    part = color_samples(alpha[alpha.layout.window(index, window)], alpha.layout)[0][0]
    plane = np.nan_to_num(part.astype(np.float32))
    edges = minimum_filter(plane, 3) != maximum_filter(plane, 3)
    if not edges.any():
        return bool(top)  # nothing to be seen here
    return bool(np.abs(plane - median_filter(plane, 3))[edges].mean() > _LEAST_NOISE)


def alpha_steps(job: StackJob, number: int, where: Window) -> Iterator[Step]:
    """Denoise the alpha of a window of a frame, yielding after every tile.

    The last step has (1, Y, X). What is settled stays, whatever the tiles, and without work.
    """
    around: Window = (
        slice(
            max(0, where[0].start - SETTLED_REACH), min(job.size[0], where[0].stop + SETTLED_REACH)
        ),
        slice(
            max(0, where[1].start - SETTLED_REACH), min(job.size[1], where[1].stop + SETTLED_REACH)
        ),
    )
    read = np.asarray(job.array[job.layout.window(job.frames[number], around)])
    noisy = color_samples(read, job.layout)[0][0]
    size = 2 * SETTLED_REACH + 1
    settled = minimum_filter(noisy, size) == maximum_filter(noisy, size)
    inner = within(where, around)
    noisy, settled = noisy[inner], settled[inner]
    if settled.all():
        yield Step(0, 1, 1, 1, result=noisy[None])
        return
    for step in job.region_steps(number, where):
        if step.result is None:
            yield step
            continue
        clean = color_samples(step.result, job.layout)[0].mean(axis=0, dtype=np.float32)
        if noisy.min() >= 0 and noisy.max() <= 1:
            clean = np.clip(clean, 0, 1)
        yield replace(step, result=np.where(settled, noisy, clean)[None])
