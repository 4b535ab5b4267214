"""Planes too large to be held are written and read in windows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from _networks import write_tiny_weights
from napari_denoise import Denoiser, DenoiseSettings, ImageMeta, read, write
from napari_denoise.batch import denoise_file, plan
from napari_denoise.image import frames
from napari_denoise.io.formats import loaded

SHAPE = 1100, 2060


@pytest.fixture(autouse=True)
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let planes of more than a few pixels count as too large to be held."""
    monkeypatch.setattr(frames, "LARGE_BYTES", 100)


class Watched:
    """An array that notes how many pixels it is asked for at once."""

    def __init__(self, array: Any) -> None:
        self.array, self.shape, self.dtype, self.ndim = array, array.shape, array.dtype, array.ndim
        self.most = 0

    def __getitem__(self, index: Any) -> Any:
        part = self.array[index]
        self.most = max(self.most, part.size)
        return part


def image(shape: tuple[int, ...] = SHAPE) -> Any:
    return np.random.default_rng(0).poisson(30, shape).astype(np.uint16)


@pytest.mark.parametrize(("axes", "shape"), [("YX", SHAPE), ("TYX", (2, 1100, 90))])
def test_a_tiff_is_written_in_tiles_that_others_read(
    tmp_path: Path, axes: str, shape: tuple[int, ...]
) -> None:
    array = Watched(image(shape))
    write(tmp_path / "a.ome.tif", array, ImageMeta(axes))
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tif:
        assert tif.pages[0].is_tiled
        assert np.array_equal(tif.asarray(), array.array)
    assert array.most <= 1024**2
    back, meta = read(tmp_path / "a.ome.tif")
    assert np.array_equal(back, array.array) and meta.axes == axes


def test_colour_is_written_in_tiles_too(tmp_path: Path) -> None:
    array = Watched(np.random.default_rng(0).integers(0, 255, (1100, 70, 3), dtype=np.uint8))
    write(tmp_path / "a.ome.tif", array, ImageMeta("YXS"))
    assert np.array_equal(tifffile.imread(tmp_path / "a.ome.tif"), array.array)


@pytest.mark.parametrize("axes", ["YX", "XY"])
def test_npy_is_written_in_bands(tmp_path: Path, axes: str) -> None:
    array = image()
    write(tmp_path / "a.npy", array, ImageMeta(axes))
    assert np.array_equal(np.load(tmp_path / "a.npy"), array)


def test_npy_in_order_holds_no_more_than_a_band(tmp_path: Path) -> None:
    array = Watched(image((2100, 300)))
    write(tmp_path / "a.npy", array, ImageMeta("YX"))
    assert array.most == 1024 * 300


def test_compressed_tiles_are_read_by_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded, "LAZY_BYTES", 100)
    array = image((2, *SHAPE))
    tifffile.imwrite(
        tmp_path / "a.tif", array, tile=(256, 256), compression="zlib", metadata={"axes": "TYX"}
    )
    lazy, meta = read(tmp_path / "a.tif")
    assert meta.axes == "TYX"
    assert lazy.chunks[1][0] == 1024 and lazy.chunks[2][0] == 1024
    assert np.array_equal(np.asarray(lazy[1, 1000:1050, 900:1100]), array[1, 1000:1050, 900:1100])
    assert np.array_equal(np.asarray(lazy), array)


def test_a_file_is_denoised_in_windows_and_its_progress_ends_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", image((2, 1030, 64)), metadata={"axes": "TYX"})
    weights = write_tiny_weights(tmp_path / "w.safetensors")
    denoiser = Denoiser.load(str(weights), "cpu", "float32")
    settings = DenoiseSettings(noise=5.0, neighbors=0)
    (task,) = plan([tmp_path / "a.tif"], f"{tmp_path}/out/")
    told: list[float] = []
    denoise_file(task, denoiser, settings, progress=lambda step: told.append(step.fraction))
    assert told == sorted(told) and told[-1] == 1
    found, _ = read(task.target)
    monkeypatch.undo()
    whole = denoiser(image((2, 1030, 64)), "TYX", settings=settings)
    assert np.abs(found.astype(int) - whole).max() <= 1
