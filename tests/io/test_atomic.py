from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from napari_denoise.io.errors import FileError
from napari_denoise.io.metadata import ImageMeta
from napari_denoise.io.readers import read
from napari_denoise.io.writers import write

SLOW_WRITER = """
import sys, time
import dask.array as da, numpy as np
from napari_denoise.io.metadata import ImageMeta
from napari_denoise.io.writers import write

def slow(block, block_info):
    if block_info[0]["chunk-location"][0] == 3:
        print("writing", flush=True)
        time.sleep(60)
    return block

zeros = da.zeros((6, 300, 300), chunks=(1, 300, 300), dtype="uint16")
data = zeros.map_blocks(slow, dtype="uint16", meta=np.empty((0, 0, 0), "uint16"))
write(sys.argv[1], data, ImageMeta("TYX"), overwrite=True)
"""


@pytest.mark.parametrize("name", ["a.ome.tif", "a_#.png"])
def test_a_killed_writer_leaves_the_old_file_whole(tmp_path: Path, name: str) -> None:
    old = np.arange(6 * 300 * 300, dtype="uint32").reshape(6, 300, 300).astype("uint16")
    files = write(tmp_path / name, old, ImageMeta("TYX", extra={"napari_denoise": {"a": 1}}))
    before = {file: file.read_bytes() for file in files}
    command = [sys.executable, "-c", SLOW_WRITER, str(tmp_path / name)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"  # three of six planes are on the disk
        time.sleep(0.1)
        os.kill(writer.pid, signal.SIGKILL)
    assert writer.returncode == -signal.SIGKILL
    assert {file: file.read_bytes() for file in files} == before
    assert any(file.suffix == ".tmp" for file in tmp_path.iterdir())  # it was at work
    array, meta = read(tmp_path if name == "a_#.png" else tmp_path / name)
    np.testing.assert_array_equal(array, old)
    assert meta.extra["napari_denoise"] == {"a": 1}


FULL_DISK = """
import resource, signal, sys
import numpy as np
from napari_denoise.io.metadata import ImageMeta
from napari_denoise.io.writers import write

# A write that the system cuts off, as a full disk or a quota does.
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
data = np.random.default_rng(0).integers(0, 65535, (6, 300, 300)).astype("uint16")
try:
    write(sys.argv[1], data, ImageMeta("TYX"), overwrite=True)
except ValueError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX resource limits")
@pytest.mark.parametrize("name", ["a.ome.tif", "a_#.png", "a.npy"])
def test_a_write_cut_off_by_the_system_leaves_nothing_half_written(
    tmp_path: Path, name: str
) -> None:
    files = write(tmp_path / name, np.ones((6, 30, 30), "uint16"), ImageMeta("TYX"))
    before = {file: file.read_bytes() for file in files}
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("FileError") and "could not be written" in done.stdout
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
