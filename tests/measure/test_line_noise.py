"""Noise of whole rows and columns: recognised, and told from stripes of a specimen."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, gaussian_filter1d
from skimage import data

from napari_denoise.measure.line_noise import NO_LINES, LineNoise, find_lines
from napari_denoise.measure.line_offsets import line_offsets


def line_noise(frame: Any) -> LineNoise:
    """Look at one frame."""
    return find_lines([frame])


def scene() -> Any:
    rng = np.random.default_rng(5)
    return 100 + 400 * gaussian_filter(rng.normal(0, 1, (256, 300)), 6)


def noisy(
    image: Any, sd: float = 5.0, rows: float = 0.0, columns: float = 0.0, seed: int = 0
) -> Any:
    rng = np.random.default_rng(seed)
    height, width = image.shape
    lines = rng.normal(0, rows, (height, 1)) + rng.normal(0, columns, (1, width))
    return image + rng.normal(0, sd, image.shape) + lines


@pytest.mark.parametrize("share", [0.3, 0.6, 1.0])
@pytest.mark.parametrize("image", [scene(), data.camera()[:300, :256].astype(float)])
def test_rows_and_columns_that_differ_are_seen(image: Any, share: float) -> None:
    found = line_noise(noisy(image, 10, rows=10 * share))
    assert found.rows == pytest.approx(10 * share, rel=0.25)
    assert found.columns == 0
    found = line_noise(noisy(image, 10, columns=10 * share))
    assert found.columns == pytest.approx(10 * share, rel=0.25)
    assert found.rows == 0


@pytest.mark.parametrize("sd", [0.0, 5.0])
@pytest.mark.parametrize("name", ["camera", "coins", "brick", "grass", "page", "text", "clock"])
def test_photographs_have_none(name: str, sd: float) -> None:
    image = getattr(data, name)()[:512, :512].astype(float)
    assert not line_noise(np.rint(noisy(image, sd)))


@pytest.mark.parametrize("period", [2, 3, 4, 5, 8, 16])
@pytest.mark.parametrize("sharp", [False, True])
def test_gratings_are_none(period: int, sharp: bool) -> None:
    wave = np.sin(2 * np.pi * (np.arange(256) + 0.3) / period)
    stripes = np.tile((100 + 5 * (np.sign(wave) if sharp else wave))[:, None], (1, 256))
    assert not line_noise(noisy(stripes))


def striped(kind: str, rng: np.random.Generator) -> Any:
    """A specimen with stripes of its own, or what looks like some, (256, 256)."""
    y, x = np.mgrid[:256, :256].astype(float)
    if kind == "sarcomeres":
        cells = np.maximum(1 + 20 * gaussian_filter(rng.normal(0, 1, y.shape), 20), 0)
        return 6 * cells * np.sin(2 * np.pi * (y + 2 * np.sin(x / 40)) / 7)
    if kind == "pieces":
        image = np.zeros_like(y)
        for row, start, size in zip(
            rng.integers(0, 256, 300), rng.integers(0, 200, 300), rng.normal(0, 9, 300), strict=True
        ):
            image[row, start : start + rng.integers(30, 150)] += size
        return image
    if kind == "fibres":
        return 40 * gaussian_filter1d(rng.normal(0, 1, y.shape), 40, axis=1)
    if kind == "threads":
        widths = rng.integers(1, 4, 256)
        return np.repeat(rng.normal(0, 6, 256), widths)[:256, None] + 0 * x
    if kind == "weave":
        up = np.sin(2 * np.pi * x / 6 + rng.uniform(0, 6, (256, 1))) > 0
        return rng.normal(0, 8, (256, 1)) * up
    if kind == "barcode":
        return 8.0 * rng.integers(0, 2, (256, 1)) + 0 * x
    if kind == "bands":
        return gaussian_filter1d(rng.normal(0, 15, 256), 1)[:, None] * (1 + 0.2 * np.sin(x / 30))
    if kind == "facade":
        return 20.0 * ((y % 24 < 14) & (x % 20 < 9)) + 15.0 * (y % 24 == 0)
    if kind == "edges":
        return np.cumsum(rng.normal(0, 15, 256) * (rng.random(256) < 0.1))[:, None] + 0 * x
    if kind == "chirp":
        return 5 * np.sin(2 * np.pi * y**2 / 1000)
    return y / 2


@pytest.mark.parametrize(
    "kind",
    "sarcomeres pieces fibres threads weave barcode bands facade edges chirp gradient".split(),
)
def test_stripes_of_a_specimen_are_none(kind: str) -> None:
    for seed in range(2):
        image = noisy(100 + striped(kind, np.random.default_rng(seed)), seed=seed)
        assert not line_noise(image)
        assert not line_noise(image.T)


@pytest.mark.parametrize("shape", [(40, 300), (300, 40), (1, 1)])
def test_little_or_nothing_tells_nothing(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).normal(0, 1, (shape[0], 1)) + np.zeros(shape)
    assert not line_noise(image)
    assert not line_noise(np.zeros((100, 100)))
    assert not line_noise(np.full((100, 100), np.nan))
    assert find_lines([]) == NO_LINES


def test_offsets_are_found_and_slow_changes_left() -> None:
    rng = np.random.default_rng(1)
    rows = rng.normal(0, 2.5, 256)
    image = noisy(scene())
    found = line_offsets(image + rows[:, None], 2.5)
    assert found.mean() == pytest.approx(0, abs=1e-9)
    assert np.std(found - rows) < 0.45 * 2.5
    slope = np.linspace(0, 200, 256)[:, None]
    assert np.std(line_offsets(image + slope, 2.5) - line_offsets(image, 2.5)) < 0.1


def test_edges_fill_and_clipped_pixels_do_not_leak() -> None:
    rows = np.random.default_rng(1).normal(0, 2.5, (256, 1))
    image = noisy(scene()) + rows
    plain = line_offsets(image, 2.5)
    edge = np.where(np.arange(256) > 100, 60, 0)[:, None]
    assert np.abs(line_offsets(image + edge, 2.5) - plain).max() < 2.5
    filled = image.copy()
    filled[:, :120] = 0
    filled[:40, 200:] = np.nan
    assert np.std(line_offsets(filled, 2.5) - rows[:, 0]) < 0.5 * 2.5


def test_rows_of_a_stack_are_new_or_the_same_but_do_not_travel() -> None:
    rng = np.random.default_rng(2)
    still = rng.normal(0, 3, (300, 1)) + np.zeros((300, 256))
    new = [noisy(np.full((256, 256), 50.0), rows=3, seed=n) for n in range(4)]
    same = [noisy(50 + still[:256], seed=n) for n in range(4)]
    moving = [noisy(50 + still[3 * n : 256 + 3 * n], seed=n) for n in range(4)]
    found = [find_lines(f, list(pairwise(f))) for f in (new, same, moving)]
    assert [lines.rows == pytest.approx(3, rel=0.2) for lines in found] == [True, True, False]
    assert [lines.fixed for lines in found] == [False, True, False]
    assert not found[2]


def test_most_frames_decide() -> None:
    good = [noisy(np.full((128, 128), 50.0), rows=3, seed=n) for n in range(3)]
    calm = [noisy(np.full((128, 128), 50.0), seed=n) for n in range(3)]
    assert find_lines([*good, calm[0]]).rows > 0
    assert not find_lines([good[0], *calm])


def test_it_is_said() -> None:
    found = LineNoise(3.1, 0.0, 6.2)
    assert found.describe("is removed") == (
        "row noise of sd 3.1 (0.5 of that of the pixels) is removed"
    )
    both = LineNoise(3.0, 1.5, 6.0, fixed=True).describe("is kept")
    assert "row noise of sd 3 (0.5 of that of the pixels), the same in every frame, is kept" in both
    assert "; column noise of sd 1.5" in both
