"""Times that mean something on a busy machine: CPU seconds, variants by turns, medians."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Timing:
    """Seconds of one variant, one entry per round."""

    cpu: tuple[float, ...]
    """Of the whole process, all threads."""
    wall: tuple[float, ...]

    @property
    def cpu_median(self) -> float:
        """Median CPU seconds."""
        return float(np.median(self.cpu))

    @property
    def wall_median(self) -> float:
        """Median wall seconds."""
        return float(np.median(self.wall))

    def ratio(self, other: Timing) -> tuple[float, float, float]:
        """Lower quartile, median and upper quartile of CPU times over another's, by round."""
        ratios = np.array(self.cpu) / np.array(other.cpu)
        low, middle, high = np.percentile(ratios, [25, 50, 75])
        return float(low), float(middle), float(high)

    def describe(self, share: float = 1.0, digits: int = 2) -> str:
        """Write median CPU seconds and quartiles, divided by `share` (such as megapixels)."""
        low, middle, high = np.percentile(self.cpu, [25, 50, 75]) / share
        return f"{middle:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def alternate(
    variants: Mapping[str, Callable[[], object]], rounds: int, *, warm: bool = True
) -> dict[str, Timing]:
    """Time variants by turns, so that all of them meet the same disturbances.

    Every variant runs once before, uncounted, unless `warm` is False.
    """
    for run in variants.values() if warm else ():
        run()
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, run in variants.items():
            taken[name].append(_time(run))
    return {name: _timing(pairs) for name, pairs in taken.items()}


def _time(run: Callable[[], object]) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    run()
    return time.process_time() - cpu, time.perf_counter() - wall


def _timing(pairs: Iterable[tuple[float, float]]) -> Timing:
    cpu, wall = zip(*pairs, strict=True)
    return Timing(cpu, wall)
