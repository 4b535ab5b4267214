from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr

from napari_denoise.io.errors import FileError, FileExists, ReadWarning, WriteWarning
from napari_denoise.io.formats import tiff_writer
from napari_denoise.io.meta import ImageMeta
from napari_denoise.io.read import read
from napari_denoise.io.write import write

PROVENANCE = {"napari_denoise": {"weights": "microscopy", "noise": [0.5, 1.0], "note": "ä"}}


def ramp(shape: tuple[int, ...], dtype: str = "uint16") -> np.ndarray:
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def two_channels() -> ImageMeta:
    return ImageMeta(
        "TCYX",
        scale=(2.5, 1.0, 0.25, 0.125),
        units=("second", None, "micrometer", "nanometer"),
        channel_names=("DAPI", "GFP <β>"),
        channel_colors=("#0000ff", "#12ff80"),
        contrast_limits=((1.0, 9.0), (2.0, 30.0)),
        extra=PROVENANCE,
    )


@pytest.mark.parametrize("name", ["a.ome.tif", "a.tif", "größe 细胞.ome.tiff", "a.npy"])
def test_scale_units_names_and_colours_survive(tmp_path: Path, name: str) -> None:
    meta, data = two_channels(), ramp((3, 2, 17, 11))
    files = write(tmp_path / name, data, meta)
    assert files == [tmp_path / name, tmp_path / f"{name}.json"]
    array, back = read(tmp_path / name)
    np.testing.assert_array_equal(array, data)
    assert array.dtype == data.dtype
    for field in ("axes", "scale", "units", "channel_names", "channel_colors"):
        assert getattr(back, field) == getattr(meta, field), field
    assert back.contrast_limits == meta.contrast_limits
    assert back.extra["napari_denoise"] == PROVENANCE["napari_denoise"]


def test_another_program_reads_the_ome_tiff(tmp_path: Path) -> None:
    write(tmp_path / "a.ome.tif", ramp((3, 2, 17, 11)), two_channels())
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tif:
        assert tif.is_ome and tif.series[0].axes == "TCYX"
        pixels = tifffile.xml2dict(tif.ome_metadata)["OME"]["Image"]["Pixels"]
    assert (pixels["PhysicalSizeX"], pixels["PhysicalSizeXUnit"]) == (0.125, "nm")
    assert (pixels["TimeIncrement"], pixels["TimeIncrementUnit"]) == (2.5, "s")
    assert pixels["Channel"][0]["Color"] == 0x0000FFFF
    assert [channel["Name"] for channel in pixels["Channel"]] == ["DAPI", "GFP <β>"]


@pytest.mark.parametrize(
    ("axes", "shape"),
    [
        ("YX", (5, 7)),
        ("TZYX", (1, 4, 5, 7)),
        ("TZCYX", (2, 1, 3, 5, 7)),
        ("CZTYX", (2, 3, 4, 5, 7)),
        ("YXS", (5, 7, 3)),
        ("TYXS", (2, 5, 7, 4)),
        ("YXC", (5, 7, 2)),
        ("XYT", (5, 7, 3)),
        ("YX", (1, 1)),
    ],
)
@pytest.mark.parametrize("suffix", [".ome.tif", ".npy"])
def test_every_order_of_axes_comes_back(
    tmp_path: Path, axes: str, shape: tuple[int, ...], suffix: str
) -> None:
    scale = tuple(float(i + 2) if a in "ZYX" else 1.0 for i, a in enumerate(axes))
    units = tuple("micrometer" if a in "ZYX" else None for a in axes)
    data = ramp(shape)
    write(tmp_path / f"a{suffix}", data, ImageMeta(axes, scale=scale, units=units))
    array, back = read(tmp_path / f"a{suffix}")
    assert (back.axes, back.scale, back.units) == (axes, scale, units)
    np.testing.assert_array_equal(array, data)


def test_a_file_that_says_it_all_has_no_sidecar(tmp_path: Path) -> None:
    meta = ImageMeta("TYX", scale=(1.0, 0.5, 0.5), units=(None, "micrometer", "micrometer"))
    assert write(tmp_path / "a.ome.tif", ramp((3, 5, 7)), meta) == [tmp_path / "a.ome.tif"]
    assert [file.name for file in tmp_path.iterdir()] == ["a.ome.tif"]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "float32", "float64"])
