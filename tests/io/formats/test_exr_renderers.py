"""OpenEXR as renderers and their tools write it: levels, views, windows, lossy compression."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import OpenEXR
import pytest
from _exr_files import save_chroma, save_levels

from napari_denoise.io.errors import FileError, ReadWarning, WriteWarning
from napari_denoise.io.formats.exr_layers import (
    ALBEDO,
    NORMAL,
    choose_color,
    choose_feature,
    find_layers,
    light_passes,
)
from napari_denoise.io.read import read
from napari_denoise.io.write import write

Channels = dict[str, np.ndarray]
SIZE = 8, 12


def layer(name: str, value: float = 0.0, letters: str = "RGB", dtype: str = "float16") -> Channels:
    rng = np.random.default_rng(round(value * 10))
    prefix = f"{name}." if name else ""
    return {f"{prefix}{c}": (rng.random(SIZE) + value).astype(dtype) for c in letters}


def save(path: Path, *layers: Channels, **header: object) -> Path:
    head = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage, **header}
    channels = {name: plane for entry in layers for name, plane in entry.items()}
    OpenEXR.File(head, channels).write(str(path))
    return path


def save_parts(path: Path, *parts: tuple[str, tuple[int, int], Channels]) -> Path:
    """Save parts of their own places in one picture of 40 x 40."""
    made = []
    for name, (x, y), channels in parts:
        rows, columns = next(iter(channels.values())).shape
        head = {
            "compression": OpenEXR.ZIP_COMPRESSION,
            "type": OpenEXR.scanlineimage,
            "dataWindow": box(x, y, x + columns - 1, y + rows - 1),
            "displayWindow": box(0, 0, 39, 39),
        }
        made.append(OpenEXR.Part(head, channels, name))
    OpenEXR.File(made).write(str(path))
    return path


def box(left: int, top: int, right: int, bottom: int) -> tuple[np.ndarray, np.ndarray]:
    return np.array([left, top], "int32"), np.array([right, bottom], "int32")


def pixels(path: Path) -> Channels:
    parts = OpenEXR.File(str(path), separate_channels=True).parts
    return {name: c.pixels for part in parts for name, c in part.channels.items()}


def header(path: Path) -> dict[str, object]:
    return OpenEXR.File(str(path), separate_channels=True, header_only=True).parts[0].header


def changed(before: Path, after: Path) -> set[str]:
    old, new = pixels(before), pixels(after)
    assert set(old) == set(new)
    return {name for name in old if not np.array_equal(old[name], new[name])}


@pytest.mark.parametrize("rip", [False, True])
def test_of_levels_the_first_is_read_and_written_as_a_whole_file(tmp_path: Path, rip: bool) -> None:
    rng = np.random.default_rng(0)
    image = {letter: rng.random((16, 16)).astype("float16") for letter in "RGB"}
    source = save_levels(tmp_path / "mip.exr", image, rip=rip)
    array, meta = read(source)
    np.testing.assert_array_equal(array[..., 0], image["R"])
    with pytest.warns(WriteWarning, match="lower resolution are not written: make them anew"):
        write(tmp_path / "out.exr", array * 2, meta)
    tiles = header(tmp_path / "out.exr")["tiles"]
    assert (tiles.mode, tiles.xSize) == (OpenEXR.ONE_LEVEL, 16)
    np.testing.assert_array_equal(read(tmp_path / "out.exr")[0], array * 2)


def test_luminance_and_chroma_become_rgb_and_that_is_said(tmp_path: Path) -> None:
    rgb = np.array([0.75, 0.5, 0.25])
    y = float(rgb @ [0.2126, 0.7152, 0.0722])
    flat = np.ones((4, 6)), np.ones((2, 3))
    source = save_chroma(tmp_path / "a.exr", y * flat[0], (rgb[0] / y - 1) * flat[1],
                         (rgb[2] / y - 1) * flat[1])  # fmt: skip
    with pytest.warns(ReadWarning, match="were converted to RGB"):
        array, meta = read(source)
    np.testing.assert_allclose(array, np.broadcast_to(rgb, (4, 6, 3)), rtol=2e-3)
    with pytest.warns(WriteWarning, match="written as RGB"):
        write(tmp_path / "b.exr", array, meta)
    assert set(pixels(tmp_path / "b.exr")) == set("RGB")


def test_of_two_views_the_first_is_taken_and_the_other_named(tmp_path: Path) -> None:
    source = save(tmp_path / "a.exr", layer("", 1), layer("right", 2), multiView=["left", "right"])
    with pytest.warns(ReadWarning, match="took 'left'; 'right' is left as it is"):
        array, meta = read(source)
    write(tmp_path / "b.exr", array / 2, meta)
    assert changed(source, tmp_path / "b.exr") == set("RGB")
    array, meta = read(source, layer="right")  # nothing to say: it was asked for
    np.testing.assert_array_equal(array[..., 0], pixels(source)["right.R"])
    write(tmp_path / "c.exr", array / 2, meta)
    assert changed(source, tmp_path / "c.exr") == {f"right.{c}" for c in "RGB"}


def test_several_layers_are_written_into_one_file(tmp_path: Path) -> None:
    source = save(tmp_path / "a.exr", layer("FG.Combined", 1), layer("BG.Combined", 2))
    array, meta = read(source, layer="FG.Combined")
    assert meta.extra["exr"]["alike"] == ["BG.Combined"]
    other, _ = read(source, layer="bg combined")  # whatever the case and the marks
    write(tmp_path / "b.exr", array * 2, replace(meta, layers={"BG.Combined": other * 4}))
    old, new = pixels(source), pixels(tmp_path / "b.exr")
    for name, plane in old.items():
        np.testing.assert_array_equal(new[name], plane * (2 if name.startswith("FG") else 4))


def test_a_layer_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    source = save(tmp_path / "a.exr", layer("FG.Combined", 1), layer("BG.Combined", 2))
    with pytest.raises(FileError, match=r"no layer 'MG'; it has 'BG\.Combined', 'FG\.Combined'"):
        read(source, layer="MG")


@pytest.mark.parametrize("denoised", [True, False])
def test_of_what_the_renderer_denoised_the_noisy_image_is_taken(
    tmp_path: Path, denoised: bool
) -> None:
    noisy = layer("V.Noisy Image", 2)
    combined = {n.replace("Noisy Image", "Combined"): v * (2 if denoised else 1)
                for n, v in noisy.items()}  # fmt: skip
    source = save(tmp_path / "a.exr", noisy, combined, layer("V.Denoising Albedo", 3))
    if denoised:
        with pytest.warns(ReadWarning, match=r"took 'V\.Noisy Image', of which the renderer made"):
            _, meta = read(source)
    else:
        _, meta = read(source)
    assert meta.extra["exr"]["name"] == ("V.Noisy Image" if denoised else "V.Combined")
    assert "albedo" in meta.features


def test_what_a_compositor_made_is_not_taken_before_a_render(tmp_path: Path) -> None:
    source = save(tmp_path / "a.exr", layer("Composite.Combined", 1), layer("FG.Combined", 2))
    with pytest.warns(ReadWarning, match=r"took 'FG\.Combined'; 'Composite\.Combined' is left"):
        read(source)


def test_albedo_of_another_view_or_view_layer_is_not_taken() -> None:
    names = [f"{n}{c}" for n in ("", "right.", "albedo.right.") for c in "RGB"]
    layers = find_layers([("", names)], ["left", "right"])
    for view, found in (("left", False), ("right", True)):
        color = next(x for x in layers if x.view == view and not x.key)
        assert bool(choose_feature(layers, ALBEDO, color)) is found
    names = [f"{n}.{c}" for n in ("FG.Combined", "BG.Combined", "FG.Albedo") for c in "RGB"]
    layers = find_layers([("", names)])
    background = next(x for x in layers if x.prefix == "BG")
    assert choose_feature(layers, ALBEDO, background) is None


def test_parts_of_a_stereo_file_are_views() -> None:
    layers = find_layers([("rgba_left", "RGB"), ("rgba_right", "RGB")], [], ["left", "right"])
    assert [(x.key, x.view) for x in layers] == [("rgba", "left"), ("rgba", "right")]


def test_albedo_lies_where_its_data_window_says(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    albedo = rng.random((8, 8)).astype("float16")
    source = save_parts(
        tmp_path / "a.exr",
        ("rgba", (0, 0), dict.fromkeys("RGB", rng.random((12, 10)).astype("float16"))),
        ("albedo", (4, 6), dict.fromkeys("RGB", albedo)),
        ("normal", (30, 30), dict.fromkeys("XYZ", albedo)),
    )
    with pytest.warns(ReadWarning, match="normal 'normal' lies outside the colour: left out"):
        _, meta = read(source)
    assert set(meta.features) == {"albedo"}
    placed = meta.features["albedo"]
    np.testing.assert_array_equal(placed[6:, 4:, 0], albedo[:6, :6])
    assert set(placed[:6].ravel()) == {np.median(albedo.astype("float32"))}


def test_albedo_and_normal_come_from_files_of_their_own(tmp_path: Path) -> None:
    for number in (1, 2):
        rng = np.random.default_rng(number)
        for name, value in (("rgba", 1), ("albedo", 2), ("N", 3)):
            letters = "XYZ" if name == "N" else "RGB"
            plane = (rng.random((6, 6)) + value).astype("float16")
            place = (2, 2) if name == "albedo" else (0, 0)
            part = ("", place, dict.fromkeys(letters, plane))
            save_parts(tmp_path / f"{name}_{number}.exr", part)
    _, meta = read(
        tmp_path / "rgba_#.exr", albedo=tmp_path / "albedo_#.exr", normal=tmp_path / "N_#.exr"
    )
    assert {k: v.shape for k, v in meta.features.items()} == {
        "albedo": (2, 6, 6, 3),
        "normal": (2, 6, 6, 3),
    }
    stored = pixels(tmp_path / "albedo_2.exr")["R"]
    np.testing.assert_array_equal(meta.features["albedo"][1, 2:, 2:, 0], stored[:4, :4])
    with pytest.raises(FileError, match="2 frames of albedo for 1 of the image"):
        read(tmp_path / "rgba_1.exr", albedo=tmp_path / "albedo_#.exr")
    save(tmp_path / "small.exr", layer("", 1))
    with pytest.raises(FileError, match=r"its display window .* is not that of the colour"):
        read(tmp_path / "rgba_1.exr", albedo=tmp_path / "small.exr")


def test_frames_cropped_each_to_its_content_are_one_stack_and_keep_their_windows(
    tmp_path: Path,
) -> None:
    for number, (place, shape) in enumerate([((4, 6), (8, 9)), ((2, 10), (12, 5))]):
        rng = np.random.default_rng(number)
        planes = dict.fromkeys("RGBA", rng.random(shape).astype("float16"))
        save_parts(tmp_path / f"in_{number}.exr", ("", place, planes))
    with pytest.warns(ReadWarning, match="stand together in 11 x 16 pixels, with 0 around"):
        array, meta = read(tmp_path / "in_#.exr")
    assert array.shape == (2, 16, 11, 4)
    first = pixels(tmp_path / "in_0.exr")["R"]
    np.testing.assert_array_equal(array[0, :8, 2:11, 0], first)
    assert not array[0, 8:].any()
    write(tmp_path / "out_#.exr", array * 2, meta)
    for number in (0, 1):
        before, after = tmp_path / f"in_{number}.exr", tmp_path / f"out_{number}.exr"
        np.testing.assert_array_equal(header(after)["dataWindow"], header(before)["dataWindow"])
        np.testing.assert_array_equal(pixels(after)["A"], pixels(before)["A"] * 2)


@pytest.mark.parametrize(
    ("compression", "kept"),
    [
        (OpenEXR.DWAA_COMPRESSION, False),
        (OpenEXR.DWAB_COMPRESSION, False),
        (OpenEXR.PXR24_COMPRESSION, True),
        (OpenEXR.PIZ_COMPRESSION, True),
    ],
)
def test_layers_that_stay_are_not_compressed_with_loss_once_more(
    tmp_path: Path, compression: object, kept: bool
) -> None:
    rng = np.random.default_rng(0)
    noise = {n: rng.random((32, 32)).astype("float16") for n in ("R", "G", "B", "sss.R", "Z")}
    source = save(tmp_path / "a.exr", noise, compression=compression, dwaCompressionLevel=200.0)
    array, meta = read(source)
    if kept:
        write(tmp_path / "b.exr", array / 2, meta)
    else:
        with pytest.warns(WriteWarning, match="DWA. would change .* written with ZIP"):
            write(tmp_path / "b.exr", array / 2, meta)
    assert changed(source, tmp_path / "b.exr") == set("RGB")
    stored = header(tmp_path / "b.exr")["compression"]
    assert stored == (compression if kept else OpenEXR.ZIP_COMPRESSION)


@pytest.mark.parametrize(
    ("renderer", "albedo", "normal"),
    [
        ("pbrt", "Albedo", "Ns"),
        ("Corona", "CShading_Albedo", "CGeometry_NormalsShading"),
        ("Octane", "Denoiser albedo", "Denoiser normal"),
        ("Octane", "Diffuse filter (info)", "Smooth normal"),
        ("LuxCore", "ALBEDO", "AVG_SHADING_NORMAL"),
        ("Redshift", "DiffuseFilter", "BumpNormals"),
        ("Arnold", "denoise_albedo", "N"),
        ("Arnold", "albedo_noice_aux", "N_noice_aux"),
        ("Unreal", "FinalImageBaseColor", "FinalImageWorldNormal"),
        ("Blender", "ViewLayer.Denoising Albedo", "ViewLayer.Denoising Normal"),
        ("V-Ray", "VRayDiffuseFilter", "VRayNormals"),
        ("Mitsuba", "albedo.RGB", "normal.XYZ"),
    ],
)
def test_renderers_names_are_known(renderer: str, albedo: str, normal: str) -> None:
    names = [*"RGB", *(f"{albedo}.{c}" for c in "RGB"), *(f"{normal}.{c}" for c in "XYZ")]
    layers = find_layers([("", [*names, "Depth.Z", "Variance.R", "Variance.G", "Variance.B"])])
    color = choose_color(layers)
    assert color is not None and not color.name
    for wanted, table in ((albedo, ALBEDO), (normal, NORMAL)):
        found = choose_feature(layers, table, color)
        assert found is not None and found.name == wanted


@pytest.mark.parametrize(
    "name",
    ["VRayLighting", "diffuse_direct", "specular", "CESSENTIAL_Reflect", "DIRECT_DIFFUSE",
     "INDIRECT_GLOSSY_REFLECT", "SubsurfaceScatter", "GlobalIllumination", "transmission_indirect",
     "DiffDir", "Volume Direct", "Emit", "Env", "RGBA_key", "Combined_fill", "LightSelect1"],
)  # fmt: skip
def test_light_passes_are_known(name: str) -> None:
    noise = ["albedo", "N", "diffuse_color", "DiffCol", "Depth", "Shadow", "Mist", "crypto00"]
    names = [*"RGB", *(f"{n}.{c}" for n in [name, *noise] for c in "RGB")]
    layers = find_layers([("", names)])
    color = choose_color(layers)
    assert color is not None
    assert [x.name for x in light_passes(layers, color)] == [name]


def test_frames_before_the_first_have_negative_numbers(tmp_path: Path) -> None:
    for number, name in enumerate(["shot_-002", "shot_-001", "shot_0000", "take-001"]):
        save(tmp_path / f"{name}.exr", layer("", number))
    array, meta = read(tmp_path / "shot_####.exr")
    assert meta.extra["numbers"] == [-2, -1, 0]
    assert array[:, 0, 0, 0].astype(int).tolist() == [0, 1, 2]
    files = write(tmp_path / "clean_####.exr", array, meta)
    assert [f.name for f in files[:3]] == ["clean_-002.exr", "clean_-001.exr", "clean_0000.exr"]
    assert read(tmp_path / "clean_####.exr")[1].extra["numbers"] == [-2, -1, 0]
    assert "numbers" not in read(tmp_path / "take-001.exr")[1].extra  # a dash, no sign
