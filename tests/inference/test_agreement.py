"""Where neighbours agree, for those that learn from them: noise passes, what changed does not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_denoise.inference.agreement import agreeing

SIZE = (128, 128)


def error(seed: int, smooth: float = 1.2) -> np.ndarray:
    """What a first pass errs by: some pixels wide, of variance 1."""
    plane = gaussian_filter(np.random.default_rng(seed).standard_normal(SIZE), smooth, mode="wrap")
    return np.float32(plane / plane.std())


def spot(height: float) -> np.ndarray:
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] - 64
    return np.float32(height * np.exp(-(x**2 + y**2) / (2 * 1.6**2)))


def agreed(one: np.ndarray, two: np.ndarray, stated: float) -> np.ndarray:
    return agreeing(np.square(one - two), np.full(SIZE, 2 * stated, np.float32))


@pytest.mark.parametrize("stated", [1.0, 0.15], ids=["as stated", "far more than stated"])
def test_noise_passes_and_an_event_does_not(stated):
    one, two = error(1), error(2)
    assert agreed(one, two, stated).mean() > 0.95
    eventful = agreed(one, two + spot(14.0), stated)
    assert not eventful[60:69, 60:69].any()
    assert eventful[:32].mean() > 0.95


def test_what_passes_is_not_chosen_by_its_noise():
    kept, left = [], []
    for seed in range(0, 40, 2):
        one, two = error(seed), error(seed + 1)
        mask = agreed(one, two, 1.0)
        kept.append((one * two)[mask].mean())
        left.append(mask.mean())
    # Errors that agree by chance would be kept more often: their product would be above 0.
    assert abs(np.mean(kept)) < 0.03
    assert np.mean(left) > 0.95
