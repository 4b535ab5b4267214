"""The films that recipes/simulate_films.py draws are fit to train a second pass on."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from _networks import write_tiny_weights
from napari_denoise.training.data.fused import load_fused

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.fixture
def recipe(monkeypatch):
    monkeypatch.syspath_prepend(RECIPES)
    made = import_module("simulate_films")
    monkeypatch.setattr(made, "SIZE", 64)
    return made


@pytest.mark.parametrize("channels", [1, 3])
def test_training_reads_what_was_drawn(recipe, tmp_path, channels):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 20, 3), np.uint8)
    (tmp_path / "photos").mkdir()
    Image.fromarray(pixels).resize((200, 160)).save(tmp_path / "photos" / "a.png")
    weights = write_tiny_weights(tmp_path / "tiny.safetensors", channels)
    arguments = (tmp_path / "photos", tmp_path / "films")
    recipe.main(*arguments, count=3, first=0, seed=3, weights=str(weights))
    frames = load_fused(tmp_path / "films")
    assert frames
    for planes in frames:
        assert planes.shape == (64, 64, 4 * channels + 1)
        assert np.isfinite(planes).all()
        assert (planes[..., channels] > 0).all()  # the average has noise left
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "films").iterdir()}
    recipe.main(*arguments, count=3, first=0, seed=3, weights=str(weights))
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "films").iterdir()}


def test_a_second_pass_goes_into_a_file_of_weights(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(RECIPES)
    import typer

    from napari_denoise.weights.catalogue import read_info
    from napari_denoise.weights.files import load_network, load_second_pass

    base = write_tiny_weights(tmp_path / "base.safetensors", realistic=True)
    second = write_tiny_weights(tmp_path / "second.safetensors", features=2)
    app = typer.Typer()
    app.command()(import_module("with_second_pass").main)
    target = tmp_path / "both.safetensors"
    done = CliRunner().invoke(app, [str(base), str(second), "-o", str(target)])
    assert done.exit_code == 0, done.output
    info = read_info(target)
    assert info.realistic
    network = load_second_pass(info)
    assert network is not None and network.features == 2
    assert load_second_pass(read_info(base)) is None
    for name, value in load_network(info, 1.0).state_dict().items():
        assert (value == load_network(read_info(base), 1.0).state_dict()[name]).all()
