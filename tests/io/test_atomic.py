from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _writers import cut_off, held, stuck

from _processes import CONTEXT
from napari_denoise.io.atomic import replacing
from napari_denoise.io.errors import FileError, FileExists
from napari_denoise.io.meta import ImageMeta
from napari_denoise.io.read import read
from napari_denoise.io.write import write


@contextmanager
def writing(
    how: Callable[..., None], path: Path, *more: Any
) -> Iterator[tuple[BaseProcess, Connection]]:
    """Write in another process, and be told by it; the process is gone afterwards."""
    here, there = CONTEXT.Pipe()
    writer = CONTEXT.Process(target=how, args=(path, there, *more))
    writer.start()
    there.close()
    try:
        yield writer, here
        writer.join(60)
    finally:
        writer.kill()
        writer.join()
        here.close()


@pytest.mark.parametrize("name", ["a.ome.tif", "a_#.png"])
def test_a_killed_writer_leaves_the_old_file_whole(tmp_path: Path, name: str) -> None:
    old = np.arange(6 * 300 * 300, dtype="uint32").reshape(6, 300, 300).astype("uint16")
    files = write(tmp_path / name, old, ImageMeta("TYX", extra={"napari_denoise": {"a": 1}}))
    before = {file: file.read_bytes() for file in files}
    with writing(stuck, tmp_path / name) as (writer, said):
        assert said.recv() == "writing"  # three of six planes are on the disk
        time.sleep(0.1)
        os.kill(writer.pid, signal.SIGKILL)
    assert writer.exitcode == -signal.SIGKILL
    assert {file: file.read_bytes() for file in files} == before
    assert any(file.suffix == ".tmp" for file in tmp_path.iterdir())  # it was at work
    array, meta = read(tmp_path if name == "a_#.png" else tmp_path / name)
    np.testing.assert_array_equal(array, old)
    assert meta.extra["napari_denoise"] == {"a": 1}


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX resource limits")
@pytest.mark.parametrize("name", ["a.ome.tif", "a_#.png", "a.npy"])
def test_a_write_cut_off_by_the_system_leaves_nothing_half_written(
    tmp_path: Path, name: str
) -> None:
    files = write(tmp_path / name, np.ones((6, 30, 30), "uint16"), ImageMeta("TYX"))
    before = {file: file.read_bytes() for file in files}
    with writing(cut_off, tmp_path / name) as (writer, said):
        told = said.recv()
    assert writer.exitcode == 0
    assert told.startswith("NotWritten") and "could not be written" in told
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_an_error_while_computing_leaves_nothing_behind(tmp_path: Path) -> None:
    import dask.array as da

    def fail(block: np.ndarray) -> np.ndarray:
        raise RuntimeError("no memory left on the device")

    data = da.zeros((2, 5, 7), chunks=(1, 5, 7)).map_blocks(
        fail, dtype="float64", meta=np.empty((0, 0, 0))
    )
    with pytest.raises(RuntimeError, match="no memory left"):
        write(tmp_path / "a.ome.tif", data, ImageMeta("TYX"))
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_said_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"the folder .* does not exist; create it first"):
        write(tmp_path / "no" / "a.npy", np.zeros((5, 7)), ImageMeta("YX"))


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appears_meanwhile_is_kept(
    tmp_path: Path, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError("this file system has no hard links")

    if not links:
        monkeypatch.setattr(os, "link", no_links)
    targets = [tmp_path / name for name in ("a_0.png", "a_1.png", "a_2.png")]
    with pytest.raises(FileExists, match=r"a_1\.png: it exists already: it appeared while"):
        with replacing(targets, overwrite=False) as temporary:
            for path in temporary:
                path.write_bytes(b"ours")
            targets[1].write_bytes(b"theirs")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"a_1.png": b"theirs"}
    targets[1].unlink()
    with replacing(targets, overwrite=False) as temporary:
        for path in temporary:
            path.write_bytes(b"ours")
    assert {file.read_bytes() for file in tmp_path.iterdir()} == {b"ours"}
    assert sorted(tmp_path.iterdir()) == targets


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("name", ["a.ome.tif", "a_#.png"])
def test_of_two_writers_at_once_one_wins_whole(tmp_path: Path, name: str, overwrite: bool) -> None:
    with (
        writing(held, tmp_path / name, 1, overwrite) as (_, one),
        writing(held, tmp_path / name, 2, overwrite) as (_, two),
    ):
        assert [one.recv(), two.recv()] == ["writing"] * 2
        for writer in (one, two):  # both are in the middle of it
            writer.send("go")
        said = [one.recv(), two.recv()]
    failed = [text for text in said if text != "done"]
    assert len(failed) == (0 if overwrite else 1)
    assert all("it appeared while the result was computed" in text for text in failed)
    array, meta = read(tmp_path if name == "a_#.png" else tmp_path / name)
    (winner,) = np.unique(array)
    assert overwrite or said[winner - 1] == "done"
    note = meta.extra.get("napari_denoise")
    assert note == ({"made by": "1"} if winner == 1 else None)
    assert not list(tmp_path.glob(".*"))


def test_what_a_killed_writer_left_goes_with_the_next_write(tmp_path: Path) -> None:
    with writing(stuck, tmp_path / "a.ome.tif") as (writer, said):
        assert said.recv() == "writing"
        write(tmp_path / "a.ome.tif", np.ones((5, 7)), ImageMeta("YX"))
        alive = list(tmp_path.glob(".*"))
        os.kill(writer.pid, signal.SIGKILL)
    assert any(f"-{writer.pid}-" in file.name for file in alive)  # at work: left alone
    foreign = tmp_path / f"{alive[0].name}".replace("a.ome.tif", "b.ome.tif")
    foreign.touch()
    write(tmp_path / "a.ome.tif", np.ones((5, 7)), ImageMeta("YX"), overwrite=True)
    assert list(tmp_path.glob(".*")) == [foreign]  # of another target
