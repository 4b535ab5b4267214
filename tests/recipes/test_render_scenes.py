"""The scenes of recipes/render_views.py, as far as they go without a renderer."""

from __future__ import annotations

from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.fixture
def recipe(monkeypatch):
    monkeypatch.syspath_prepend(RECIPES)

    def load(name: str) -> ModuleType:
        return import_module(f"render_{name}")

    return load


def test_a_seed_gives_one_scene_and_another_seed_another(recipe):
    build = recipe("scenes").build
    scene, again, other = (asdict(build(seed)) for seed in (3, 3, 4))
    np.testing.assert_equal(again, scene)
    with pytest.raises(AssertionError):
        np.testing.assert_equal(other, scene)


@pytest.mark.parametrize("seed", [0, 1])
def test_every_mesh_of_a_scene_is_finite_and_its_faces_name_its_vertices(recipe, seed):
    for shape in recipe("scenes").build(seed).shapes:
        mesh = shape.mesh
        assert np.isfinite(mesh.vertices).all()
        assert np.isfinite(mesh.uv).all()
        assert len(mesh.uv) == len(mesh.vertices)
        assert 0 <= mesh.faces.min() <= mesh.faces.max() < len(mesh.vertices)


@pytest.mark.parametrize("seed", range(3))
def test_cameras_look_at_something_from_a_distance(recipe, seed):
    cameras = recipe("scenes").build(seed).cameras
    assert cameras
    for camera in cameras:
        assert np.linalg.norm(camera.origin - camera.target) > 0.05
        assert 8 <= camera.fov <= 65
        assert camera.aperture >= 0


@pytest.mark.parametrize("name", ["ball", "box", "can", "vase", "ring", "blob"])
def test_bodies_face_outwards(recipe, name):
    # Glass and one-sided materials are dark where the normals point in.
    meshes = recipe("meshes")
    draw = getattr(meshes, name)
    mesh = draw(np.random.default_rng(0)) if name in ("vase", "ring", "blob") else draw()
    assert _volume(mesh) > 0.1


def test_a_pipe_faces_outwards_whatever_its_course(recipe):
    for path in ([(0, 0, 0), (0, 0, 1), (0, 0, 2)], [(0, 0, 0), (1, 0, 0), (2, 1, 0)]):
        assert _volume(recipe("meshes").tube(path, 0.1)) > 0


def test_every_pattern_is_a_reflectance_with_detail(recipe):
    textures, rng = recipe("textures"), np.random.default_rng(1)
    for draw, _ in textures.PATTERNS:
        image = draw(rng)
        assert image.shape == (textures.SIZE, textures.SIZE, 3)
        assert np.isfinite(image).all()
        assert image.std(axis=(0, 1)).max() > 0.005, draw.__name__


def test_every_kind_of_thing_stands_on_the_ground(recipe):
    things, rng = recipe("things"), np.random.default_rng(2)
    for draw, _ in things.KINDS:
        lowest = min(shape.mesh.vertices[:, 2].min() for shape in draw(rng))
        assert lowest > -0.1, draw.__name__


def _volume(mesh) -> float:
    a, b, c = mesh.vertices[mesh.faces].transpose(1, 0, 2)
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)
