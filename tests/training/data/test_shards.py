"""Training data in shards: what is in them, how large they are, and that training reads them."""

from __future__ import annotations

import tarfile

import numpy as np
import pytest
from _tiny import pictures, tiny
from PIL import Image

from napari_denoise.io.errors import FileError
from napari_denoise.training.data.shards import MIB, pack, unpacked
from napari_denoise.training.loop.checkpoints import load_checkpoint
from napari_denoise.training.loop.run import Run


@pytest.fixture
def data(tmp_path):
    """Two folders of three pictures, and what nobody trains on."""
    for name in ("a", "b"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number, picture in enumerate(pictures(3)):
            Image.fromarray(picture[..., 0]).save(tmp_path / "data" / name / f"{number}.png")
    (tmp_path / "data" / "README.md").write_text("pictures")
    return tmp_path / "data"


def names(shards):
    found = []
    for shard in shards:
        with tarfile.open(shard) as opened:
            found += opened.getnames()
    return sorted(found)


def test_shards_hold_the_files_as_they_are_and_only_those_to_train_on(data, tmp_path):
    packed = pack([data], tmp_path / "shards")
    assert (packed.files, packed.left_out) == (6, 0)
    assert names(packed.shards) == [f"{f}/{n}.png" for f in "ab" for n in range(3)]
    with unpacked(tmp_path / "shards") as folder:
        for path in data.rglob("*.png"):
            assert (folder / path.relative_to(data)).read_bytes() == path.read_bytes()
    assert not folder.exists()
    with unpacked(data) as folder:
        assert folder == data
    again = pack([data], tmp_path / "again")
    assert [s.read_bytes() for s in again.shards] == [s.read_bytes() for s in packed.shards]


def test_several_folders_keep_their_names(data, tmp_path):
    packed = pack([data / "b", data / "a"], tmp_path / "shards")
    assert names(packed.shards) == [f"{f}/{n}.png" for f in "ab" for n in range(3)]
    with pytest.raises(FileError, match="two of the folders have one name"):
        pack([data / "a", data / "a"], tmp_path / "twice")


def test_shards_and_all_of_them_keep_to_their_size_and_every_folder_loses_alike(data, tmp_path):
    noise = np.random.default_rng(0)
    for folder in ("a", "b"):
        for number in range(20):
            codes = noise.integers(0, 256, (64, 64), np.uint8)
            np.save(data / folder / f"{number}.npy", codes)
    packed = pack([data], tmp_path / "shards", most=100_000, each=40_000)
    assert packed.size <= 100_000
    assert len(packed.shards) >= 3
    assert all(shard.stat().st_size <= 40_000 for shard in packed.shards)
    kept = names(packed.shards)
    assert len(kept) == packed.files == 46 - packed.left_out
    assert abs(sum(name.startswith("a/") for name in kept) - len(kept) / 2) <= 1
    with pytest.raises(FileError, match=r"it has .* MiB, and a shard has"):
        pack([data], tmp_path / "small", each=MIB // 100)


def test_nothing_is_packed_twice_or_from_nothing(data, tmp_path):
    pack([data], tmp_path / "shards")
    with pytest.raises(FileError, match="holds shards already"):
        pack([data], tmp_path / "shards")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="nothing to pack"):
        pack([tmp_path / "empty"], tmp_path / "other")


def test_a_broken_shard_is_named(data, tmp_path):
    (shard,) = pack([data], tmp_path / "shards").shards
    shard.write_bytes(shard.read_bytes()[:700])
    with (
        pytest.raises(FileError, match=r"000\.tar: it is not a whole shard"),
        unpacked(tmp_path / "shards"),
    ):
        pass


def test_training_from_shards_is_training_from_the_folder(data, tmp_path):
    pack([data], tmp_path / "shards")
    for name, source in (("one", data), ("other", tmp_path / "shards")):
        list(Run(tiny(), tmp_path / name).train(source))
    one, other = (
        load_checkpoint(tmp_path / n / "checkpoint.pt")["model"] for n in ("one", "other")
    )
    assert one
    assert all((one[key] == other[key]).all() for key in one)
