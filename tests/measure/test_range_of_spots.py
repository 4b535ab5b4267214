"""The range reaches small bright spots, whose height the network would lose above it."""

from __future__ import annotations

import numpy as np
import pytest

from napari_denoise import Denoiser


@pytest.mark.parametrize("negative", [False, True])
def test_the_range_reaches_beads_ten_times_as_bright_as_the_ground(negative: bool) -> None:
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:160, :160]
    across = ((rows - 20) % 40 - 20) ** 2 + ((columns - 20) % 40 - 20) ** 2
    light = 30 + 300 * np.exp(-across / (2 * 1.5**2))
    noisy = rng.poisson(light) + 100.0
    data = (2000 - noisy if negative else noisy).astype(np.float32)
    noise = {"gain": 1.0, "offset": 1900.0 if negative else 100.0, "inverted": negative}
    job = Denoiser.load("microscopy", "cpu", "float32").prepare(data, "YX", noise=noise)
    mapping = job.channels[0].mapping
    reached = 2000 - mapping.low if negative else mapping.high
    assert reached == pytest.approx(100 + light.max(), rel=0.15)
