"""What is said of a gain that no clean image shows: how large, and how sure."""

from __future__ import annotations

import numpy as np
import pytest

from napari_denoise.training.finetune.gain import Gain, gain_of
from napari_denoise.training.finetune.held_out import Figures
from napari_denoise.training.finetune.outcome import FineTuneResult

PLACE = "a", (slice(0, 128), slice(0, 128))


def measured(seed, before=2.0, after=1.0, noise=10.0):
    """Squared errors as two shots measure them: right on average, noisy at each pixel."""
    rng = np.random.default_rng(seed)
    common = noise * rng.standard_normal((128, 128))
    own = 0.1 * noise * rng.standard_normal((128, 128))
    return gain_of([PLACE], [before + common], [after + common + own])


def test_the_truth_lies_inside_of_the_interval():
    found = [measured(seed) for seed in range(20)]
    truth = 10 * np.log10(2)
    assert sum(gain.low <= truth <= gain.high for gain in found) >= 15
    assert all(gain.certain and gain.low < gain.value < gain.high for gain in found)


def test_no_gain_is_not_certain():
    found = [measured(seed, before=1.0) for seed in range(20)]
    assert sum(gain.certain for gain in found) <= 3


def test_what_lies_at_one_place_is_drawn_together():
    rng = np.random.default_rng(0)
    after = 1 + rng.random((128, 128))
    once = gain_of([PLACE], [np.full((128, 128), 2.0)], [after])
    often = gain_of([PLACE] * 9, [np.full((128, 128), 2.0)] * 9, [after] * 9)
    assert often.high - often.low == pytest.approx(once.high - once.low)


def test_an_error_that_noise_leaves_below_zero_is_no_number_out_of_range():
    found = gain_of([PLACE], [np.full((128, 128), 1.0)], [np.full((128, 128), -1.0)])
    assert np.isfinite([found.value, found.low, found.high]).all()
    assert str(found).endswith("or more)")


@pytest.mark.parametrize(("low", "offered"), [(0.1, True), (-0.1, False)])
def test_only_what_surely_gains_is_offered(low, offered):
    rows = {name: Figures(30.0, float("nan"), 0.0) for name in ("noisy", "base", "fine-tuned")}
    result = FineTuneResult(rows, 3, "", gain=Gain(0.5, low, 0.9))
    assert result.offered is offered and result.improved is offered
    assert ("not surely better" in result.verdict) is not offered
    assert result.to_json()["gain"] == {"value": 0.5, "low": low, "high": 0.9}
