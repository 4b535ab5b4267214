"""OME-Zarr stores are written in regions, by one process or many, and appear when whole."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from _writers import store_part, store_stuck, store_swapped
from yaozarrs import validate_zarr_store

from _processes import CONTEXT
from napari_denoise import ImageMeta, read, write
from napari_denoise.image import frames
from napari_denoise.io import stores
from napari_denoise.io.errors import FileError, FileExists
from napari_denoise.io.stores import prepare_store

OLD = np.arange(2 * 30 * 30, dtype="uint16").reshape(2, 30, 30)


def image(shape: tuple[int, ...], dtype: str = "uint16") -> Any:
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


def started(how: Callable[..., None], *given: Any) -> tuple[BaseProcess, Connection]:
    here, there = CONTEXT.Pipe()
    process = CONTEXT.Process(target=how, args=(given[0], there, *given[1:]))
    process.start()
    there.close()
    return process, here


def hidden(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.glob(".*"))


# --- whole or not at all --------------------------------------------------------------


def test_a_killed_writer_leaves_the_old_store_and_nothing_that_is_taken_for_one(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.ome.zarr"
    write(path, OLD, ImageMeta("TYX"))
    writer, said = started(store_stuck, path)
    assert said.recv() == "writing"
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    (left,) = hidden(tmp_path)
    assert len(list((tmp_path / left / "0").glob("*/*/*"))) == 3  # it was at work
    np.testing.assert_array_equal(read(path)[0], OLD)
    np.testing.assert_array_equal(read(tmp_path)[0], OLD)
    with pytest.raises(FileError, match="without OME metadata"):
        read(tmp_path / left)
    write(path, OLD + 1, ImageMeta("TYX"), overwrite=True)
    assert not hidden(tmp_path)
    np.testing.assert_array_equal(read(path)[0], OLD + 1)


def test_who_is_killed_between_old_and_new_leaves_both_and_the_old_one_comes_back(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.ome.zarr"
    write(path, OLD, ImageMeta("TYX"))
    writer, _ = started(store_swapped, path)
    writer.join()
    assert writer.exitcode == -signal.SIGKILL
    assert not path.exists() and len(hidden(tmp_path)) == 2
    with pytest.raises(FileExists, match=r"a\.ome\.zarr: it exists already"):
        write(path, OLD + 1, ImageMeta("TYX"))
    assert not hidden(tmp_path)
    np.testing.assert_array_equal(read(path)[0], OLD)


def test_an_error_on_the_way_leaves_nothing(tmp_path: Path) -> None:
    class Failing:
        shape, dtype = (2, 30, 30), np.dtype("uint16")

        def __getitem__(self, index: Any) -> Any:
            raise RuntimeError("no memory left on the device")

    with pytest.raises(RuntimeError, match="no memory left"):
        write(tmp_path / "a.ome.zarr", Failing(), ImageMeta("TYX"))
    assert not list(tmp_path.iterdir())


def test_what_exists_is_replaced_only_if_that_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.zarr"
    note = {"napari_denoise": {"weights": "w"}}
    assert write(path, OLD, ImageMeta("TYX", extra=note)) == [path, tmp_path / "a.ome.zarr.json"]
    with pytest.raises(FileExists, match="it exists already"):
        write(path, OLD, ImageMeta("TYX"))
    late = prepare_store(tmp_path / "b.ome.zarr", OLD.shape, OLD.dtype, ImageMeta("TYX"))
    write(tmp_path / "b.ome.zarr", OLD, ImageMeta("TYX"))
    with pytest.raises(FileExists):
        late.finish()
    late.discard()
    assert write(path, OLD + 1, ImageMeta("TYX"), overwrite=True) == [path]
    np.testing.assert_array_equal(read(path)[0], OLD + 1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.ome.zarr", "b.ome.zarr"]


def test_nothing_but_a_store_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.ome.zarr").mkdir()
    (tmp_path / "a.ome.zarr" / "thesis.txt").write_text("do not delete")
    (tmp_path / "b.ome.zarr").write_text("a file")
    for name, kind in (("a", "folder"), ("b", "file")):
        with pytest.raises(FileError, match=f"a {kind} of that name is there"):
            write(tmp_path / f"{name}.ome.zarr", OLD, ImageMeta("TYX"), overwrite=True)
    write(tmp_path / "c.ome.zarr", OLD, ImageMeta("TYX"))
    with pytest.raises(FileError, match="it would lie inside the store"):
        write(tmp_path / "c.ome.zarr" / "d.ome.zarr", OLD, ImageMeta("TYX"))
    assert (tmp_path / "a.ome.zarr" / "thesis.txt").read_text() == "do not delete"


def test_channels_of_colour_have_no_place(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"channels of colour samples; save as \.ome\.tif"):
        write(tmp_path / "a.ome.zarr", np.zeros((2, 20, 20, 3), "uint8"), ImageMeta("CYXS"))
    with pytest.raises(FileError, match=r"OME-Zarr 0\.3 is not written"):
        meta = ImageMeta("TYX", extra={"ome_zarr_version": "0.3"})
        write(tmp_path / "a.ome.zarr", OLD, meta)


# --- by many processes ----------------------------------------------------------------


def test_processes_write_regions_of_one_store(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.zarr"
    meta = ImageMeta("TYX", extra={"ome_zarr_version": "0.4"})
    store = prepare_store(path, (4, 30, 30), "uint16", meta)
    writers = [started(store_part, store, first) for first in (0, 1)]
    assert [said.recv() for _, said in writers] == ["done", "done"]
    for writer, _ in writers:
        writer.join()
    assert not path.exists()
    done = replace(meta, extra={**meta.extra, "napari_denoise": {"weights": "w"}})
    assert store.finish(done) == [path, tmp_path / "a.ome.zarr.json"]
    array, found = read(path)
    assert np.asarray(array)[:, 0, 0].tolist() == [1, 2, 3, 4]
    assert found.extra["napari_denoise"] == {"weights": "w"}


@pytest.mark.parametrize("version", ["0.5", "0.4"])
@pytest.mark.parametrize("large", [False, True])
def test_regions_cover_the_image_and_share_no_file(
    tmp_path: Path, version: str, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "CHUNK", 8)
    monkeypatch.setattr(stores, "SHARD", 16)
    if large:
        monkeypatch.setattr(frames, "LARGE_BYTES", 100)
    array = image((3, 2, 20, 18))
    meta = ImageMeta("ZCYX", extra={"ome_zarr_version": version})
    store = prepare_store(tmp_path / "a.ome.zarr", array.shape, array.dtype, meta)
    count, files = np.zeros(array.shape, int), set[Path]()
    for region in store.regions:
        store.write(region, array[region])
        count[region] += 1
        now = {p for p in (store.folder / "0").rglob("*") if p.is_file()}
        assert now - files
        files = now
    assert (count == 1).all()
    with pytest.raises(ValueError, match="ends inside a file"):
        store.write((slice(0, 1), slice(0, 1), slice(0, 4), slice(0, 18)), array[:1, :1, :4])
    assert pickle.loads(pickle.dumps(store)).folder == store.folder  # noqa: S301
    store.finish()
    np.testing.assert_array_equal(read(tmp_path / "a.ome.zarr")[0], array)


# --- what is written ------------------------------------------------------------------


@pytest.mark.parametrize("version", ["0.5", "0.4"])
@pytest.mark.parametrize(
    ("axes", "shape"),
    [
        ("YX", (50, 33)),
        ("TYX", (3, 21, 22)),
        ("TZCYX", (2, 3, 2, 11, 12)),
        ("XYT", (30, 20, 4)),
        ("YXS", (40, 21, 3)),
    ],
)
def test_what_is_written_is_valid_and_comes_back(
    tmp_path: Path, version: str, axes: str, shape: tuple[int, ...], monkeypatch: Any
) -> None:
    monkeypatch.setattr(stores, "CHUNK", 16)
    monkeypatch.setattr(stores, "SHARD", 32)
    array = image(shape, "uint8" if "S" in axes else "float32")
    units = {"T": "second", "Z": "micrometer", "Y": "micrometer", "X": "micrometer"}
    channels = shape[axes.index("C")] if "C" in axes else 0
    start = [0.5 + n for n in range(len(axes.replace("C", "").replace("S", "")))]
    note = {"weights": "w", "noise": [1.0]}
    meta = ImageMeta(
        axes,
        scale=tuple(1.0 if a in "CS" else 0.5 + n for n, a in enumerate(axes)),
        units=tuple(units.get(a) for a in axes),
        channel_names=("DAPI", "GFP")[:channels],
        channel_colors=("#0000ff", "#00ff00")[:channels],
        contrast_limits=((0.0, 100.0),) * max(channels, 1),
        extra={"ome_zarr_version": version, "napari_denoise": note, "translate": start},
    )
    path = tmp_path / "a.ome.zarr"
    write(path, array, meta)
    validate_zarr_store(path)
    group = zarr.open_group(path, mode="r")
    assert group.metadata.zarr_format == (2 if version == "0.4" else 3)
    for beside in (True, False):
        if not beside:  # the store alone says the same
            (tmp_path / "a.ome.zarr.json").unlink()
        back, found = read(path)
        assert back.dtype == array.dtype
        np.testing.assert_array_equal(back, array)
        for name in ("axes", "scale", "units", "channel_names", "channel_colors"):
            assert getattr(found, name) == getattr(meta, name), name
        assert found.contrast_limits == meta.contrast_limits
        expected = {k: found.extra[k] for k in ("ome_zarr_version", "napari_denoise", "translate")}
        assert expected == meta.extra
    assert (
        len(found.levels)
        == len([*group.array_keys()]) - 1
        == (1 if max(shape) < 33 else 2)
        - (max(a for a, letter in zip(shape, axes, strict=True) if letter in "YX") <= 16)
    )


def test_levels_are_means_that_lie_where_their_pixels_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "CHUNK", 4)
    array = np.array([[0, 2, 5, 5, 9], [4, 6, 7, 3, 11], [1, 3, 8, 8, 20]], "uint8")
    write(tmp_path / "a.ome.zarr", array, ImageMeta("YX", scale=(2.0, 0.5)))
    (level,) = read(tmp_path / "a.ome.zarr")[1].levels
    assert np.asarray(level).tolist() == [[3, 5, 10], [2, 8, 20]]
    ome = zarr.open_group(tmp_path / "a.ome.zarr", mode="r").attrs["ome"]
    finest, coarser = ome["multiscales"][0]["datasets"]
    assert finest["coordinateTransformations"] == [{"type": "scale", "scale": [2.0, 0.5]}]
    assert coarser["coordinateTransformations"] == [
        {"type": "scale", "scale": [4.0, 1.0]},
        {"type": "translation", "translation": [1.0, 0.25]},
    ]


def test_large_planes_are_written_and_read_in_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Watched:
        def __init__(self, array: Any) -> None:
            self.array, self.shape, self.dtype, self.most = array, array.shape, array.dtype, 0

        def __getitem__(self, index: Any) -> Any:
            part = self.array[index]
            self.most = max(self.most, part.size)
            return part

    monkeypatch.setattr(frames, "LARGE_BYTES", 100)
    monkeypatch.setattr(stores, "SHARD", 1024)
    array = Watched(image((1100, 1300)))
    write(tmp_path / "a.ome.zarr", array, ImageMeta("YX"))
    assert array.most <= 1024**2
    back, _ = read(tmp_path / "a.ome.zarr")
    assert back.chunks == ((1024, 76), (1024, 276))
    np.testing.assert_array_equal(back, array.array)


def test_small_planes_share_files(tmp_path: Path) -> None:
    write(tmp_path / "a.ome.zarr", image((300, 8, 8)), ImageMeta("TYX"))
    assert sum(p.is_file() for p in (tmp_path / "a.ome.zarr" / "0").rglob("c/**/*")) == 1
    level = zarr.open_array(tmp_path / "a.ome.zarr" / "0", mode="r")
    assert level.chunks == (1, 8, 8) and level.shards == (300, 8, 8)
