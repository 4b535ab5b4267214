"""Training as on a machine that has little else: from shards, for some minutes, resumed."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from napari_denoise.cli import app
from napari_denoise.training.data.shards import pack
from napari_denoise.training.loop.run import read_recipe
from napari_denoise.weights.catalogue import read_info

RECIPE = """
name = "small"
domain = "microscopy"
architecture = "two-scale"
config = { channels = 1, widths = [8, 8], blocks = [1, 1, 1] }
batch = 2
patch = 16
precision = "32-true"

[distortion]
steps = 6

[adversarial]
steps = 4
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "small.toml").write_text(RECIPE)
    (tmp_path / "pictures").mkdir()
    codes = np.random.default_rng(0).integers(0, 255, (32, 40), np.uint8)
    Image.fromarray(codes).save(tmp_path / "pictures/0.png")
    pack([tmp_path / "pictures"], tmp_path / "shards")
    return tmp_path


def train(folder, *options):
    fixed = ("--data", folder / "shards", "--run", folder / "run", "--device", "cpu")
    arguments = ["train", folder / "small.toml", *fixed, "--set", "adversarial=", *options]
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_a_run_that_is_out_of_time_keeps_everything_and_goes_on(folder):
    short = train(folder, "--minutes", 0)
    assert short.exit_code == 0, short.output
    assert "the time is over at step 1 of 6" in short.stdout
    assert read_info(folder / "run/small.safetensors").card.recipe["steps_done"] == 1
    whole = train(folder, "--resume", "--minutes", 5)
    assert whole.exit_code == 0, whole.output
    assert "time is over" not in whole.stdout
    assert read_info(folder / "run/small.safetensors").card.recipe["steps_done"] == 6
    with (folder / "run/log.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["6"]


def test_the_recipe_can_be_changed_for_a_run(folder):
    result = train(folder, "--set", "batch=3", "--set", "distortion.loss=l2", "--minutes", 0)
    assert result.exit_code == 0, result.output
    recipe = read_info(folder / "run/small.safetensors").card.recipe
    assert (recipe["batch"], recipe["distortion"]["loss"], recipe["adversarial"]) == (3, "l2", None)
    for change, words in [
        ("batch", "expected KEY=VALUE"),
        ("bach=3", "bach: there is no such setting"),
        ("batch.size=3", "batch in"),
    ]:
        refused = train(folder, "--resume", "--set", change)
        assert refused.exit_code == 2
        assert words in refused.stderr
    assert read_recipe(folder / "small.toml", {"noise.camera": 0.0}).adversarial is not None


def test_the_script_packs(folder, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "recipes")
    import pack as script
    import typer

    made = typer.Typer()
    made.command()(script.main)
    result = CliRunner().invoke(made, [str(folder / "pictures"), "-o", str(folder / "new")])
    assert result.exit_code == 0, result.output
    assert "1 files in 1 shards" in result.output
