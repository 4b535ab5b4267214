"""With the bundled weights: an estimate of the noise that does not fit its result is not used."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import convolve1d

from _networks import write_tiny_weights
from napari_denoise import Denoiser, DenoiseWarning, NoiseModel
from napari_denoise.engines.torch import TorchEngine
from napari_denoise.inference import checked
from napari_denoise.inference.checked import Seen, Verdict
from napari_denoise.measure.sampled import SampledFrames

SIDE = 192


@pytest.fixture(scope="module")
def model() -> Denoiser:
    return Denoiser.load("microscopy", "cpu", "float32")


def light() -> Any:
    """Lines and soft spots, 0 to 1 and a dark ground."""
    rng = np.random.default_rng(2)
    y, x = np.mgrid[:SIDE, :SIDE]
    image = np.zeros((SIDE, SIDE))
    for _ in range(14):
        cy, cx = rng.uniform(0, SIDE, 2)
        angle = rng.uniform(0, np.pi)
        across = -(x - cx) * np.sin(angle) + (y - cy) * np.cos(angle)
        image += rng.uniform(0.1, 0.5) * np.exp(-(across**2) / 6)
        image += rng.uniform(0.1, 0.4) * np.exp(-((y - cx) ** 2 + (x - cy) ** 2) / 200)
    return image


def photons(most: float) -> Any:
    rng = np.random.default_rng(1)
    noisy = rng.poisson(light() * most) * 2.2 + 100 + rng.normal(0, 3, (SIDE, SIDE))
    return np.clip(np.rint(noisy), 0, 65535).astype(np.uint16)


def gaussian(sd: float, kernel: tuple[float, ...] = (1.0,)) -> Any:
    noise = np.random.default_rng(1).normal(0, 1, (SIDE, SIDE))
    for axis in (0, 1):
        noise = convolve1d(noise, np.array(kernel) / np.linalg.norm(kernel), axis=axis)
    return (100 * light() + 100 + sd * noise).astype(np.float32)


def estimating(change: Callable[[NoiseModel], NoiseModel]) -> Any:
    """An estimate that is carried away."""
    original = SampledFrames.estimating_noise

    def estimate(samples: SampledFrames) -> Generator[None, None, NoiseModel]:
        return change((yield from original(samples)))

    return estimate


def decibels(truth: Any, image: Any) -> float:
    error = np.asarray(image, float) - truth
    return float(10 * np.log10(np.ptp(truth) ** 2 / np.mean(error**2)))


WRONG = {
    "100 times": lambda noise: noise.scaled(100),
    "a hundredth": lambda noise: noise.scaled(0.01),
    "a gain from nowhere": lambda noise: NoiseModel(60_000, noise.offset, 348),
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize(
    ("truth", "noisy"),
    [(light() * 66 + 100, photons(30)), (light() * 100 + 100, gaussian(8))],
    ids=["photons", "gaussian"],
)
def test_an_estimate_that_is_carried_away_is_replaced(
    model: Denoiser, monkeypatch: pytest.MonkeyPatch, truth: Any, noisy: Any, change: Any
) -> None:
    right = decibels(truth, model(noisy, axes="YX"))
    monkeypatch.setattr(SampledFrames, "estimating_noise", estimating(change))
    with pytest.warns(DenoiseWarning, match="is used in its place"):
        result = model(noisy, axes="YX")
    # Without the check 3.9 to 40 dB are lost. A gain from nowhere leaves no more than white noise.
    assert decibels(truth, result) > right - (6 if change is WRONG["a gain from nowhere"] else 2)
    assert decibels(truth, result) > decibels(truth, noisy) + 3


GOOD = {
    "0.3 photons": lambda: photons(0.3),
    "3 photons": lambda: photons(3),
    "300 photons": lambda: photons(300),
    "counts, most of them 0": lambda: np.random.default_rng(0).poisson(light() * 0.2 + 0.002),
    "white": lambda: gaussian(5),
    "correlated": lambda: gaussian(8, (0.25, 0.7, 1, 0.7, 0.25)),
    "a ramp": lambda: gaussian(0) + np.arange(SIDE, dtype=np.float32),
    "saturated": lambda: np.minimum(photons(30), 130),
}


@pytest.mark.parametrize("made", GOOD.values(), ids=GOOD)
def test_a_good_estimate_raises_no_alarm(model: Denoiser, made: Callable[[], Any]) -> None:
    job = model.prepare(made().astype(np.float32), "YX")
    assert not [text for text in job.warnings if "noise that was" in text]


@pytest.mark.parametrize(("times", "said"), [(10, "times what the data hold"), (0.1, "times less")])
def test_noise_that_was_given_is_kept_and_judged(model: Denoiser, times: float, said: str) -> None:
    job = model.prepare(gaussian(8), "YX", noise=8 * times)
    assert job.noise == (NoiseModel(read_noise=8 * times),)
    (text,) = job.warnings
    assert re.search(f"given is some 1?[09][.0-9]* {said}", text)
    assert model.prepare(gaussian(8), "YX", noise=8.0).warnings == ()


def test_it_is_said_when_nothing_fits(model: Denoiser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        SampledFrames, "estimating_noise", estimating(lambda noise: noise.scaled(100))
    )
    monkeypatch.setattr(checked, "with_noise", lambda channel, *_: channel)
    job = model.prepare(gaussian(8), "YX")
    assert job.noise[0].read_noise == pytest.approx(80, rel=0.1)
    assert any("no other was found that fits" in text for text in job.warnings)


def test_blank_frames_and_fill_are_not_what_is_judged(model: Denoiser) -> None:
    stack = np.stack([photons(30)] * 3)
    stack[1] = 0
    stack[:, :, 120:] = 0
    job = model.prepare(stack, "TYX")
    assert not [text for text in job.warnings if "noise that was" in text]


def test_random_weights_are_no_witness(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TorchEngine, "run", lambda *_: pytest.fail("the network was asked"))
    tiny = Denoiser.load(write_tiny_weights(tmp_path / "tiny.safetensors"), "cpu", "float32")
    assert tiny.prepare(gaussian(8), "YX", noise=80.0).warnings == ()


def test_without_memory_for_the_check_there_is_none(
    model: Denoiser, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(TorchEngine, "run", full)
    assert model.prepare(gaussian(8), "YX", noise=80.0).warnings == ()


def seen(**changed: Any) -> Seen:
    """What is seen of white noise of variance 1 that is taken out."""
    ones, rng = np.ones(200), np.random.default_rng(0)
    usual: dict[str, Any] = {
        **dict.fromkeys(("found", "slope", "removed", "variance"), ones),
        **dict.fromkeys(("left", "error", "shift", "mapped"), 0 * ones),
        "light": rng.uniform(0, 2, 200),
        "flat": np.zeros(200, bool),
    }
    return Seen(**(usual | {name: value * ones for name, value in changed.items()}))


@pytest.mark.parametrize(("itself", "moved"), [(0.0, True), (1.0, False)])
def test_an_estimate_answers_for_what_its_mapping_does_to_the_mean(
    itself: float, moved: bool
) -> None:
    assert Verdict.of(seen(shift=0.3, mapped=0.3 * itself)).moved == moved


@pytest.mark.parametrize(("slope", "too_little"), [(1, True), (3, False)])
def test_only_white_detail_that_stays_is_noise(slope: float, too_little: bool) -> None:
    assert Verdict.of(seen(found=10, left=5, slope=slope)).too_little == too_little
    assert not Verdict.of(seen(found=10, left=1)).too_little
    assert Verdict.of(seen()).fits
