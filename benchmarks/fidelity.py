"""Do numbers stay numbers? Means, bias by brightness, drift over a stack: tables of these."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmarks.protocol import BINS, bias, bin_edges, channel_errors, relative_mean_error
from benchmarks.tables import Table, limit_verdict
from napari_denoise.settings.noise import NoiseModel

PHOTO_LIMIT = 0.5
"""Largest |mean(out) - mean(clean)| per channel, in levels of 255."""
MICROSCOPY_LIMIT = 0.5
"""Largest change of the mean above the offset, in percent of the noisy one."""

Array = NDArray[Any]
MicroscopyRow = tuple[float, tuple[str, ...]]


def photo_table(name: str, pairs: Sequence[tuple[Array, Array]]) -> Table:
    """Tabulate mean and bias of denoised photographs, 0..255, against the clean ones.

    Parameters
    ----------
    name
        Of the table.
    pairs
        (clean, denoised), neither rounded nor clipped.
    """
    errors = np.concatenate([channel_errors(clean, image) for clean, image in pairs])
    edges = np.linspace(0, 255, BINS + 1)
    cleans, images = zip(*pairs, strict=True)
    by_level = bias(_joined(cleans), _joined(images), edges)
    spans = (f"{a:.0f}-{b:.0f}" for a, b in pairwise(edges))
    header = ("sigma 25, levels of 255", "mean, typical", "mean, worst", *spans)
    largest = float(np.abs(errors).max())
    typical = float(np.sqrt(np.mean(errors**2)))
    row = ("out - clean", f"{typical:.3f}", f"{largest:.3f}", *map(_signed, by_level))
    note = limit_verdict(
        f"Worst mean of a colour channel of an image ({len(errors)} of them)",
        largest,
        PHOTO_LIMIT,
        "levels",
    )
    return Table(name, header, (row,), (note,))


def microscopy_row(
    name: str, clean: ArrayLike, noisy: ArrayLike, image: ArrayLike, offset: float
) -> MicroscopyRow:
    """Measure one image: change of the mean in percent, and the cells of its row.

    Bins are equal steps of the clean brightness; the noisy image's own bias stands in
    brackets, as the clean one is an average of other exposures.
    """
    change = 100 * relative_mean_error(noisy, image, offset)
    edges = bin_edges(clean)
    levels = zip(bias(clean, image, edges), bias(clean, noisy, edges), strict=True)
    cells = (f"{_signed(a)} ({_signed(b)})" for a, b in levels)
    return change, (name, f"{offset:.1f}", f"{change:+.2f} %", *cells)


def microscopy_table(name: str, rows: Sequence[MicroscopyRow]) -> Table:
    """Tabulate rows of `microscopy_row`."""
    bins = (f"bin {i + 1}" for i in range(BINS))
    worst = max(abs(change) for change, _ in rows)
    note = limit_verdict("Largest change of the mean", worst, MICROSCOPY_LIMIT, "%")
    header = ("out - clean (noisy - clean)", "offset", "mean above offset", *bins)
    return Table(name, header, tuple(cells for _, cells in rows), (note,))


def stack_table(
    name: str, stacks: Sequence[tuple[str, Array, Array, NoiseModel]], environment: str
) -> Table:
    """Tabulate the brightness of denoised (T, Y, X) stacks, frame by frame.

    Drift is what the change of the mean itself changes from the first to the last fifth of
    the frames; flicker is its standard deviation from frame to frame.
    """
    rows, worst = [], 0.0
    for label, noisy, image, noise in stacks:
        changes = 100 * np.array(
            [relative_mean_error(a, b, noise.offset) for a, b in zip(noisy, image, strict=True)]
        )
        fifth = max(1, len(changes) // 5)
        drift = changes[-fifth:].mean() - changes[:fifth].mean()
        flicker = np.diff(changes).std() / np.sqrt(2)
        worst = max(worst, float(np.abs(changes).max()))
        fading = noisy[-fifth:].mean() / noisy[:fifth].mean()
        cells = (changes.mean(), np.abs(changes).max(), drift, flicker)
        rows.append((label, f"{fading:.2f}", *(f"{x:.3f} %" for x in cells), noise.describe()))
    header = ("stack", "last / first mean", "change of the mean", "worst frame", "drift", "flicker")
    note = limit_verdict("Worst frame", worst, MICROSCOPY_LIMIT, "%")
    return Table(name, (*header, "noise"), tuple(rows), (note, environment))


def _joined(images: Sequence[Array]) -> Array:
    return np.concatenate([image.ravel() for image in images])


def _signed(value: float) -> str:
    return "" if np.isnan(value) else f"{value:+.2f}"
