"""Albedo and normal reach the network, frame by frame and tile by tile."""

from pathlib import Path

import numpy as np
import pytest
import torch

from _networks import write_tiny_weights
from napari_denoise import Denoiser
from napari_denoise.image.axes import Layout
from napari_denoise.inference.albedo import guide_steps
from napari_denoise.inference.guides import SPARED, Features
from napari_denoise.measure.mappings import LogMapping
from napari_denoise.models.registry import build
from napari_denoise.weights.card import WeightsCard
from napari_denoise.weights.files import save_weights

# Frames of mere noise show nothing in common, which is said.
pytestmark = pytest.mark.filterwarnings("ignore:frames along")

CONFIG = {"channels": 3, "widths": (8, 8), "blocks": (1, 1, 1), "features": 8}


@pytest.fixture(scope="module")
def render_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "render.safetensors"
    card = WeightsCard(
        title="tiny",
        architecture="two-scale",
        config=CONFIG,
        domain="render",
        channels=3,
        mapping="log",
        noise_range=(0.0, 0.5),
    )
    save_weights(path, card, build("two-scale", CONFIG).state_dict())
    return path


@pytest.fixture
def scene() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    rng = np.random.default_rng(1)
    colour = rng.gamma(1.0, 1.0, (2, 61, 83, 3)).astype(np.float32)
    features = {
        "albedo": rng.random((2, 61, 83, 3), np.float32),
        "normal": rng.uniform(-1, 1, (2, 61, 83, 3)).astype(np.float16),
    }
    return colour, features


def test_features_change_the_result_and_each_of_them_counts(render_weights, scene) -> None:
    colour, features = scene
    denoiser = Denoiser.load(str(render_weights), device="cpu")
    alone = denoiser(colour, axes="TYXS")
    both = denoiser(colour, axes="TYXS", features=features)
    albedo = denoiser(colour, axes="TYXS", features={"albedo": features["albedo"]})
    assert not np.allclose(alone, both)
    assert not np.allclose(albedo, both)
    assert not np.allclose(albedo, alone)


def test_tiles_with_features_equal_the_whole(render_weights, scene) -> None:
    colour, features = scene
    denoiser = Denoiser.load(str(render_weights), device="cpu")
    whole = denoiser(colour, axes="TYXS", features=features, tile=1024)
    tiled = denoiser(colour, axes="TYXS", features=features, tile=16)
    assert np.abs(tiled - whole).max() <= 1e-5 * np.ptp(colour)


def test_a_region_with_features_equals_that_part_of_the_whole(render_weights, scene) -> None:
    colour, features = scene
    job = Denoiser.load(str(render_weights), device="cpu").prepare(colour, "TYXS", features)
    *_, whole = job.steps([1])
    part = job.region(1, slice(17, 40), slice(30, 71))
    assert np.allclose(part, whole.result[17:40, 30:71], rtol=0, atol=1e-5 * np.ptp(colour))


def test_the_albedo_guides_without_its_noise(render_weights, scene) -> None:
    colour, features = scene
    denoiser = Denoiser.load(str(render_weights), device="cpu")
    job = denoiser.prepare(colour, "TYXS", features)
    *_, last = guide_steps(job.features, job.albedo, 1, (slice(0, 61), slice(0, 83)))
    noisy = features["albedo"][1].transpose(2, 0, 1)
    alone = np.clip(denoiser(features["albedo"], axes="TYXS")[1], -1, 1).transpose(2, 0, 1)
    power = np.mean((alone - noisy) ** 2, axis=0)
    much, little = power > 0.1**2, power < 0.005**2
    assert much.any() and np.abs(last.result[:3] - alone)[:, much].max() < 0.03
    assert not little.any() or np.abs(last.result[:3] - noisy)[:, little].max() < 0.001
    assert np.allclose(
        last.result[:3], noisy + (alone - noisy) * power / (power + SPARED**2), atol=1e-5
    )
    assert np.array_equal(last.result[3:6], features["normal"][1].transpose(2, 0, 1))
    assert job.provenance()["albedo"] == [job.albedo.channels[0].to_json()]


def test_the_tiles_of_the_albedo_are_progress_too(render_weights, scene) -> None:
    colour, features = scene
    denoiser = Denoiser.load(str(render_weights), device="cpu")
    plain = [*denoiser.prepare(colour, "TYXS", tile=32).steps()]
    guided = [*denoiser.prepare(colour, "TYXS", features, tile=32).steps()]
    assert guided[0].tiles > plain[0].tiles
    fractions = [step.fraction for step in guided]
    assert fractions == sorted(set(fractions)) and fractions[-1] == 1
    assert [step.index[0] for step in guided if step.result is not None] == [0, 1]


