"""Figures and a picture of images that were kept from training."""

from __future__ import annotations

import numpy as np
import pytest
from _tiny import assert_equal_states, fresh, pictures, tiny, trained
from PIL import Image

from napari_denoise.image.metrics import psnr
from napari_denoise.training.loop.checkpoints import load_checkpoint
from napari_denoise.training.loop.validation import SIGMA, Validator, regularly, save_figure


def measuring(settings):
    return regularly(Validator(pictures(1), settings), settings.validate_every)


def test_a_distortion_stage_is_measured_at_its_faithful_end():
    settings = tiny(seed=3)
    found = Validator(pictures(2), settings)(fresh(settings))
    assert list(found.columns) == ["noisy", "faithful", "clean"]
    assert set(found.figures) == {
        f"{m}_{c}" for m in ("psnr", "ssim") for c in ("noisy", "faithful")
    }
    assert found.figures["psnr_noisy"] == pytest.approx(-20 * np.log10(SIGMA), abs=0.5)
    clean = np.moveaxis(pictures(1)[0], -1, 0) / 255
    assert np.allclose(found.columns["clean"][0], clean, atol=1e-6)
    faithful = np.clip(found.columns["faithful"][0], 0, 1)
    alone = Validator(pictures(1), settings)(fresh(settings))
    assert alone.figures["psnr_faithful"] == pytest.approx(psnr(clean, faithful, 1.0), abs=1e-3)


def test_an_adversarial_stage_is_measured_at_both_ends():
    settings = tiny(adversarial={})
    state = fresh(settings)
    with_bias = state.average.tail.bias
    with_bias.data.add_(0.25)
    found = Validator(pictures(1), settings)(state)
    assert list(found.columns) == ["noisy", "faithful", "realistic", "clean"]
    difference = found.columns["realistic"][0] - found.columns["faithful"][0]
    assert np.allclose(difference, 0.25, atol=1e-5)
    assert found.figures["psnr_faithful"] != found.figures["psnr_realistic"]


def test_the_noise_is_the_same_every_time_and_within_the_range_of_the_recipe():
    settings = tiny(noise={"sigma": (0.2, 0.3)})
    one, other = Validator(pictures(2), settings), Validator(pictures(2), settings)
    assert one.sigma == 0.2
    assert all(np.array_equal(a, b) for a, b in zip(one.noisy, other.noisy, strict=True))
    assert not np.array_equal(one.noisy[0] - one.clean[0], one.noisy[1] - one.clean[1])
    assert Validator(pictures(1), tiny(noise={"sigma": (0.0, 0.05)})).sigma == 0.05


def test_a_network_that_states_its_error_is_measured_by_its_image_alone():
    settings = tiny(
        config={"channels": 1, "widths": (8, 8), "blocks": (1, 1, 1), "spread": True},
        distortion={"spread": 0.1},
    )
    found = Validator(pictures(1), settings)(fresh(settings))
    assert found.columns["faithful"][0].shape == (1, 40, 48)


def test_validation_comes_every_so_many_steps_and_at_the_end(tmp_path):
    settings = tiny(distortion={"steps": 5}, adversarial={"steps": 2}, validate_every=3)
    reports = trained(settings, tmp_path / "c.pt", after_step=measuring(settings))
    measured = {r.step: list(r.validation.columns) for r in reports if r.validation}
    assert list(measured) == [3, 6, 7]
    assert measured[3] == ["noisy", "faithful", "clean"]
    assert measured[6] == measured[7] == ["noisy", "faithful", "realistic", "clean"]


def test_measuring_changes_nothing_in_the_run(tmp_path):
    settings = tiny(adversarial={}, validate_every=1)
    trained(settings, tmp_path / "a.pt")
    trained(settings, tmp_path / "b.pt", after_step=measuring(settings))
    assert_equal_states(load_checkpoint(tmp_path / "a.pt"), load_checkpoint(tmp_path / "b.pt"))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_figure_shows_every_column_of_the_first_images(channels, tmp_path):
    config = {"channels": channels, "widths": (8, 8), "blocks": (1, 1, 1)}
    settings = tiny(adversarial={}, config=config)
    images = [*pictures(5, channels), np.full((24, 30, channels), 128, np.uint8)]
    found = Validator(images[3:], settings)(fresh(settings))  # of different sizes
    save_figure(found, tmp_path / "deep" / "000001.png")
    with Image.open(tmp_path / "deep" / "000001.png") as page:
        assert (page.mode, page.format) == ("RGB", "PNG")
        caption = 22
        assert page.size == (4 * 2 * 48, caption + 2 * (40 + 40 + 24))
        pixels = np.asarray(page)
    assert pixels[:caption].std() > 5  # names and figures
    for column, name in enumerate(("noisy", "faithful", "realistic", "clean")):
        shown = pixels[caption:, column * 96 : column * 96 + 96 : 2][: 2 * 40 : 2, :48]
        wanted = np.moveaxis(np.clip(found.columns[name][0], 0, 1), 0, -1)
        assert np.abs(shown / 255 - wanted).max() <= 0.51 / 255, name
