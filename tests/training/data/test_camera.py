"""The noise of simulated cameras is as that of real ones: coarse, coloured, signal-dependent."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from napari_denoise.training.data.camera import _LUMA, _TYPICAL, Camera, draw_camera, photograph

PERFECT = Camera(full_well=1e9, read_noise=0.0, quality=None)
TYPICAL = Camera(full_well=500.0, gains=(2.0, 1.0, 1.6), matrix=_TYPICAL, quality=None)


def rng(seed=0):
    return np.random.default_rng(seed)


def flat(*levels, size=192):
    return np.float32(levels)[:, None, None] * np.ones((3, size, size), np.float32)


def ramps(size=96):
    y, x = np.mgrid[:size, :size].astype(np.float32) / size
    return np.stack([0.2 + 0.6 * x, 0.3 + 0.4 * y, 0.7 - 0.3 * x])


def noise_of(camera, clean, seed=0):
    """Noise in levels of 255."""
    codes, wanted = photograph(clean, camera, rng(seed))
    return codes - 255 * wanted


def coarse(plane):
    """Standard deviation of means over 8 x 8 pixels, over that of the pixels."""
    return uniform_filter(plane, 8)[4::8, 4::8].std() / plane.std()


def test_a_camera_without_noise_gives_the_scene_back():
    for camera in (PERFECT, replace(PERFECT, gains=(2.0, 1.0, 1.6), contrast=0.5)):
        codes, wanted = photograph(ramps(), camera, rng())
        assert codes.dtype == np.uint8
        assert wanted.dtype == np.float32
        inner = (slice(None), slice(8, -8), slice(8, -8))
        assert np.abs(codes - 255 * ramps())[inner].max() < 2
        assert np.abs(wanted - ramps())[inner].max() < 2 / 255


def test_what_a_colour_matrix_does_is_undone_before():
    codes, _ = photograph(flat(0.6, 0.5, 0.4), replace(PERFECT, matrix=_TYPICAL), rng())
    assert np.abs(codes.mean(axis=(1, 2)) / 255 - [0.6, 0.5, 0.4]).max() < 0.005


def test_fewer_photons_are_more_noise():
    sd = [noise_of(replace(TYPICAL, full_well=w), flat(0.5, 0.5, 0.5)).std() for w in (4000, 1000)]
    assert sd[1] / sd[0] == pytest.approx(2, rel=0.1)


def test_noise_depends_on_the_signal():
    by_level = [noise_of(TYPICAL, flat(v, v, v)).std() for v in (0.0, 0.15, 0.5, 1.0)]
    assert by_level[1] > 1.3 * by_level[2]  # the curve is steep in the dark
    assert by_level[0] < by_level[1]  # cut off at black
    assert by_level[3] < 0.6 * by_level[2]  # and at white


@pytest.mark.parametrize(
    ("camera", "least"),
    [
        (TYPICAL, 1.0),
        (replace(TYPICAL, quality=75), 1.3),
        (replace(TYPICAL, smoothing=(0.0, 2.0)), 1.3),
    ],
    ids=["mosaic", "JPEG", "smoothing"],
)
def test_colour_has_its_noise_at_coarser_scales_than_luminance(camera, least):
    noise = noise_of(camera, flat(0.5, 0.5, 0.5))
    luma, blue, red = np.einsum("ij,jyx->iyx", _LUMA, noise)
    assert min(coarse(blue), coarse(red)) > least * coarse(luma)
    assert min(coarse(blue), coarse(red)) > 2 / 8  # white noise has an eighth


def test_smoothing_takes_fine_noise_from_flat_parts_and_leaves_edges():
    step = np.where(np.arange(192) < 96, 0.3, 0.7) * np.ones((3, 192, 1))
    smoothing = replace(TYPICAL, smoothing=(1.5, 1.5), smoothing_radius=(2, 4))
    rough, smooth = (noise_of(c, step.astype(np.float32)) for c in (TYPICAL, smoothing))
    aside = (slice(None), slice(None), slice(8, 80))
    assert smooth[aside].std() < 0.7 * rough[aside].std()
    assert coarse(smooth[0, :, 8:80]) > 1.3 * coarse(rough[0, :, 8:80])
    edge = photograph(step.astype(np.float32), smoothing, rng())[0].mean(axis=(0, 1))
    assert edge[99] - edge[92] > 0.85 * 0.4 * 255


@pytest.mark.parametrize("level", [0.02, 0.1, 0.5, 0.97])
@pytest.mark.parametrize("seed", range(3))
def test_the_mean_is_that_of_the_picture_without_noise(level, seed):
    camera = draw_camera((100, 1000), (70, 100), rng(seed))
    noise = noise_of(camera, flat(level, level, level), seed)
    assert abs(noise.mean()) < 0.5


def test_the_file_alone_is_touched_by_jpeg_and_smoothing():
    small = ramps(32)  # too small for means of its levels
    cameras = (replace(TYPICAL, quality=70), replace(TYPICAL, smoothing=(1.0, 1.0), quality=98))
    (one, wanted), (other, same) = (photograph(small, camera, rng()) for camera in cameras)
    assert np.array_equal(wanted, same)
    assert np.abs(one.astype(float) - other).mean() > 1


def test_resizing_and_sharpening_are_wanted_too():
    stripes = np.broadcast_to(0.5 + 0.2 * np.sin(np.arange(96) / 2), (3, 96, 96)).astype(np.float32)
    sharp = photograph(stripes, replace(PERFECT, sharpening=1.0, sharpening_radius=1.5), rng())[1]
    assert sharp[:, 8:-8, 8:-8].std() > 1.1 * stripes.std()
    for resize in (0.6, 1.4):
        codes, wanted = photograph(stripes, replace(PERFECT, resize=resize), rng())
        assert codes.shape == wanted.shape == stripes.shape
        assert np.abs(codes - 255 * wanted)[:, 8:-8, 8:-8].mean() < 2


def test_a_mesh_of_the_mosaic_is_not_wanted_where_it_is_seen():
    speckle = rng().random((3, 64, 64), np.float32)
    seen = replace(PERFECT, phase=(0, 0), other_phase=(1, 1))
    codes, wanted = photograph(speckle, seen, rng())
    same = photograph(speckle, replace(seen, other_phase=(0, 0)), rng())[1]
    assert np.abs(codes / 255 - same).mean() < 0.01
    assert np.abs(codes / 255 - wanted).mean() > 0.05


def test_cameras_are_drawn_from_their_ranges_and_repeat():
    drawn = [draw_camera((100, 1000), (70, 90), rng(n)) for n in range(200)]
    assert all(100 <= c.full_well <= 1000 for c in drawn)
    assert {c.demosaic.__name__ for c in drawn} == {"bilinear", "gradient_corrected", "edge_aware"}
    assert {c.phase for c in drawn} == {(0, 0), (0, 1), (1, 0), (1, 1)}
    qualities = [c.quality for c in drawn if c.quality is not None]
    assert (min(qualities), max(qualities)) == (70, 90)
    assert all(np.allclose(c.matrix.sum(axis=1), 1, atol=1e-5) for c in drawn)
    assert draw_camera((100, 1000), (70, 90), rng(5)).gains == drawn[5].gains


@pytest.mark.parametrize("size", [16, 33])
def test_small_patches_can_be_photographed_whatever_the_camera(size):
    for seed in range(40):
        camera = draw_camera((100, 1000), (70, 100), rng(seed))
        codes, wanted = photograph(ramps(size), camera, rng(seed))
        assert codes.shape == wanted.shape == (3, size, size)
        assert np.isfinite(wanted).all()
