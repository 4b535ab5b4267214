"""Steps carry tiles: frames too large to be held, targets that take tiles, engines of any kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from _networks import write_tiny_weights
from napari_denoise import Denoiser, DenoiseSettings, DenoiseWarning, NoiseModel
from napari_denoise.engines.base import Engine, Estimate
from napari_denoise.image import frames
from napari_denoise.image.axes import Layout
from napari_denoise.inference.stack import StackJob
from napari_denoise.measure.channels import measure, measured
from napari_denoise.measure.outliers import FILL_REACH

# Frames of mere noise show nothing in common, which is said.
pytestmark = pytest.mark.filterwarnings("ignore:frames along")

NOISE = NoiseModel(gain=0.5, offset=10, read_noise=2)
FIXED: dict[str, Any] = {"noise": NOISE, "intensity_range": (50, 250), "neighbors": 0}


@pytest.fixture(scope="module")
def gray(tmp_path_factory: pytest.TempPathFactory) -> Denoiser:
    folder = tmp_path_factory.mktemp("weights")
    return Denoiser.load(write_tiny_weights(folder / "gray.safetensors"), "cpu", "float32")


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let frames of more than a few pixels count as too large to be held."""
    monkeypatch.setattr(frames, "LARGE_BYTES", 100)


def noisy(shape: tuple[int, ...], dtype: Any = np.uint16) -> Any:
    return np.random.default_rng(0).integers(50, 250, shape).astype(dtype)


class Watched:
    """An array that notes how many rows and columns it is asked for at once."""

    def __init__(self, array: Any) -> None:
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.sizes: list[tuple[int, ...]] = []

    def __getitem__(self, index: Any) -> Any:
        part = self.array[index]
        self.sizes.append(part.shape[-2:])
        return part


class Halving:
    """An engine that knows no PyTorch: it halves what it gets and states a map of its error."""

    channels, features, halo, multiple, bytes_per_pixel = 1, 0, 8, 4, 100
    device, precision = "cpu", "float32"

    def __init__(self) -> None:
        self.maps: list[Any] = []

    def run(self, image: Any, sigma: Any, features: Any = None, keep: Any = None) -> Estimate:
        self.maps.append(np.array(sigma))
        assert features is None and sigma.shape == (1, *image.values.shape[1:])
        values, error = image.to_float32()[:, *keep], np.square(sigma)[:, *keep]
        return Estimate(values / 2, np.broadcast_to(error, values.shape))


def halved(array: Any, axes: str, engine: Engine, **fields: Any) -> StackJob:
    """Prepare a stack for an engine that is no network."""
    info = Denoiser.load("microscopy", "cpu").info
    assert info is not None
    layout, settings = Layout(axes, array.shape), DenoiseSettings.parse(fields)
    channels = measured(array, layout, info.card, settings)
    return StackJob(array, layout, settings, channels, engine, info)


