from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import OpenEXR
import pytest

from napari_denoise.io.errors import FileError, ReadWarning, WriteWarning
from napari_denoise.io.formats import loaded
from napari_denoise.io.formats.exr_layers import (
    ALBEDO,
    NORMAL,
    choose_color,
    choose_feature,
    find_layers,
)
from napari_denoise.io.meta import ImageMeta
from napari_denoise.io.read import read
from napari_denoise.io.write import write

SHAPE = (6, 9)


def plane(value: float, dtype: str = "float16") -> np.ndarray:
    return (np.arange(54).reshape(SHAPE) / 64 + value).astype(dtype)


def layer(name: str, letters: str = "RGB", value: float = 0.0) -> dict[str, np.ndarray]:
    prefix = f"{name}." if name else ""
    return {f"{prefix}{c}": plane(value + i) for i, c in enumerate(letters)}


def save(path: Path, *parts: tuple[str, dict[str, np.ndarray]], **header: object) -> Path:
    made = []
    for name, channels in parts:
        head = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
        made.append(OpenEXR.Part({**head, **header}, channels, name))
    OpenEXR.File(made).write(str(path))
    return path


def single(path: Path, *layers: dict[str, np.ndarray], **header: object) -> Path:
    channels = {k: v for entry in layers for k, v in entry.items()}
    return save(path, ("", channels), **header)


def test_colour_opens_in_linear_light_with_limits_that_show_it(tmp_path: Path) -> None:
    array, meta = read(single(tmp_path / "a.exr", layer("")))
    assert array.dtype == np.float32 and array.shape == (*SHAPE, 3)
    np.testing.assert_array_equal(array[..., 1], plane(1).astype("float32"))
    assert (meta.axes, meta.gamma) == ("YXS", 1 / 2.2)
    ((low, high),) = meta.contrast_limits
    assert low == 0 and high == pytest.approx(np.percentile(array, 99), rel=1e-3)


@pytest.mark.parametrize(
    ("color", "albedo", "normal"),
    [
        ("", "albedo", "normal"),
        ("", "ALB", "N"),
        ("", "DiffCol", "nrm"),
        ("ViewLayer.Combined", "ViewLayer.Denoising Albedo", "ViewLayer.Denoising Normal"),
        ("RenderLayer.Combined", "RenderLayer.DiffCol", "RenderLayer.Normal"),
        ("beauty", "DenoisingAlbedo", "DenoisingNormal"),
    ],
)
@pytest.mark.parametrize("vector", ["XYZ", "RGB"])
@pytest.mark.parametrize("multipart", [False, True])
def test_albedo_and_normal_are_known_by_their_usual_names(
    tmp_path: Path, color: str, albedo: str, normal: str, vector: str, multipart: bool
) -> None:
    names = [
        (color, "RGBA", 10.0),
        ("ViewLayer.Depth", "Z", 50.0),
        (albedo, "RGB", 20.0),
        (normal, vector, 30.0),
    ]
    if multipart:
        parts = [(n or "beauty", layer("", c, v)) for n, c, v in names]
        path = save(tmp_path / "a.exr", *parts)
    else:
        path = single(tmp_path / "a.exr", *(layer(*entry) for entry in names))
    array, meta = read(path)
    assert array.shape == (*SHAPE, 4) and array[0, 0, 0] == 10  # alpha is the 4th sample
    assert {k: v.shape for k, v in meta.features.items()} == {
        "albedo": (*SHAPE, 3),
        "normal": (*SHAPE, 3),
    }
    assert meta.features["albedo"][0, 0].tolist() == [20, 21, 22]
    assert meta.features["normal"][0, 0].tolist() == [30, 31, 32]


def test_the_made_for_denoising_passes_of_the_same_view_layer_win(tmp_path: Path) -> None:
    path = single(
        tmp_path / "a.exr",
        layer("Left.DiffCol", "RGB", 1),
        layer("Left.Denoising Albedo", "RGB", 2),
        layer("Right.Denoising Albedo", "RGB", 3),
        layer("Right.Emit", "RGB", 4),
        layer("Left.Combined", "RGB", 5),
    )
    array, meta = read(path)
    assert array[0, 0, 0] == 5
    assert meta.features["albedo"][0, 0, 0] == 2


def test_an_unusual_name_is_taken_and_mentioned(tmp_path: Path) -> None:
    path = save(tmp_path / "a.exr", ("mine", layer("", "RGB", 7)), ("albedo", layer("", "RGB")))
    with pytest.warns(ReadWarning, match="took 'mine' of 'mine', 'albedo'"):
        array, meta = read(path)
    assert array[0, 0, 0] == 7 and "albedo" in meta.features


