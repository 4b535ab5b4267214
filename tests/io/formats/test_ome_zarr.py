"""Stores that other programs wrote."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from napari_denoise import read
from napari_denoise.image import frames
from napari_denoise.io.errors import FileError, ReadWarning
from napari_denoise.io.formats import zarr_pixels
from napari_denoise.io.images import images_of
from napari_denoise.io.inputs import ImageInput, expand, find_sequences

WORDS = {"t": ("time", "second"), "c": ("channel", None)}


def axis(name: str, kind: str | None = "space", unit: str | None = "micrometer") -> dict[str, Any]:
    kind, unit = WORDS.get(name, (kind, unit))
    return {"name": name} | {k: v for k, v in (("type", kind), ("unit", unit)) if v}


def store(
    path: Path,
    array: Any,
    axes: Sequence[dict[str, Any] | str],
    version: str = "0.5",
    *,
    scale: Sequence[float] = (),
    more: Sequence[dict[str, Any]] = (),
    whole: Sequence[dict[str, Any]] = (),
    omero: dict[str, Any] | None = None,
    **chunks: Any,
) -> Path:
    form = 3 if version == "0.5" else 2
    group = zarr.open_group(path, mode="w", zarr_format=form)
    level = group.create_array("0", shape=array.shape, dtype=array.dtype, **chunks)
    level[:] = array
    steps = [{"type": "scale", "scale": list(scale) or [1.0] * array.ndim}, *more]
    image: dict[str, Any] = {"datasets": [{"path": "0", "coordinateTransformations": steps}]}
    image |= {"axes": list(axes), "coordinateTransformations": list(whole)}
    values: dict[str, Any] = {"multiscales": [image]} | ({"omero": omero} if omero else {})
    said(group, version, values)
    return path


def said(group: Any, version: str, values: dict[str, Any]) -> None:
    if version == "0.5":
        values = {"ome": {"version": "0.5", **values}}
    elif "multiscales" in values:
        values["multiscales"][0]["version"] = version
    group.attrs.update(values)


def image(*shape: int) -> Any:
    return np.random.default_rng(0).integers(0, 4000, shape).astype("uint16")


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_axes_scale_units_and_channels_are_read(tmp_path: Path, version: str) -> None:
    array = image(2, 2, 3, 20, 24)
    window = {"min": 0, "max": 65535, "start": 10, "end": 900}
    channels = [
        {"label": "DAPI", "color": "0000FF", "window": window},
        {"label": "GFP", "color": "#00ff00", "window": window},
    ]
    path = store(
        tmp_path / "cells.ome.zarr",
        array,
        [axis("t"), axis("c"), axis("z", unit="um"), axis("y", unit="um"), axis("x", unit="um")],
        version,
        scale=(2.0, 1.0, 0.5, 0.1, 0.1),
        more=[{"type": "translation", "translation": [0.0, 0.0, 5.0, 1.0, 2.0]}],
        whole=[{"type": "scale", "scale": [3.0, 1.0, 1.0, 2.0, 1.0]}],
        omero={"channels": channels},
        chunks=(1, 1, 1, 8, 8),
        **({"shards": (1, 1, 3, 16, 24)} if version == "0.5" else {}),
    )
    back, meta = read(path)
    np.testing.assert_array_equal(back, array)
    assert back.chunks == ((1, 1), (1, 1), (1, 1, 1), (20,), (24,))
    assert (meta.axes, meta.name) == ("TCZYX", "cells")
    assert meta.scale == (6.0, 1.0, 0.5, 0.2, 0.1)
    assert meta.units == ("second", None, "micrometer", "micrometer", "micrometer")
    assert meta.channel_names == ("DAPI", "GFP")
    assert meta.channel_colors == ("#0000ff", "#00ff00")
    assert meta.contrast_limits == ((10.0, 900.0),) * 2
    expected = {"format": "ome-zarr", "ome_zarr_version": version, "translate": [0, 5, 2, 2]}
    assert meta.extra == expected


@pytest.mark.parametrize(
    ("axes", "letters"),
    [
        ([axis("x"), axis("y"), axis("z")], "XYZ"),
        ([axis("a"), axis("b"), axis("d")], "ZYX"),
        ([axis("t"), axis("row"), axis("column")], "TYX"),
        ([axis("wavelength", None, None), axis("y"), axis("x")], "CYX"),
        ([axis("time", "time"), axis("Y"), axis("X")], "TYX"),
        (["z", "y", "x"], "ZYX"),
    ],
)
def test_axes_of_any_name_and_order(
    tmp_path: Path, axes: list[dict[str, Any] | str], letters: str
) -> None:
    array = image(3, 20, 24)
    back, meta = read(store(tmp_path / "a.zarr", array, axes, "0.4"))
    assert meta.axes == letters
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize(
    ("axes", "rule"),
    [
        ([axis("z"), axis("y")], r"names 2 axes \(z, y\) but its pixels have 3"),
        ([axis("t"), axis("t"), axis("x")], "its axes are t, t, x"),
    ],
)
def test_axes_that_no_image_has_are_refused(tmp_path: Path, axes: Any, rule: str) -> None:
    with pytest.raises(FileError, match=rule):
        read(store(tmp_path / "a.zarr", image(3, 20, 24), axes))


def test_what_is_not_understood_is_said(tmp_path: Path) -> None:
    path = store(
        tmp_path / "a.zarr",
        image(20, 24),
        [axis("y", unit="cubit"), axis("x")],
        scale=(-1.0, 2.0),
        more=[{"type": "affine", "affine": [[1]]}],
    )
    (path / "tables").mkdir()
    labels = zarr.open_group(path / "labels", mode="w", zarr_format=3)
    labels.attrs.update({"ome": {"version": "0.5", "labels": ["nuclei"]}})
    with pytest.warns(ReadWarning) as warned:
        _, meta = read(path)
    text = "\n".join(str(entry.message) for entry in warned)
    for part in ("units cubit", "kind affine", "a scale of -1", "left alone: labels (nuclei), tab"):
        assert part in text
    assert meta.scale == (1.0, 2.0) and meta.units == (None, "micrometer")


def test_several_images_as_bioformats2raw_lays_them_out(tmp_path: Path) -> None:
    path = tmp_path / "slide.ome.zarr"
    root = zarr.open_group(path, mode="w", zarr_format=2)
    root.attrs.update({"bioformats2raw.layout": 3})
    for number in range(2):
        store(path / str(number), image(20, 24) + number, [axis("y"), axis("x")], "0.4")
    with pytest.warns(ReadWarning, match="it holds 2 images; the first, image 0, was read"):
        read(path)
    back, meta = read(path, series=1)
    np.testing.assert_array_equal(back, image(20, 24) + 1)
    assert meta.name == "slide image 1" and meta.extra["series"] == {"count": 2, "number": 1}
    ome = zarr.open_group(path / "OME", mode="w", zarr_format=2)
    ome.attrs.update({"series": ["1", "0", "7"]})
    (path / ".zattrs").write_text(json.dumps({"bioformats2raw.layout": 3, "changed": 1}))
    with pytest.warns(ReadWarning, match="it names 7, which are not there"):
        back, _ = read(path, series=0)
    np.testing.assert_array_equal(back, image(20, 24) + 1)


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    path = tmp_path / "plate.ome.zarr"
    root = zarr.open_group(path, mode="w", zarr_format=3)
    wells = [{"path": f"{row}/3", "rowIndex": n, "columnIndex": 0} for n, row in enumerate("ABC")]
    said(root, "0.5", {"plate": {"wells": wells, "rows": [], "columns": []}})
    for row in "AB":
        well = zarr.open_group(path / row / "3", mode="w", zarr_format=3)
        fields = [{"path": "0"}, {"path": "1"}]
        said(well, "0.5", {"well": {"images": fields}})
        for field in "01":
            value = image(16, 18) + 10 * "AB".index(row) + int(field)
            store(path / row / "3" / field, value, [axis("y"), axis("x")])
    return path


@pytest.mark.filterwarnings("ignore:.*well C/3, which are not there")
def test_each_field_of_a_plate_is_an_image_with_a_telling_name(plate: Path) -> None:
    labels = [entry.label for entry in images_of(ImageInput((plate,)))]
    assert labels == ["A3_field_0", "A3_field_1", "B3_field_0", "B3_field_1"]
    back, meta = read(plate, series=3)
    np.testing.assert_array_equal(back, image(16, 18) + 11)
    assert meta.name == "plate B3 field 1"
    back, meta = read(plate / "B" / "3", series=0)
    np.testing.assert_array_equal(back, image(16, 18) + 10)
    back, _ = read(plate / "A" / "3" / "1")
    np.testing.assert_array_equal(back, image(16, 18) + 1)
    with pytest.raises(FileError, match="there is no image number 4"):
        read(plate, series=4)


def test_folders_and_wildcards_find_stores_that_hold_images(tmp_path: Path) -> None:
    one = store(tmp_path / "a_1.ome.zarr", image(20, 24), [axis("y"), axis("x")])
    two = store(tmp_path / "a_2.zarr", image(20, 24), [axis("y"), axis("x")])
    zarr.create_array(tmp_path / "array.zarr", shape=(4, 4), dtype="uint8")
    (tmp_path / "folder.zarr").mkdir()
    assert expand(tmp_path) == [one, two]
    assert expand(f"{tmp_path}/a_*") == [one, two]
    assert expand(one / "zarr.json") == [one]
    assert [entry.files for entry in find_sequences(tmp_path)] == [(one,), (two,)]
    with pytest.raises(FileError, match=r"array\.zarr: it is a zarr array without OME metadata"):
        read(tmp_path / "array.zarr")


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("s3://bucket/cells.ome.zarr", "it is not on this machine; copy it to a disk first"),
        ("https://host/cells.ome.zarr", "it is not on this machine"),
        ("cells.ome.zarr.zip", "it is a zipped store; unpack it first"),
        ("cells.ozx", "it is a zipped store"),
        ("cells.zarr", "it is a file, not a folder; unpack a zipped store"),
    ],
)
def test_what_lies_elsewhere_or_is_packed_is_refused(
    tmp_path: Path, path: str, rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if "://" not in path:
        Path(path).write_bytes(b"PK\3\4")
    with pytest.raises(FileError, match=rule):
        read(path)


def damaged(path: Path, how: str) -> None:
    place = path / "zarr.json"
    values = json.loads(place.read_text())
    ome = values["attributes"]["ome"]
    multiscale = ome["multiscales"][0]
    if how == "json":
        place.write_text(place.read_text()[:50])
        return
    if how == "array":
        shutil.rmtree(path / "0")
    elif how == "outside":
        multiscale["datasets"][0]["path"] = "../b/0"
    elif how == "version":
        ome["version"] = "0.6.dev1"
    elif how == "kinds":
        ome["multiscales"] = multiscale["datasets"] = 5
    elif how == "labels":
        ome["image-label"] = {}
    elif how == "datasets":
        multiscale["datasets"] = [None, {}, "0"]
    place.write_text(json.dumps(values))


@pytest.mark.parametrize(
    ("how", "rule"),
    [
        ("json", "it is not whole JSON"),
        ("array", "its array cannot be opened"),
        ("outside", "its pixels would lie outside of it"),
        ("version", r"it is OME-Zarr 0\.6\.dev1; versions up to 0\.5 are read"),
        ("kinds", "it lists no image that is there"),
        ("labels", "it holds labels, not an image"),
        ("datasets", "its metadata name no array of pixels"),
    ],
)
def test_damaged_stores_are_refused_in_one_sentence(tmp_path: Path, how: str, rule: str) -> None:
    path = store(tmp_path / "a.ome.zarr", image(20, 24), [axis("y"), axis("x")])
    damaged(path, how)
    with pytest.raises(FileError, match=rule):
        read(path)


def test_a_chunk_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    path = store(tmp_path / "a.ome.zarr", image(20, 24), [axis("y"), axis("x")])
    next((path / "0" / "c").rglob("0")).joinpath("0").write_bytes(b"no zstd")
    array, _ = read(path)
    with pytest.raises(FileError, match=r"pixels \[0:20, 0:24\] cannot be read"):
        np.asarray(array)


def test_large_planes_are_read_in_windows_of_whole_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = store(tmp_path / "a.zarr", image(2100, 1300), [axis("y"), axis("x")], chunks=(300, 300))
    monkeypatch.setattr(frames, "LARGE_BYTES", 100)
    array, _ = read(path)
    assert array.chunks == ((1200, 900), (1200, 100))


def test_chunks_of_several_planes_are_decoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = store(
        tmp_path / "a.zarr",
        image(7, 20, 24),
        [axis("z"), axis("y"), axis("x")],
        chunks=(3, 8, 8),
    )
    read_boxes: list[Any] = []
    original = zarr_pixels.Pixels._read

    def counted(self: Any, box: Any) -> Any:
        read_boxes.append(box[0])
        return original(self, box)

    monkeypatch.setattr(zarr_pixels.Pixels, "_read", counted)
    array, _ = read(path)
    for plane in (0, 1, 2, 3, 2, 4, 6):
        np.testing.assert_array_equal(array[plane], image(7, 20, 24)[plane])
    assert read_boxes == [(0, 3), (3, 6), (6, 7)]
    monkeypatch.setattr(frames, "LARGE_BYTES", 2000)  # a slab would be too large
    np.testing.assert_array_equal(array[1], image(7, 20, 24)[1])
    assert read_boxes[-1] == (1, 2)
