"""A noisy stack as a fine-tuning: figures without a clean image, and only what gains is saved."""

from __future__ import annotations

import math

import numpy as np
import pytest
from _real import camera_pair, chosen, clean_image, noisy_shot, tuning

from napari_denoise.training.data.real_pairs import pair_of_stack
from napari_denoise.training.finetune import held_out
from napari_denoise.training.finetune.fine_tuning import finetune
from napari_denoise.training.finetune.gain import Gain


def still(frames=4):
    return pair_of_stack("s", noisy_shot(np.tile(clean_image(), (frames, 1, 1))), "TYX")


def test_figures_are_those_of_a_clean_image_that_nobody_has(tmp_path):
    run = tuning(tmp_path, [still()], steps=2, spread=True)
    *_, last = run.steps()
    result = last.result
    assert list(result.rows) == ["noisy", "base", "fine-tuned"]
    assert all(math.isnan(row.ssim) for row in result.rows.values())
    # The error of a noisy frame is its noise, which is known here.
    known = (2 * (clean_image()[0] - 100) + 3**2)[:, 72:].mean()
    estimated = run.views.peak**2 / 10 ** (result.rows["noisy"].psnr / 10)
    assert estimated == pytest.approx(known, rel=0.2)
    assert result.gain.low <= result.gain.value <= result.gain.high
    assert "two more noisy shots" in result.measured


@pytest.mark.parametrize("low", [0.1, -0.1], ids=["better", "not surely better"])
def test_only_weights_that_surely_gain_are_saved(tmp_path, monkeypatch, low):
    monkeypatch.setattr(held_out, "gain_of", lambda *_: Gain(0.5, low, 0.9))
    target = tmp_path / "mine.safetensors"
    *_, last = finetune(still(), chosen(tmp_path, steps=1), save_as=target)
    assert last.result.gain.value == 0.5
    assert target.is_file() is last.result.offered is (low > 0)


def test_stacks_and_pairs_are_not_mixed(tmp_path):
    pairs = [still(), pair_of_stack("t", noisy_shot(np.tile(clean_image(), (4, 1, 1))), "TYX")]
    assert len({h.pair.name for h in tuning(tmp_path, pairs).material.held_out}) == 2
    with pytest.raises(ValueError, match="noisy stacks among pairs"):
        tuning(tmp_path, [still(), camera_pair()])


def test_a_stack_teaches_without_its_row_noise(tmp_path):
    rng = np.random.default_rng(3)
    clean = np.tile(clean_image(), (4, 1, 1))
    noisy = noisy_shot(clean)
    rows = rng.normal(0, 0.7 * np.std(noisy - clean), (4, clean.shape[1], 1))
    run = tuning(tmp_path, [pair_of_stack("s", (noisy + rows).astype(np.float32), "TYX")])
    assert any("row noise" in text and "is removed" in text for text in run.material.notes)
    (held, *_) = run.material.held_out
    errors = [np.mean((held.pair.noisy - clean).mean(axis=2) ** 2)]
    errors.append(np.mean((noisy + rows - clean).mean(axis=2) ** 2))
    assert errors[0] < 0.1 * errors[1]
