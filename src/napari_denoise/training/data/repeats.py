"""Repeated frames of one scene, or a noisy stack: the data tell which."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_denoise.training.data.pair_checks import check_pair
from napari_denoise.training.data.real_pairs import (
    FEWEST_FRAMES,
    Pair,
    open_repeats,
    open_stack,
    pair_of_repeats,
    pair_of_stack,
)


def open_frames(path: str | Path, *, axes: str | None = None) -> Pair:
    """Read frames that are said to repeat one scene, see `pair_of_frames`."""
    return _that_fits(open_repeats(path, axes=axes), lambda: open_stack(path, axes=axes))


def pair_of_frames(name: str, stack: Any, axes: str | None = None, **told: Any) -> Pair:
    """Make a pair of frames of one scene, as is said; where something moves, of a noisy stack.

    Parameters are those of `pair_of_repeats`.
    """
    repeats = pair_of_repeats(name, stack, axes, **told)
    return _that_fits(repeats, lambda: pair_of_stack(name, stack, axes, **told))


def _that_fits(repeats: Pair, stack: Callable[[], Pair]) -> Pair:
    """Take the stack where something moves, marked as what was said to be one scene."""
    if not any(finding.code == "motion" for finding in check_pair(repeats).findings):
        return repeats
    other = stack()
    few = other.layout.size(other.along) < FEWEST_FRAMES
    return repeats if few else replace(other, one_scene=True)
