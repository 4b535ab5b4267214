"""Averages of neighbours as training data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_denoise.settings.recipe import TrainSettings
from napari_denoise.training.data.fused import PLANES, FusedPairs, load_fused


def write_frames(folder: Path, channels: int = 1) -> None:
    shapes = {name: (1 if name == "sigma" else channels, 24, 28) for name in PLANES}
    rng = np.random.default_rng(0)
    arrays = {f"{name}_0": rng.random(shape).astype(np.float16) for name, shape in shapes.items()}
    np.savez(folder / "film_00000.npz", **arrays)


def recipe(channels: int = 1, **changes: object) -> TrainSettings:
    config = {"channels": channels, "widths": [8, 8], "features": 2 * channels}
    values = {
        "name": "second",
        "domain": "microscopy" if channels == 1 else "photo",
        "architecture": "two-scale",
        "config": config,
        "batch": 3,
        "patch": 16,
        "distortion": {"steps": 1},
        **changes,
    }
    return TrainSettings.parse(values)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_holds_the_average_its_noise_and_the_frame_beside(
    tmp_path: Path, channels: int
) -> None:
    write_frames(tmp_path, channels)
    (planes,) = load_fused(tmp_path)
    batch = FusedPairs([planes], recipe(channels)).batch(0)
    assert batch.features is not None
    assert batch.noisy.shape == batch.target.shape == (3, channels, 16, 16)
    assert batch.sigma.shape == (3, 1, 16, 16)
    assert batch.features.shape == (3, 2 * channels, 16, 16)
    for part, first in ((batch.noisy, 0), (batch.sigma, channels), (batch.target, -channels)):
        assert part[0, 0].sum() in _sums(planes[..., first])


def test_contrast_changes_image_and_noise_alike(tmp_path: Path) -> None:
    write_frames(tmp_path)
    (planes,) = load_fused(tmp_path)
    plain = FusedPairs([planes], recipe()).batch(5)
    other = FusedPairs([planes], recipe(intensity_augmentation=1.0, batch=1)).batch(5)
    spans = [np.ptp(part) for part in (other.noisy, other.target)]
    factor = other.sigma.std() / plain.sigma.std()
    assert 0.3 < factor < 1.4
    assert spans[0] == pytest.approx(np.ptp(plain.noisy[0]) * factor, rel=0.3)


def test_frames_that_do_not_fit_the_recipe_are_refused(tmp_path: Path) -> None:
    write_frames(tmp_path, 3)
    (planes,) = load_fused(tmp_path)
    with pytest.raises(ValueError, match="3 image channels and the recipe's network takes 1"):
        FusedPairs([planes], recipe())
    alone = recipe(config={"channels": 1, "widths": [8, 8]})
    with pytest.raises(ValueError, match="set 2"):
        FusedPairs([planes], alone)


def test_a_film_without_a_plane_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "film_1.npz", fused_0=np.zeros((1, 24, 24), np.float16))
    with pytest.raises(ValueError, match=r"film_1\.npz.*sigma_0"):
        load_fused(tmp_path)
    with pytest.raises(FileNotFoundError, match="no frame"):
        load_fused(tmp_path / "nothing")


def _sums(plane: np.ndarray) -> list[float]:
    """Sum every patch, in whatever turn: with the float32 of a batch."""
    from numpy.lib.stride_tricks import sliding_window_view

    patches = sliding_window_view(plane.astype(np.float32), (16, 16))
    return [pytest.approx(float(total), rel=1e-5) for total in patches.sum(axis=(2, 3)).ravel()]
