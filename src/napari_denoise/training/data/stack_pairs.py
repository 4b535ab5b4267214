"""Frames of noisy stacks, and the mean of what their neighbours show: no clean image is needed.

The noise of a neighbour is independent of the frame's own, so a network that is to give the one for
the other gives what they have in common (Lehtinen et al. 2018, Noise2Noise, arXiv 1803.04189). The
mean of several neighbours teaches the same as each of them, with less noise in every step.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_denoise.image.values import Float32Array
from napari_denoise.inference.agreement import Mask, Other
from napari_denoise.settings.recipe import TrainSettings
from napari_denoise.training.data.pairs import Batch, RealPairs


class MeanShot(NamedTuple):
    """What the neighbours of a frame show where it shows the same.

    Parameters
    ----------
    values
        (C, Y, X), their mean; where there are none, something finite.
    shots
        (Y, X), of how many.
    """

    values: Float32Array
    shots: Float32Array

    @property
    def there(self) -> Mask:
        """(Y, X), where there are any."""
        return self.shots > 0


def mean_of(others: Iterable[Other], shape: tuple[int, ...]) -> MeanShot:
    """Average neighbours where they agree, all alike.

    Parameters
    ----------
    others
        From `Neighbors.others`.
    shape
        (C, Y, X) of the window.
    """
    total, shots = np.zeros(shape, np.float64), np.zeros(shape[1:], np.float32)
    for other in others:
        total += np.where(other.agrees, other.values, 0)
        shots += other.agrees
    return MeanShot((total / np.maximum(shots, 1)).astype(np.float32), shots)


class StackPairs(RealPairs):
    """Frames and the mean shots of their neighbours.

    Parameters
    ----------
    noisy, targets
        (Y, X, C) float32, in the network's units.
    shots
        (Y, X, 1) of each, of how many neighbours a target is the mean.
    sigmas, settings, masks
        As for `RealPairs`.

    Raises
    ------
    ValueError
        No patch fits, or the recipe's loss would be biased by noisy targets.
    """

    def __init__(
        self,
        noisy: Sequence[NDArray[np.float32]],
        targets: Sequence[NDArray[np.float32]],
        shots: Sequence[NDArray[np.float32]],
        sigmas: Sequence[float],
        settings: TrainSettings,
        *,
        masks: Sequence[Mask] | None = None,
    ) -> None:
        super().__init__(
            noisy, targets, sigmas, settings, noisy_target=True, masks=masks, features=shots
        )

    def batch(self, step: int, rank: int = 0) -> Batch:
        """Draw the same patch of a frame, its target and its shots."""
        drawn = super().batch(step, rank)
        return replace(drawn, features=None, shots=drawn.features)

    def _swaps(self, rng: np.random.Generator) -> bool:
        return False  # a mean of moved frames is no frame
