"""What a file says of its data reaches every call, and means the same in each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from _networks import write_tiny_weights
from napari_denoise import Denoiser, DenoiseSettings, DenoiseWarning, ImageMeta, read, write
from napari_denoise.batch import denoise_file, plan
from napari_denoise.image.tone import tone_mapped
from napari_denoise.inference.described import described

EXR = {"format": "exr"}


def radiance(scale: float) -> NDArray[np.float32]:
    """(Y, X, S) of sampled light."""
    rng = np.random.default_rng(0)
    light = scale * np.linspace(0.2, 1.0, 64)[:, None, None] * np.ones((64, 72, 3))
    return (light * rng.gamma(3, 1 / 3, (64, 72, 1))).astype(np.float32)


def lobes() -> NDArray[np.float32]:
    image = radiance(4.0)
    image[5, 5] = -0.001
    return image


def motion() -> NDArray[np.float32]:
    return radiance(0.3) - np.float32(0.2)


@pytest.fixture(scope="module")
def automatic() -> Denoiser:
    return Denoiser.load("auto", "cpu", "float32")


@pytest.fixture(scope="module")
def affine(tmp_path_factory: pytest.TempPathFactory) -> Denoiser:
    path = tmp_path_factory.mktemp("weights") / "colour.safetensors"
    return Denoiser.load(write_tiny_weights(path, channels=3), "cpu", "float32")


@pytest.mark.parametrize("image", [radiance(0.1), lobes()], ids=["dim", "lobes"])
def test_light_of_an_exr_is_denoised_alike_by_batch_and_python(
    automatic: Denoiser, image: NDArray[np.float32], tmp_path: Path
) -> None:
    albedo = np.full(image.shape, 0.5, np.float32)
    write(tmp_path / "noisy.exr", image, ImageMeta("YXS", features={"albedo": albedo}))
    array, meta = read(tmp_path / "noisy.exr")
    job = automatic.prepare(array, meta=meta)
    assert job.info.name == "render"
    assert set(job.features.arrays) == {"albedo"}
    clean = automatic(array, meta=meta)
    (task,) = plan([tmp_path / "noisy.exr"], tmp_path / "clean.exr")
    assert denoise_file(task, automatic, DenoiseSettings()).weights == "render"
    written, _ = read(tmp_path / "clean.exr")
    np.testing.assert_allclose(written, clean, rtol=2e-3, atol=1e-6)  # an EXR of halves
    for _, frame in automatic.frames(array, meta=meta):
        np.testing.assert_array_equal(frame, clean)


def test_light_of_an_exr_is_mapped_by_the_logarithm_whatever_the_weights(affine: Denoiser) -> None:
    image, meta = radiance(0.1), ImageMeta("YXS", extra=EXR)
    assert affine.prepare(image, meta=meta).channels[0].mapping.kind == "log"
    assert affine.prepare(image, axes="YXS").channels[0].mapping.kind == "affine"
    asked = affine.prepare(image, meta=meta, mapping="affine")
    assert asked.channels[0].mapping.kind == "affine"


def test_signed_passes_and_whole_numbers_of_an_exr_are_no_light(automatic: Denoiser) -> None:
    meta = ImageMeta("YXS", extra=EXR)
    assert automatic.prepare(motion(), meta=meta).info.name == "photo"
    bytes_ = (255 * radiance(0.1)).astype(np.uint8)
    assert not described(bytes_, meta=meta).linear
    assert not described(radiance(1.0)[..., 0], meta=ImageMeta("YX", extra=EXR)).linear


def test_without_a_file_an_albedo_and_lobes_tell_a_render_too(automatic: Denoiser) -> None:
    assert automatic.prepare(lobes(), axes="YXS").info.name == "render"
    dim = radiance(0.1)
    assert automatic.prepare(dim, axes="YXS").info.name == "photo"
    albedo = {"albedo": np.full(dim.shape, 0.5, np.float32)}
    assert automatic.prepare(dim, "YXS", albedo).info.name == "render"
    photo = np.clip(0.5 + np.random.default_rng(0).normal(0, 0.5, dim.shape), -0.2, 3)
    assert automatic.prepare(photo.astype(np.float32), axes="YXS").info.name == "photo"


def test_a_tone_mapped_render_gets_the_weights_for_renders_and_is_told_so() -> None:
    light = np.broadcast_to(np.linspace(0.1, 0.7, 160)[:, None, None], (160, 160, 3))
    colours = light * np.array([0.9, 0.6, 0.4])
    noisy = colours * np.random.default_rng(0).gamma(3, 1 / 3, (160, 160, 1))
    image, clean = (np.rint(255 * tone_mapped(x)).astype(np.uint8) for x in (noisy, colours))
    with pytest.warns(DenoiseWarning, match="tone-mapped render, so the weights 'render' were"):
        found = Denoiser.load("auto", "cpu")(image, axes="YXS")
    with pytest.warns(DenoiseWarning, match="tone-mapped render, whose grain .* leave in"):
        grainy = Denoiser.load("photo", "cpu")(image, axes="YXS")
    errors = [float(np.sqrt(np.square(x - 1.0 * clean).mean())) for x in (found, grainy, image)]
    # The check of the estimate helps weights for photographs with such grain, but less.
    assert errors[0] < 0.3 * errors[2] and errors[1] > 1.1 * errors[0]


def test_axes_and_features_come_from_the_file_unless_given() -> None:
    image = radiance(1.0)
    albedo = np.full(image.shape, 0.5, np.float32)
    small = np.zeros((9, 9, 3), np.float32)
    meta = ImageMeta("YXS", features={"albedo": albedo, "normal": small}, extra=EXR)
    assert set(described(image, meta=meta).features) == {"albedo"}  # the other has another size
    assert described(image, "YXS", meta=meta).layout.axes == "YXS"
    assert described(image, features={}, meta=meta).features == {}
    assert set(described(image, features={"normal": albedo}, meta=meta).features) == {"normal"}
    assert described(image, meta=replace(meta, axes="XYS")).layout.axes == "XYS"


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({"axes": "XYS", "meta": ImageMeta("YXS")}, ValueError, "axes = 'XYS', but meta says"),
        ({"meta": ImageMeta("TYXS")}, ValueError, "name 4 axes but the data has 3"),
        ({"meta": {"axes": "YXS"}}, TypeError, "meta is a dict: expected the ImageMeta"),
        ({"axes": ImageMeta("YXS")}, TypeError, "pass what read gave as meta=meta"),
    ],
)
def test_what_contradicts_itself_is_refused_in_a_sentence(
    affine: Denoiser, given: dict[str, Any], kind: type[Exception], words: str
) -> None:
    for call in (affine.prepare, affine):
        with pytest.raises(kind, match=words) as error:
            call(radiance(1.0), **given)
        assert "\n" not in str(error.value)


# --- what Python is told ----------------------------------------------------------------


def spoilt() -> NDArray[np.float32]:
    stack = np.random.default_rng(0).normal(100, 5, (2, 40, 40)).astype(np.float32)
    stack[:, 3:6, 5:8] = np.nan
    return stack


@pytest.fixture(scope="module")
def gray(tmp_path_factory: pytest.TempPathFactory) -> Denoiser:
    path = tmp_path_factory.mktemp("weights") / "gray.safetensors"
    return Denoiser.load(write_tiny_weights(path), "cpu", "float32")


def test_python_is_told_once_of_what_was_replaced_where_it_called(gray: Denoiser) -> None:
    with pytest.warns(DenoiseWarning, match="^18 pixels were NaN or infinite") as caught:
        gray(spoilt(), "TYX", neighbors=0)
    assert [entry.filename for entry in caught] == [__file__]


def test_frame_by_frame_it_is_told_after_the_last_one(gray: Denoiser) -> None:
    frames = gray.frames(spoilt(), "TYX", neighbors=0)
    assert len([next(frames), next(frames)]) == 2
    with pytest.warns(DenoiseWarning, match="^18 pixels") as caught:
        assert next(frames, None) is None
    assert [entry.filename for entry in caught] == [__file__]


# --- the camera's largest value ---------------------------------------------------------


def saturated(bits: int, seed: int = 0) -> NDArray[np.uint16]:
    """A camera of few bits that sees a lamp."""
    most = 2**bits - 1
    plane = np.tile(np.linspace(0.2, 1.02, 128) * most, (128, 1))
    noise = np.random.default_rng(seed).normal(0, 0.05 * most, (128, 128))
    return np.clip(plane + noise, 0, most).round().astype(np.uint16)


def over(gray: Denoiser, image: NDArray[Any], **given: Any) -> float:
    """How far the result goes, denoised so badly that it goes anywhere."""
    return float(gray(image, **given, noise=2000.0, mapping="affine").max())


def test_no_result_goes_beyond_what_the_camera_can_give(gray: Denoiser) -> None:
    image = saturated(12)
    job = gray.prepare(image)
    assert job.channels[0].largest == 4095
    assert job.provenance()["channels"][0]["largest"] == 4095
    assert over(gray, image) <= 4095 < over(gray, np.minimum(image, 4090))
    told = ImageMeta("YX", extra={"significant_bits": 12})
    assert over(gray, np.minimum(image, 4090), meta=told) <= 4095
    assert over(gray, np.minimum(image, 4090), meta=told, dtype="float32") <= 4095


def test_data_beyond_what_the_file_says_are_believed(gray: Denoiser) -> None:
    image = saturated(13)
    told = ImageMeta("YX", extra={"significant_bits": 12})
    assert gray.prepare(image, meta=told).channels[0].largest is None
    assert gray.prepare(image).channels[0].largest == 8191


# --- the type of the result -------------------------------------------------------------


def test_float32_keeps_what_whole_numbers_near_zero_lose() -> None:
    rng = np.random.default_rng(0)
    clean = np.tile(0.3 + 0.3 * np.sin(np.arange(96) / 9), (96, 1))
    stack = rng.poisson(np.broadcast_to(clean, (4, 96, 96))).astype(np.uint16)
    denoiser = Denoiser.load("microscopy", "cpu", "float32")
    with pytest.warns(DenoiseWarning, match=r"0\.\d+ levels of uint16 .*choose float32"):
        whole = denoiser(stack, "TYX")
    fine = denoiser(stack, "TYX", dtype="float32")
    assert (whole.dtype, fine.dtype) == (np.uint16, np.float32)
    np.testing.assert_array_equal(np.rint(fine), whole)
    error, rounded = (float(np.sqrt(np.square(x - clean).mean())) for x in (fine, whole))
    assert error < 0.12 and rounded > 2 * error
    for _, frame in denoiser.frames(stack, "TYX", dtype="float32"):
        assert frame.dtype == np.float32


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float64, ">u2"])
def test_any_data_can_become_float32(gray: Denoiser, dtype: Any) -> None:
    image = np.random.default_rng(0).integers(50, 250, (30, 40)).astype(dtype)
    result = gray(image, noise=5.0, dtype="float32")
    assert result.dtype == np.float32
    same = gray(image, noise=5.0)
    inside = (result > 0) & (result < 255)  # whole numbers end where their type does
    np.testing.assert_allclose(result[inside], same[inside], atol=0.51)
    untouched = gray(image, noise=0.0, dtype="float32")
    assert untouched.dtype == np.float32
    np.testing.assert_array_equal(untouched, image.astype(np.float32))


def test_alpha_and_frames_without_values_come_out_in_the_wanted_type(affine: Denoiser) -> None:
    image = np.random.default_rng(0).integers(50, 250, (30, 40, 4)).astype(np.uint8)
    result = affine(image, axes="YXS", noise=20.0, dtype="float32")
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result[..., 3], image[..., 3])


def test_the_provenance_says_the_type_and_a_new_one_measures_nothing(gray: Denoiser) -> None:
    image = np.random.default_rng(0).integers(50, 250, (30, 40)).astype(np.uint16)
    job = gray.prepare(image, dtype="float32")
    assert job.provenance()["settings"]["dtype"] == "float32"
    other = job.adjusted(strength=1.0, tile="auto", dtype="same")
    assert other.dtype == np.uint16 and other.channels is job.channels
    assert job.adjusted(strength=0.5, tile=64).dtype == np.float32
