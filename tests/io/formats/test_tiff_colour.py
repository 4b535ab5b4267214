"""Kinds of TIFF: what other programs show of a file before, they show of what is written."""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path
from typing import Any

import dask.array as da
import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from napari_denoise.io.errors import FileError, ReadWarning
from napari_denoise.io.formats import loaded
from napari_denoise.io.formats.colour import lab_of_samples, rgb_of_lab
from napari_denoise.io.formats.on_disk import OnDisk
from napari_denoise.io.read import read
from napari_denoise.io.write import write

Y, X = np.mgrid[:32, :48]
RGB = np.stack([X * 5, Y * 7, 240 - X * 4], axis=-1).astype("uint8")
GRAY = (X * 3 + Y * 2).astype("uint8")
PICTURE = Image.fromarray(RGB)


def shown(path: Path, page: int = 0) -> np.ndarray:
    """What Pillow shows of a file."""
    with Image.open(path) as picture:
        picture.seek(page)
        return np.asarray(picture.convert("RGBA")).astype(int)


def through(path: Path, name: str = "out.ome.tif") -> tuple[Any, Any, Path]:
    array, meta = read(path)
    target = path.with_name(name)
    write(target, array, meta, overwrite=True)
    return array, meta, target


def saved(path: Path, kind: str) -> Path:
    options: dict[str, Any] = {"metadata": None}
    if kind in ("CMYK", "LAB", "YCbCr", "P", "PA"):
        colours = {"CMYK": PICTURE.convert("CMYK"), "YCbCr": PICTURE.convert("YCbCr")}
        if kind == "LAB":
            spaces = [ImageCms.createProfile(name) for name in ("sRGB", "LAB")]
            colours["LAB"] = ImageCms.profileToProfile(PICTURE, *spaces, outputMode="LAB")
        colours["P"] = PICTURE.quantize(40)
        colours["PA"] = PICTURE.quantize(40).convert("PA")
        colours[kind].save(path)
    elif kind == "negative":
        tifffile.imwrite(path, GRAY, photometric="miniswhite", **options)
    elif kind == "negative in LZW":
        tifffile.imwrite(path, GRAY, photometric="miniswhite", compression="lzw", **options)
    elif kind == "planar CMYK":
        inks = np.moveaxis(np.asarray(PICTURE.convert("CMYK")), -1, 0)
        tifffile.imwrite(path, inks, photometric="separated", planarconfig="separate", **options)
    elif kind == "associated alpha":
        data = np.dstack([RGB // 2, np.full_like(GRAY, 128)])
        tifffile.imwrite(path, data, photometric="rgb", extrasamples=["assocalpha"], **options)
    elif kind == "unassociated alpha":
        data = np.dstack([RGB, GRAY])
        tifffile.imwrite(path, data, photometric="rgb", extrasamples=["unassalpha"], **options)
    elif kind == "gray with alpha":
        data = np.dstack([GRAY, GRAY])
        alpha = ["unassalpha"]
        tifffile.imwrite(path, data, photometric="minisblack", extrasamples=alpha, **options)
    elif kind.endswith("bit gray"):
        bits = int(kind[0])
        values = (GRAY >> (8 - bits)).astype("uint8")
        tifffile.imwrite(path, values, photometric="minisblack", bitspersample=bits, **options)
    elif kind.endswith("bit negative"):
        bits = int(kind[0])
        values = (GRAY >> (8 - bits)).astype("uint8")
        tifffile.imwrite(path, values, photometric="miniswhite", bitspersample=bits, **options)
    elif kind.endswith("bit palette"):
        bits = int(kind[0])
        table = np.random.default_rng(3).integers(0, 256, (3, 2**bits)).astype("uint16") * 257
        values = (GRAY >> (8 - bits)).astype(bool if bits == 1 else "uint8")
        tag = [(320, "H", table.size, table.ravel(), True)]
        options["bitspersample"] = bits
        tifffile.imwrite(path, values, photometric="minisblack", extratags=tag, **options)
        retagged(path, "PhotometricInterpretation", 3)
    elif kind == "palette of ImageJ":
        table = np.random.default_rng(3).integers(0, 256, (3, 256)).astype("uint16") * 257
        tifffile.imwrite(
            path,
            GRAY,
            photometric="palette",
            colormap=table,
            description="ImageJ=1.53k\n",
            **options,
        )
    elif kind == "green table of ImageJ":
        table = np.zeros((3, 256), "uint16")
        table[1] = np.arange(256) * 257
        description = "ImageJ=1.53k\n"
        tifffile.imwrite(
            path, GRAY, photometric="palette", colormap=table, description=description, **options
        )
    elif kind.startswith("orientation"):
        tag = [(274, "H", 1, int(kind[-1]), True)]
        tifffile.imwrite(path, RGB, photometric="rgb", extratags=tag, **options)
    elif kind == "old JPEG":
        tifffile.imwrite(path, RGB, photometric="rgb", compression="jpeg", **options)
        retagged(path, "Compression", 6)
    elif kind == "subsampled JPEG":
        tifffile.imwrite(
            path, RGB, photometric="rgb", compression="jpeg", subsampling=(2, 2), **options
        )
    else:
        raise AssertionError(kind)
    return path


def retagged(path: Path, tag: str, value: int) -> None:
    with tifffile.TiffFile(path) as tif:
        place = tif.pages.first.tags[tag].valueoffset
    data = bytearray(path.read_bytes())
    data[place : place + 2] = value.to_bytes(2, "little")
    path.write_bytes(data)


def recoded(path: Path, tag: int, other: int) -> None:
    """Give a tag another number, which tifffile would not write by itself."""
    with tifffile.TiffFile(path) as tif:
        place = tif.pages.first.tags[tag].offset
    data = bytearray(path.read_bytes())
    data[place : place + 2] = other.to_bytes(2, "little")
    path.write_bytes(data)


ALIKE = {
    "negative": ("YX", "negative"),
    "negative in LZW": ("YX", "negative"),
    "CMYK": ("YXS", "CMYK inks were converted to RGB"),
    "planar CMYK": ("YXS", "CMYK"),
    "LAB": ("YXS", "CIELAB"),
    "YCbCr": ("YXS", ""),
    "old JPEG": ("YXS", ""),
    "subsampled JPEG": ("YXS", ""),
    "P": ("YXS", ""),
    "PA": ("YXS", ""),
    "associated alpha": ("YXS", ""),
    "unassociated alpha": ("YXS", ""),
    "gray with alpha": ("YXS", ""),
    "4bit gray": ("YX", "4 bit values were spread"),
    "4bit negative": ("YX", "negative.* and its 4 bit"),
    "1bit palette": ("YXS", ""),
    "4bit palette": ("YXS", ""),
    "palette of ImageJ": ("YXS", "table of colours.*Grays"),
    "green table of ImageJ": ("YX", ""),
    **{
        f"orientation {n}": ("YXS", rf"upright, as its tag Orientation \({n}\)")
        for n in range(2, 9)
    },
}


@pytest.mark.parametrize("limit", [loaded.LAZY_BYTES, 100])
@pytest.mark.parametrize("kind", ALIKE)
def test_what_is_written_looks_like_what_was_read(
    tmp_path: Path, kind: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded, "LAZY_BYTES", limit)
    path = saved(tmp_path / "a.tif", kind)
    axes, words = ALIKE[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if words:
            with pytest.warns(ReadWarning, match=words):
                array, meta, target = through(path)
        else:
            array, meta, target = through(path)
    assert meta.axes == axes and (type(array) is np.ndarray) == (limit > 100)
    before = shown(path)
    # Pillow truncates what we round, and its CIELAB is coarse where a colour is at its limit.
    worst, mean = (40, 3) if kind == "LAB" else (2, 0.6)
    write(tmp_path / "out.png", array, meta)
    for after in (shown(target), shown(tmp_path / "out.png")):
        np.testing.assert_allclose(after, before, atol=worst)
        assert np.abs(after - before).mean() < mean


def test_lab_is_converted_as_closely_as_8_bits_allow() -> None:
    spaces = [ImageCms.createProfile(name) for name in ("sRGB", "LAB")]
    colours = np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype("uint8")
    lab = np.asarray(ImageCms.profileToProfile(Image.fromarray(colours), *spaces, outputMode="LAB"))
    back = rgb_of_lab(lab_of_samples(lab, signed=True), np.dtype("uint8")).astype(int)
    assert np.abs(back - colours).mean() < 1
    deep = np.stack([lab[..., 0], lab[..., 1], lab[..., 2]], axis=-1).astype("uint16")
    deep[..., 0] *= 257
    deep[..., 1:] <<= 8
    fine = rgb_of_lab(lab_of_samples(deep, signed=True), np.dtype("uint16")) // 257
    np.testing.assert_allclose(fine, back, atol=2)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int8"])
@pytest.mark.parametrize("limit", [loaded.LAZY_BYTES, 100])
def test_a_negative_stack_is_inverted_plane_by_plane(
    tmp_path: Path, dtype: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded, "LAZY_BYTES", limit)
    data = (np.arange(4 * 16 * 16).reshape(4, 16, 16) * 11).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="miniswhite")
    with pytest.warns(ReadWarning, match="negative"):
        array, _ = read(tmp_path / "a.tif")
    assert array.dtype == dtype
    info = np.iinfo(dtype)
    np.testing.assert_array_equal(np.asarray(array), info.max - (data.astype(int) - info.min))
    if limit == 100:
        assert isinstance(array, da.Array) and array.chunks[0] == (1,) * 4


def test_a_negative_of_12_bits_is_inverted_within_them(tmp_path: Path) -> None:
    data = (GRAY.astype("uint16") * 8).astype("uint16")
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, data, photometric="miniswhite", bitspersample=12, metadata=None)
    with pytest.warns(ReadWarning, match="negative"):
        array, meta = read(path)
    np.testing.assert_array_equal(array, 4095 - data)
    assert meta.extra["significant_bits"] == 12


def test_a_negative_in_floating_point_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GRAY.astype("float32"), photometric="miniswhite")
    with pytest.raises(FileError, match="no largest value; invert it"):
        read(tmp_path / "a.tif")


