"""Files of microscopes, by stand-ins of their vendors' libraries."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask.array
import numpy as np
import pytest

from napari_denoise.batch import plan
from napari_denoise.io.errors import FileError
from napari_denoise.io.images import images_of
from napari_denoise.io.inputs import ImageInput
from napari_denoise.io.read import read

PIXELS = np.arange(2 * 3 * 2 * 8 * 10, dtype=np.uint16).reshape(2, 3, 2, 8, 10)


class Nd2File:
    """Two positions, three time points, two channels."""

    def __init__(self, path: Path) -> None:
        if not Path(path).read_bytes():
            raise ValueError("not a valid nd2 file")
        self.sizes = {"P": 2, "T": 3, "C": 2, "Y": 8, "X": 10}
        self.experiment = [SimpleNamespace(parameters=SimpleNamespace(periodMs=2500.0))]
        names = [SimpleNamespace(channel=SimpleNamespace(name=n)) for n in ("DAPI", "GFP")]
        self.metadata = SimpleNamespace(channels=names)

    def __enter__(self) -> Nd2File:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def to_dask(self) -> Any:
        return dask.array.from_array(PIXELS, chunks=(1, 1, 1, 8, 10))

    def voxel_size(self) -> Any:
        return SimpleNamespace(x=0.25, y=0.25, z=1.0)


class LifFile:
    """Two images; the second has five planes."""

    def __init__(self, path: Path) -> None:
        self.images = [self._image("overview", ("Y", "X")), self._image("cell", ("Z", "Y", "X"))]

    def __enter__(self) -> LifFile:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @staticmethod
    def _image(name: str, dims: tuple[str, ...]) -> Any:
        shape = (5, 8, 10)[-len(dims) :]
        data = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
        coords = {"X": np.arange(10) * 2e-7, "Y": np.arange(8) * 2e-7, "Z": np.arange(5) * 1e-6}
        return SimpleNamespace(
            name=name,
            dims=dims,
            shape=shape,
            dtype=data.dtype,
            coords=coords,
            frame=lambda **place: data[tuple(place.values())],
        )


@pytest.fixture
def libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nd2", SimpleNamespace(ND2File=Nd2File))
    monkeypatch.setitem(sys.modules, "liffile", SimpleNamespace(LifFile=LifFile))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.nd2", "b.lif", "c.czi"):
        (tmp_path / name).write_bytes(b"pixels")
    return tmp_path


def test_positions_of_an_nd2_are_images_read_on_demand(libraries: None, folder: Path) -> None:
    path = folder / "a.nd2"
    found = images_of(ImageInput((path,)))
    assert [entry.series for entry in found] == [0, 1]
    array, meta = read(path, series=1)
    assert meta.axes == "TCYX" and meta.scale == (2.5, 1.0, 0.25, 0.25)
    assert meta.units == ("second", None, "micrometer", "micrometer")
    assert meta.channel_names == ("DAPI", "GFP")
    assert not isinstance(array, np.ndarray)
    assert np.array_equal(np.asarray(array), PIXELS[1])


def test_images_of_a_lif_in_micrometres(libraries: None, folder: Path) -> None:
    path = folder / "b.lif"
    assert len(images_of(ImageInput((path,)))) == 2
    array, meta = read(path, series=1)
    assert meta.axes == "ZYX" and meta.scale == pytest.approx((1.0, 0.2, 0.2))
    assert np.array_equal(np.asarray(array).ravel(), np.arange(400) % 256)
    assert "cell" in meta.name


def test_results_are_ome_tiffs_of_their_own(libraries: None, folder: Path) -> None:
    tasks = plan([folder / "a.nd2", folder / "b.lif"], folder / "clean")
    assert [task.target.name.endswith(".ome.tif") for task in tasks] == [True] * 4
    assert len({task.target for task in tasks}) == 4


def test_without_the_library_one_sentence_names_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nd2", None)
    monkeypatch.setitem(sys.modules, "liffile", None)
    for name in ("a.nd2", "b.lif"):
        with pytest.raises(FileError, match=r'pip install "napari-denoise\[vendor\]"'):
            read(folder / name)


def test_a_czi_and_a_damaged_file_are_refused_in_a_sentence(libraries: None, folder: Path) -> None:
    with pytest.raises(FileError, match="export it from ZEN as OME-TIFF"):
        read(folder / "c.czi")
    (folder / "a.nd2").write_bytes(b"")
    with pytest.raises(FileError, match=r"a\.nd2: it is not a whole ND2 file"):
        read(folder / "a.nd2")
