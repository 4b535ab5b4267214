"""Noise of whole rows and columns is taken out of every frame before the network sees it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_denoise import Denoiser, DenoiseSettings
from napari_denoise.image import frames

pytestmark = pytest.mark.filterwarnings("ignore")
SD = 3.0


@pytest.fixture(scope="module")
def model() -> Denoiser:
    return Denoiser.load("microscopy", "cpu", "float32")


@pytest.fixture(scope="module")
def clean() -> Any:
    return 200 + 500 * gaussian_filter(np.random.default_rng(3).normal(0, 1, (160, 144)), 10)


def recorded(clean: Any, seed: int = 0, sd: float = SD) -> Any:
    rng = np.random.default_rng(seed)
    rows = rng.normal(0, sd, (len(clean), 1))
    image = clean + rng.normal(0, 2 * SD, clean.shape) + rows - rows.mean()
    return np.rint(image).astype(np.uint16)


def error(result: Any, clean: Any) -> float:
    return 10 * float(np.log10(np.square(result.astype(float) - clean).mean()))


def test_rows_are_removed_and_the_mean_stays(model: Denoiser, clean: Any) -> None:
    noisy = recorded(clean)
    job = model.prepare(noisy, "YX")
    assert any("row noise of sd " in text and "is removed" in text for text in job.warnings)
    assert job.provenance()["channels"][0]["line_noise"]["rows"] == job.channels[0].lines.rows
    *_, last = job.steps()
    assert last.result is not None and last.result.dtype == np.uint16
    assert last.result.mean() == pytest.approx(noisy.mean(), rel=5e-4)
    kept = model(noisy, "YX", line_noise="keep")
    assert error(last.result, clean) < error(kept, clean) - 1

    tiled = model(noisy, "YX", tile=64, dtype="float32")
    whole = model(noisy, "YX", dtype="float32")
    assert np.abs(tiled - whole).max() < 1e-5 * np.ptp(noisy)
    part = model.prepare(noisy, "YX").region(0, slice(20, 90), slice(30, 70))
    assert np.abs(part.astype(int) - last.result[20:90, 30:70]).max() <= 1


def test_columns_are_removed_in_any_order_of_axes(model: Denoiser, clean: Any) -> None:
    noisy = recorded(clean).T.copy()
    job = model.prepare(noisy, "YX", noise=2 * SD)
    assert job.channels[0].lines.columns > 0 and job.channels[0].lines.rows == 0
    turned = model.prepare(noisy, "XY", noise=2 * SD)
    assert turned.channels[0].lines.rows == job.channels[0].lines.columns
    result = model(noisy, "XY", noise=2 * SD)
    assert error(result, clean.T) < error(model(noisy, "XY", line_noise="keep"), clean.T) - 1


def test_neighbours_see_frames_without(model: Denoiser, clean: Any) -> None:
    stack = np.stack([recorded(clean, seed) for seed in range(3)])
    both = [model(stack, "TYX", neighbors=1, line_noise=text)[1] for text in ("auto", "keep")]
    assert error(both[0], clean) < error(both[1], clean) - 1


@pytest.mark.parametrize(
    ("fields", "large", "said"),
    [
        ({"line_noise": "keep"}, False, "is kept"),
        ({"noise": 0.0}, False, "is kept"),
        ({}, True, "is not removed from frames too large to be held"),
    ],
)
def test_what_is_left_is_said(
    model: Denoiser,
    clean: Any,
    monkeypatch: pytest.MonkeyPatch,
    fields: dict[str, Any],
    large: bool,
    said: str,
) -> None:
    if large:
        monkeypatch.setattr(frames, "LARGE_BYTES", 100)
    job = model.prepare(recorded(clean), "YX", **fields)
    assert not job.channels[0].lines
    assert any(said in text for text in job.warnings)
    assert "line_noise" not in job.provenance()["channels"][0]


def test_without_row_noise_nothing_changes(model: Denoiser, clean: Any) -> None:
    noisy = recorded(clean, sd=0)
    results = [model(noisy, "YX", line_noise=text) for text in ("auto", "keep")]
    assert np.array_equal(*results)


def test_fill_stays_and_tells_nothing(model: Denoiser, clean: Any) -> None:
    noisy = recorded(clean)
    noisy[:, :40] = 0
    job = model.prepare(noisy, "YX")
    assert job.channels[0].lines.rows == pytest.approx(SD, rel=0.3)
    *_, last = job.steps()
    assert last.result is not None and not last.result[:, :40].any()
    kept = model(noisy, "YX", line_noise="keep")
    inside = (slice(None), slice(50, None))
    assert error(last.result[inside], clean[inside]) < error(kept[inside], clean[inside]) - 1


def test_results_of_before_are_made_again_as_they_were() -> None:
    assert DenoiseSettings.of_result({"settings": {}}).line_noise == "keep"
    assert DenoiseSettings.parse({}).line_noise == "auto"