def test_the_albedo_is_denoised_faithfully_at_any_realism(tmp_path, scene) -> None:
    colour, features = scene
    path = write_tiny_weights(tmp_path / "w.safetensors", 3, features=8, realistic=True)
    denoiser = Denoiser.load(str(path), device="cpu")
    faithful, realistic = (
        denoiser.prepare(colour, "TYXS", features, realism=realism) for realism in (0.0, 1.0)
    )
    assert realistic.engine is not faithful.engine
    assert realistic.albedo.engine is faithful.engine
    window = slice(0, 61), slice(0, 83)
    ends = [job.albedo.region(0, *window) for job in (faithful, realistic)]
    assert np.array_equal(*ends)


def test_an_albedo_of_little_noise_is_not_rounded(render_weights, scene) -> None:
    colour, features = scene
    smooth = {"albedo": np.linspace(0.2, 0.8, colour.size, dtype=np.float32).reshape(colour.shape)}
    denoiser = Denoiser.load(str(render_weights), device="cpu", precision="bfloat16")
    job = denoiser.prepare(colour, "TYXS", smooth)
    assert (job.engine.dtype, job.albedo.engine.dtype) == (torch.bfloat16, torch.float32)
    assert denoiser.prepare(colour, "TYXS", features).albedo.engine.dtype == torch.bfloat16


def test_an_albedo_without_values_is_refused(render_weights, scene) -> None:
    colour, features = scene
    nothing = {"albedo": np.full_like(features["albedo"], np.nan)}
    with pytest.raises(ValueError, match=r"albedo: the data holds only NaN.*or leave it out"):
        Denoiser.load(str(render_weights), device="cpu").prepare(colour, "TYXS", nothing)


def test_any_order_of_axes_gives_the_same_pixels(render_weights, scene) -> None:
    colour, features = scene
    denoiser = Denoiser.load(str(render_weights), device="cpu")
    expected = denoiser(colour, axes="TYXS", features=features)
    turned = {role: array.transpose(3, 0, 2, 1) for role, array in features.items()}
    got = denoiser(colour.transpose(3, 0, 2, 1), axes="STXY", features=turned)
    assert np.allclose(got, expected.transpose(3, 0, 2, 1), atol=1e-5)


def test_alpha_that_is_kept_passes_through_beside_features(render_weights, scene) -> None:
    colour, features = scene
    alpha = np.random.default_rng(2).random((2, 61, 83, 1), np.float32)
    result = Denoiser.load(str(render_weights), device="cpu")(
        np.concatenate([colour, alpha], axis=-1), axes="TYXS", features=features, alpha="keep"
    )
    assert np.array_equal(result[..., 3:], alpha)


def test_exposure_scales_the_result_and_nothing_else(render_weights, scene) -> None:
    colour, features = scene
    denoiser = Denoiser.load(str(render_weights), device="cpu")
    once = denoiser(colour, axes="TYXS", features=features)
    brighter = denoiser(4 * colour, axes="TYXS", features=features)
    assert np.allclose(brighter, 4 * once, rtol=1e-4, atol=1e-5)


def test_a_bad_feature_pixel_stays_a_number(render_weights, scene) -> None:
    colour, features = scene
    features["normal"][0, 5, 5] = np.nan
    features["albedo"][0, 6, 6] = np.inf
    result = Denoiser.load(str(render_weights), device="cpu")(
        colour, axes="TYXS", features=features
    )
    assert np.isfinite(result).all()


def test_features_that_do_not_fit_are_refused(scene) -> None:
    layout = Layout("TYXS", (2, 61, 83, 3))
    with pytest.raises(ValueError, match=r"albedo has shape .*expected \(2, 61, 83, 3\)"):
        Features({"albedo": np.zeros((61, 83, 3))}, layout)
    with pytest.raises(ValueError, match="expected albedo and normal"):
        Features({"depth": np.zeros((2, 61, 83, 3))}, layout)
    with pytest.raises(ValueError, match="no colour"):
        Features({"albedo": np.zeros((61, 83, 3))}, Layout("YX", (61, 83)))


def test_weights_that_take_no_features_say_so(tmp_path: Path, scene) -> None:
    colour, features = scene
    path = write_tiny_weights(tmp_path / "photo.safetensors", channels=3)
    job = Denoiser.load(str(path), device="cpu").prepare(colour, "TYXS", features)
    assert any("no use of albedo and normal" in text for text in job.warnings)
    assert job.provenance()["features"] == ["albedo", "normal"]


def test_the_exposure_mapping_is_one_curve_for_every_exposure() -> None:
    radiance = np.geomspace(1e-3, 50, 100).astype(np.float32)
    dim, bright = LogMapping.of_exposure(0.7), LogMapping.of_exposure(70.0)
    assert np.allclose(dim.forward(radiance), bright.forward(100 * radiance), atol=1e-6)
    assert np.allclose(dim.inverse(dim.forward(radiance)), radiance, rtol=1e-5)
