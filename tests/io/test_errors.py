"""Errors have fields, and what is said of files reaches who listens, and nobody else."""

from __future__ import annotations

import pickle
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from napari_denoise.io.errors import (
    FileError,
    FileExists,
    NotWritten,
    ReadWarning,
    WriteWarning,
    heard_here,
    listening,
    say,
)
from napari_denoise.io.meta import ImageMeta
from napari_denoise.io.write import write


@pytest.mark.parametrize("kind", [FileError, FileExists, NotWritten])
def test_an_error_is_one_sentence_made_of_its_fields(kind: type[FileError]) -> None:
    error = kind(Path("a.tif"), "it is 7", "make it 8", value=7)
    assert str(error) == "a.tif: it is 7; make it 8"
    assert (error.path, error.rule, error.remedy) == ("a.tif", "it is 7", "make it 8")
    assert (error.value, error.replaceable) == (7, False)


def test_an_error_keeps_its_fields_on_the_way_from_another_process() -> None:
    error = pickle.loads(pickle.dumps(FileExists.of("a.tif")))  # noqa: S301 - our own
    assert type(error) is FileExists and error.replaceable
    assert str(error) == str(FileExists.of("a.tif"))


def test_only_what_overwriting_would_replace_is_replaceable(tmp_path: Path) -> None:
    image, meta = np.zeros((8, 8), np.uint8), ImageMeta("YX")
    write(tmp_path / "a.ome.tif", image, meta)
    with pytest.raises(FileExists) as there:
        write(tmp_path / "a.ome.tif", image, meta)
    assert there.value.replaceable
    (tmp_path / "b.ome.tif.json").write_text('{"mine": 1}')
    for overwrite in (False, True):
        with pytest.raises(FileExists, match="of another program") as foreign:
            write(tmp_path / "b.ome.tif", image, meta, overwrite=overwrite)
        assert not foreign.value.replaceable
    (tmp_path / "c_7.png").write_bytes(b"")
    with pytest.raises(FileExists, match="other frames") as frames:
        write(tmp_path / "c_#.png", image, meta)
    assert not frames.value.replaceable


def test_what_nobody_listens_to_is_a_warning() -> None:
    with pytest.warns(ReadWarning, match=r"a\.tif: guessed"):
        say("a.tif: guessed", ReadWarning)


def test_who_listens_hears_it_in_place_of_a_warning() -> None:
    with listening() as outer:
        say("one", ReadWarning)
        with listening() as inner:
            say("two", WriteWarning)
        say("three", ReadWarning)
    assert (outer, inner) == (["one", "three"], ["two"])


def test_threads_hear_their_own_and_leave_the_filters_of_warnings_alone() -> None:
    shown, filters = warnings.showwarning, list(warnings.filters)
    together = threading.Barrier(8)

    def work(number: int) -> list[str]:
        together.wait(60)
        with listening() as heard:
            for _ in range(200):
                say(f"of {number}", ReadWarning)
                assert warnings.showwarning is shown
            together.wait(60)
        return heard

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(work, range(8)))
    assert [set(heard) for heard in found] == [{f"of {number}"} for number in range(8)]
    assert warnings.showwarning is shown
    assert list(warnings.filters) == filters


def test_what_another_thread_does_for_who_listens_is_heard_while_they_do() -> None:
    with ThreadPoolExecutor(1) as pool:
        with listening() as heard:
            tell = heard_here(lambda: say("a.exr: guessed", ReadWarning))
            pool.submit(tell).result()
        assert heard == ["a.exr: guessed"]
        with pytest.warns(ReadWarning, match="guessed"):
            pool.submit(tell).result()
    assert heard == ["a.exr: guessed"]


def test_the_value_at_fault_is_a_field(tmp_path: Path) -> None:
    with pytest.raises(FileError) as wrong:
        write(tmp_path / "a.png", np.zeros((8, 8), np.float32), ImageMeta("YX"))
    assert wrong.value.value == np.float32
    assert wrong.value.remedy.startswith("save as .exr or .ome.tif")
