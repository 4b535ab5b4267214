from __future__ import annotations

import re
import struct
import subprocess
import sys
import warnings
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_denoise.io.errors import FileError, ReadWarning
from napari_denoise.io.formats import loaded
from napari_denoise.io.formats.on_disk import OnDisk
from napari_denoise.io.read import read

STACK = (np.arange(6 * 16 * 24).reshape(6, 16, 24) * 7).astype("uint16")


def png(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def test_imagej_calibration_channels_and_display_are_read(tmp_path: Path) -> None:
    luts = [np.zeros((3, 256), "uint8") for _ in range(2)]
    luts[0][1], luts[1][0] = np.arange(256), np.arange(256)
    tifffile.imwrite(
        tmp_path / "a.tif",
        STACK.reshape(3, 2, 16, 24),
        imagej=True,
        resolution=(4.0, 2.0),
        metadata={
            "axes": "ZCYX",
            "spacing": 0.75,
            "unit": "\\u00B5m",
            "LUTs": luts,
            "Ranges": (5.0, 90.0, 0.0, 200.0),
            "mode": "composite",
        },
    )
    array, meta = read(tmp_path / "a.tif")
    assert meta.axes == "ZCYX" and array.shape == (3, 2, 16, 24)
    assert meta.scale == (0.75, 1.0, 0.5, 0.25)
    assert meta.units == ("micrometer", None, "micrometer", "micrometer")
    assert meta.channel_colors == ("#00ff00", "#ff0000")
    assert meta.contrast_limits == ((5.0, 90.0), (0.0, 200.0))


def test_imagej_time_step_is_in_seconds(tmp_path: Path) -> None:
    info = {"axes": "TYX", "finterval": 0.2, "unit": "micron"}
    tifffile.imwrite(tmp_path / "a.tif", STACK, imagej=True, metadata=info)
    assert read(tmp_path / "a.tif")[1].scale[0] == 0.2
    assert read(tmp_path / "a.tif")[1].units[0] == "second"


def test_printer_resolution_is_not_a_pixel_size(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "i.tif", STACK[0], resolution=(72, 72), resolutionunit="inch")
    tifffile.imwrite(tmp_path / "c.tif", STACK[0], resolution=(1e4, 2e4), resolutionunit=3)
    assert read(tmp_path / "i.tif")[1].units == (None, None)
    assert read(tmp_path / "c.tif")[1].scale == pytest.approx((0.5, 1.0))
    assert read(tmp_path / "c.tif")[1].units == ("micrometer", "micrometer")


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "lzw"},
        {"compression": "zlib", "predictor": True},
        {"byteorder": ">"},
        {"bigtiff": True},
        {"tile": (16, 16)},
        {"rowsperstrip": 3},
        {"compression": "lzw", "byteorder": ">", "bigtiff": True},
    ],
)
@pytest.mark.parametrize("limit", [loaded.LAZY_BYTES, 100])
def test_every_layout_of_a_tiff_reads_the_same(
    tmp_path: Path, options: dict[str, object], limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded, "LAZY_BYTES", limit)
    tifffile.imwrite(tmp_path / "a.tif", STACK, metadata={"axes": "ZYX"}, **options)
    array, meta = read(tmp_path / "a.tif")
    assert meta.axes == "ZYX"
    assert array.dtype == "uint16" and array.dtype.isnative
    np.testing.assert_array_equal(np.asarray(array), STACK)
    if limit == 100:
        assert isinstance(array, OnDisk) or array.chunks[0] == (1,) * 6


@pytest.mark.parametrize("byteorder", "<>")
def test_a_large_plain_tiff_stays_on_the_disk(
    tmp_path: Path, byteorder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded, "LAZY_BYTES", 100)
    tifffile.imwrite(tmp_path / "a.tif", STACK, byteorder=byteorder)
    array, _ = read(tmp_path / "a.tif")
    assert isinstance(array, OnDisk) and array.dtype == STACK.dtype
    array[0][:] = 0  # what is read is one's own
    np.testing.assert_array_equal(array[0], STACK[0])


def test_jpeg_in_tiff_keeps_colour_samples_last(tmp_path: Path) -> None:
    rgb = np.full((32, 48, 3), (200, 40, 90), "uint8")
    tifffile.imwrite(tmp_path / "a.tif", rgb, photometric="rgb", compression="jpeg")
    tifffile.imwrite(
        tmp_path / "p.tif", np.moveaxis(rgb, -1, 0), photometric="rgb", planarconfig="separate"
    )
    for name in ("a.tif", "p.tif"):
        array, meta = read(tmp_path / name)
        assert (meta.axes, array.shape) == ("YXS", (32, 48, 3))
        np.testing.assert_allclose(array[5, 5].astype(int), (200, 40, 90), atol=6)


