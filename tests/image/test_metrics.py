import math

import numpy as np
import pytest

from napari_denoise.image.metrics import psnr, relmse, ssim


def test_psnr_follows_its_definition():
    a = np.zeros((16, 16))
    assert psnr(a, a + 2, data_range=255) == pytest.approx(20 * math.log10(255 / 2))
    assert psnr(a, a, data_range=1) == math.inf


def test_ssim_is_one_for_equal_images_and_falls_with_noise():
    rng = np.random.default_rng(0)
    a = rng.random((32, 32, 3))
    assert ssim(a, a, 1, samples=True) == pytest.approx(1)
    assert ssim(a, a + rng.normal(0, 0.3, a.shape), 1, samples=True) < 0.9


def test_relmse_weighs_errors_by_the_radiance():
    assert relmse([10.0], [11.0]) == pytest.approx(1 / 100.01)
    assert relmse([0.0], [0.1]) == pytest.approx(1)


def test_metrics_refuse_images_that_cannot_be_compared():
    with pytest.raises(ValueError, match="differ in shape"):
        psnr(np.zeros((2, 2)), np.zeros((2, 3)), 1)
    with pytest.raises(ValueError, match="at least 11x11"):
        ssim(np.zeros((5, 40)), np.zeros((5, 40)), 1)
