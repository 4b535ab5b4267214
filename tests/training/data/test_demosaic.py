"""Every demosaicer gives smooth colours back, at every phase of the mosaic."""

from __future__ import annotations

import numpy as np
import pytest

from napari_denoise.training.data.demosaic import DEMOSAICERS, bilinear, edge_aware, mosaic

PHASES = [(0, 0), (0, 1), (1, 0), (1, 1)]
each_way = pytest.mark.parametrize("demosaic", DEMOSAICERS, ids=lambda way: way.__name__)


@pytest.mark.parametrize("phase", PHASES)
def test_a_mosaic_keeps_one_colour_a_pixel_in_the_order_of_its_phase(phase):
    colours = np.float32([1, 2, 3])[:, None, None] * np.ones((3, 6, 7), np.float32)
    raw = mosaic(colours, phase)
    order = np.array([[1, 2], [2, 3]])
    y, x = np.mgrid[:6, :7]
    assert np.array_equal(raw, order[(y + phase[0]) % 2, (x + phase[1]) % 2])
    assert raw.dtype == np.float32


@each_way
@pytest.mark.parametrize("phase", PHASES)
def test_a_constant_colour_comes_back(demosaic, phase):
    flat = np.full((3, 9, 12), 1, np.float32) * np.float32([0.2, 0.5, 0.9])[:, None, None]
    assert np.allclose(demosaic(mosaic(flat, phase), phase), flat, atol=1e-6)


@each_way
@pytest.mark.parametrize("phase", PHASES)
def test_a_colour_ramp_comes_back_inside(demosaic, phase):
    y, x = np.mgrid[:16, :20].astype(np.float32) / 20
    ramp = np.stack([x, 0.2 + 0.5 * x, 0.9 - 0.7 * y])
    back = demosaic(mosaic(ramp, phase), phase)
    assert back.dtype == np.float32
    assert np.allclose(back[:, 4:-4, 4:-4], ramp[:, 4:-4, 4:-4], atol=1e-5)


def test_edges_are_kept_better_by_the_edge_aware_one():
    edge = np.where(np.arange(24) < 12, 0.1, 0.9) * np.ones((3, 24, 1))
    edge = edge.astype(np.float32)
    plain, aware = (
        np.abs(way(mosaic(edge, (0, 0)), (0, 0)) - edge)[:, 4:-4].max()
        for way in (bilinear, edge_aware)
    )
    assert plain > 0.15
    assert aware < 0.05
