"""Which light passes add up to a beauty, and denoised ones brought to add up again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

MOST_TRIED = 16
"""Passes of which every subset is tried; beyond, they are left out one after the other."""
_SAME = 2e-3
"""Relative deviation that rounding to half precision explains."""
_OF_NOISE = 0.05
"""Share of the mean step between pixels, most of which is noise, that may be missing."""
_LARGELY = 0.9
"""Of which share of the light passes may differ from the beauty, to be parts of it at all."""
_BAND_ROWS = 256
_REACH = 4
"""Pixels around a pixel that tell how noisy a pass is there."""


@dataclass(frozen=True)
class Sum:
    """Passes that add up to a beauty, as well as any of the file do.

    Parameters
    ----------
    members
        Their names.
    totals
        Further passes that are sums of members, by name.
    missing
        Share of the beauty's light that no member has, 0 to 1.
    wrong
        Share of the light by which the members and the beauty differ at single pixels.
    signed
        Whether members are brighter than the beauty in places, so that what is missing is no light.
    tolerance
        Of `wrong`: what may be rounding, or the loss of a compression below the noise.
    """

    members: tuple[str, ...]
    totals: Mapping[str, tuple[str, ...]]
    missing: float = 0.0
    wrong: float = 0.0
    signed: bool = False
    tolerance: float = _SAME

    @property
    def is_whole(self) -> bool:
        """Whether rounding, or a tenth of the noise, explains all that is missing."""
        return self.wrong <= self.tolerance

    @property
    def adds_up(self) -> bool:
        """Whether the members are parts of the beauty, and what is missing is light, too."""
        return self.is_whole or (not self.signed and self.wrong <= _LARGELY)


def find_sum(beauty: NDArray[np.float32], passes: Mapping[str, NDArray[np.float32]]) -> Sum:
    """Find the passes that add up to a beauty: of all subsets the closest, and the finest of those.

    Parameters
    ----------
    beauty
        (..., X, 3), some pixels of it.
    passes
        The same of each pass.
    """
    names = list(passes)
    size = np.abs(beauty).mean() + 1e-12
    weight = 1 / (np.abs(beauty) + size)  # fireflies must not decide alone
    table = np.stack([np.ravel(passes[n] * weight) for n in names]).astype(np.float64)
    members = _closest(np.ravel(beauty * weight).astype(np.float64), table)
    chosen = [names[i] for i in members]
    totals = {}
    for i, name in enumerate(names):
        if i in members or not np.any(table[i]):
            continue
        parts = _closest(table[i], table[members]) if members else []
        if len(parts) > 1 and _deviation(table[i], table[members][parts]) <= _SAME:
            totals[name] = tuple(chosen[k] for k in parts)
    rest = beauty - np.sum([passes[n] for n in chosen], axis=0) if chosen else beauty
    light = float(np.abs(beauty).sum()) or 1.0
    negative = float(-np.minimum(rest, 0).sum()) / light
    varies = float(np.abs(np.diff(beauty, axis=-2)).mean()) / max(
        float(np.abs(beauty).mean()), 1e-12
    )
    tolerance = max(_SAME, _OF_NOISE * varies)
    return Sum(
        tuple(chosen),
        totals,
        missing=float(rest.sum()) / light,
        wrong=float(np.abs(rest).sum()) / light,
        signed=negative > tolerance,
        tolerance=tolerance,
    )


def balanced(
    beauty: NDArray[np.float32],
    clean: Sequence[NDArray[np.float32]],
    noisy: Sequence[NDArray[np.float32]],
) -> list[NDArray[np.float32]]:
    """Bring denoised passes to add up to the denoised beauty, exact to the rounding of float32.

    What they lack is shared out by the variance of the noise that was taken out of each around a
    pixel: the least correction that is sure (weighted least squares). No pass gets negative by it.

    Parameters
    ----------
    beauty
        (Y, X, 3), denoised.
    clean, noisy
        The same of each pass, denoised and as it was.
    """
    out = [np.empty_like(part, np.float32) for part in clean]
    rows = len(beauty)
    for top in range(0, rows, _BAND_ROWS):
        end = min(top + _BAND_ROWS, rows)
        low, high = max(0, top - _REACH), min(rows, end + _REACH)
        keep = slice(top - low, top - low + end - top)
        shares = np.stack(
            [
                _noise_around(a[low:high], b[low:high])[keep]
                for a, b in zip(clean, noisy, strict=True)
            ]
        )
        parts = np.stack([part[top:end] for part in clean]).astype(np.float64)
        whole = beauty[top:end].astype(np.float64)
        for target, part in zip(out, _projected(whole, parts, shares), strict=True):
            target[top:end] = part
    return out


def _closest(wanted: NDArray[np.float64], table: NDArray[np.float64]) -> list[int]:
    """Return the rows whose sum is closest to what is wanted; the most rows where several are."""
    count = len(table)
    if not count:
        return []
    gram, cross, power = table @ table.T, table @ wanted, float(wanted @ wanted)
    if count > MOST_TRIED:
        return _one_by_one(gram, cross)
    subsets = (np.arange(2**count)[:, None] >> np.arange(count)) & 1
    errors = power - 2 * subsets @ cross + np.einsum("si,ij,sj->s", subsets, gram, subsets)
    errors = np.maximum(errors, 0) / max(power, 1e-30)
    good = errors <= errors.min() * 1.05 + _SAME**2
    best = max(np.flatnonzero(good), key=lambda s: (int(subsets[s].sum()), -errors[s]))
    return [int(i) for i in np.flatnonzero(subsets[best])]


def _one_by_one(gram: NDArray[np.float64], cross: NDArray[np.float64]) -> list[int]:
    """Leave out the row that is least missed, as long as the sum gets closer by it."""
    kept = list(range(len(cross)))

    def error(rows: list[int]) -> float:
        return float(gram[np.ix_(rows, rows)].sum() - 2 * cross[rows].sum())

    while len(kept) > 1:
        tried = [[i for i in kept if i != left] for left in kept]
        best = min(tried, key=error)
        if error(best) >= error(kept):
            break
        kept = best
    return kept


def _deviation(wanted: NDArray[np.float64], table: NDArray[np.float64]) -> float:
    return float(np.abs(wanted - table.sum(axis=0)).sum() / (np.abs(wanted).sum() + 1e-30))


def _noise_around(clean: NDArray[np.float32], noisy: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the mean square of what was taken out around each pixel, and a little of the light."""
    size = (2 * _REACH + 1, 2 * _REACH + 1, 1)
    clean = clean.astype(np.float64)
    taken = np.square(np.nan_to_num(noisy, posinf=0, neginf=0) - clean)
    # One firefly that was taken out says little of the noise around it.
    around = uniform_filter(np.minimum(taken, 16 * np.square(clean) + 1e-12), size, mode="nearest")
    return np.asarray(np.maximum(around, 0) + 1e-6 * np.square(clean) + 1e-12)


def _projected(
    whole: NDArray[np.float64], parts: NDArray[np.float64], shares: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return the parts, each moved by its share, that add up; none below zero or where it was."""
    floor = np.minimum(parts, 0)
    moving = np.ones(parts.shape, bool)
    moved = parts.copy()
    for _ in range(len(parts)):
        lacking = whole - moved.sum(axis=0)
        share = np.where(moving, shares, 0)
        total = share.sum(axis=0)
        step = share * np.divide(lacking, total, out=np.zeros_like(lacking), where=total > 0)
        moved = moved + step
        below = moved < floor
        if not below.any():
            break
        moved = np.where(below, floor, moved)
        moving &= ~below
    # A beauty that is itself below zero can only be met by parts that are.
    moved += (whole - moved.sum(axis=0)) * (whole < floor.sum(axis=0)) / len(parts)
    rounded = moved.astype(np.float32)
    largest = rounded.argmax(axis=0)[None]
    lacking = whole - rounded.sum(axis=0, dtype=np.float64)
    top = np.take_along_axis(rounded, largest, 0).astype(np.float64) + lacking
    np.put_along_axis(rounded, largest, top.astype(np.float32), 0)
    return rounded
