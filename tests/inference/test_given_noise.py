"""Noise that is given by hand: it acts on all data, and says the same as what was measured."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_denoise import Denoiser, NoiseModel
from napari_denoise.inference.stack import StackJob
from napari_denoise.settings.denoise import ChannelNoise

SIDE = 96


class Data(NamedTuple):
    """Two channels of one kind, and what a person would type for their noise."""

    noisy: NDArray[Any]
    clean: NDArray[Any]
    axes: str
    typed: dict[str, ChannelNoise | tuple[ChannelNoise, ...]]


def scene() -> NDArray[np.float64]:
    """(2, Y, X) in [0.1, 0.9]: a ramp with a bright square, and its mirror image."""
    plane = np.tile(np.linspace(0.1, 0.6, SIDE), (SIDE, 1))
    plane[20:60, 30:70] = 0.9
    return np.stack([plane, plane[:, ::-1]])


def modes(sd: float, gain: float, offset: float) -> dict[str, Any]:
    lags = (0.3, 0.1)
    return {
        "auto": "auto",
        "number": sd,
        "white": NoiseModel(read_noise=sd),
        "correlated": NoiseModel(read_noise=sd, correlation_y=lags, correlation_x=lags),
        "gain": NoiseModel(gain=gain, offset=offset, read_noise=sd / 4),
        "per channel": (sd, NoiseModel(read_noise=sd)),
    }


def photo() -> Data:
    rng = np.random.default_rng(0)
    clean = 200 * scene()[..., None] * np.array([1.0, 0.8, 0.6])
    noisy = clean + rng.normal(0, 12, clean.shape)
    return Data(noisy.astype(np.float32), clean, "CYXS", modes(12.0, 1.0, 0.0))


def microscopy() -> Data:
    rng = np.random.default_rng(1)
    clean = 1000 * scene()
    noisy = np.clip(clean + rng.normal(0, 80, clean.shape), 0, 65535).round()
    return Data(noisy.astype(np.uint16), clean, "CYX", modes(80.0, 12.0, 0.0))


def render() -> Data:
    rng = np.random.default_rng(2)
    clean = 0.6 * scene()[..., None] * np.array([1.0, 0.8, 0.6])
    noisy = clean * rng.gamma(4, 1 / 4, (2, SIDE, SIDE, 1))
    # About what is measured at the intensity that becomes 1/2, 2.5 times the mean here.
    return Data(noisy.astype(np.float32), clean, "CYXS", modes(0.3, 0.15, 0.0))


KINDS = {"photo": photo(), "microscopy": microscopy(), "render": render()}


def job(weights: str, noise: Any) -> StackJob:
    data = KINDS[weights]
    denoiser = Denoiser.load(weights, "cpu", "float32")
    return denoiser.prepare(data.noisy, data.axes, noise=noise)


def result(prepared: StackJob, data: Data) -> NDArray[Any]:
    done = np.empty(data.noisy.shape, prepared.dtype)
    for _ in prepared.into(done):
        pass
    return done


def psnr(image: NDArray[Any], clean: NDArray[Any]) -> float:
    return float(10 * np.log10(np.ptp(clean) ** 2 / np.square(image - clean).mean()))


@pytest.mark.parametrize("mode", ["auto", "number", "white", "correlated", "gain", "per channel"])
@pytest.mark.parametrize("weights", ["photo", "microscopy", "render"])
def test_every_kind_of_noise_is_taken_out_of_every_kind_of_data(weights: str, mode: str) -> None:
    data = KINDS[weights]
    prepared = job(weights, data.typed[mode])
    assert all(channel.scale.sigma > 0 for channel in prepared.channels)
    done = result(prepared, data)
    assert (done != data.noisy).mean() > 0.9
    assert psnr(done, data.clean) > psnr(data.noisy, data.clean) + 5


@pytest.mark.parametrize("typed", ["models", "numbers"])
@pytest.mark.parametrize("mapping", ["auto", "log"])
@pytest.mark.parametrize("weights", ["photo", "microscopy", "render"])
def test_measured_noise_typed_in_by_hand_gives_what_auto_gives(
    weights: str, mapping: str, typed: str
) -> None:
    data = KINDS[weights]
    denoiser = Denoiser.load(weights, "cpu", "float32")
    fixed = {"mapping": mapping if data.noisy.dtype.kind == "f" else "auto"}
    auto = denoiser.prepare(data.noisy, data.axes, **fixed)
    assert all(model.gain == 0 and model.is_white for model in auto.noise)
    noise: Any = auto.noise
    if typed == "numbers":
        noise = tuple(float(f"{model.read_noise:.4g}") for model in auto.noise)
    by_hand = denoiser.prepare(data.noisy, data.axes, noise=noise, **fixed)
    for one, other in zip(auto.channels, by_hand.channels, strict=True):
        assert other.scale.sigma == pytest.approx(one.scale.sigma, rel=0.02)
        assert other.noise.read_noise == pytest.approx(one.noise.read_noise, rel=1e-3)
    both = (psnr(result(prepared, data), data.clean) for prepared in (auto, by_hand))
    assert next(both) == pytest.approx(next(both), abs=0.05)


def test_a_measured_model_with_gain_and_correlation_gives_what_auto_gives() -> None:
    rng = np.random.default_rng(3)
    clean = 40 * scene()[0]
    counts = rng.poisson(np.broadcast_to(clean, (6, SIDE, SIDE))) * 5.0 + 100
    stack = (counts + 0.5 * np.roll(counts, 1, axis=-1)).astype(np.float32)
    denoiser = Denoiser.load("microscopy", "cpu", "float32")
    auto = denoiser.prepare(stack, "TYX")
    (model,) = auto.noise
    assert model.gain > 0 and not model.is_white
    by_hand = denoiser.prepare(stack, "TYX", noise=model)
    assert by_hand.channels == auto.channels


def test_the_provenance_of_a_render_says_what_a_typed_figure_means() -> None:
    prepared = job("render", 0.3)
    for channel in prepared.channels:
        values = channel.to_json()
        assert values["noise"]["read_noise"] == values["mapping"]["noise_sd"] == 0.3
        mapping = channel.mapping
        at_half = mapping.inverse(np.float32(0.5)), mapping.inverse(np.float32(0.501))
        slope = float(at_half[1] - at_half[0]) / 1e-3
        assert channel.scale.sigma == pytest.approx(0.3 / slope, rel=0.01)


def test_given_noise_that_is_none_where_the_data_lie_is_said() -> None:
    denoiser = Denoiser.load("microscopy", "cpu", "float32")
    data = KINDS["microscopy"].noisy
    dark = NoiseModel(gain=2.0, offset=60000.0)
    for mapping in ("auto", "affine"):
        prepared = denoiser.prepare(data, "CYX", noise=("auto", dark), mapping=mapping)
        if prepared.channels[1].scale.sigma == 0:
            (text,) = prepared.warnings
            assert text.startswith("the noise that was given is none at the intensities of channel")
    assert prepared.channels[1].scale.sigma == 0
    assert not denoiser.prepare(data, "CYX", noise=0.0).warnings
