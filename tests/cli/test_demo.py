"""The demo: samples denoised, measured, drawn on a page, and handed to napari."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from _networks import write_tiny_weights
from napari_denoise.cli import app, demo_command
from napari_denoise.cli.demo_command import add_layers, bundled_cases, denoise_case
from napari_denoise.cli.montage import CELL, Row, choose_crop, compose
from napari_denoise.cli.progress import FileProgress
from napari_denoise.inference.denoiser import Denoiser
from napari_denoise.io.read import read
from napari_denoise.weights.catalogue import list_weights

BUNDLED = {"photo", "microscopy"} <= {info.name for info in list_weights() if info.bundled}


@pytest.fixture
def tiny(tmp_path):
    return write_tiny_weights(tmp_path / "tiny.safetensors")


@pytest.fixture
def results(tmp_path, tiny):
    photo = next(case for case in bundled_cases() if case.name == "photo")
    denoiser = Denoiser.load(str(tiny), "cpu")
    return [denoise_case(photo, denoiser, tmp_path / "out", FileProgress(1))]


def run(*arguments):
    return CliRunner().invoke(app, ["demo", *(str(argument) for argument in arguments)])


def test_the_demo_writes_results_and_a_picture_and_prints_figures(tmp_path, tiny):
    output = tmp_path / "out"
    result = run("-o", output, "--no-viewer", "--weights", tiny, "--device", "cpu")
    assert result.exit_code == 0, result.output
    with Image.open(output / "demo.png") as page:
        assert page.width > 3 * CELL[0]
        assert page.height > 3 * CELL[1]
    for text in ("PSNR", "SSIM", "device cpu", "tone-mapped", "demo.png"):
        assert text in result.stdout
    for case in bundled_cases():
        suffix = "_denoised_####" if "#" in case.noisy.name else "_denoised"
        stem = case.noisy.name.replace("_####", "")
        head, _, ending = stem.partition(".")
        folder = output / case.name if "#" in case.noisy.name else output
        written, meta = read(folder / f"{head}{suffix}.{ending}")
        noisy, before = read(case.noisy)
        assert (written.shape, written.dtype) == (noisy.shape, noisy.dtype)
        assert meta.scale == before.scale
        assert not np.array_equal(written, noisy)
    assert not list(output.rglob(".*"))


@pytest.fixture(scope="module")
def bundled_demo(tmp_path_factory):
    """The demo with the weights that come along: its output, what it printed, its results."""
    output, results = tmp_path_factory.mktemp("demo"), []
    with pytest.MonkeyPatch.context() as patch:
        kept = demo_command.write_picture
        patch.setattr(demo_command, "write_picture", lambda r, *a: results.extend(r) or kept(r, *a))
        done = run("-o", output, "--no-viewer", "--device", "cpu")
    assert done.exit_code == 0, done.output
    return output, done.stdout, results


@pytest.mark.skipif(not BUNDLED, reason="the bundled weights are not in this checkout")
def test_bundled_weights_improve_every_sample(bundled_demo):
    for case, result in zip(bundled_cases(), bundled_demo[2], strict=True):
        assert result.after["psnr"] > result.before["psnr"] + 3, case.name
        assert result.after["ssim"] > result.before["ssim"] + 0.1, case.name


def test_the_demo_ends_with_2_where_weights_are_missing(tmp_path):
    result = run("-o", tmp_path / "out", "--no-viewer", "--weights", tmp_path / "no.safetensors")
    assert result.exit_code == 2
    assert "no such weights file" in result.stderr
    assert not (tmp_path / "out").exists()


def test_without_a_display_the_demo_says_where_the_picture_is(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    demo_command.view([], tmp_path / "demo.png")
    flat = "".join(capsys.readouterr().err.split())
    assert "nodisplay" in flat
    assert "demo.png" in flat


@pytest.mark.skipif(not BUNDLED, reason="the bundled weights are not in this checkout")
def test_the_demo_tells_what_neighbours_are_worth(bundled_demo):
    stacks = [case for case in bundled_cases() if case.name != "photo"]
    output, printed, _ = bundled_demo
    said = dict(line.split(": ", 1) for line in printed.splitlines() if "frame by frame" in line)
    assert list(said) == [case.title for case in stacks]
    for case, least, most in zip(stacks, (1.8, 0.3), (5, 4), strict=True):
        single, fused = map(float, re.findall(r"([\d.]+) dB", said[case.title]))
        assert fused > single + least, case.name
        used = float(re.search(r"\(([\d.]+) of \d frames used on average\)", said[case.title])[1])
        assert 1.5 < used <= most
    assert (output / "fluorescence_frame_by_frame.ome.tif").is_file()


def test_layers_show_before_and_after_under_equal_limits(results):
    model = pytest.importorskip("napari.components").ViewerModel()
    add_layers(model, results)
    before, after = model.layers
    assert [before.name, after.name] == ["photo: noisy", "photo: denoised"]
    assert before.contrast_limits == after.contrast_limits
    assert before.rgb and after.rgb
    np.testing.assert_array_equal(after.data, read(results[0].target)[0])


def test_layers_of_a_stack_show_it_frame_by_frame_too(results):
    model = pytest.importorskip("napari.components").ViewerModel()
    add_layers(model, [replace(results[0], single=results[0])])
    names = [layer.name for layer in model.layers]
    assert names == ["photo: noisy", "photo: frame by frame", "photo: denoised"]


# The page


def test_the_crop_shows_where_noise_went_and_structure_is():
    truth = np.zeros((80, 100), np.float32)
    truth[50:60, 70:80] = np.indices((10, 10)).sum(0) % 2  # detail here ...
    truth[10:20, 10:20] = np.indices((10, 10)).sum(0) % 2  # ... and there
    before, after = truth.copy(), truth.copy()
    before[50:60, 70:80] += 0.5  # but noise was removed here alone
    y, x = choose_crop(before, after, truth, (20, 30))
    assert (y.stop - y.start, x.stop - x.start) == (20, 30)
    assert y.start <= 50
    assert y.stop >= 60
    assert x.start <= 70
    assert x.stop >= 80


@pytest.mark.parametrize("shape", [(12, 9), (100, 133), (101, 300)])
def test_the_crop_never_leaves_the_picture(shape):
    rng = np.random.default_rng(0)
    before, after, truth = rng.random((3, *shape)).astype(np.float32)
    y, x = choose_crop(before, after, truth, (100, 133))
    assert 0 <= y.start < y.stop <= shape[0]
    assert 0 <= x.start < x.stop <= shape[1]


def test_the_page_holds_the_pixels_of_before_after_and_truth():
    levels = (0.2, 0.4, 0.8)
    before, after, truth = (np.full((120, 160), level, np.float32) for level in levels)
    page = compose([Row("a", "b", (before, after, truth), ("", "", ""))], "heading", "note")
    pixels = np.asarray(page)
    for level in levels:
        count = np.count_nonzero((pixels == round(level * 255)).all(axis=-1))
        assert count > 0.8 * CELL[0] * CELL[1]
