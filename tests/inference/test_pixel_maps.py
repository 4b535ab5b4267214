"""What is given for every pixel: offset and gain of the camera, and the noise itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from _networks import write_tiny_weights
from napari_denoise import Denoiser, DenoiseSettings, DenoiseWarning, NoiseModel
from napari_denoise.image import frames
from napari_denoise.image.axes import Layout
from napari_denoise.inference.noise_files import load_noise, save_noise
from napari_denoise.io.errors import FileError
from napari_denoise.measure.pixel_maps import open_maps

SIDE = 96
Image = NDArray[Any]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Denoiser:
    folder = tmp_path_factory.mktemp("weights")
    return Denoiser.load(write_tiny_weights(folder / "gray.safetensors"), "cpu", "float32")


@pytest.fixture(scope="module")
def real() -> Denoiser:
    return Denoiser.load("microscopy", "cpu", "float32")


def scene() -> Image:
    """(Y, X) photons: bright squares on a ramp."""
    photons = np.tile(np.linspace(2, 12, SIDE), (SIDE, 1))
    photons[20:40, 20:40] = photons[60:70, 50:80] = 40
    return photons


def camera() -> dict[str, Image]:
    """Offset, gain and read noise (in photons) of an sCMOS sensor's pixels."""
    rng = np.random.default_rng(5)
    columns = rng.normal(0, 4, SIDE)
    return {
        "dark": 100 + rng.normal(0, 4, (SIDE, SIDE)) + columns,
        "gain": 2 * np.clip(rng.normal(1, 0.08, (SIDE, SIDE)), 0.6, 1.5),
        "read": 1.5 * np.exp(0.4 * rng.normal(0, 1, (SIDE, SIDE))),
    }


def expose(photons: Image, seed: int = 0) -> Image:
    rng, pixels = np.random.default_rng(seed), camera()
    electrons = rng.poisson(photons) + rng.normal(0, 1, photons.shape) * pixels["read"]
    return np.rint(pixels["dark"] + pixels["gain"] * electrons).clip(0, 65535).astype(np.uint16)


def error(result: Image, wanted: Image) -> float:
    return float(np.sqrt(np.mean((result.astype(float) - wanted) ** 2)))


