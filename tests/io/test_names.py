"""Names as long as a folder takes, names that are not UTF-8, and names of devices."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_denoise.io.errors import FileError
from napari_denoise.io.meta import ImageMeta
from napari_denoise.io.names import LONGEST, fitting, is_device, length
from napari_denoise.io.read import read
from napari_denoise.io.sidecar import sidecar_path
from napari_denoise.io.write import write
from napari_denoise.settings.text import printable, printable_json, shown

STACK = np.arange(3 * 8 * 8, dtype=np.uint16).reshape(3, 8, 8)
META = ImageMeta("ZYX", gamma=0.5, extra={"mine": 1})


@pytest.mark.parametrize("suffix", [".npy", ".ome.tif", ".png"])
@pytest.mark.parametrize("long", [205, 226, 250, LONGEST])
def test_a_long_name_is_written_whole_and_read_with_its_sidecar(
    tmp_path: Path, suffix: str, long: int
) -> None:
    letter = "é" if long % 2 else "e"
    stem = (letter * long)[: (long - len(suffix)) // len(letter.encode())]
    stem = stem[:-1] + "#" if suffix == ".png" else stem
    path = tmp_path / f"{stem}{suffix}"
    write(path, STACK, META)
    write(path, STACK + 1, META, overwrite=True)
    assert not list(tmp_path.glob(".*"))
    array, meta = read(path)
    np.testing.assert_array_equal(array, STACK + 1)
    assert meta.gamma == 0.5 and meta.extra["mine"] == 1


def test_a_name_too_long_for_any_folder_is_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / ("a" * 300 + ".npy")
    with pytest.raises(FileError, match="304 bytes long, file systems take 255"):
        write(path, STACK, META)
    with pytest.raises(FileError, match="no such file"):
        read(path)


def test_long_names_stay_two_and_fit(tmp_path: Path) -> None:
    one, other = ("µ" * 130 + end for end in "ab")
    assert fitting(one, 5) != fitting(other, 5) == fitting(other, 5)
    assert length(fitting(one, 5)) <= LONGEST - 5
    assert fitting("short.png", 5) == "short.png"
    assert sidecar_path(tmp_path / "a.png") == tmp_path / "a.png.json"


@pytest.mark.skipif(sys.platform != "linux", reason="names of other systems are text")
@pytest.mark.parametrize("suffix", [".npy", ".ome.tif", ".exr"])
def test_a_name_that_is_not_utf_8_goes_through(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9" + suffix.encode())
    stack = STACK[0].astype(np.float32)
    write(path, stack, ImageMeta("YX", gamma=0.5, extra={"napari_denoise": {"of": path.name}}))
    array, meta = read(path)
    np.testing.assert_array_equal(array, stack)
    assert meta.extra["napari_denoise"] == {"of": path.name}
    meta.name.encode()
    path.write_bytes(b"")
    with pytest.raises(FileError) as error:
        read(path)
    str(error.value).encode()
    assert error.value.path == str(path)


@pytest.mark.parametrize("name", ["aux", "NUL", "Con.tar", "com1", "LPT9", "nul .x"])
def test_names_of_devices_are_known(name: str) -> None:
    assert is_device(name)


@pytest.mark.parametrize("name", ["auxin", "null", "com", "com10", "my con", ""])
def test_other_names_are_no_devices(name: str) -> None:
    assert not is_device(name)


def test_text_from_files_is_made_fit_to_be_shown() -> None:
    assert printable("a\x1b[31m\u202eb\nc\td\udce9 é") == "a\\x1b[31m\\u202eb\nc\td\\udce9 é"
    assert printable_json('"a\x9b"') == '"a\\u009b"'
    assert len(shown("x" * 4000)) == 80 and shown(5) == "5"
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert shown(deep) == "<list>"
