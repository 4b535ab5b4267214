from __future__ import annotations

import numpy as np
import pytest

from napari_denoise import read
from napari_denoise.image.metrics import psnr
from napari_denoise.plugin import samples
from napari_denoise.plugin.samples import SAMPLES, sample_path

LARGEST = 8_000_000


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_and_its_truth_have_the_stated_axes_and_one_shape(name: str) -> None:
    sample = SAMPLES[name]
    noisy, meta = read(sample_path(sample.noisy))
    truth, truth_meta = read(sample_path(sample.truth))
    assert meta.axes == truth_meta.axes == sample.axes
    assert noisy.shape == truth.shape
    assert noisy.dtype == truth.dtype


@pytest.mark.parametrize("name", SAMPLES)
def test_the_open_sample_command_gives_the_noisy_image_last_over_its_hidden_truth(
    name: str,
) -> None:
    layers = getattr(samples, name)()
    sample = SAMPLES[name]
    assert [kind for _, _, kind in layers] == ["image"] * len(layers)
    assert layers[0][1]["name"] == f"{name} truth"
    assert not layers[0][1]["visible"]
    assert layers[-1][1].get("visible", True)
    noisy, _ = read(sample_path(sample.noisy))
    np.testing.assert_array_equal(np.asarray(layers[-1][0]), np.asarray(noisy))


def test_the_time_lapse_holds_its_pixel_size_and_time_step() -> None:
    _, meta = read(sample_path(SAMPLES["fluorescence"].noisy))
    assert meta.scale == pytest.approx((2.0, 0.108, 0.108))


def test_the_noise_of_the_time_lapse_is_that_of_the_stated_camera() -> None:
    noisy, truth = (
        np.asarray(read(sample_path(p))[0], float)
        for p in (SAMPLES["fluorescence"].noisy, SAMPLES["fluorescence"].truth)
    )
    expected = 2.0 * (truth - 100) + (2 * 1.6) ** 2 + 1 / 12
    for low, high in ((100, 105), (105, 115), (115, 140), (140, 1000)):
        chosen = (truth >= low) & (truth < high)
        measured = np.mean((noisy - truth)[chosen] ** 2)
        assert measured == pytest.approx(expected[chosen].mean(), rel=0.05)
        assert (noisy - truth)[chosen].mean() == pytest.approx(0, abs=0.2)


def test_the_photograph_has_the_noise_of_sigma_25() -> None:
    noisy, truth = (
        np.asarray(read(sample_path(p))[0])
        for p in (SAMPLES["photo"].noisy, SAMPLES["photo"].truth)
    )
    inside = (truth > 100) & (truth < 155)  # no clipping there
    assert np.std((noisy - truth.astype(float))[inside]) == pytest.approx(25, rel=0.02)
    assert 20 < psnr(truth, noisy, 255) < 22


def test_the_render_brings_albedo_and_normal() -> None:
    _, meta = read(sample_path(SAMPLES["render"].noisy))
    assert set(meta.features) == {"albedo", "normal"}


def test_the_samples_stay_small() -> None:
    folder = sample_path(".")
    assert sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) <= LARGEST


def test_a_missing_sample_folder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "files", lambda _: "/nowhere")
    monkeypatch.setattr(samples, "__file__", "/nowhere/src/napari_denoise/samples.py")
    with pytest.raises(FileNotFoundError, match="install napari-denoise again"):
        sample_path("photo.png")