def test_the_data_type_is_kept(tmp_path: Path, dtype: str) -> None:
    write(tmp_path / "a.ome.tif", ramp((2, 5, 7), dtype), ImageMeta("TYX"))
    assert read(tmp_path / "a.ome.tif")[0].dtype == dtype


def test_float16_becomes_float32_in_ome_tiff_and_says_so(tmp_path: Path) -> None:
    with pytest.warns(WriteWarning, match="no float16"):
        write(tmp_path / "a.ome.tif", ramp((5, 7), "float16"), ImageMeta("YX"))
    assert read(tmp_path / "a.ome.tif")[0].dtype == np.float32


def test_int64_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"cannot hold int64; save as \.npy"):
        write(tmp_path / "a.ome.tif", ramp((5, 7), "int64"), ImageMeta("YX"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.ome.tif", "a.npy", "a_##.png"])
def test_dask_is_written_plane_by_plane(tmp_path: Path, name: str) -> None:
    alive: list[int] = []

    def plane(block: np.ndarray, block_info: dict) -> np.ndarray:  # type: ignore[type-arg]
        alive.append(block_info[0]["chunk-location"][0])
        return block + 1

    data = da.from_array(ramp((4, 5, 7)), chunks=(1, 5, 7)).map_blocks(
        plane, dtype="uint16", meta=np.empty((0, 0, 0), "uint16")
    )
    write(tmp_path / name, data, ImageMeta("TYX"))
    assert alive == [0, 1, 2, 3]  # each once, in order: never the whole stack
    np.testing.assert_array_equal(read(tmp_path / name)[0], ramp((4, 5, 7)) + 1)


@pytest.mark.parametrize("axes", ["TYX", "YXT"])
def test_zarr_is_written_as_it_is(tmp_path: Path, axes: str) -> None:
    stored = zarr.create_array(tmp_path / "z", shape=(4, 5, 7), dtype="uint16", chunks=(1, 5, 7))
    stored[:] = ramp((4, 5, 7))
    write(tmp_path / "a.ome.tif", stored, ImageMeta(axes))
    np.testing.assert_array_equal(read(tmp_path / "a.ome.tif")[0], ramp((4, 5, 7)))


@pytest.mark.parametrize("name", ["a.ome.tif", "a.npy", "a_##.png"])
def test_zarr_in_another_order_is_read_plane_by_plane(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = zarr.create_array(tmp_path / "z", shape=(5, 7, 4), dtype="uint16", chunks=(5, 7, 1))
    stored[:] = ramp((5, 7, 4))
    sizes: list[int] = []
    read_part = zarr.Array.__getitem__

    def counted(array: zarr.Array, key: object) -> np.ndarray:
        part = np.asarray(read_part(array, key))
        sizes.append(part.size)
        return part

    monkeypatch.setattr(zarr.Array, "__getitem__", counted)
    write(tmp_path / name, stored, ImageMeta("YXT"))
    assert set(sizes) == {35}  # never more than a plane
    array, meta = read(tmp_path / name)
    back = np.moveaxis(array, meta.axes.index("T"), -1)
    np.testing.assert_array_equal(back, ramp((5, 7, 4)))


def test_big_data_gets_a_big_tiff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "small.tif", ramp((3, 5, 7)), ImageMeta("TYX"))
    monkeypatch.setattr(tiff_writer, "BIGTIFF_BYTES", 100)
    write(tmp_path / "big.tif", ramp((3, 5, 7)), ImageMeta("TYX"))
    for name, big in (("small.tif", False), ("big.tif", True)):
        with tifffile.TiffFile(tmp_path / name) as tif:
            assert tif.is_bigtiff is big
    np.testing.assert_array_equal(read(tmp_path / "big.tif")[0], ramp((3, 5, 7)))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize(("axes", "shape"), [("TYX", (12, 5, 7)), ("ZYXS", (3, 5, 7, 3))])
def test_png_frames_come_back_as_one_stack(
    tmp_path: Path, dtype: str, axes: str, shape: tuple[int, ...]
) -> None:
    meta = ImageMeta(axes, scale=(3.0, 0.5, 0.5, 1.0)[: len(axes)], extra=PROVENANCE)
    data = ramp(shape, dtype)
    files = write(tmp_path / "clean.png", data, meta)
    assert files[0].name == "clean_0000.png" and files[-1].name == "clean_####.png.json"
    assert len(files) == shape[0] + 1
    for path in (tmp_path, tmp_path / "clean_####.png", tmp_path / "clean_*.png", files[:-1]):
        array, back = read(path)
        np.testing.assert_array_equal(array, data)
        assert (back.axes, back.scale) == (axes, meta.scale)
        assert back.extra["napari_denoise"] == PROVENANCE["napari_denoise"]


def test_frame_numbers_of_the_source_are_kept(tmp_path: Path) -> None:
    for number in (98, 99, 101):
        write(tmp_path / f"in.{number}.png", ramp((5, 7)) + number, ImageMeta("YX"))
    with pytest.warns(ReadWarning, match="frame 100 is missing"):
        array, meta = read(tmp_path / "in.*.png")
    assert meta.extra["numbers"] == [98, 99, 101]
    assert meta.extra["gaps"] == [100]
    files = write(tmp_path / "out.####.png", array, meta)
    assert [f.name for f in files] == ["out.0098.png", "out.0099.png", "out.0101.png"]


def test_a_float_png_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"not float32; save as \.exr or \.ome\.tif"):
        write(tmp_path / "a.png", ramp((5, 7), "float32"), ImageMeta("YX"))


def test_channels_do_not_go_into_frames(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"cannot hold 2 channels; save as \.ome\.tif"):
        write(tmp_path / "a.png", ramp((2, 5, 7)), ImageMeta("CYX"))


@pytest.mark.parametrize("name", ["a.jpg", "a", "folder"])
def test_unknown_targets_name_the_formats(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileError, match=r"use one of \.ome\.tif"):
        write(tmp_path / name, ramp((5, 7)), ImageMeta("YX"))


@pytest.mark.parametrize("name", ["a.ome.tif", "a.npy", "a_#.png"])
def test_an_existing_file_is_replaced_only_on_request(tmp_path: Path, name: str) -> None:
    meta = ImageMeta("TYX", extra=PROVENANCE)
    files = write(tmp_path / name, ramp((2, 5, 7)), meta)
    before = {file: file.read_bytes() for file in files}
    with pytest.raises(FileExists, match="exists already"):
        write(tmp_path / name, ramp((2, 5, 7)) + 1, meta)
    assert {file: file.read_bytes() for file in files} == before
    write(tmp_path / name, ramp((2, 5, 7)) + 1, replace(meta, extra={}), overwrite=True)
    array, back = read(tmp_path / name)
    np.testing.assert_array_equal(array, ramp((2, 5, 7)) + 1)
    assert "napari_denoise" not in back.extra  # the older sidecar is gone too


def test_frames_of_an_older_sequence_never_mix_with_new_ones(tmp_path: Path) -> None:
    write(tmp_path / "a_#.png", ramp((4, 5, 7)), ImageMeta("TYX"))
    with pytest.raises(FileError, match=r"2 other frames .* \(numbers 2, 3"):
        write(tmp_path / "a_#.png", ramp((2, 5, 7)), ImageMeta("TYX"), overwrite=True)


def test_a_foreign_json_file_is_neither_read_nor_replaced(tmp_path: Path) -> None:
    foreign = tmp_path / "a.ome.tif.json"
    foreign.write_text('{"camera": 3}')
    with pytest.raises(FileExists, match="another program"):
        write(tmp_path / "a.ome.tif", ramp((5, 7)), ImageMeta("YX"), overwrite=True)
    assert foreign.read_text() == '{"camera": 3}'
    tifffile.imwrite(tmp_path / "a.ome.tif", ramp((5, 7)))
    assert "camera" not in read(tmp_path / "a.ome.tif")[1].extra


def test_a_sidecar_that_does_not_fit_is_ignored_loudly(tmp_path: Path) -> None:
    write(tmp_path / "a.npy", ramp((3, 5, 7)), ImageMeta("ZYX"))
    np.save(tmp_path / "a.npy", ramp((4, 5, 7)))
    with pytest.warns(ReadWarning, match="sidecar is ignored"):
        assert read(tmp_path / "a.npy")[1].axes == "TYX"


@pytest.mark.parametrize("dtype", ["complex64", "bool"])
def test_data_without_grey_values_is_not_written(tmp_path: Path, dtype: str) -> None:
    with pytest.raises(FileError, match=r"the data is (complex|boolean)"):
        write(tmp_path / "a.npy", np.zeros((5, 7), dtype), ImageMeta("YX"))


def test_axes_that_do_not_fit_the_array_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"axes 'TYX' name 3 axes but the data has 2"):
        write(tmp_path / "a.npy", np.zeros((5, 7)), ImageMeta("TYX"))
