"""Noise and maps that are given to the commands as files."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from _networks import write_tiny_weights
from napari_denoise.cli import app
from napari_denoise.inference.denoiser import Denoiser
from napari_denoise.inference.noise_files import load_noise
from napari_denoise.io.read import read


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return write_tiny_weights(tmp_path_factory.mktemp("weights") / "tiny.safetensors")


@pytest.fixture
def cells(tmp_path):
    """Two noisy files, and the maps of their camera."""
    rng = np.random.default_rng(0)
    maps = {"dark": rng.normal(100, 4, (48, 64)), "gain": rng.uniform(1.5, 2.5, (48, 64))}
    for name in "ab":
        frame = maps["dark"] + maps["gain"] * rng.poisson(30, (48, 64))
        tifffile.imwrite(tmp_path / f"{name}.tif", np.rint(frame).astype(np.uint16))
    for name, values in maps.items():
        tifffile.imwrite(tmp_path / f"{name}_map.tiff", values.astype(np.float32))
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_maps_go_to_every_file_of_a_batch(cells: Path, tiny: Path):
    maps = ["--dark", cells / "dark_map.tiff", "--gain-map", cells / "gain_map.tiff"]
    files = [cells / "a.tif", cells / "b.tif"]
    result = run("denoise", *files, "-o", cells / "clean", "-w", tiny, *maps)
    assert result.exit_code == 0, result.output
    denoiser = Denoiser.load(tiny)
    for file in files:
        array, meta = read(file)
        clean, found = read(cells / "clean" / file.name)
        fields = {"dark": cells / "dark_map.tiff", "gain_map": cells / "gain_map.tiff"}
        np.testing.assert_array_equal(clean, denoiser(array, meta=meta, **fields))
        note = found.extra["napari_denoise"]
        assert note["settings"]["gain_map"] == str(cells / "gain_map.tiff")
        assert set(note["channels"][0]["maps"]) == {"dark", "gain_map"}


def test_noise_saved_by_info_is_what_denoise_takes(cells: Path, tiny: Path):
    kept = cells / "camera.json"
    shown = run("info", cells / "a.tif", "--json", "--save-noise", kept)
    assert shown.exit_code == 0, shown.output
    (told,) = json.loads(shown.stdout)[0]["noise"]
    (model,) = load_noise(kept)
    assert (model.gain, model.offset, model.read_noise) == (
        told["gain"],
        told["offset"],
        told["read_noise"],
    )
    result = run(
        "denoise", cells / "b.tif", "-o", cells / "c.tif", "-w", tiny, "--noise-from", kept
    )
    assert result.exit_code == 0, result.output
    note = read(cells / "c.tif")[1].extra["napari_denoise"]
    assert note["channels"][0]["noise"]["gain"] == told["gain"]
    assert note["settings"]["noise_from"] == str(kept)
    by_image = ["--noise-from", cells / "a.tif"]
    result = run("denoise", cells / "b.tif", "-o", cells / "d.tif", "-w", tiny, *by_image)
    assert result.exit_code == 0, result.output
    np.testing.assert_array_equal(read(cells / "d.tif")[0], read(cells / "c.tif")[0])


def test_info_keeps_the_noise_of_one_input_and_replaces_nothing(cells: Path):
    kept = cells / "camera.json"
    several = run("info", cells, "--save-noise", kept)
    assert (several.exit_code, kept.exists()) == (2, False)
    assert "stands for" in several.stderr
    kept.write_text("mine")
    again = run("info", cells / "a.tif", "--save-noise", kept)
    assert again.exit_code != 0
    assert kept.read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--dark", "nowhere.tif"], "nowhere.tif"),
        (["--noise-from", "nowhere.json"], "nowhere.json"),
        (["--noise-from", "a.tif", "--noise", "3"], "--noise and --noise-from: give one of them"),
        (["--sigma-map", "small.tiff"], "has shape (8, 64): expected (48, 64)"),
        (["--gain-map", "zero.tiff"], "3072 values are 0 or less, first in row 0, column 0"),
    ],
)
def test_files_that_cannot_be_used_are_refused(cells: Path, tiny: Path, monkeypatch, words, said):
    monkeypatch.chdir(cells)
    tifffile.imwrite("small.tiff", np.ones((8, 64), np.float32))
    tifffile.imwrite("zero.tiff", np.zeros((48, 64), np.float32))
    result = run("denoise", "a.tif", "-o", "clean.tif", "-w", tiny, *words)
    assert result.exit_code == 2, result.output
    assert said in " ".join(result.stderr.split())
    assert not Path("clean.tif").exists()
