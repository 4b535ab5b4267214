"""What a file says of its data is true for fine-tuning as it is for denoising."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from _networks import write_tiny_weights
from napari_denoise import Denoiser, ImageMeta, write
from napari_denoise.settings.denoise import DenoiseSettings
from napari_denoise.settings.finetune import FineTuneSettings
from napari_denoise.training.data.real_pairs import Pair, open_pair, pair_of, pair_of_repeats
from napari_denoise.training.data.regions import Region, Regions
from napari_denoise.training.finetune.held_out import HeldOutSet
from napari_denoise.training.finetune.material import gather
from napari_denoise.training.finetune.prepared import _base_of
from napari_denoise.weights.catalogue import WeightsInfo, read_info

EXR = ImageMeta("YXS", extra={"format": "exr"})


def dim(seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A noisy render of less than 1 throughout, and its clean one."""
    clean = 0.1 * np.linspace(0.2, 1.0, 64)[:, None, None] * np.ones((64, 96, 3))
    noisy = clean * np.random.default_rng(seed).gamma(5, 1 / 5, (64, 96, 1))
    return noisy.astype(np.float32), clean.astype(np.float32)


@pytest.fixture(scope="module")
def affine(tmp_path_factory: pytest.TempPathFactory) -> WeightsInfo:
    folder = tmp_path_factory.mktemp("weights")
    return read_info(write_tiny_weights(folder / "colour.safetensors", channels=3))


@pytest.fixture(scope="module")
def render(tmp_path_factory: pytest.TempPathFactory) -> WeightsInfo:
    folder = tmp_path_factory.mktemp("weights")
    return read_info(write_tiny_weights(folder / "r.safetensors", channels=3, features=8))


def test_a_pair_knows_what_its_file_says(tmp_path: Path) -> None:
    noisy, clean = dim()
    features = {"albedo": np.full(noisy.shape, 0.5, np.float32)}
    write(tmp_path / "noisy.exr", noisy, ImageMeta("YXS", features=features))
    write(tmp_path / "clean.exr", clean, ImageMeta("YXS"))
    pair = open_pair(tmp_path / "noisy.exr", tmp_path / "clean.exr")
    assert (pair.axes, pair.linear, set(pair.features)) == ("YXS", True, {"albedo"})
    told = ImageMeta("YX", extra={"significant_bits": 12, "napari_denoise": {"weights": "x"}})
    whole = (1000 * clean[..., 0]).astype(np.uint16)
    pair = pair_of("a", whole, whole, meta=told)
    assert (pair.bits, pair.denoised, pair.linear) == (12, True, False)
    assert not pair_of("a", whole, whole, meta=told, denoised=False).denoised
    with pytest.raises(ValueError, match="axes = 'XY', but meta says 'YX'"):
        pair_of("a", whole, whole, "XY", meta=told)


def test_repeats_know_it_too() -> None:
    shots = np.stack([dim(seed)[0] for seed in range(9)])
    meta = ImageMeta("TYXS", extra={"format": "exr"})
    for count in (3, 9):
        assert pair_of_repeats("a", shots[:count], meta=meta).linear
    assert not pair_of_repeats("a", shots, "TYXS").linear


def test_the_base_is_what_denoising_would_take() -> None:
    noisy, clean = dim()
    settings = FineTuneSettings.parse({})
    assert _base_of([pair_of("a", noisy, clean, meta=EXR)], settings) == "render"
    assert _base_of([pair_of("a", noisy, clean, "YXS")], settings) == "photo"


def test_a_dim_render_is_learnt_and_measured_as_it_is_denoised(affine: WeightsInfo) -> None:
    pair = pair_of("a", *dim(), meta=EXR)
    regions = Regions((Region("validate", (0, 0, 32, 32)),))
    material = gather([pair], regions, FineTuneSettings.parse({}), affine)
    assert material.log_width is not None  # mapped by the logarithm
    views = HeldOutSet(material.held_out, FineTuneSettings.parse({}), affine, "cpu")
    job = Denoiser(affine, "cpu", "float32").prepare(pair.noisy, meta=EXR)
    assert views.radiance and views.channels == [job.channels]


@pytest.mark.parametrize("noise", [0.05, {"read_noise": 0.05}, {"gain": 0.03}])
def test_given_noise_of_renders_is_told_to_the_network(render: WeightsInfo, noise: object) -> None:
    pair: Pair = pair_of("a", *dim(), meta=EXR)
    settings = FineTuneSettings.parse({"noise": noise})
    material = gather([pair], Regions(), settings, render)
    (frame,) = material.frames
    asked = DenoiseSettings.parse({"noise": noise})
    (channel,) = Denoiser(render, "cpu", "float32").prepare(pair.noisy, "YXS", None, asked).channels
    told = channel.scale.sigma * channel.scale.factor
    assert frame.sigma == pytest.approx(told, rel=0.02)  # some pixels are held out
    assert frame.sigma > 0
