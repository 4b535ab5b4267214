"""The views that recipes/simulate_views.py draws are fit to train on."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_denoise.training.renders import load_views

RECIPES = Path(__file__).parents[1] / "recipes"


@pytest.fixture
def recipe(monkeypatch):
    monkeypatch.syspath_prepend(RECIPES)
    return import_module("simulate_views")


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")
    return folder


def test_training_reads_what_was_drawn(recipe, photos, tmp_path):
    recipe.main(photos, tmp_path / "views", count=1, seed=3)
    (view,) = load_views(tmp_path / "views")
    assert len(view.noisy) == len(recipe.SAMPLES)
    shapes = {a.shape for a in (*view.noisy, view.reference, *view.albedo, *view.normal)}
    assert len(view.albedo) == len(view.normal) == len(view.noisy)
    assert shapes == {(recipe.SIZE, recipe.SIZE, 3)}
    assert all(np.isfinite(a).all() for a in view.noisy)


def test_a_seed_gives_one_view(recipe, photos):
    paths = sorted(photos.iterdir())
    first, again, other = (recipe.view(paths, seed) for seed in (1, 1, 2))
    np.testing.assert_equal(again, first)
    assert (other["ref"] != first["ref"]).any()


def test_more_samples_come_closer_and_none_are_biased(recipe, photos):
    rng = np.random.default_rng(5)
    scene = recipe.compose(sorted(photos.iterdir()), rng)
    reference = recipe.reference(scene)
    few, many = (recipe.drawn(scene, n, rng)[0] for n in (2, 64))
    errors = [np.sqrt(np.mean((image - reference) ** 2)) for image in (few, many)]
    assert errors[1] < errors[0] / 3
    assert many.mean() == pytest.approx(reference.mean(), rel=0.02)