def test_of_a_pyramid_the_full_resolution_opens(tmp_path: Path) -> None:
    data = np.tile(STACK[0], (8, 8))
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as tif:
        tif.write(data, subifds=2, tile=(32, 32), metadata={"axes": "YX"})
        for step in (2, 4):
            tif.write(data[::step, ::step], subfiletype=1, tile=(32, 32))
    array, meta = read(tmp_path / "a.ome.tif")
    assert "series" not in meta.extra
    np.testing.assert_array_equal(array, data)


def test_several_images_in_a_file_are_mentioned_and_chosen(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as tif:
        tif.write(STACK, metadata={"axes": "TYX", "PhysicalSizeX": 2.0})
        tif.write(STACK[0, :8, :8], metadata={"axes": "YX", "PhysicalSizeX": 3.0})
    with pytest.warns(ReadWarning, match="holds 2 images; the first was read"):
        array, _ = read(tmp_path / "a.ome.tif")
    assert array.shape == STACK.shape
    array, meta = read(tmp_path / "a.ome.tif", series=1)
    assert (array.shape, meta.scale) == ((8, 8), (1.0, 3.0))
    assert meta.extra["series"] == {"count": 2, "number": 1}


def test_an_unknown_axis_is_time_and_said_to_be_a_guess(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK)
    _, meta = read(tmp_path / "a.tif")
    assert (meta.axes, meta.extra["file_axes"]) == ("TYX", "QYX")
    assert read(tmp_path / "a.tif", axes="ZYX")[1].axes == "ZYX"
    with pytest.raises(FileError, match=r"a\.tif: axes 'TZYX' name 4 axes but the data has 3"):
        read(tmp_path / "a.tif", axes="TZYX")


def test_axes_are_blamed_only_where_they_were_given(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((0, 5, 7)))
    with pytest.raises(FileError, match=r"is empty.*; look at how it was saved"):
        read(tmp_path / "a.npy")
    with pytest.raises(FileError, match=r"is empty.*; or open it without axes"):
        read(tmp_path / "a.npy", axes="ZYX")


@pytest.mark.parametrize("samples", [2, 3, 4])
def test_samples_that_a_tiff_counts_are_channels_or_colour(tmp_path: Path, samples: int) -> None:
    data = np.zeros((64, 60, samples), "uint16")
    photometric = "minisblack" if samples == 2 else "rgb"
    tifffile.imwrite(tmp_path / "a.tif", data, photometric=photometric, planarconfig="contig")
    assert read(tmp_path / "a.tif")[1].axes == ("YXC" if samples == 2 else "YXS")


@pytest.mark.parametrize("options", [{}, {"metadata": None}, {"imagej": True}, {"npy": True}])
def test_channels_that_a_file_does_not_tell_from_a_width_are_mentioned(
    tmp_path: Path, options: dict[str, bool | None]
) -> None:
    data = np.arange(64 * 60 * 2, dtype="uint16").reshape(64, 60, 2)
    path = tmp_path / ("a.npy" if "npy" in options else "a.tif")
    if "npy" in options:
        np.save(path, data)
    else:
        tifffile.imwrite(path, data, **options)
    with pytest.warns(ReadWarning, match=r"each frame is 60 x 2 pixels; .*axes='YXC'"):
        assert read(path)[0].shape == data.shape
    array, meta = read(path, axes="YXC")  # and no warning
    np.testing.assert_array_equal(array, data)
    assert meta.axes == "YXC"


def test_stated_axes_are_not_doubted(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.ome.tif", np.zeros((64, 60, 2), "uint16"), metadata={"axes": "TYX"}
    )
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((5, 60, 2), "uint16"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read(tmp_path / "a.ome.tif")[1].axes == "TYX"
        assert read(tmp_path / "b.tif")[1].axes == "TYX"


def test_a_display_palette_leaves_the_intensities_alone(tmp_path: Path) -> None:
    index = np.arange(256, dtype="uint8").reshape(16, 16)
    fire = np.random.default_rng(0).integers(0, 65536, (3, 256)).astype("uint16")
    gray = np.tile(np.arange(256, dtype="uint16") * 257, (3, 1))
    tifffile.imwrite(tmp_path / "gray.tif", index, photometric="palette", colormap=gray)
    tifffile.imwrite(tmp_path / "fire.tif", index, photometric="palette", colormap=fire)
    np.testing.assert_array_equal(read(tmp_path / "gray.tif")[0], index)
    array, meta = read(tmp_path / "fire.tif")
    assert meta.axes == "YXS"
    np.testing.assert_array_equal(array[3, 5], fire[:, 3 * 16 + 5] >> 8)


def test_every_kind_of_png_opens(tmp_path: Path) -> None:
    gray = Image.fromarray(STACK[0].astype("uint8"))
    alpha = Image.fromarray((STACK[1] % 200).astype("uint8"))
    colour = Image.merge("RGB", [gray, alpha, gray])
    cases = {
        "gray": (gray, (16, 24), "uint8"),
        "deep": (Image.fromarray(STACK[0]), (16, 24), "uint16"),
        "rgb": (colour, (16, 24, 3), "uint8"),
        "rgba": (Image.merge("RGBA", [gray, alpha, gray, alpha]), (16, 24, 4), "uint8"),
        "la": (Image.merge("LA", [gray, alpha]), (16, 24, 4), "uint8"),
        "opaque": (Image.merge("LA", [gray, Image.new("L", gray.size, 255)]), (16, 24), "uint8"),
        "palette": (colour.quantize(16), (16, 24, 3), "uint8"),
        "graypalette": (gray.quantize(16), (16, 24), "uint8"),
    }
    for name, (image, shape, dtype) in cases.items():
        array, _ = read(png(tmp_path / f"{name}.png", image))
        assert (array.shape, array.dtype) == (shape, dtype), name
        if image.mode != "LA":
            shown = image.convert("RGB") if image.mode == "P" and array.ndim == 3 else image
            shown = image.convert("L") if image.mode == "P" and array.ndim == 2 else shown
            np.testing.assert_array_equal(array, np.asarray(shown), err_msg=name)


def test_sixteen_bit_colour_keeps_its_bits(tmp_path: Path) -> None:
    import imagecodecs

    rgb = np.stack([STACK[0], STACK[1], STACK[2]], axis=-1)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(rgb))
    np.testing.assert_array_equal(read(tmp_path / "a.png")[0], rgb)


def test_a_jpeg_is_upright(tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6  # the camera was held upright
    image = Image.fromarray(np.zeros((16, 24, 3), "uint8"))
    assert read(png(tmp_path / "a.jpg", image, exif=turned))[0].shape == (24, 16, 3)
    assert read(png(tmp_path / "g.jpeg", image.convert("L")))[0].shape == (16, 24)


def test_a_large_npy_stays_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "a.npy", STACK)
    assert isinstance(read(tmp_path / "a.npy")[0], np.ndarray)
    monkeypatch.setattr(loaded, "LAZY_BYTES", 100)
    array, meta = read(tmp_path / "a.npy")
    assert isinstance(array, OnDisk) and meta.axes == "TYX"


def test_a_large_sequence_is_read_frame_by_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i, frame in enumerate(STACK):
        tifffile.imwrite(tmp_path / f"f{i + 5}.tif", frame)  # f5 ... f10: natural order
    monkeypatch.setattr(loaded, "LAZY_BYTES", 100)
    array, meta = read(tmp_path)
    assert isinstance(array, da.Array) and array.chunks[0] == (1,) * 6
    np.testing.assert_array_equal(array.compute(), STACK)
    assert meta.extra["numbers"] == [5, 6, 7, 8, 9, 10]


def tiff_bytes(kind: str, path: Path) -> bytes:
    options: dict[str, dict[str, object]] = {
        "plain": {},
        "ome": {"ome": True, "metadata": {"axes": "TYX"}},
        "imagej": {"imagej": True, "metadata": {"axes": "TYX"}},
        "zlib": {"compression": "zlib"},
        "pages": {"contiguous": False, "metadata": None},
    }
    frames = STACK if kind != "pages" else [*STACK]
    with tifffile.TiffWriter(path, ome=kind == "ome", imagej=kind == "imagej") as tif:
        rest = {k: v for k, v in options[kind].items() if k not in ("ome", "imagej")}
        for block in [frames] if kind != "pages" else frames:
            tif.write(block, photometric="minisblack", **rest)
    return path.read_bytes()


@pytest.mark.parametrize("kind", ["plain", "ome", "imagej", "zlib", "pages"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.6, 0.97])
@pytest.mark.parametrize("limit", [loaded.LAZY_BYTES, 100])
def test_a_truncated_tiff_never_opens_as_a_shorter_stack(
    tmp_path: Path, kind: str, share: float, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.tif"
    data = tiff_bytes(kind, path)
    np.testing.assert_array_equal(read(path)[0], STACK)
    if kind == "imagej" and share > 0.9:
        share = 0.8  # beyond that all pixels are there, and read right
    path.write_bytes(data[: int(len(data) * share)])
    monkeypatch.setattr(loaded, "LAZY_BYTES", limit)
    with pytest.raises(FileError, match=r"a\.tif: it is not a whole TIFF .*copy or export"):
        read(path)


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("offset", [10**9, 0, 20])
def test_a_tiff_whose_pages_cannot_be_found_is_said_to_be_damaged(
    tmp_path: Path, bigtiff: bool, offset: int, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, bigtiff=bigtiff)
    data = bytearray(path.read_bytes())
    struct.pack_into("<Q" if bigtiff else "<I", data, 8 if bigtiff else 4, offset)
    path.write_bytes(data)
    with pytest.raises(FileError, match=r"a\.tif: it is not a whole TIFF .*copy or export"):
        read(path)
    assert not caplog.records  # the error says it all


@pytest.mark.parametrize(
    ("kind", "length", "words"),
    [
        ("plain", 0, "it is empty, 0 bytes"),
        ("plain", 5, "it has 5 bytes, but tells of data up to byte 8 or further"),
        ("plain", 20, "it has 20 bytes, but tells of data up to byte [0-9,]+ or further"),
        ("plain", 600, "it has 600 bytes, but tells of data up to byte 4,864 or further"),
        ("ome", 600, "it has 600 bytes, but tells of data up to byte 992 or further"),
        ("zlib", 3000, "it has 3,000 bytes, but tells of data up to byte [0-9,]+ or further"),
    ],
)
def test_what_a_cut_off_tiff_lacks_is_said_in_bytes(
    tmp_path: Path, kind: str, length: int, words: str
) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(tiff_bytes(kind, path)[:length])
    with pytest.raises(FileError, match=words) as error:
        read(path)
    assert not re.search(r"tifffile|TiffTag|offset|IFD|unpack|raised", str(error.value))


def test_a_tiff_of_full_length_with_damaged_pixels_is_said_to_be_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, compression="zlib")
    with tifffile.TiffFile(path) as tif:
        start = tif.pages[1].dataoffsets[0]
    data = path.read_bytes()
    path.write_bytes(data[: start + 5] + b"U" * 50 + data[start + 55 :])
    with pytest.raises(FileError, match=r"some of its [0-9,]+ bytes are damaged"):
        read(path)


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.jpg", "a.exr", "a.npy"])
@pytest.mark.parametrize("content", [b"", b"hello, this is not an image at all" * 9])
def test_other_content_under_an_image_suffix_is_named(
    tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FileError, match=rf"{name}: it is not a whole"):
        read(tmp_path / name)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.npy"])
def test_truncated_pictures_are_named(tmp_path: Path, name: str) -> None:
    if name == "a.npy":
        np.save(tmp_path / name, STACK)
    else:
        png(tmp_path / name, Image.fromarray(STACK[0].astype("uint8")))
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(FileError, match=rf"{name}: it is not a whole"):
        read(tmp_path / name)


@pytest.mark.parametrize("dtype", ["complex64", "bool"])
@pytest.mark.parametrize("suffix", [".tif", ".npy"])
def test_complex_and_boolean_data_are_refused(tmp_path: Path, dtype: str, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    data = np.ones((5, 7), dtype)
    if suffix == ".tif":
        tifffile.imwrite(path, data)
    else:
        np.save(path, data)
    with pytest.raises(FileError, match=r"a\.(tif|npy): the data is (complex|boolean) .*; "):
        read(path)


def test_a_one_bit_png_is_boolean(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"1 bit per pixel"):
        read(png(tmp_path / "a.png", Image.new("1", (8, 8))))


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{}, {}], object), allow_pickle=True)
    with pytest.raises(FileError, match="not a whole NPY file of numbers"):
        read(tmp_path / "a.npy")


def test_a_missing_part_of_a_multi_file_ome_tiff_is_an_error(tmp_path: Path) -> None:
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="24" SizeY="16" '
        'SizeC="1" SizeZ="1" SizeT="2"><TiffData FirstT="0" IFD="0">'
        '<UUID FileName="a.ome.tif">urn:uuid:1</UUID></TiffData><TiffData FirstT="1" IFD="0">'
        '<UUID FileName="gone.ome.tif">urn:uuid:2</UUID></TiffData></Pixels></Image></OME>'
    )
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK[0], description=xml, metadata=None)
    with pytest.raises(FileError, match=r"a\.ome\.tif: .*a part of it lies in 'gone\.ome\.tif'"):
        read(tmp_path / "a.ome.tif")


def test_reading_loads_neither_torch_nor_napari_nor_qt() -> None:
    code = (
        "import sys, napari_denoise.io.read, napari_denoise.io.write;"
        "print([m for m in ('torch', 'napari', 'qtpy', 'magicgui') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
