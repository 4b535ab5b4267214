"""What changes the look of a picture travels with it, whatever the format."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, PngImagePlugin

from napari_denoise.io.errors import FileError, ReadWarning, WriteWarning
from napari_denoise.io.meta import ImageMeta
from napari_denoise.io.read import read
from napari_denoise.io.write import write
from napari_denoise.plugin.layers.data import from_layers, to_layers

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 200, (24, 32, 3)).astype("uint8")
GRAY = RGB[..., 0].copy()
WIDE = imagecodecs.cms_profile(
    "rgb",
    whitepoint=(0.3127, 0.329, 1.0),
    primaries=(0.68, 0.32, 1.0, 0.265, 0.69, 1.0, 0.15, 0.06, 1.0),
    gamma=2.2,
)
OF_GRAY = imagecodecs.cms_profile("gray", whitepoint=(0.3127, 0.329, 1.0), gamma=1.8)


def opened(path: Path) -> Image.Image:
    """Open by Pillow, whole, with all that it says of the file."""
    picture = Image.open(io.BytesIO(path.read_bytes()))
    picture.load()
    return picture


def through(source: Path, target: Path) -> Image.Image:
    """Read, write, and open the result by Pillow."""
    array, meta = read(source)
    files = write(target, array, meta)
    assert len(files) == 1  # nothing had to stand in a sidecar
    return opened(target)


def with_chunks(image: np.ndarray, *chunks: tuple[bytes, bytes]) -> bytes:
    png = bytes(imagecodecs.png_encode(image))
    extra = b"".join(
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )
    return png[:33] + extra + png[33:]


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
@pytest.mark.parametrize("target", ["out.png", "out.ome.tif"])
@pytest.mark.parametrize("kind", ["RGB", "gray"])
def test_a_colour_profile_travels(tmp_path: Path, suffix: str, target: str, kind: str) -> None:
    image, profile = (RGB, WIDE) if kind == "RGB" else (GRAY, OF_GRAY)
    Image.fromarray(image).save(tmp_path / f"a.{suffix}", icc_profile=profile)
    picture = through(tmp_path / f"a.{suffix}", tmp_path / target)
    assert picture.info["icc_profile"] == profile


@pytest.mark.parametrize("target", ["out.png", "out.ome.tif"])
def test_a_profile_of_other_colours_is_not_written_and_that_is_said(
    tmp_path: Path, target: str
) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png", icc_profile=WIDE)
    array, meta = read(tmp_path / "a.png")
    gray = ImageMeta("TYX", extra=meta.extra)
    with pytest.warns(WriteWarning, match="profile is for RGB, not for gray") as heard:
        files = write(tmp_path / target, np.stack([array[..., 0]] * 2), gray)
    assert len(heard) == 1
    assert "icc_profile" not in opened(files[0]).info
    # A palette of grays has a profile of RGB, too.
    Image.fromarray(GRAY).quantize(256).save(tmp_path / "p.png", icc_profile=WIDE)
    array, meta = read(tmp_path / "p.png")
    with pytest.warns(WriteWarning, match="not for gray"):
        write(tmp_path / f"p_{target}", array, meta)


def test_frames_of_a_sequence_with_other_profiles_are_mentioned(tmp_path: Path) -> None:
    for number, profile in enumerate((WIDE, WIDE, b"")):
        Image.fromarray(RGB).save(tmp_path / f"f_{number}.png", icc_profile=profile or None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, meta = read([tmp_path / "f_0.png", tmp_path / "f_1.png"])
    files = write(tmp_path / "o_#.png", np.stack([RGB] * 2), meta)
    assert [opened(file).info["icc_profile"] for file in files] == [WIDE] * 2
    with pytest.warns(ReadWarning, match=r"profile of f_2\.png is not that of f_0\.png"):
        read(tmp_path / "f_#.png")


def test_gamma_and_primaries_of_a_png_stay_and_become_a_profile_in_tiff(tmp_path: Path) -> None:
    points = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
    chunks = [(b"gAMA", struct.pack(">I", 100000)), (b"cHRM", struct.pack(">8I", *points))]
    deep = RGB.astype("uint16") * 257
    (tmp_path / "a.png").write_bytes(with_chunks(deep, *chunks))
    picture = through(tmp_path / "a.png", tmp_path / "out.png")
    assert picture.info["gamma"] == 1.0
    assert picture.info["chromaticity"] == pytest.approx([value / 1e5 for value in points])
    profile = through(tmp_path / "a.png", tmp_path / "out.ome.tif").info["icc_profile"]
    red = Image.fromarray(np.full((1, 1, 3), (128, 0, 0), "uint8"))
    shown = ImageCms.profileToProfile(
        red, ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
    )
    assert shown.getpixel((0, 0))[0] > 185  # linear light, so much brighter than 128


def test_what_says_srgb_makes_no_profile(tmp_path: Path) -> None:
    chunks = [(b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 45455))]
    (tmp_path / "a.png").write_bytes(with_chunks(RGB, *chunks))
    (tmp_path / "b.png").write_bytes(with_chunks(RGB, chunks[1]))
    for name in "ab":
        picture = through(tmp_path / f"{name}.png", tmp_path / f"{name}.ome.tif")
        assert "icc_profile" not in picture.info
    assert through(tmp_path / "a.png", tmp_path / "out.png").info["srgb"] == 0


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
@pytest.mark.parametrize("target", ["out.png", "out.ome.tif"])
def test_the_printed_size_travels(tmp_path: Path, suffix: str, target: str) -> None:
    Image.fromarray(RGB).save(tmp_path / f"a.{suffix}", dpi=(300, 150))
    picture = through(tmp_path / f"a.{suffix}", tmp_path / target)
    assert picture.info["dpi"] == pytest.approx((300, 150), abs=0.02)


def test_the_printed_size_turns_with_the_picture(tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[274] = 6
    for suffix in ("png", "jpg", "tif"):
        source = tmp_path / f"a.{suffix}"
        options: dict[str, Any] = {"tiffinfo": {274: 6}} if suffix == "tif" else {"exif": turned}
        Image.fromarray(RGB).save(source, dpi=(300, 150), **options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReadWarning)
            picture = through(source, tmp_path / f"{suffix}.png")
        assert picture.size == (24, 32), suffix
        assert picture.info["dpi"] == pytest.approx((150, 300), abs=0.02)


def test_a_pixel_size_that_was_changed_is_the_one_that_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    options: dict[str, Any] = {"resolution": (5000, 5000), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(path, GRAY, **options)
    array, meta = read(path)
    assert meta.scale == (2.0, 2.0)
    for scale, per_cm in (((2.0, 2.0), 5000), ((4.0, 4.0), 2500)):
        changed = ImageMeta(meta.axes, scale=scale, units=meta.units, extra=meta.extra)
        write(tmp_path / "o.ome.tif", array, changed, overwrite=True)
        with tifffile.TiffFile(tmp_path / "o.ome.tif") as tif:
            assert tif.pages.first.resolution == (per_cm, per_cm)
            assert tif.pages.first.resolutionunit == 3


def test_layers_keep_the_look(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png", icc_profile=WIDE, dpi=(300, 300))
    layers = to_layers(*read(tmp_path / "a.png"))
    target = str(tmp_path / "o.png")
    write(target, *from_layers(target, layers))
    assert opened(Path(target)).info["icc_profile"] == WIDE
    assert opened(Path(target)).info["dpi"] == pytest.approx((300, 300), abs=0.02)


def test_layers_keep_a_table_of_shades(tmp_path: Path) -> None:
    table = np.zeros((3, 256), "uint16")
    table[0], table[1] = np.arange(256) * 257, np.arange(256) * 128
    source, target = tmp_path / "a.tif", tmp_path / "o.tif"
    tifffile.imwrite(source, GRAY, photometric="palette", colormap=table, metadata=None)
    layers = to_layers(*read(source))
    assert layers[0][1]["colormap"] == "#ff7f00"
    write(target, *from_layers(str(target), layers))
    before, after = (np.asarray(opened(p).convert("RGB")).astype(int) for p in (source, target))
    np.testing.assert_allclose(after, before, atol=1)


# --- PNG and JPEG ---------------------------------------------------------------------


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("used", [True, False])
@pytest.mark.parametrize("colour", [True, False])
def test_a_transparent_colour_of_png(tmp_path: Path, bits: int, used: bool, colour: bool) -> None:
    image = RGB.astype("uint8" if bits == 8 else "uint16") * (1 if bits == 8 else 257)
    image = image if colour else image[..., 0].copy()
    key = int(image.max()) if used else 2**bits - 2
    image[:4] = key if used else 0
    content = struct.pack(">3H", key, key, key) if colour else struct.pack(">H", key)
    (tmp_path / "a.png").write_bytes(with_chunks(image, (b"tRNS", content)))
    array, meta = read(tmp_path / "a.png")
    assert array.dtype == image.dtype
    assert array.shape == ((24, 32, 4) if used else image.shape)
    assert meta.axes == "YXS"[: array.ndim]
    if used:
        hidden = (image == key).all(axis=-1) if colour else image == key
        np.testing.assert_array_equal(array[..., 3], np.where(hidden, 0, 2**bits - 1))
        np.testing.assert_array_equal(array[..., 0], image[..., 0] if colour else image)
        picture = through(tmp_path / "a.png", tmp_path / "out.png")
        assert picture.mode == "RGBA"


def test_a_palette_of_png_with_transparent_entries(tmp_path: Path) -> None:
    for name, image in (("gray", GRAY), ("colour", RGB)):
        picture = Image.fromarray(image).quantize(8)
        picture.save(tmp_path / f"{name}.png", transparency=2)
        array, _ = read(tmp_path / f"{name}.png")
        shown = opened(tmp_path / f"{name}.png").convert("RGBA")
        np.testing.assert_array_equal(array, np.asarray(shown))


def test_gray_with_alpha_of_16_bits(tmp_path: Path) -> None:
    gray, alpha = GRAY.astype("uint16") * 257 + 3, RGB[..., 1].astype("uint16") * 300
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(np.dstack([gray, alpha])))
    array, _ = read(tmp_path / "a.png")
    np.testing.assert_array_equal(array, np.dstack([gray, gray, gray, alpha]))


def test_frames_of_an_animation_are_not_lost_in_silence(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.roll(RGB, shift, 0)) for shift in range(4)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:], duration=100)
    with pytest.warns(ReadWarning, match="animated; only the first of 4 frames was read"):
        array, _ = read(tmp_path / "a.png")
    np.testing.assert_array_equal(array, RGB)
    frames[0].save(tmp_path / "m.jpg", format="MPO", save_all=True, append_images=frames[1:2])
    with pytest.warns(ReadWarning, match="holds 2 pictures; only the first was read"):
        read(tmp_path / "m.jpg")


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_pictures_are_turned_upright(tmp_path: Path, turn: int, suffix: str) -> None:
    from PIL import ImageOps

    turned = Image.Exif()
    turned[274] = turn
    smooth = np.mgrid[:24, :32].sum(axis=0).astype("uint8") * 3
    Image.fromarray(smooth).save(tmp_path / f"a.{suffix}", exif=turned)
    array, _ = read(tmp_path / f"a.{suffix}")
    upright = ImageOps.exif_transpose(opened(tmp_path / f"a.{suffix}"))
    np.testing.assert_array_equal(array, np.asarray(upright))


def test_a_large_jpeg_is_no_attack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.jpg")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read(tmp_path / "a.jpg")[0].shape == RGB.shape


def test_inks_of_a_jpeg_are_converted_and_their_profile_goes(tmp_path: Path) -> None:
    picture = Image.fromarray(RGB).resize((64, 48)).convert("CMYK")
    picture.save(tmp_path / "a.jpg", quality=95, icc_profile=OF_GRAY)
    with pytest.warns(ReadWarning, match="CMYK inks were converted to RGB"):
        array, _ = read(tmp_path / "a.jpg")
    shown = np.asarray(opened(tmp_path / "a.jpg").convert("RGB")).astype(int)
    np.testing.assert_allclose(array, shown, atol=1)


def test_a_jpeg_of_12_bits_is_not_called_damaged(tmp_path: Path) -> None:
    Image.fromarray(GRAY).save(tmp_path / "a.jpg")
    data = bytearray((tmp_path / "a.jpg").read_bytes())
    data[data.index(b"\xff\xc0") + 4] = 12
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(FileError, match=r"kind that is not read .*12-bit.*; save it with 8 bits"):
        read(tmp_path / "a.jpg")


def test_a_damaged_profile_is_left_out(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add(b"iCCP", b"x\0\0" + b"no deflate stream")
    Image.fromarray(RGB).save(tmp_path / "a.png", pnginfo=info)
    array, meta = read(tmp_path / "a.png")
    np.testing.assert_array_equal(array, RGB)
    assert "look" not in meta.extra
