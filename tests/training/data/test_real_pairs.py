"""Pairs from arrays, files, folders and repeated frames."""

from __future__ import annotations

import numpy as np
import pytest
from _real import camera_pair, clean_image, noisy_shot

from napari_denoise.io.meta import ImageMeta
from napari_denoise.io.write import write
from napari_denoise.training.data.pair_checks import check_pair
from napari_denoise.training.data.real_pairs import (
    distinct,
    open_folder,
    open_pair,
    open_repeats,
    pair_of,
    pair_of_repeats,
)


def save(path, array, axes, **fields):
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, array, ImageMeta(axes, **fields))
    return path


def test_a_pair_of_files_keeps_axes_and_names_its_files(tmp_path):
    clean = clean_image(frames=2)
    one = save(tmp_path / "shot.ome.tif", noisy_shot(clean), "ZYX")
    other = save(tmp_path / "average.ome.tif", clean, "ZYX")
    pair = open_pair(one, other)
    assert (pair.axes, pair.sources) == ("ZYX", ("shot.ome.tif", "average.ome.tif"))
    assert np.array_equal(pair.target, clean)
    assert check_pair(pair).usable


def test_a_file_that_was_denoised_is_refused(tmp_path):
    clean = clean_image()[0]
    note = {"napari_denoise": {"weights": "microscopy"}}
    one = save(tmp_path / "a.ome.tif", noisy_shot(clean), "YX", extra=note)
    other = save(tmp_path / "b.ome.tif", clean, "YX")
    assert not check_pair(open_pair(one, other)).usable
    assert check_pair(open_pair(other, one)).findings[0].code != "denoised"  # a clean one may be


def test_albedo_and_normal_come_along(tmp_path):
    colour = np.random.default_rng(0).random((32, 32, 3)).astype(np.float32)
    features = {"albedo": colour / 2, "normal": colour - 0.5}
    one = save(tmp_path / "noisy.exr", colour, "YXS", features=features)
    other = save(tmp_path / "ref.exr", colour * 2, "YXS")
    assert set(open_pair(one, other).features) == {"albedo", "normal"}


def test_one_clean_image_serves_every_frame(tmp_path):
    clean = clean_image()[0]
    noisy = np.stack([noisy_shot(clean, seed) for seed in range(3)])
    pair = pair_of("a", noisy, clean, "TYX")
    assert pair.target.shape == (3, 64, 96)
    assert pair.scene(0) == pair.scene(2)
    moving = pair_of("a", noisy, clean_image(frames=3), "TYX")
    assert moving.scene(0) != moving.scene(2)
    wrong = pair_of("a", noisy, clean[:, :90], "TYX")
    assert check_pair(wrong).findings[0].code == "shapes"


def test_a_folder_pairs_files_of_equal_names(tmp_path):
    for name in "ab":
        clean = clean_image()[0]
        save(tmp_path / "noisy" / f"{name}.ome.tif", noisy_shot(clean), "YX")
        save(tmp_path / "clean" / f"{name}.ome.tif", clean, "YX")
    pairs = open_folder(tmp_path)
    assert [pair.name for pair in pairs] == ["a", "b"]
    assert not pairs[0].noisy_target
    (tmp_path / "clean").rename(tmp_path / "noisy2")
    assert open_folder(tmp_path)[0].noisy_target
    (tmp_path / "noisy2" / "b.ome.tif").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"noisy.b\.ome\.tif: it has no partner .* in noisy2/"
    ):
        open_folder(tmp_path)
    with pytest.raises(FileNotFoundError, match="real pairs need files in noisy/"):
        open_folder(tmp_path / "noisy")


def test_the_target_of_a_repeated_frame_is_the_mean_of_the_others(tmp_path):
    clean = clean_image()[0]
    stack = np.stack([noisy_shot(clean, seed) for seed in range(10)])
    pair = open_repeats(save(tmp_path / "r.ome.tif", stack, "TYX"))
    assert not pair.noisy_target
    assert np.allclose(pair.target[3], np.delete(stack, 3, axis=0).mean(axis=0), rtol=1e-6)
    residuals = [np.float64(side[3]) - clean for side in (pair.noisy, pair.target)]
    assert abs(np.corrcoef(*map(np.ravel, residuals))[0, 1]) < 0.05  # no noise in common
    assert pair.scene(0) == pair.scene(9)


def test_of_many_repeats_all_are_averaged_and_some_are_shown():
    stack = np.random.default_rng(0).poisson(30, (40, 16, 16)).astype(np.uint16)
    pair = pair_of_repeats("a", stack)
    assert pair.noisy.shape == pair.target.shape == (16, 16, 16)
    assert np.allclose(pair.target[0], stack[1:].mean(axis=0))


def test_few_repeats_are_paired_with_their_neighbours():
    stack = np.random.default_rng(0).poisson(30, (3, 16, 16)).astype(np.uint16)
    pair = pair_of_repeats("a", stack)
    assert pair.noisy_target
    assert np.array_equal(pair.noisy, stack[:2])
    assert np.array_equal(pair.target, stack[1:])
    with pytest.raises(ValueError, match="two frames or more along T"):
        pair_of_repeats("a", stack[:1])
    with pytest.raises(ValueError, match="two frames or more along T"):
        pair_of_repeats("a", stack, "CYX")


def test_pairs_of_one_name_get_others():
    pair = pair_of("a", *clean_image(frames=2), "YX")
    assert [p.name for p in distinct([pair, pair])] == ["a", "a (2)"]


def test_the_hash_follows_every_pixel():
    one, other = clean_image(frames=2)
    changed = other.copy()
    changed[5, 5] += 1
    hashes = {pair_of("a", one, t, "YX").sha256 for t in (other, changed, other.copy())}
    assert len(hashes) == 2


def test_names_that_are_made_are_unlike_those_that_were_given():
    named = distinct([camera_pair("a"), camera_pair("a (2)"), camera_pair("a"), camera_pair("a")])
    assert len({pair.name for pair in named}) == 4
    assert [pair.name for pair in named[:2]] == ["a", "a (2)"]
