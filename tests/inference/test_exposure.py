"""A sequence of renders has one mapping: exposure neither flickers nor matters."""

import numpy as np
import pytest

from _networks import write_tiny_weights
from napari_denoise import Denoiser
from napari_denoise.measure.mappings import LogMapping

# Frames of mere noise show nothing in common, which is said.
pytestmark = pytest.mark.filterwarnings("ignore:frames along")

JUMPS = (1.0, 8.0, 0.25, 1.0)
"""What every frame is multiplied by."""


@pytest.fixture(scope="module")
def denoiser(tmp_path_factory: pytest.TempPathFactory) -> Denoiser:
    path = tmp_path_factory.mktemp("weights") / "render.safetensors"
    return Denoiser.load(str(write_tiny_weights(path, channels=3, features=8)), device="cpu")


def radiance(*shape: int) -> np.ndarray:
    return np.random.default_rng(2).gamma(1.0, 1.0, (*shape, 3)).astype(np.float32)


def test_what_stays_the_same_in_a_sequence_does_not_flicker_where_a_lamp_goes_on(denoiser) -> None:
    sequence = np.repeat(radiance(1, 24, 120), len(JUMPS), axis=0)
    for frame, factor in zip(sequence, JUMPS, strict=True):
        frame[:, 80:] *= factor
    clean = denoiser(sequence, axes="TYXS")
    far = clean[:, :, :24]  # beyond the reach of the network
    assert np.ptp(clean[:, :, 80:].mean((1, 2, 3))) > 1
    np.testing.assert_array_equal(far, np.broadcast_to(far[0], far.shape))


def test_frames_of_any_exposure_go_through_the_mapping_of_the_whole_sequence(denoiser) -> None:
    frame = radiance(24, 40)
    sequence = frame * np.array(JUMPS, np.float32)[:, None, None, None]
    job = denoiser.prepare(sequence, "TYXS")
    (channel,) = job.provenance()["channels"]
    steady = denoiser.prepare(frame * np.float32(np.mean(JUMPS)), "YXS").provenance()
    assert channel["mapping"]["level"] == pytest.approx(
        steady["channels"][0]["mapping"]["level"], rel=1e-5
    )
    clean = denoiser(sequence, axes="TYXS")
    np.testing.assert_array_equal(clean[0], clean[3])
    # A mapping per frame would make this one a multiple of the other.
    assert not np.allclose(clean[1], JUMPS[1] * clean[0], rtol=0.01)


def test_a_factor_on_all_of_a_sequence_is_a_factor_on_its_result(denoiser) -> None:
    sequence = radiance(3, 24, 40) * np.array(JUMPS[:3], np.float32)[:, None, None, None]
    once = denoiser(sequence, axes="TYXS")
    np.testing.assert_allclose(denoiser(50 * sequence, axes="TYXS"), 50 * once, rtol=2e-3)


def test_a_sky_of_one_colour_is_light_and_no_fill() -> None:
    rng = np.random.default_rng(0)
    frame = (rng.gamma(3, 1 / 3, (96, 96, 3)) * 0.4).astype(np.float32)
    frame[:40] = 0.05
    channel = Denoiser.load("render", "cpu").prepare(frame, "YXS").channels[0]
    assert channel.fill == ()
    whole = LogMapping.of_exposure(float(frame.mean())).level
    assert channel.mapping.level == pytest.approx(whole, rel=0.05)
    frame[:40] = 0  # without any light: it stays as it is
    assert Denoiser.load("render", "cpu").prepare(frame, "YXS").channels[0].fill == (0.0,)
