"""Alpha of a render is denoised as its colour is, and stays where it has no noise."""

from __future__ import annotations

import numpy as np
import pytest

from napari_denoise import Denoiser, DenoiseSettings, ImageMeta

# Nothing lies around the things of these scenes, which is said.
pytestmark = pytest.mark.filterwarnings("ignore:.*constant 0")

META = ImageMeta("YXS", extra={"format": "exr"})
RNG = np.random.default_rng(0)
YY, XX = np.mgrid[:96, :96]
SOFT = np.clip((44 - np.hypot(YY - 48, XX - 48)) / 24, 0, 1).astype(np.float32)
SAMPLES = (RNG.binomial(8, SOFT) / 8).astype(np.float32)
LIGHT = (0.4 + XX / 200).astype(np.float32) * RNG.gamma(4, 1 / 4, (96, 96)).astype(np.float32)


def frame(alpha: np.ndarray) -> np.ndarray:
    return np.stack([LIGHT * alpha, LIGHT * alpha * 0.8, LIGHT * alpha * 0.5, alpha], -1)


@pytest.fixture(scope="module")
def render() -> Denoiser:
    return Denoiser.load("render", device="cpu")


def test_sampled_alpha_comes_closer_to_what_it_samples(render: Denoiser) -> None:
    clean = render(frame(SAMPLES), meta=META)
    before, after = (np.sqrt(np.square(a - SOFT).mean()) for a in (SAMPLES, clean[..., 3]))
    assert after < before / 4
    assert clean[..., 3].min() >= 0 and clean[..., 3].max() <= 1
    assert (clean[:3, :3, 3] == 0).all()  # far from any edge nothing moves


def test_tiles_of_alpha_equal_the_whole(render: Denoiser) -> None:
    noisy = frame(SAMPLES)
    whole, tiled = (render(noisy, meta=META, tile=size)[..., 3] for size in (1024, 32))
    assert np.abs(whole - tiled).max() <= 1e-5


def test_alpha_is_kept_on_request_and_in_results_of_versions_that_kept_it(
    render: Denoiser,
) -> None:
    noisy = frame(SAMPLES)
    np.testing.assert_array_equal(render(noisy, meta=META, alpha="keep")[..., 3], SAMPLES)
    assert DenoiseSettings.of_result({"settings": {"strength": 0.5}}).alpha == "keep"


@pytest.mark.parametrize("kind", ["soft", "hard", "opaque"])
def test_alpha_without_noise_stays_as_it_is(render: Denoiser, kind: str) -> None:
    alpha = {"soft": SOFT, "hard": (SOFT > 0.5).astype(np.float32), "opaque": np.ones_like(SOFT)}
    job = render.prepare(frame(alpha[kind]), meta=META)
    assert job.alpha is None
    *_, last = job.steps()
    assert last.result is not None
    np.testing.assert_array_equal(last.result[..., 3], alpha[kind])


def test_alpha_of_a_photograph_is_left_alone(render: Denoiser) -> None:
    photo = (frame(SAMPLES) * 200).astype(np.uint8)
    job = render.prepare(photo, "YXS")
    assert job.alpha is None


def test_strength_holds_for_alpha_too(render: Denoiser) -> None:
    job = render.prepare(frame(SAMPLES), meta=META)
    assert job.alpha is not None and "alpha" in job.provenance()
    none = job.adjusted(strength=0.0, tile="auto")
    *_, last = none.steps()
    assert last.result is not None
    np.testing.assert_array_equal(last.result[..., 3], SAMPLES)
