"""Large arrays in their file: they slice as numpy does, and a file that shrinks is named."""

from __future__ import annotations

import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_denoise.io.errors import FileError
from napari_denoise.io.formats.on_disk import OnDisk

ARRAY = np.random.default_rng(0).integers(0, 60000, (4, 3, 50, 40)).astype(">u2")


def on_disk(folder: Path, order: str = "C") -> OnDisk:
    path = folder / "a.raw"
    path.write_bytes(b"12345" + ARRAY.tobytes(order))
    return OnDisk.of(path, ARRAY.dtype, ARRAY.shape, 5, order)


def some_key(rng: random.Random, shape: tuple[int, ...]) -> tuple[Any, ...]:
    key: list[Any] = []
    for length in shape[: rng.randrange(1, len(shape) + 1)]:
        start, stop = (rng.randrange(-length - 2, length + 2) for _ in "ab")
        slices = slice(None), slice(start, stop, rng.choice((1, 1, 2, -1, 7)))
        key.append(rng.choice((rng.randrange(-length, length), *slices)))
    if rng.random() < 0.3:
        key.append(None)
    if rng.random() < 0.3:
        key.append(Ellipsis)
    return tuple(key)


@pytest.mark.parametrize("order", "CF")
def test_it_slices_as_numpy_does_whatever_the_order_of_its_axes(tmp_path: Path, order: str) -> None:
    array, rng = on_disk(tmp_path, order), random.Random(0)  # noqa: S311
    for _ in range(300):
        axes = rng.sample(range(4), 4)
        key = some_key(rng, ARRAY.transpose(axes).shape)
        expected, part = ARRAY.transpose(axes)[key], array.transpose(axes)[key]
        assert part.shape == expected.shape and part.dtype == np.uint16
        np.testing.assert_array_equal(part, expected, err_msg=str(key))


def test_it_is_an_array_of_the_machines_own_type(tmp_path: Path) -> None:
    array = on_disk(tmp_path)
    assert (array.shape, array.ndim, len(array)) == (ARRAY.shape, 4, 4)
    assert (array.size, array.nbytes) == (ARRAY.size, ARRAY.nbytes)
    assert np.asarray(array).dtype == array.dtype == np.dtype("uint16")
    np.testing.assert_array_equal(np.asarray(array, np.float32), ARRAY)
    np.testing.assert_array_equal(array[[2, 0], 1], ARRAY[[2, 0], 1])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(array))[1], ARRAY[1])  # noqa: S301
    assert array[1, 2, 3, 4] == ARRAY[1, 2, 3, 4] and array[1, 2, 3, 4].shape == ()


def test_axes_of_one_come_and_go_and_nothing_else_is_reshaped(tmp_path: Path) -> None:
    array = on_disk(tmp_path).transpose(1, 0, 2, 3)
    more = array.reshape(1, 3, 4, 1, 50, 40)
    np.testing.assert_array_equal(more[0, 2, :, 0], ARRAY[:, 2])
    np.testing.assert_array_equal(more.squeeze((0, 3))[2], ARRAY[:, 2])
    with pytest.raises(ValueError, match=r"a\.raw: .* cannot become"):
        array.reshape(12, 50, 40)


@pytest.mark.parametrize("key", [9, (0, 0, 0, 0, 0), True, ([0], [1]), "a"])
def test_what_is_no_part_of_it_is_an_index_error(tmp_path: Path, key: Any) -> None:
    with pytest.raises(IndexError):
        on_disk(tmp_path)[key]


def test_only_what_is_asked_for_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array, read = on_disk(tmp_path), []
    whole = OnDisk._bytes
    monkeypatch.setattr(
        OnDisk, "_bytes", lambda self, file, at, n: read.append(n) or whole(self, file, at, n)
    )
    monkeypatch.setattr("napari_denoise.io.formats.on_disk._SMALL", 0)
    array[2, 1, 10:20, 5:15]
    assert sum(read) <= 4 * 10 * 10 * 2
    read.clear()
    array[2]
    assert read == [ARRAY[2].nbytes]  # in one piece


def test_a_file_that_shrinks_or_goes_is_named(tmp_path: Path) -> None:
    array = on_disk(tmp_path)
    array.path.write_bytes(array.path.read_bytes()[:15_000])
    np.testing.assert_array_equal(array[0], ARRAY[0])
    with pytest.raises(FileError, match=r"a\.raw: it has 15,000 bytes, but .* 24,005 or further"):
        array[1]
    array.path.unlink()
    with pytest.raises(FileError, match=r"a\.raw: it can no longer be opened"):
        array[0]
