"""The views that recipes/simulate_views.py draws are fit to train on."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from _networks import write_tiny_weights
from napari_denoise import Denoiser
from napari_denoise.training.data.renders import load_views

RECIPES = Path(__file__).parents[2] / "recipes"


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


def test_albedos_are_cleaned_for_every_rendering(recipe, photos, tmp_path):
    cleaner = import_module("clean_albedos")
    views = tmp_path / "views"
    recipe.main(photos, views, count=1, seed=3)
    (path,) = views.iterdir()
    weights = write_tiny_weights(tmp_path / "tiny.safetensors", 3, features=8)
    with np.load(path) as arrays:
        whole = dict(arrays)
    few = {n: a for n, a in whole.items() if n[:6] not in ("albedo", "normal") or n.endswith("_8")}
    np.savez(views / "of8only.npz", **few)
    cleaner.main(views, tmp_path / "clean", str(weights))
    of8only, own = load_views(tmp_path / "clean")
    assert len(own.albedo) == len(own.normal) == len(own.noisy) == len(of8only.albedo)
    for number, name in enumerate(sorted(f"albedo_{samples}" for samples in recipe.SAMPLES)):
        alone = Denoiser.load(str(weights), "cpu")(whole[name].astype(np.float32), axes="YXS")
        assert own.albedo[number] == pytest.approx(np.clip(alone, 0, 1), abs=1e-3)
    assert all(np.array_equal(albedo, of8only.albedo[0]) for albedo in of8only.albedo)


def test_a_seed_gives_one_view(recipe, photos):
    paths = sorted(photos.iterdir())
    first, again, other = (recipe.view(paths, seed) for seed in (1, 1, 2))
    np.testing.assert_equal(again, first)
    assert (other["ref"] != first["ref"]).any()


@pytest.mark.parametrize("seed", [5, 8, 38], ids=["glass", "lens", "lens, glass and bulbs"])
def test_more_samples_come_closer_and_none_are_biased(recipe, photos, seed):
    rng = np.random.default_rng(seed)
    scene = recipe.compose(sorted(photos.iterdir()), rng)
    reference = recipe.reference(scene)
    few, many = (recipe.drawn(scene, n, rng)[0] for n in (2, 64))
    errors = [np.sqrt(np.mean((image - reference) ** 2)) for image in (few, many)]
    assert errors[1] < errors[0] / 3
    assert many.mean() == pytest.approx(reference.mean(), rel=0.02)


def test_bulbs_have_no_fireflies_and_no_luck(recipe):
    rng = np.random.default_rng(2)
    shape = (recipe.SIDE, recipe.SIDE)
    dark = np.zeros((*shape, 3), np.float32)
    luck = np.full((*shape, 1), 1.0)
    behind = recipe.Surface(np.ones(shape, bool), dark, dark, dark, luck)
    paths = recipe._paths(256, rng)
    scene = recipe.Scene(
        (behind, recipe._bulbs(0.0, rng)), 0.5, 0.01, np.array([3.0, 0, 0]), 1, paths
    )
    reference, drawn = recipe.reference(scene), recipe.drawn(scene, 64, rng)[0]
    of_bulbs = reference.mean((0, 1))
    assert (of_bulbs > 0.001).all()
    assert drawn.mean((0, 1)) == pytest.approx(of_bulbs, rel=0.05)


def test_what_is_near_hides_what_is_behind_as_far_as_the_lens_sees_it(recipe):
    shape = (recipe.SIDE, recipe.SIDE)

    def surface(inside, value, blur):
        plane = np.full((*shape, 3), value, np.float32)
        steady = np.full((*shape, 1), recipe.STEADY, np.float32)
        return recipe.Surface(inside, plane, plane, np.ones_like(plane), steady, blur)

    left = np.zeros(shape, bool)
    left[:, : recipe.SIDE // 2] = True
    behind, near = surface(np.ones(shape, bool), 0.2, 0.0), surface(left, 0.8, 4.0)
    paths = recipe._paths(512, np.random.default_rng(0))
    scene = recipe.Scene((behind, near), 0.0, 0.01, np.ones(3), 1.0, paths)
    across = recipe.reference(scene)[recipe.SIZE // 2, :, 0]
    middle = recipe.SIZE // 2
    assert across[: middle - 5] == pytest.approx(0.8) and across[middle + 5 :] == pytest.approx(0.2)
    assert (np.diff(across[middle - 4 : middle + 4]) < 0).all()
    assert across[middle - 1] + across[middle] == pytest.approx(1.0, abs=0.02)