@pytest.mark.parametrize("limit", [loaded.LAZY_BYTES, 100])
def test_signed_values_of_imagej_are_signed(
    tmp_path: Path, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded, "LAZY_BYTES", limit)
    values = np.random.default_rng(0).integers(-3000, 3000, (3, 16, 16)).astype("int16")
    stored = (values.astype(int) + 32768).astype("uint16")
    header = "ImageJ=1.53t\nimages=3\nslices=3\ncf=0\nc0=-32768.0\nc1=1.0\nvunit=gray value\n"
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stored, description=header, metadata=None, photometric="minisblack")
    with pytest.warns(ReadWarning, match="signed, as ImageJ notes"):
        array, _, target = through(path)
    np.testing.assert_array_equal(np.asarray(array), values)
    np.testing.assert_array_equal(tifffile.imread(target), values)


def test_display_ranges_of_signed_values_are_signed(tmp_path: Path) -> None:
    path, data = tmp_path / "a.tif", np.full((2, 16, 16), 32768, "uint16")
    options = {"axes": "CYX", "Ranges": (32700.0, 32900.0, 32000.0, 33000.0), "cf": 0}
    options |= {"c0": -32768.0, "c1": 1.0, "mode": "composite"}
    tifffile.imwrite(path, data, imagej=True, metadata=options)
    with pytest.warns(ReadWarning, match="signed"):
        array, meta = read(path)
    assert not array.any()
    assert meta.contrast_limits == ((-68.0, 132.0), (-768.0, 232.0))