@pytest.mark.parametrize("tile", [64, 128])
def test_a_frame_that_is_not_held_gives_the_pixels_of_one_that_is(
    gray: Denoiser, tile: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = noisy((2, 200, 170), np.float32)
    image[0, 60:65, 63:66] = np.nan  # across the border of tiles
    image[1, 5, 7] = np.inf
    with pytest.warns(DenoiseWarning, match="16 pixels"):
        whole = gray(image, axes="TYX", tile=tile, **FIXED)
    monkeypatch.setattr(frames, "LARGE_BYTES", 100)
    watched = Watched(image)
    job = gray.prepare(watched, "TYX", tile=tile, **FIXED)
    watched.sizes.clear()  # measuring looks at whole frames
    found = np.empty_like(image)
    for step in job.into(found):
        assert step.tiles > 1
    assert np.abs(found - whole).max() <= 1e-5 * 200
    most = tile + 2 * job.engine.halo + 2 * FILL_REACH
    assert max(max(size) for size in watched.sizes) <= most
    assert "16 pixels were NaN or infinite" in job.warnings[0]


def test_pixels_without_a_finite_one_near_do_not_depend_on_the_tiles(
    gray: Denoiser, large: None
) -> None:
    image = noisy((150, 160), np.float32)
    image[40:110, 50:120] = np.nan
    with pytest.warns(DenoiseWarning, match="4900 pixels"):
        results = [gray(image, tile=tile, **FIXED) for tile in (64, 100, 1024)]
    for other in results[1:]:
        assert np.abs(other - results[0]).max() <= 1e-5 * 200
    assert np.isfinite(results[0]).all()


def test_colour_and_alpha_of_a_frame_that_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    denoiser = Denoiser.load(write_tiny_weights(tmp_path / "c.safetensors", 3), "cpu", "float32")
    image = noisy((90, 100, 4), np.uint8)
    whole = denoiser(image, axes="YXS", noise=20.0, tile=64)
    monkeypatch.setattr(frames, "LARGE_BYTES", 100)
    assert np.abs(denoiser(image, axes="YXS", noise=20.0, tile=64).astype(int) - whole).max() <= 1
    assert np.array_equal(denoiser(image, axes="YXS", noise=20.0)[..., 3], image[..., 3])


@pytest.mark.parametrize("axes", ["TYX", "YXT", "CXY"])
def test_tiles_fill_any_target_whatever_the_order_of_axes(
    gray: Denoiser, tmp_path: Path, axes: str
) -> None:
    shape = tuple({"T": 2, "C": 2, "Y": 70, "X": 90}[a] for a in axes)
    image = noisy(shape)
    job = gray.prepare(image, axes, tile=64, noise=NOISE)
    store = zarr.create_array(tmp_path / "clean.zarr", shape=shape, dtype=image.dtype)
    steps = list(job.into(store))
    assert np.array_equal(store[...], gray(image, axes, tile=64, noise=NOISE))
    assert [step.ends_frame for step in steps].count(True) == 2
    assert steps[-1].ends_frame


def test_an_engine_sees_mapped_values_and_a_map_and_its_error_is_handed_on() -> None:
    image = noisy((40, 50), np.float32)
    engine = Halving()
    job = halved(image, "YX", engine, mapping="affine", noise=20.0, intensity_range=(0, 200))
    (step,) = job.tiles()
    assert step.pixels == pytest.approx(image / 2, rel=1e-5)
    assert (engine.maps[0] == np.float32(0.1)).all()
    assert step.variance is not None
    assert step.variance == pytest.approx(np.full((1, 40, 50), 0.01), rel=1e-5)


def test_the_error_of_squeezed_noise_is_stated_in_mapped_units() -> None:
    image = noisy((40, 50), np.float32)
    engine = Halving()
    job = halved(image, "YX", engine, mapping="affine", noise=150.0, intensity_range=(0, 200))
    (step,) = job.tiles()
    factor = job.channels[0].scale.factor
    assert factor < 1
    assert (engine.maps[0] == np.float32(0.75 * factor)).all()
    assert step.variance == pytest.approx(np.full((1, 40, 50), 0.75**2), rel=1e-5)


def test_measuring_can_be_left_within_a_frame(gray: Denoiser) -> None:
    watched = Watched(noisy((9, 64, 64)))
    info = gray.info
    assert info is not None
    work = measure(watched, Layout("TYX", watched.shape), info.card, DenoiseSettings())
    first = next(work)
    assert (first.channel, first.channels, first.times) == (0, 1, 1)
    assert len(watched.sizes) == 1
    work.close()
    assert len(watched.sizes) == 1


def test_preparing_tells_of_every_frame_and_channel_looked_at(gray: Denoiser) -> None:
    image = noisy((2, 3, 64, 64))
    work, looked = gray.preparing(image, "CTYX", neighbors=0), []
    while True:
        try:
            looked.append(next(work))
        except StopIteration as end:
            job = end.value
            break
    assert [*dict.fromkeys(event.channel for event in looked if event is not None)] == [0, 1]
    assert len(looked) == 2 * (3 + 2 + 3 + 2)  # read, pairs judged, cut alone and in pairs
    assert job.noise == gray.prepare(image, "CTYX").noise