def test_luminance_opens_as_gray(tmp_path: Path) -> None:
    array, meta = read(single(tmp_path / "a.exr", layer("", "Y")))
    assert (array.shape, meta.axes) == (SHAPE, "YX")


@pytest.mark.parametrize(
    "layers", [[("", "Z")], [("normal", "XYZ"), ("albedo", "RGB")], [("P", "XYZ")]]
)
def test_an_exr_without_colour_names_its_channels(
    tmp_path: Path, layers: list[tuple[str, str]]
) -> None:
    path = single(tmp_path / "a.exr", *(layer(*entry) for entry in layers))
    with pytest.raises(FileError, match=r"a\.exr: it has no colour, only the channels .*Z"):
        read(path)


def test_everything_but_the_colour_passes_through(tmp_path: Path) -> None:
    window = (np.array([2, 3], "int32"), np.array([10, 8], "int32"))
    display = (np.array([0, 0], "int32"), np.array([19, 14], "int32"))
    source = save(
        tmp_path / "a.exr",
        ("main", {**layer("", "RGBA"), "Z": plane(100, "float32")}),
        ("albedo", layer("", "RGB", 20)),
        ("ids", {"crypto.id": np.arange(54, dtype="uint32").reshape(SHAPE)}),
        dataWindow=window,
        displayWindow=display,
        comments="shot 12",
        exposure=1.5,
        compression=OpenEXR.PIZ_COMPRESSION,
    )
    with pytest.warns(ReadWarning, match="took 'main'"):
        array, meta = read(source)
    write(tmp_path / "b.exr", array / 2, meta)
    old, new = (
        OpenEXR.File(str(tmp_path / name), separate_channels=True) for name in ("a.exr", "b.exr")
    )
    assert [p.name() for p in new.parts] == ["main", "albedo", "ids"]
    for before, after in zip(old.parts, new.parts, strict=True):
        assert set(before.channels) == set(after.channels)
        for name, channel in before.channels.items():
            factor = 0.5 if before.name() == "main" and name in "RGBA" else 1
            assert after.channels[name].pixels.dtype == channel.pixels.dtype
            np.testing.assert_array_equal(
                after.channels[name].pixels, channel.pixels * channel.pixels.dtype.type(factor)
            )
        for key in ("comments", "exposure", "compression"):
            assert after.header[key] == before.header[key]
        for key in ("dataWindow", "displayWindow"):
            np.testing.assert_array_equal(after.header[key], before.header[key])


def test_the_source_itself_can_be_replaced(tmp_path: Path) -> None:
    path = single(tmp_path / "a.exr", layer(""), layer("albedo"))
    array, meta = read(path)
    write(path, array + 1, meta, overwrite=True)
    again, meta = read(path)
    np.testing.assert_array_equal(again, array + 1)
    assert "albedo" in meta.features


def test_half_overflow_is_clipped_and_reported(tmp_path: Path) -> None:
    array, meta = read(single(tmp_path / "a.exr", layer("")))
    array[0, 0] = (1e6, -1e6, np.inf)
    with pytest.warns(WriteWarning, match="2 values of frame 0 are beyond half precision"):
        write(tmp_path / "b.exr", array, meta)
    assert read(tmp_path / "b.exr")[0][0, 0].tolist() == [65504, -65504, np.inf]


@pytest.mark.parametrize("shape", [(6, 9), (6, 9, 3), (6, 9, 4)])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_data_from_elsewhere_is_written_with_its_features(
    tmp_path: Path, shape: tuple[int, ...], dtype: str
) -> None:
    data = (np.arange(np.prod(shape)).reshape(shape) / 3).astype(dtype)
    albedo = np.full((6, 9, 3), 0.25, "float32")
    meta = ImageMeta("YXS"[: len(shape)], features={"albedo": albedo, "normal": albedo * 2})
    write(tmp_path / "a.exr", data, meta)
    array, back = read(tmp_path / "a.exr")
    np.testing.assert_array_equal(array, data.astype("float32"))
    np.testing.assert_array_equal(back.features["albedo"], albedo)
    np.testing.assert_array_equal(back.features["normal"], albedo * 2)


