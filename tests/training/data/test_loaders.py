"""Batches that other processes draw are those that this one would draw, in order."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest
from _tiny import synthetic, tiny

from napari_denoise.settings.recipe import NoiseRecipe
from napari_denoise.training.data.loaders import LoadedPairs, choose_loaders

# Python warns of a copy of a process that has threads; those that draw use none.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")


def test_processes_draw_as_ranks_do_and_in_order():
    pairs = synthetic(tiny(noise=vars(NoiseRecipe(poisson=0.5))))
    with closing(LoadedPairs(pairs, 2, "cpu")) as loaded:
        for step in (4, 5, 6, 2, 3):  # a resumed run begins later, a new one again
            drawn = loaded.batch(step)
            lane = (step - (4 if step > 3 else 2)) % 2
            wanted = pairs.batch(step // 2, lane)
            assert drawn.mappings == wanted.mappings
            assert drawn.features is None
            for name in ("noisy", "target", "sigma"):
                assert np.array_equal(getattr(drawn, name), getattr(wanted, name)), (step, name)


def test_all_processors_but_one_draw_beside_a_graphics_card(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 16)
    assert choose_loaders("cuda:0") == 15
    assert choose_loaders("cpu") == 0
    assert choose_loaders("cpu", 3) == 3
