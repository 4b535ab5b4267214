"""Noise of whole rows and columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage import data

from napari_denoise import Denoiser
from napari_denoise.measure.line_noise import describe_lines, line_noise


def scene() -> Any:
    rng = np.random.default_rng(5)
    return 100 + 400 * gaussian_filter(rng.normal(0, 1, (256, 300)), 6)


def noisy(image: Any, sd: float = 5.0, rows: float = 0.0, columns: float = 0.0) -> Any:
    rng = np.random.default_rng(0)
    height, width = image.shape
    lines = rng.normal(0, rows, (height, 1)) + rng.normal(0, columns, (1, width))
    return image + rng.normal(0, sd, image.shape) + lines


@pytest.mark.parametrize("share", [0.3, 0.6, 1.0])
@pytest.mark.parametrize("image", [scene(), data.camera()[:300, :256].astype(float)])
def test_rows_and_columns_that_differ_are_seen(image: Any, share: float) -> None:
    rows, columns = line_noise(noisy(image, rows=5 * share))
    assert rows == pytest.approx(share, rel=0.25)
    assert columns == 0
    rows, columns = line_noise(noisy(image, columns=5 * share))
    assert columns == pytest.approx(share, rel=0.25)
    assert rows == 0


@pytest.mark.parametrize("sd", [0.0, 5.0])
@pytest.mark.parametrize("name", ["camera", "coins", "brick", "grass", "page", "text", "clock"])
def test_photographs_have_none(name: str, sd: float) -> None:
    image = getattr(data, name)()[:512, :512].astype(float)
    assert line_noise(np.rint(noisy(image, sd))) == (0, 0)


@pytest.mark.parametrize("period", [2, 3, 4, 5, 8, 16])
@pytest.mark.parametrize("sharp", [False, True])
def test_stripes_of_a_specimen_are_none(period: int, sharp: bool) -> None:
    wave = np.sin(2 * np.pi * (np.arange(256) + 0.3) / period)
    stripes = np.tile((100 + 20 * (np.sign(wave) if sharp else wave))[:, None], (1, 256))
    assert line_noise(noisy(stripes)) == (0, 0)


@pytest.mark.parametrize("shape", [(40, 300), (300, 40), (1, 1)])
def test_little_or_nothing_tells_nothing(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).normal(0, 1, (shape[0], 1)) + np.zeros(shape)
    assert line_noise(image) == (0, 0)
    assert line_noise(np.zeros((100, 100))) == (0, 0)
    assert line_noise(np.full((100, 100), np.nan)) == (0, 0)


def test_it_is_said() -> None:
    assert describe_lines(0, 0) == ""
    job = Denoiser.load("microscopy", "cpu", "float32").prepare(noisy(scene(), rows=3), "YX")
    assert "rows differ by 0.6 of the noise: row noise is not removed" in job.warnings
