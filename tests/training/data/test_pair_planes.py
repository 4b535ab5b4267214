"""A frame of a pair as planes: read once by all that looks at it."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
from _lazy import CountingStack
from _real import clean_image, noisy_shot
from scipy.ndimage import shift

from napari_denoise.training.data.pair_checks import check_pair
from napari_denoise.training.data.real_pairs import Pair, pair_of


def lazy_pair(noisy: np.ndarray, target: np.ndarray, axes: str, **fields: Any) -> Pair:
    return Pair("a", CountingStack(noisy, axes), CountingStack(target, axes), axes, **fields)


def in_three_channels(frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Noisy and clean, (T, C, Y, X), each channel stretched otherwise."""
    clean = clean_image(frames=3 * frames).reshape(frames, 3, 64, 96)
    return noisy_shot(clean), clean / np.float32([[[2]], [[3]], [[5]]])


def test_each_side_is_read_when_it_is_first_asked_for_and_once():
    clean = clean_image(frames=2)
    pair = lazy_pair(noisy_shot(clean), clean, "TYX")
    planes = pair.planes(1)
    assert not pair.noisy.reads and not pair.target.reads
    assert np.array_equal(planes.target, clean[1:])
    assert not pair.noisy.reads
    for _ in range(2):
        assert planes.gray[0].shape == planes.finite[1].shape == (64, 96)
    assert pair.noisy.reads == pair.target.reads == {(1,): 1}


@pytest.mark.parametrize("axes", ["SYX", "YXS", "XSY"])
def test_samples_come_first_without_alpha_and_within_the_window(axes):
    colour = np.random.default_rng(0).random((4, 20, 30)).astype(np.float32)
    array = colour.transpose(["SYX".index(letter) for letter in axes])
    window = slice(2, 9), slice(5, 30)
    planes = pair_of("a", array, array + 1, axes).planes(0, window)
    assert np.array_equal(planes.noisy, colour[:3, *window])
    assert np.array_equal(planes.target, colour[:3, *window] + 1)


def test_what_is_bad_in_either_is_replaced_in_both():
    clean = clean_image()[0]
    noisy = clean + 1
    noisy[3, 4], clean[10, 20] = np.nan, np.inf
    planes = pair_of("a", noisy, clean, "YX").planes(0)
    assert [int((~side).sum()) for side in planes.finite] == [1, 1]
    one, other = planes.gray
    assert np.isfinite(one).all() and np.isfinite(other).all()
    assert np.allclose(one - other, 1, atol=1e-4)
    assert np.isnan(noisy[3, 4]) and np.isinf(clean[10, 20])


@pytest.mark.parametrize("by", [0, 2], ids=["aligned", "shifted"])
def test_the_checks_read_each_frame_that_they_look_at_once(by):
    clean = clean_image(frames=9)
    moved = shift(clean, (0, by, -by), order=3, mode="nearest")
    pair = lazy_pair(noisy_shot(clean), moved, "TYX")
    assert ("shift" in {f.code for f in check_pair(pair).findings}) == bool(by)
    assert pair.noisy.reads == pair.target.reads == Counter([(0,), (3,), (5,), (8,)])


def test_the_checks_of_channels_read_each_frame_once():
    pair = lazy_pair(*in_three_channels(frames=5), "TCYX")
    assert check_pair(pair).differs
    assert set(pair.noisy.reads.values()) == set(pair.target.reads.values()) == {1}
    assert {c for _, c in pair.noisy.reads} == {0, 1, 2}


@pytest.mark.parametrize("axes", ["TCYX", "YXTC", "CXYT"])
def test_the_hash_is_of_all_values_in_order(axes):
    sides = [
        np.moveaxis(side, range(4), [axes.index(letter) for letter in "TCYX"])
        for side in in_three_channels(frames=2)
    ]
    expected = sha256()
    for side in sides:
        expected.update(f"{side.dtype.str}{side.shape}".encode() + side.tobytes())
    assert pair_of("a", *sides, axes).sha256 == expected.hexdigest()


def test_hashes_read_one_frame_at_a_time():
    clean = clean_image()[0]
    noisy = np.stack([noisy_shot(clean, seed) for seed in range(3)])
    shared = pair_of("a", noisy, clean, "TYX")
    alone = lazy_pair(noisy, shared.target, "TYX")
    assert alone.sha256 == shared.sha256
    assert alone.noisy.reads == alone.target.reads == Counter([(0,), (1,), (2,)])
    assert [alone.scene(n) for n in range(3)] == [alone.scene(0)] * 3


def test_a_partner_of_fewer_axes_has_a_hash_too():
    noisy, clean = in_three_channels(frames=2)
    assert Pair("a", noisy, clean[0, 0, :50], "TCYX").sha256
    assert Pair("a", noisy, clean[0, 0, 0], "TCYX").sha256


def test_one_clean_image_of_many_frames_is_never_made_whole_for_the_hash() -> None:
    noisy = np.zeros((60, 200, 200), np.uint8)
    pair = pair_of("a", noisy, np.ones((200, 200), np.float32), "TYX")
    tracemalloc.start()
    assert pair.sha256
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 4 * 200 * 200 * 4 < pair.target.size
