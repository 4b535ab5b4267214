"""Batches: patches of every place alike, the same for the same step, with the told noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from _tiny import pictures, synthetic, tiny
from PIL import Image

from napari_denoise.training.data.pairs import (
    RealPairs,
    SyntheticPairs,
    area_shares,
    at_scales,
    cut,
    files_below,
    load_images,
    vary_intensity,
)


def test_batches_hold_clean_patches_with_noise_of_the_told_level():
    settings = tiny(noise={"sigma": (0.1, 0.1)}, patch=32, batch=64, intensity_augmentation=1.0)
    batch = synthetic(settings).batch(5)
    assert batch.noisy.shape == batch.target.shape == batch.sigma.shape == (64, 1, 32, 32)
    assert {a.dtype for a in (batch.noisy, batch.target, batch.sigma)} == {np.dtype(np.float32)}
    assert (batch.noisy - batch.target).std() == pytest.approx(0.1, rel=0.02)
    assert set(batch.sigma.ravel()) == {np.float32(0.1)}
    assert 0 <= batch.target.min() < 0.1
    assert 0.6 < batch.target.max() <= 1
    assert batch.features is None
    assert batch.log_width is None


def test_each_patch_is_told_its_own_level():
    settings = tiny(noise={"sigma": (0.05, 0.2)}, patch=40, batch=8)
    batch = SyntheticPairs([p[:40, :40] for p in pictures()], settings).batch(0)
    for noisy, target, sigma in zip(batch.noisy, batch.target, batch.sigma, strict=True):
        assert (noisy - target).std() == pytest.approx(sigma.mean(), rel=0.06)
        assert sigma.std() < 1e-6


def test_step_seed_and_process_decide_the_batch_and_nothing_else():
    pairs = synthetic(tiny())
    first = pairs.batch(3).noisy
    pairs.batch(9)
    assert np.array_equal(pairs.batch(3).noisy, first)
    assert np.array_equal(synthetic(tiny()).batch(3).noisy, first)
    others = [pairs.batch(4), pairs.batch(3, rank=1), synthetic(tiny(seed=1)).batch(3)]
    assert not any(np.array_equal(other.noisy, first) for other in others)


def photographing(**fields):
    settings = tiny(
        config={"channels": 3, "widths": [8, 8], "blocks": [1, 1, 1]},
        noise={"camera": 1.0},
        **fields,
    )
    return SyntheticPairs(pictures(channels=3), settings)


def test_many_patches_are_cut_from_a_photograph_and_none_depends_on_what_was_asked_before():
    pairs = photographing(batch=12)
    first = pairs.batch(3)
    assert first.noisy.shape == first.target.shape == (12, 3, 16, 16)
    told = {float(sigma.max()) for n in range(30) for sigma in pairs.batch(n).sigma}
    assert 20 < len(told) <= 48 + 4  # of 360 patches
    pairs.batch(4000)
    assert len(pairs._photographs._taken) <= 48
    assert np.array_equal(pairs.batch(3).noisy, first.noisy)
    fresh = photographing(batch=12)
    assert np.array_equal(fresh.batch(3).noisy, first.noisy)
    assert not set(map(float, fresh.batch(3, rank=1).sigma.ravel())) & told


def test_every_place_is_drawn_alike_whatever_image_it_is_in():
    small, large = np.zeros((16, 16, 1), np.uint8), np.full((48, 16, 1), 255, np.uint8)
    assert area_shares([small, large]).tolist() == [0.25, 0.75]
    settings = tiny(batch=400, patch=4, noise={"sigma": (0.0, 0.0)})
    assert SyntheticPairs([small, large], settings).batch(0).target.mean() == pytest.approx(
        0.75, abs=0.08
    )


def test_pictures_are_also_seen_smaller_as_far_as_a_patch_still_fits():
    y, x = np.mgrid[:64, :96]
    picture = np.stack([np.full_like(x, 90), 2 * x, 255 * (y % 2)], axis=-1).astype(np.uint8)
    same, half = at_scales([picture], [1.0, 0.5, 0.25], 32)
    assert same is picture
    assert half.shape == (32, 48, 3)
    assert half.dtype == np.uint8
    inner = half[4:-4, 4:-4].astype(float)
    assert (inner[..., 0] == 90).all()
    assert inner[..., 1] == pytest.approx(np.broadcast_to(4 * np.arange(4, 44) + 1, (24, 40)))
    assert inner[..., 2].std() < 12  # what a smaller picture cannot hold is gone, not folded


def test_patches_are_turned_mirrored_and_cut_to_the_very_border():
    image = np.arange(36).reshape(6, 6, 1)
    rng = np.random.default_rng(0)
    patches = [cut(image, 6, rng)[0] for _ in range(200)]
    assert len({patch.tobytes() for patch in patches}) == 8
    corners = {int(cut(image, 1, rng)[0, 0, 0]) for _ in range(1000)}
    assert corners == set(range(36))


def test_varied_intensities_stay_within_range_and_differ():
    rng = np.random.default_rng(0)
    patch = np.linspace(0, 1, 64, dtype=np.float32).reshape(1, 8, 8)
    varied = [vary_intensity(patch, rng) for _ in range(200)]
    assert all(v.dtype == np.float32 and v.min() >= 0 and v.max() <= 1 for v in varied)
    rising = sum(v[0, 7, 7] > v[0, 0, 0] for v in varied)
    assert rising == pytest.approx(150, abs=25)  # one in four is inverted


def test_colour_is_read_as_rgb_and_as_luminance(tmp_path):
    picture = np.zeros((20, 24, 3), np.uint8)
    picture[..., 0], picture[..., 1] = 200, 100
    (tmp_path / "deep").mkdir()
    Image.fromarray(picture).save(tmp_path / "deep" / "b.png")
    Image.fromarray(picture[..., 0]).save(tmp_path / "a.PNG")
    (tmp_path / "notes.txt").write_text("no picture")
    gray, colour = load_images(tmp_path, 3)
    assert gray.shape == colour.shape == (20, 24, 3)
    assert np.array_equal(colour, picture)
    assert (gray == 200).all()
    (_, luminance) = load_images(tmp_path, 1)
    assert luminance.shape == (20, 24, 1)
    assert (luminance == round(0.299 * 200 + 0.587 * 100)).all()


def test_links_to_folders_are_followed_and_each_folder_is_read_once(tmp_path):
    there = tmp_path / "there"
    (there / "deep").mkdir(parents=True)
    Image.new("L", (8, 8)).save(there / "deep" / "a.PNG")
    data = tmp_path / "data"
    data.mkdir()
    try:
        (data / "photos").symlink_to(there, target_is_directory=True)
        (there / "deep" / "back").symlink_to(there, target_is_directory=True)
    except OSError:
        pytest.skip("no links on this file system")
    assert [p.name for p in files_below(data, (".png",))] == ["a.PNG"]
    assert len(load_images(data, 1)) == 1


def test_a_folder_without_pictures_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(FileNotFoundError, match=r"no training image found.*\.png"):
        load_images(tmp_path, 1)


def test_real_pairs_cut_the_same_patch_of_both_images():
    y, x = np.mgrid[:40, :48].astype(np.float32)
    place = (y * 100 + x)[..., None]
    pairs = RealPairs([place], [place + 0.25], [0.125], tiny(batch=8))
    batch = pairs.batch(0)
    assert np.array_equal(batch.target, batch.noisy + 0.25)
    assert set(batch.sigma.ravel()) == {0.125}
    assert batch.noisy.flags.c_contiguous
    assert len({p.tobytes() for p in batch.noisy}) == 8


def coloured(log_width, features):
    image = np.ones((16, 16, 3), np.float32) * np.float32([0.1, 0.2, 0.4])
    beside = None
    if features:
        planes = (image + 0.5, image - 0.5, np.ones((16, 16, 2), np.float32))
        beside = [np.concatenate(planes, axis=-1)]
    pairs = RealPairs(
        [image], [image + 0.1], [0.1], tiny(batch=60), log_width=log_width, features=beside
    )
    return pairs.batch(0)


@pytest.mark.parametrize("features", [False, True])
def test_colours_of_radiance_are_exchanged_alike_everywhere(features):
    batch = coloured(4.0, features)
    assert len({tuple(patch[:, 0, 0]) for patch in batch.noisy}) == 6
    assert np.allclose(batch.target, batch.noisy + 0.1)
    if features:
        assert np.allclose(batch.features[:, :3], batch.noisy + 0.5)
        assert np.allclose(batch.features[:, 3:6, 0, 0], [-0.4, -0.3, -0.1])
        assert (batch.features[:, 6:] == 1).all()


def test_colours_of_pictures_stay_what_they_are():
    batch = coloured(None, False)
    assert np.allclose(batch.noisy[:, :, 0, 0], [0.1, 0.2, 0.4])


def test_radiance_is_lit_otherwise_in_every_patch_alike_in_both_images():
    width = 4.0
    noisy = np.random.default_rng(0).random((16, 16, 3)).astype(np.float32)
    target = np.linspace(0.1, 0.9, 16 * 16 * 3, dtype=np.float32).reshape(16, 16, 3)
    albedo = np.full((16, 16, 8), 0.3, np.float32)
    settings = tiny(batch=40, patch=16, exposure_augmentation=1.0)
    drawn = [
        RealPairs([noisy], [target], [0.1], recipe, log_width=width, features=[albedo]).batch(0)
        for recipe in (settings, replace(settings, exposure_augmentation=0.0))
    ]
    gains = []
    for name in ("noisy", "target"):
        lit, plain = (np.expm1(width * np.float64(getattr(batch, name)[0])) for batch in drawn)
        gains.append((lit / plain).mean((1, 2)))  # of each colour of the first patch
        assert (lit / plain).std((1, 2)).max() < 1e-4
    assert gains[0] == pytest.approx(gains[1], rel=1e-4)
    assert np.ptp(gains[0]) > 0.01 and (np.abs(np.log2(gains[0])) <= 1.5).all()
    assert (drawn[0].features == drawn[1].features).all()
    patches = drawn[0].target[:, :, 0, 0]
    assert len({tuple(np.sort(patch)) for patch in patches}) == len(patches)


def test_squeezed_radiance_is_lit_as_radiance():
    width, factor = 4.0, 0.5
    mapped = np.random.default_rng(0).random((16, 16, 3)).astype(np.float32)
    mapped[4:8] = 0  # black stays black
    settings = tiny(batch=20, patch=16, exposure_augmentation=1.0)
    squeezed = (mapped - 0.5) * np.float32(factor) + 0.5
    pairs = RealPairs(
        [squeezed], [squeezed], [0.1], settings, log_width=width, factors=[factor]
    ).batch(0)
    plain = RealPairs([mapped], [mapped], [0.1], settings, log_width=width).batch(0)
    assert np.allclose((pairs.noisy - 0.5) / factor + 0.5, plain.noisy, atol=1e-5)
    assert ((plain.noisy == 0).sum(axis=(1, 2, 3)) >= 4 * 16 * 3).all()


def test_pictures_are_not_lit_otherwise():
    image = np.full((16, 16, 3), 0.3, np.float32)
    settings = tiny(batch=4, patch=16, exposure_augmentation=1.0)
    batch = RealPairs([image], [image], [0.1], settings).batch(0)
    assert (batch.noisy == np.float32(0.3)).all()


def test_real_pairs_of_different_shapes_are_refused():
    one, other = np.zeros((20, 24, 1), np.float32), np.zeros((20, 20, 1), np.float32)
    with pytest.raises(ValueError, match=r"pair 1: noisy \(20, 24, 1\) and target \(20, 20, 1\)"):
        RealPairs([one, one], [one, other], [0.1, 0.1], tiny())
