"""The recipes in recipes/ can be carried out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from _tiny import pictures, trained

from napari_denoise.models.registry import build, build_discriminator
from napari_denoise.training.data.pairs import SyntheticPairs
from napari_denoise.training.data.renders import RenderPairs, TrainingView
from napari_denoise.training.loop.run import log_columns, make_card, read_recipe

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))
each_recipe = pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)


def test_the_recipes_are_found():
    assert {"photo", "microscopy", "render", "thomas2017", "iteapoy2018"} <= {
        path.stem for path in RECIPES
    }


@each_recipe
def test_a_recipe_is_named_as_its_file_and_says_where_its_data_come_from(path):
    settings = read_recipe(path)
    assert settings.name == path.stem
    assert settings.title
    assert settings.description
    assert settings.training_data
    assert make_card(settings, 0).channels == settings.channels
    network = build(settings.architecture, settings.config)
    parameters = sum(p.numel() for p in network.parameters())
    ends = 2 if settings.adversarial else 1
    assert 2 * ends * parameters < 16e6  # bytes of the weights file
    assert network.radius <= 64


def source(settings):
    if settings.domain != "render":
        return SyntheticPairs(pictures(channels=settings.channels), settings)
    colour = np.random.default_rng(0).random((40, 48, 3)).astype(np.float32) + 0.1
    return RenderPairs(
        [TrainingView((colour, colour[::-1]), colour, (colour,), (colour,))], settings
    )


@each_recipe
def test_two_steps_of_every_stage_run(path, tmp_path):
    settings = read_recipe(path)
    stage = settings.adversarial
    short = replace(
        settings,
        batch=1,
        patch=32 if stage else 16,
        precision="32-true",
        compile=False,  # takes longer than the steps, and needs a compiler
        save_every=100,
        distortion=replace(
            settings.distortion, steps=2, decay=1, settle=min(settings.distortion.settle, 1)
        ),
        adversarial=stage and replace(stage, steps=2, decay=1, settle=min(stage.settle, 1)),
    )
    if stage is not None:
        assert settings.patch >= build_discriminator(stage.discriminator, 3).smallest
    reports = trained(short, tmp_path / "c.pt", source(short))
    assert len(reports) == (4 if stage else 2)
    assert all(all(report.finite.values()) for report in reports)
    logged = set(log_columns(short))
    assert all(set(report.terms) <= logged for report in reports)
