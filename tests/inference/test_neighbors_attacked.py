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