def steps() -> Image:
    """(Y, X) standard deviations: four quarters of very different noise."""
    sigma = np.full((SIDE, SIDE), 4.0)
    sigma[SIDE // 2 :] *= 5
    sigma[:, SIDE // 3 :] *= 2
    return sigma


def stepped(seed: int = 0) -> Image:
    noise = np.random.default_rng(seed).normal(0, 1, (SIDE, SIDE)) * steps()
    return (100 + 3 * scene() + noise).astype(np.float32)


def test_offset_and_gain_of_each_pixel_make_the_result_better(real: Denoiser) -> None:
    pixels, data = camera(), expose(scene())
    truth = pixels["dark"] + pixels["gain"] * scene()
    with pytest.warns(DenoiseWarning, match="column noise of sd"):
        without = real(data, "YX")
    with_maps = real(data, "YX", dark=pixels["dark"], gain_map=pixels["gain"])
    assert with_maps.dtype == data.dtype
    # Without maps the pattern of the sensor goes with the noise, and the result is off by it.
    assert error(with_maps, truth) < 0.45 * error(without, truth)
    found = real.prepare(data, "YX", dark=pixels["dark"], gain_map=pixels["gain"]).noise[0]
    assert found.gain == pytest.approx(1, abs=0.25)
    light = (with_maps - pixels["dark"]) / pixels["gain"]
    assert error(light, scene()) < 0.45 * error((data - pixels["dark"]) / pixels["gain"], scene())


def test_a_map_of_the_noise_beats_one_figure_for_all(real: Denoiser) -> None:
    clean = 100 + 3 * scene()
    one = float(np.sqrt(np.square(steps()).mean()))
    by_map = error(real(stepped(), "YX", sigma_map=steps()), clean)
    assert by_map < 0.75 * error(real(stepped(), "YX", noise=one), clean)
    assert by_map < 0.75 * error(real(stepped(), "YX"), clean)


def test_an_even_map_is_what_a_figure_is(tiny: Denoiser) -> None:
    data = stepped()
    even = tiny(data, "YX", sigma_map=np.full((SIDE, SIDE), 9.0))
    np.testing.assert_allclose(even, tiny(data, "YX", noise=9.0), rtol=1e-5)


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("axes", ["YX", "XY", "CYX"])
def test_tiles_and_regions_are_exact_with_maps(
    tiny: Denoiser, axes: str, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if large:
        monkeypatch.setattr(frames, "LARGE_BYTES", 100)
    pixels = camera()
    maps = {"dark": pixels["dark"], "gain_map": pixels["gain"], "sigma_map": steps()}
    data = expose(scene()).astype(np.float32)
    if axes == "CYX":
        data = np.stack([data, expose(scene()[::-1], 1)])
        maps = {name: np.stack([one, one[::-1]]) for name, one in maps.items()}
    data = data.T if axes == "XY" else data
    whole = tiny(data, axes, tile=256, **maps)
    tiled = tiny.prepare(data, axes, tile=16, **maps)
    np.testing.assert_array_equal(
        np.stack([s.result for s in tiled.steps() if s.index]),
        whole if axes == "CYX" else whole[None],
    )
    part = tiled.region(len(tiled.frames) - 1, slice(30, 71), slice(13, 50))
    last = whole[-1] if axes == "CYX" else whole
    expected = last[13:50, 30:71] if axes == "XY" else last[30:71, 13:50]
    np.testing.assert_array_equal(part, expected)


def test_tiles_of_frames_with_neighbors_are_exact_with_maps(tiny: Denoiser) -> None:
    pixels = camera()
    maps = {"dark": pixels["dark"], "gain_map": pixels["gain"], "sigma_map": 0.2 * steps()}
    stack = np.stack([expose(scene(), seed) for seed in range(3)]).astype(np.float32)
    job = tiny.prepare(stack, "TYX", neighbors=1, tile=256, **maps)
    whole = [step.result for step in job.steps() if step.index is not None]
    alone = tiny.prepare(stack, "TYX", neighbors=0, **maps).region(1, slice(0, 96), slice(0, 96))
    assert not np.array_equal(whole[1], alone)
    tiled = tiny.prepare(stack, "TYX", neighbors=1, tile=32, **maps)
    part = tiled.region(1, slice(30, 71), slice(13, 50))
    np.testing.assert_array_equal(part, whole[1][30:71, 13:50])


def test_a_map_that_cannot_be_is_said_and_kept(real: Denoiser) -> None:
    job = real.prepare(stepped(), "YX", sigma_map=40 * steps())
    assert any("the noise that was given is some" in text for text in job.warnings)
    assert job.noise[0].read_noise == pytest.approx(40 * np.sqrt(np.square(steps()).mean()))
    assert not real.prepare(stepped(), "YX", sigma_map=steps()).warnings


@pytest.mark.filterwarnings("ignore:.*columns differ")
@pytest.mark.filterwarnings("ignore:.*column noise")
def test_maps_change_nothing_but_what_they_say(tiny: Denoiser) -> None:
    data = expose(scene()).astype(np.float32)
    nothing = {"dark": np.zeros((SIDE, SIDE)), "gain_map": np.ones((SIDE, SIDE))}
    np.testing.assert_allclose(tiny(data, "YX", **nothing), tiny(data, "YX"), rtol=1e-5)


def test_the_provenance_names_every_map(tiny: Denoiser, tmp_path: Path) -> None:
    path = tmp_path / "dark.tif"
    tifffile.imwrite(path, camera()["dark"].astype(np.float32))
    settings = DenoiseSettings(dark=str(path))
    by_path = tiny.prepare(expose(scene()), "YX", settings=settings)
    note = json.loads(json.dumps(by_path.provenance()))
    assert DenoiseSettings.parse(note["settings"]).dark == str(path)
    told = note["channels"][0]["maps"]["dark"]
    assert told["source"] == str(path)
    array = tifffile.imread(path)
    by_array = tiny.prepare(expose(scene()), "YX", dark=array).provenance()["channels"][0]["maps"]
    assert by_array == {"dark": {"source": "array", "sha256": told["sha256"]}}
    assert tiny.prepare(expose(scene()), "YX", dark=path).provenance()["channels"] == [
        *by_path.provenance()["channels"]
    ]
    assert "maps" not in tiny.prepare(expose(scene()), "YX").provenance()["channels"][0]


def with_value(value: float) -> Image:
    image = np.full((SIDE, SIDE), 5.0)
    image[3, 7] = value
    return image


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"sigma_map": np.ones((SIDE, 7))}, r"sigma_map has shape \(96, 7\): expected \(96, 96\)"),
        ({"dark": np.ones((2, SIDE, SIDE))}, r"dark has shape \(2, 96, 96\): expected \(96, 96\)"),
        (
            {"dark": with_value(np.nan)},
            "dark: 1 value is NaN or infinite, first in row 3, column 7: give it a value",
        ),
        (
            {"sigma_map": with_value(0)},
            "1 value is 0 or less, first in row 3, column 7; a standard deviation is above 0",
        ),
        ({"gain_map": with_value(-2)}, "0 or less, .* pixels are divided by their gain"),
        ({"gain_map": np.full((SIDE, SIDE), "a")}, "gain_map is of <U1: expected numbers"),
        ({"sigma_map": with_value(5), "noise": 3.0}, "noise and sigma_map: give one of them"),
        ({"sigma_map": "s.tif", "noise_from": "n.json"}, "noise_from and sigma_map: give one"),
        ({"sigma_map": with_value(5), "mapping": "log"}, "sigma_map: this light goes through"),
        ({"dark": "nowhere.tif"}, "nowhere.tif"),
    ],
)
def test_what_cannot_be_used_is_refused(tiny: Denoiser, fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        tiny.prepare(expose(scene()), "YX", **fields)


def test_a_calibration_of_colour_is_refused() -> None:
    with pytest.raises(ValueError, match=r"dark: offset and gain .* has colour"):
        open_maps({"dark": np.zeros((8, 8))}, Layout("YXS", (8, 8, 3)))


def test_a_map_file_may_have_axes_of_length_one(tiny: Denoiser, tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "sigma.tif", steps().astype(np.float32)[None], metadata={"axes": "TYX"}
    )
    by_path = tiny(stepped(), "YX", sigma_map=tmp_path / "sigma.tif")
    np.testing.assert_array_equal(by_path, tiny(stepped(), "YX", sigma_map=steps()))


def test_pixels_of_more_noise_than_the_network_knows_do_not_squeeze_the_others(
    tiny: Denoiser,
) -> None:
    sigma = np.full((SIDE, SIDE), 5.0)
    sigma[10, 10] = 5000
    (channel,) = tiny.prepare(stepped(), "YX", sigma_map=sigma).channels
    whole = slice(0, SIDE), slice(0, SIDE)
    told = channel.sigma_map(SIDE, SIDE, where=whole)
    assert channel.scale.factor == 1
    assert told.max() == pytest.approx(0.35)
    assert told.min() == pytest.approx(5 / channel.mapping.width)


@pytest.mark.filterwarnings("ignore:.*columns differ")
@pytest.mark.filterwarnings("ignore:.*column noise")
def test_saved_noise_comes_back_as_it_was(tiny: Denoiser, tmp_path: Path) -> None:
    models = (
        NoiseModel(2.0, 100.0, 3.0, (0.6, 0.2, 0.1, 0.05), (0.3, 0.1), 1.25),
        NoiseModel(read_noise=4.0),
    )
    path = tmp_path / "camera.json"
    save_noise(path, models, "cells.tif")
    assert load_noise(path) == models
    data = np.stack([expose(scene()), expose(scene(), 1)])
    job = tiny.prepare(data, "CYX", noise_from=path)
    assert job.noise == models
    assert job.settings.noise_from == str(path)
    np.testing.assert_array_equal(
        tiny(data, "CYX", noise_from=path), tiny(data, "CYX", noise=models)
    )
    with pytest.raises(FileError, match="exists"):
        save_noise(path, models, "cells.tif")


def test_noise_is_measured_on_another_image(tiny: Denoiser, tmp_path: Path) -> None:
    path = tmp_path / "flat.tif"
    tifffile.imwrite(path, np.random.default_rng(0).normal(500, 7, (SIDE, SIDE)).astype(np.float32))
    job = tiny.prepare(stepped(), "YX", noise_from=path)
    assert job.noise[0].read_noise == pytest.approx(7, rel=0.1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be read as JSON"),
        ("[1]", "holds no noise models"),
        ('{"napari_denoise_noise": 2, "channels": []}', "version 2, expected 1"),
        ('{"napari_denoise_noise": 1, "channels": []}', "lists no channels"),
        ('{"napari_denoise_noise": 1, "channels": [3.5]}', "no noise model"),
        ('{"napari_denoise_noise": 1, "channels": [{"gain": -1}]}', "gain -1"),
        ('{"napari_denoise_noise": 1, "channels": [{"colour": 1}]}', "colour"),
    ],
)
def test_a_file_without_noise_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "camera.json"
    path.write_text(text)
    with pytest.raises(FileError, match=said):
        load_noise(path)


def test_a_file_of_other_channels_or_without_noise_is_refused(
    tiny: Denoiser, tmp_path: Path
) -> None:
    save_noise(tmp_path / "two.json", [NoiseModel(read_noise=1)] * 2, "two.tif")
    with pytest.raises(ValueError, match="2 values but the data has 1 channels"):
        tiny.prepare(stepped(), "YX", noise_from=tmp_path / "two.json")
    tifffile.imwrite(tmp_path / "flat.tif", np.full((SIDE, SIDE), 3, np.uint8))
    with pytest.raises(FileError, match="no noise was found"):
        load_noise(tmp_path / "flat.tif")
    with pytest.raises(FileError, match=r"channel 1 of a\.tif holds only NaN"):
        save_noise(tmp_path / "none.json", [NoiseModel(read_noise=1), None], "a.tif")
