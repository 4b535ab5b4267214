"""What is said of the figures that came out."""

from __future__ import annotations

import pytest

from napari_denoise.training.finetune.held_out import Figures
from napari_denoise.training.finetune.outcome import FineTuneResult

BASE = Figures(30.0, 0.8, 0.0)


def result(psnr: float, ssim: float) -> FineTuneResult:
    rows = {"noisy": Figures(20, 0.3, 0), "base": BASE, "fine-tuned": Figures(psnr, ssim, 0)}
    return FineTuneResult(rows, 7, "data range 1")


def test_where_psnr_rises_and_ssim_falls_the_verdict_says_both():
    found = result(30.5, 0.79)
    assert found.improved and found.mixed
    assert found.verdict == (
        "+0.50 dB against the base on the validation set, but SSIM fell by 0.0100 (from 0.8000 to "
        "0.7900): compare them by eye"
    )
    assert found.to_json()["mixed"] is True


def test_where_psnr_falls_and_ssim_rises_the_verdict_says_both():
    found = result(29.5, 0.82)
    assert not found.improved and found.mixed
    assert found.verdict.startswith("NO better than the base (-0.50 dB) on the validation set")
    assert "though SSIM rose by 0.0200 (from 0.8000 to 0.8200)" in found.verdict
    assert "use the base" not in found.verdict


@pytest.mark.parametrize(
    ("psnr", "ssim"), [(30.5, 0.9), (30.5, 0.7995), (29.0, 0.7), (29, 0.8005), (31, float("nan"))]
)
def test_a_hair_and_figures_that_agree_are_not_worth_a_word_more(psnr, ssim):
    found = result(psnr, ssim)
    assert not found.mixed
    assert "SSIM" not in found.verdict


def test_where_nothing_was_held_out_nothing_is_claimed():
    found = FineTuneResult({}, None, "")
    assert found.improved is None and not found.mixed
    assert "not known" in found.verdict
