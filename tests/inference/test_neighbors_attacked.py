"""Neighbours on films that are hard to come by, and hard on them."""

import numpy as np
import pytest
from _films import OFFSET, READ_NOISE, clean_film, record

from napari_denoise import Denoiser, NoiseModel

CAMERA = NoiseModel(gain=1.0, offset=OFFSET, read_noise=READ_NOISE)


@pytest.fixture(scope="module")
def microscopy():
    return Denoiser.load("microscopy", "cpu", "float32")


def walked(job):
    """Denoise all frames; say which came, how many times, and what progress was told."""
    frames, fractions = [], []
    for step in job.steps():
        fractions.append(step.fraction)
        if step.result is not None:
            frames.append(step.index)
    return frames, fractions


@pytest.mark.parametrize(("blank", "large"), [((2,), False), ((1, 2), True), ((0, 1, 3), False)])
def test_every_frame_comes_once_whatever_its_neighbours_are(microscopy, blank, large, monkeypatch):
    film = record(clean_film((40, 90), 4))
    film[list(blank)] = 100
    if large:
        monkeypatch.setattr("napari_denoise.image.frames.LARGE_BYTES", 100)
    monkeypatch.setattr("napari_denoise.inference.first_pass.CELL", 64)
    job = microscopy.prepare(film, "TYX", noise=CAMERA, neighbors=2, tile=64)
    frames, fractions = walked(job)
    assert frames == list(job.frames)
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1


@pytest.mark.parametrize("size", [(1, 64), (48, 1), (5, 7)])
def test_lines_and_points_have_neighbours_too(microscopy, size):
    film = record(clean_film(frames=3)[:, : size[0], : size[1]]).astype(np.float32)
    fused = microscopy(film, "TYX", noise=CAMERA, neighbors=1)
    alone = microscopy(film, "TYX", noise=CAMERA, neighbors=0)
    assert fused.shape == film.shape
    assert fused.mean() == pytest.approx(alone.mean(), rel=0.01)


def test_a_repeated_line_is_no_second_shot(microscopy):
    film = record(clean_film(frames=3)[:, :1])
    film[2] = film[1]
    *_, last = microscopy.prepare(film, "TYX", noise=CAMERA, neighbors=1).steps([2])
    assert last.frames_used is None


def test_black_frames_between_say_nothing_of_whether_the_others_agree(microscopy):
    film = record(clean_film((64, 64), 5))
    film[::2] = 0  # all that are sampled
    job = microscopy.prepare(film, "TYX", noise=CAMERA)
    assert job.neighbors is not None
    assert not job.why_alone
    *_, last = job.steps([1])
    assert last.frames_used.mean() > 1.3