@pytest.mark.parametrize("limit", [loaded.LAZY_BYTES, 100])
def test_a_sequence_is_one_stack_in_and_out(
    tmp_path: Path, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded, "LAZY_BYTES", limit)
    for number in (8, 9, 10):
        single(
            tmp_path / f"in_{number}.exr",
            layer("", "RGB", number),
            layer("N", "XYZ", number),
            frame=number,
        )
    array, meta = read(tmp_path / "in_*.exr")
    assert (meta.axes, array.shape, meta.name) == ("TYXS", (3, *SHAPE, 3), "in")
    assert isinstance(array, np.ndarray) is (limit > 100)
    assert np.asarray(array[:, 0, 0, 0]).tolist() == [8, 9, 10]
    assert np.asarray(meta.features["normal"][:, 0, 0, 2]).tolist() == [10, 11, 12]
    files = write(tmp_path / "out_###.exr", array * 2, meta)
    assert [f.name for f in files[:3]] == ["out_008.exr", "out_009.exr", "out_010.exr"]
    header = OpenEXR.File(str(files[2])).header()
    assert header["frame"] == 10  # each frame passes its own header through
    again, back = read(tmp_path / "out_###.exr")
    assert np.asarray(again[:, 0, 0, 0]).tolist() == [16, 18, 20]
    assert back.extra["numbers"] == [8, 9, 10]


def test_a_missing_source_is_said(tmp_path: Path) -> None:
    path = single(tmp_path / "a.exr", layer(""), layer("albedo"), layer("P", "XYZ"))
    array, meta = read(path)
    path.unlink()
    with pytest.warns(WriteWarning, match="the source is gone"):
        write(tmp_path / "b.exr", array, meta)
    assert "albedo" in read(tmp_path / "b.exr")[1].features


@pytest.mark.parametrize("dtype", ["uint16", "float64"])
def test_other_types_than_linear_light_are_refused(tmp_path: Path, dtype: str) -> None:
    with pytest.raises(FileError, match=f"not {dtype}; save as"):
        write(tmp_path / "a.exr", np.ones(SHAPE, dtype), ImageMeta("YX"))


@pytest.mark.parametrize("cut", [0, 3, 300])
def test_a_truncated_exr_is_named(tmp_path: Path, cut: int) -> None:
    path = single(tmp_path / "a.exr", layer(""))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(FileError, match=r"a\.exr: it is not a whole OpenEXR file"):
        read(path)


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_an_exr_whose_pixels_are_cut_short_is_said_to_be_truncated(
    tmp_path: Path, share: float
) -> None:
    path = single(tmp_path / "a.exr", layer(""))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(FileError, match=r"a\.exr: .*truncated"):
        read(path)


def test_an_exr_that_lost_one_of_its_parts_is_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = {letter: rng.random((64, 64), np.float32) for letter in "RGB"}
    path = save(tmp_path / "a.exr", ("beauty", noise), ("albedo", noise))
    assert set(read(path)[1].features) == {"albedo"}
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * 0.7)])
    with pytest.raises(FileError, match=r"a\.exr: it is damaged or truncated .*part 1"):
        read(path)


@pytest.mark.parametrize("parts", [1, 2])
def test_a_damaged_exr_is_named_where_there_is_no_stdout(
    tmp_path: Path, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    noise = {letter: rng.random((64, 64), np.float32) for letter in "RGB"}
    path = save(tmp_path / "a.exr", *(("beauty", noise), ("albedo", noise))[:parts])
    path.write_bytes(path.read_bytes()[:-4000])
    monkeypatch.setattr(sys, "stdout", None)  # as pythonw and napari's bundle start
    with pytest.raises(FileError, match=rf"truncated \(no pixels of part {parts - 1}\)"):
        read(path)


def test_reading_leaves_stdout_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Watched:
        """Notes what stdout is whenever something is printed."""

        def __init__(self) -> None:
            self.seen: list[object] = []

        def write(self, text: str) -> int:
            self.seen.append(sys.stdout)
            return len(text)

        def flush(self) -> None:
            pass

    path = single(tmp_path / "a.exr", layer(""))
    path.write_bytes(path.read_bytes()[:-40] + bytes(40))  # cut off, it would be refused before
    mine = Watched()
    monkeypatch.setattr(sys, "stdout", mine)
    with pytest.raises(FileError):
        read(path)
    assert set(mine.seen) == {mine}


def test_layers_with_the_names_of_their_channels_behind_are_found() -> None:
    beside = [f"{layer}.{c}" for layer in ("albedo.RGB", "normal.XYZ") for c in "RGB"]
    layers = find_layers([("", [*"RGB", *beside])])
    color = choose_color(layers)
    assert color is not None
    assert color.name == ""
    for names, wanted in ((ALBEDO, "albedo.RGB"), (NORMAL, "normal.XYZ")):
        found = choose_feature(layers, names, color)
        assert found is not None
        assert found.name == wanted
    beauty = find_layers([("", [f"beauty.RGB.{c}" for c in "RGB"])])
    assert choose_color(beauty) == beauty[0]
