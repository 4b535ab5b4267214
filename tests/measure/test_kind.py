"""Whether colour is sampled light, and what only looks like it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from napari_denoise.image.axes import Layout
from napari_denoise.image.tone import tone_mapped
from napari_denoise.io.read import read
from napari_denoise.measure.kind import holds_no_light, is_radiance, is_signed, looks_tone_mapped
from napari_denoise.plugin.samples import SAMPLES, sample_path


def bytes_of(shares: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.rint(255 * np.clip(shares, 0, 1)).astype(np.uint8)


def hinted(image: NDArray[np.generic], axes: str = "YXS") -> bool:
    return looks_tone_mapped(image, Layout(axes, image.shape))


def sampled_light(samples: int) -> NDArray[np.float32]:
    light = 0.15 + 0.5 * np.hanning(256)[:, None] * np.hanning(240)
    colours = light[..., None] * np.array([0.8, 0.6, 0.4])
    shape = 0.35 * samples
    return tone_mapped(colours * np.random.default_rng(0).gamma(shape, 1 / shape, (256, 240, 1)))


def jpeg(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=90)
    return np.asarray(Image.open(file))


@pytest.mark.parametrize("samples", [4, 8, 16, 32])
def test_a_tone_mapped_render_is_recognised_by_its_noise(samples: int) -> None:
    image = bytes_of(sampled_light(samples))
    assert hinted(image)
    assert hinted(image.astype(np.uint16) * 257)
    assert hinted(np.stack([image] * 3).transpose(3, 0, 1, 2), "STYX")


def test_the_sample_render_is_recognised_and_its_truth_is_not() -> None:
    paths = SAMPLES["render"].noisy, SAMPLES["render"].truth
    noisy, truth = (np.asarray(read(sample_path(path))[0][0]) for path in paths)
    assert hinted(bytes_of(tone_mapped(noisy)))
    assert not hinted(bytes_of(tone_mapped(truth)))


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea", "rocket"])
@pytest.mark.parametrize("sigma", [0, 5, 15])
def test_photographs_are_not_taken_for_renders(name: str, sigma: float) -> None:
    image = getattr(data, name)()[..., :3]
    noise = np.random.default_rng(0).normal(0, sigma, image.shape)
    noisy = bytes_of((image + noise) / 255)
    assert not hinted(noisy)
    assert not hinted(jpeg(noisy))


def test_gray_floats_and_small_images_give_no_hint() -> None:
    light = sampled_light(8)
    assert not hinted(bytes_of(light[..., 0]), "YX")
    assert not hinted(light)
    assert not hinted(bytes_of(light[:20, :20]))


def test_a_few_negative_lobes_leave_light_what_it_is() -> None:
    light = 4 * sampled_light(8)[..., 0]
    assert is_radiance([light])
    light[3:5, 3:5] = -0.01
    assert is_radiance([light])
    assert not is_radiance([light - 1])
    assert not is_radiance([np.random.default_rng(0).normal(0.5, 0.3, (64, 64))])
    assert not holds_no_light(light, Layout("YX", light.shape))
    assert holds_no_light(light - 1, Layout("YX", light.shape))


def test_values_next_to_nothing_make_no_sign() -> None:
    light = np.random.default_rng(0).gamma(2.0, 1.0, (40, 50, 3)).astype(np.float32)
    light[:20] = -1e-4  # what a filter leaves of nothing
    light[0, 0] = np.nan, np.inf, -np.inf
    assert not is_signed([light])
    assert not holds_no_light(light, Layout("YXS", light.shape))
    assert is_signed([light - 1])
