"""What a camera of few bits can give at most."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_denoise.measure.saturation import camera_maximum


def counts(most: int, dtype: type[np.integer] = np.uint16) -> NDArray[np.integer]:
    values = np.random.default_rng(0).normal(0.97 * most, 0.03 * most, (100, 120))
    return np.clip(values, 0, most).round().astype(dtype)


def found(frame: NDArray[np.generic], bits: int | None = None) -> float | None:
    return camera_maximum([frame], (float(frame.min()), float(frame.max())), bits)


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.int32])
def test_values_piled_up_below_a_power_of_two_tell_the_bits(
    bits: int, dtype: type[np.integer]
) -> None:
    assert found(counts(2**bits - 1, dtype)) == 2**bits - 1


def test_what_is_not_piled_up_or_ends_elsewhere_tells_nothing() -> None:
    ramp = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    assert found(ramp) is None  # ends at 4095, as often as anywhere
    assert found(counts(4000)) is None
    assert found(counts(65535)) is None  # the type ends there itself
    assert found(counts(255, np.uint8)) is None
    assert found(counts(127, np.uint8)) is None
    assert found(counts(4095).astype(np.float32)) is None
    lone = np.full((50, 50), 90, np.uint16)
    lone[3, 3] = 4095
    assert found(lone) is None


def test_what_the_file_says_counts_unless_the_data_go_beyond() -> None:
    dim = counts(1000)
    assert found(dim, 12) == 4095
    assert found(dim, 16) is None
    assert found(counts(8191), 12) is None
    assert found(dim.astype(np.float32), 12) is None