def profile_of_inks() -> bytes:
    """A small ICC profile of CMYK: a table from each full mixture of inks to CIELAB."""

    def corner(number: int) -> list[int]:
        c, m, y, k = ((number >> bit) & 1 for bit in (3, 2, 1, 0))
        light = 230 - 60 * (c + m) - 20 * y - 140 * k
        return [max(light, 10), 128 - 40 * c + 60 * m, 128 - 30 * c + 70 * y]

    identity = bytes(range(256))
    table = bytes(value for number in range(16) for value in corner(number))
    matrix = struct.pack(">9i", *(65536 * (n % 4 == 0) for n in range(9)))
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + identity * 4 + table + identity * 3
    lut += bytes(-len(lut) % 4)
    name = b"desc" + bytes(4) + struct.pack(">I", 5) + b"inks\0" + bytes(4 + 4 + 2 + 1 + 67)
    name += bytes(-len(name) % 4)
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    tags = {b"desc": name, b"wtpt": white, b"A2B0": lut}
    body, place = b"", 128 + 4 + 12 * len(tags)
    index = struct.pack(">I", len(tags))
    for tag, content in tags.items():
        index += tag + struct.pack(">II", place + len(body), len(content))
        body += content
    head = struct.pack(
        ">I4sI4s4s4s", place + len(body), bytes(4), 0x02400000, b"prtr", b"CMYK", b"Lab "
    )
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return head + bytes(128 - len(head)) + index + body


@pytest.mark.parametrize(("suffix", "bits"), [("tif", 8), ("tif", 16), ("jpg", 8)])
def test_inks_go_by_their_profile(tmp_path: Path, suffix: str, bits: int) -> None:
    profile, path = profile_of_inks(), tmp_path / f"a.{suffix}"
    inks = np.dstack([RGB, GRAY // 3])
    if suffix == "jpg":
        Image.fromarray(inks, "CMYK").save(path, icc_profile=profile, quality=100, subsampling=0)
        inks = np.asarray(Image.open(io.BytesIO(path.read_bytes())))
    else:
        stored = inks.astype("uint16") * 257 if bits == 16 else inks
        options: dict[str, Any] = {"iccprofile": profile, "metadata": None}
        tifffile.imwrite(path, stored, photometric="separated", **options)
    with pytest.warns(ReadWarning, match="converted to sRGB by its profile"):
        array, meta, target = through(path)
    managed = ImageCms.profileToProfile(
        Image.fromarray(inks, "CMYK"),
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        outputMode="RGB",
    )
    plain = np.asarray(array).astype(int) // (257 if array.dtype == np.uint16 else 1)
    np.testing.assert_allclose(plain, np.asarray(managed), atol=3)
    assert "icc_profile" not in meta.extra.get("look", {})
    with tifffile.TiffFile(target) as tif:
        assert 34675 not in tif.pages.first.tags


def test_another_calibration_of_imagej_is_said_not_to_be_applied(tmp_path: Path) -> None:
    header = "ImageJ=1.53t\ncf=0\nc0=1.0\nc1=0.5\nvunit=OD\n"
    tifffile.imwrite(tmp_path / "a.tif", GRAY, description=header, metadata=None)
    with pytest.warns(ReadWarning, match="calibration of values in ImageJ was not applied"):
        array, _ = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(array, GRAY)


def test_palettes_of_grays_become_gray_in_as_many_bits_as_they_need(tmp_path: Path) -> None:
    short = np.zeros((3, 256), "uint16")
    short[:, :200] = np.linspace(0, 65535, 200).astype("uint16")
    fine = np.tile(np.arange(256, dtype="uint16") * 20 + 300, (3, 1))  # under one step of 8 bits
    for name, table in (("short", short), ("fine", fine)):
        path = tmp_path / f"{name}.tif"
        tifffile.imwrite(path, GRAY // 2, photometric="palette", colormap=table, metadata=None)
    with pytest.warns(ReadWarning, match="palette was applied"):
        array, meta = read(tmp_path / "short.tif")
    assert (meta.axes, array.dtype) == ("YX", "uint8")
    np.testing.assert_array_equal(array, short[0][GRAY // 2] >> 8)
    with pytest.warns(ReadWarning, match="palette was applied"):
        array, meta = read(tmp_path / "fine.tif")
    assert (meta.axes, array.dtype) == ("YX", "uint16")
    np.testing.assert_array_equal(array, fine[0][GRAY // 2])


def test_intensities_behind_a_table_of_one_colour_stay_intensities(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.tif", "green table of ImageJ")
    array, meta, target = through(path)
    np.testing.assert_array_equal(array, GRAY)
    assert meta.channel_colors == ("#00ff00",)
    np.testing.assert_array_equal(tifffile.imread(target), GRAY)
    again, back = read(target)
    np.testing.assert_array_equal(again, GRAY)
    assert back.channel_colors == meta.channel_colors


@pytest.mark.parametrize(
    ("tag", "value", "words"),
    [
        ("Compression", 34676, r"its compression SGILOG \(34676\) is not read; save it without"),
        ("Compression", 31000, r"its compression unknown \(31000\) is not read"),
        ("PhotometricInterpretation", 32845, "its pixels are LogLuv of SGI.*OpenEXR"),
        ("PhotometricInterpretation", 32803, "raw colour mosaic of a camera"),
        ("PhotometricInterpretation", 4, "a transparency mask"),
    ],
)
def test_what_is_only_unsupported_is_not_called_damaged(
    tmp_path: Path, tag: str, value: int, words: str
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GRAY, metadata=None)
    retagged(tmp_path / "a.tif", tag, value)
    with pytest.raises(FileError, match=words) as error:
        read(tmp_path / "a.tif")
    assert "whole" not in str(error.value)


def test_inks_other_than_cmyk_are_refused(tmp_path: Path) -> None:
    data = np.zeros((16, 16, 5), "uint8")
    tag = [(332, "H", 1, 2, True)]
    options: dict[str, Any] = {"photometric": "separated", "metadata": None}
    tifffile.imwrite(tmp_path / "five.tif", data, extratags=tag, **options)
    tifffile.imwrite(tmp_path / "float.tif", np.zeros((16, 16, 4), "float32"), **options)
    for name in ("five.tif", "float.tif"):
        with pytest.raises(FileError, match=r"inks of .* not CMYK .*; save it as RGB"):
            read(tmp_path / name)


def test_colour_with_alpha_and_more_keeps_colour_and_alpha(tmp_path: Path) -> None:
    data = np.dstack([RGB, GRAY // 3, GRAY])
    path = tmp_path / "a.tif"
    extras = ["unspecified", "unassalpha"]
    tifffile.imwrite(path, data, photometric="rgb", extrasamples=extras, metadata=None)
    with pytest.warns(ReadWarning, match="of its 5 samples colour and alpha were read"):
        array, meta = read(path)
    assert meta.axes == "YXS"
    np.testing.assert_array_equal(array, np.dstack([RGB, GRAY]))


def test_16_bit_inks_with_alpha(tmp_path: Path) -> None:
    inks = np.asarray(PICTURE.convert("CMYK")).astype("uint16") * 257
    data = np.dstack([inks, GRAY.astype("uint16") * 257])
    path = tmp_path / "a.tif"
    alpha = ["unassalpha"]
    tifffile.imwrite(path, data, photometric="separated", extrasamples=alpha, metadata=None)
    with pytest.warns(ReadWarning, match="CMYK"):
        array, _ = read(path)
    assert array.dtype == "uint16" and array.shape == (*RGB.shape[:2], 4)
    np.testing.assert_allclose(array[..., :3] // 257, RGB, atol=1)
    np.testing.assert_array_equal(array[..., 3] // 257, GRAY)


@pytest.mark.parametrize("place", ["page", "subifd"])
def test_a_thumbnail_before_the_image_is_not_the_image(tmp_path: Path, place: str) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        tif.write(GRAY[::4, ::4], subfiletype=1, subifds=int(place == "subifd"), metadata=None)
        tif.write(GRAY, subfiletype=0, metadata=None)
    with pytest.warns(ReadWarning, match="2 images"):
        array, _ = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(array, GRAY)
    np.testing.assert_array_equal(read(tmp_path / "a.tif", series=1)[0], GRAY[::4, ::4])


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_large_turned_stack_stays_on_the_disk_and_its_pixel_size_turns(
    tmp_path: Path, turn: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded, "LAZY_BYTES", 100)
    data = np.arange(3 * 8 * 10, dtype="uint16").reshape(3, 8, 10)
    path, tag = tmp_path / "a.tif", [(274, "H", 1, turn, True)]
    options: dict[str, Any] = {"resolution": (1e4, 2e4), "resolutionunit": 3}
    tifffile.imwrite(path, data, photometric="minisblack", extratags=tag, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ReadWarning)
        array, meta = read(path)
    assert isinstance(array, OnDisk)
    steps = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    for plane, stored in zip(array, data, strict=True):
        picture = Image.fromarray(stored)
        upright = picture.transpose(steps[turn]) if turn > 1 else picture
        np.testing.assert_array_equal(plane, np.asarray(upright))
    assert meta.scale == pytest.approx((1.0, 1.0, 0.5) if turn > 4 else (1.0, 0.5, 1.0))


def test_frames_of_a_sequence_are_converted_and_that_is_said_once(tmp_path: Path) -> None:
    for number in range(3):
        path = tmp_path / f"f_{number}.tif"
        tag = [(274, "H", 1, 6, True)]
        tifffile.imwrite(path, GRAY + number, photometric="miniswhite", extratags=tag)
    with pytest.warns(ReadWarning) as heard:
        array, _ = read(tmp_path)
    assert len(heard) == 2  # inverted, and turned
    assert array.shape == (3, 48, 32)
    np.testing.assert_array_equal(array[2], np.rot90(255 - (GRAY + 2), -1))


@pytest.mark.parametrize("limit", [loaded.LAZY_BYTES, 100])
@pytest.mark.parametrize("kind", ["fill order", "float16", "int16", "predictor"])
def test_ways_to_store_numbers_do_not_change_them(
    tmp_path: Path, kind: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded, "LAZY_BYTES", limit)
    path = tmp_path / "a.tif"
    data: np.ndarray = np.stack([GRAY] * 3)
    options: dict[str, Any] = {"photometric": "minisblack"}
    if kind == "fill order":
        bits = np.unpackbits(data, bitorder="little").reshape(*data.shape, 8)
        turned = np.packbits(bits, axis=-1)[..., 0]
        tifffile.imwrite(path, turned, **options, extratags=[(263, "H", 1, 2, True)])
        recoded(path, 263, 266)
    else:
        dtype = {"float16": "float16", "int16": "int16"}.get(kind, "float32")
        data = data.astype(dtype) - 100
        if kind == "predictor":
            options |= {"predictor": 3, "compression": "zlib"}
        tifffile.imwrite(path, data, **options)
    array, _ = read(path)
    np.testing.assert_array_equal(np.asarray(array), data)


def test_floats_of_24_bits_are_read(tmp_path: Path) -> None:
    path, data = tmp_path / "a.tif", GRAY.astype("float32") - 100
    packed = np.frombuffer(imagecodecs.float24_encode(data), "uint8").reshape(32, 144)
    kind = [(263, "H", 1, 3, True)]
    tifffile.imwrite(path, packed, photometric="minisblack", metadata=None, extratags=kind)
    recoded(path, 263, 339)  # SampleFormat: floating point
    retagged(path, "ImageWidth", 48)
    retagged(path, "BitsPerSample", 24)
    np.testing.assert_array_equal(read(path)[0], data)


def test_pages_that_are_shown_each_in_its_own_way_are_refused(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "turned.tif") as tif:
        for turn in (1, 6):
            tif.write(GRAY, extratags=[(274, "H", 1, turn, True)], metadata=None)
    pictures = [PICTURE.quantize(20), Image.fromarray(255 - RGB).quantize(20)]
    pictures[0].save(tmp_path / "palettes.tif", save_all=True, append_images=pictures[1:])
    for name, words in (("turned", "page 1 is turned"), ("palettes", "page 1 has a palette")):
        with pytest.raises(FileError, match=words):
            read(tmp_path / f"{name}.tif")


def test_colours_of_12_bits_are_spread_to_16(tmp_path: Path) -> None:
    path, data = tmp_path / "a.tif", RGB.astype("uint16") * 16
    tifffile.imwrite(path, data, photometric="rgb", bitspersample=12, metadata=None)
    with pytest.warns(ReadWarning, match="12 bit colours were spread to 16 bits"):
        array, meta = read(path)
    np.testing.assert_array_equal(array, np.rint(data * (65535 / 4095)))
    assert "significant_bits" not in meta.extra


def test_a_fourth_sample_of_no_meaning_hides_nothing(tmp_path: Path) -> None:
    for name, fourth in (("blank", GRAY * 0), ("filled", GRAY)):
        data, extras = np.dstack([RGB, fourth]), ["unspecified"]
        path = tmp_path / f"{name}.tif"
        tifffile.imwrite(path, data, photometric="rgb", extrasamples=extras, metadata=None)
    with pytest.warns(ReadWarning, match="fourth sample is 0 throughout"):
        array, _ = read(tmp_path / "blank.tif")
    np.testing.assert_array_equal(array, RGB)
    array, _, target = through(tmp_path / "filled.tif")
    np.testing.assert_array_equal(array[..., 3], GRAY)
    with tifffile.TiffFile(target) as tif:
        assert tif.pages.first.extrasamples == (0,)
