"""Simulated films move as they say, and the traps are the traps they are named after."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import _repository  # noqa: F401  (finds benchmarks)

# isort: split
from benchmarks import films


@pytest.fixture(scope="module")
def fields() -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    return [gaussian_filter(rng.standard_normal((256, 256)), 3) for _ in range(3)]


@pytest.mark.parametrize("motion", films.MOTIONS)
def test_films_have_the_noise_of_their_camera(fields: list[np.ndarray], motion: str) -> None:
    noisy, clean = films.simulated_film(fields[0], motion, seed=1)
    assert noisy.dtype == np.uint16 and noisy.shape == clean.shape == (7, 192, 192)
    z = (noisy - clean) / np.sqrt(clean - 100 + 2**2 + 1 / 12)
    assert z.mean() == pytest.approx(0, abs=0.01)
    assert z.std() == pytest.approx(1, abs=0.01)
    again, _ = films.simulated_film(fields[0], motion, seed=1)
    assert np.array_equal(noisy, again)


def test_the_scene_moves_by_its_step(fields: list[np.ndarray]) -> None:
    _, still = films.simulated_film(fields[0], "static", 0)
    _, fast = films.simulated_film(fields[0], "fast", 0)
    assert np.array_equal(still[0], still[6])
    assert np.allclose(fast[3], still[3])
    # five frames on it has moved by 5 (-5.2, 2.4) = (-26, 12) px
    assert np.allclose(fast[5][:150, 30:], fast[0][26:176, 18:-12])


def test_what_deforms_does_not_move_as_a_whole(fields: list[np.ndarray]) -> None:
    _, bent = films.simulated_film(fields[0], "deform", 0)
    _, still = films.simulated_film(fields[0], "static", 0)
    inner = slice(8, -8)
    least = min(
        np.abs(bent[1][inner, inner] - np.roll(still[1], (y, x), (0, 1))[inner, inner]).mean()
        for y in range(-4, 5)
        for x in range(-4, 5)
    )
    assert least > 0.5


def test_traps_hold_what_their_names_say(fields: list[np.ndarray]) -> None:
    made = {name: trap(fields, 0) for name, trap in films.TRAPS.items()}
    assert all(noisy.shape == (7, 192, 192) for noisy, _ in made.values())
    light = {name: clean.mean(axis=(1, 2)) - 100 for name, (_, clean) in made.items()}
    noisy, _ = made["one repeated frame"]
    same = [bool(np.array_equal(noisy[t], noisy[t + 1])) for t in range(6)]
    assert same == [False, False, False, True, False, False]
    assert (
        light["one blank frame"][3] == 0
        and light["one blank frame"].min(where=np.arange(7) != 3, initial=99) > 1
    )
    assert light["one flash"][3] / light["one flash"][2] == pytest.approx(4, rel=0.05)
    faded = light["bleaching tenfold, half a photon"] / films.COUNTER.gain
    assert faded[0] == pytest.approx(0.5)
    assert faded[6] == pytest.approx(0.05, rel=0.1)
    ratios = light["bleaching, 12 % a frame"][1:] / light["bleaching, 12 % a frame"][:-1]
    assert ratios == pytest.approx(0.88, rel=0.02)


def test_scenes_change_in_the_cut_and_with_every_frame_of_chaos(fields: list[np.ndarray]) -> None:
    def likeness(clean: np.ndarray) -> list[float]:
        return [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairwise(clean)]

    _, cut = films.cut(fields, 0)
    assert [value > 0.8 for value in likeness(cut)] == [True, True, True, False, True, True]
    _, chaos = films.chaos(fields, 0)
    assert max(likeness(chaos)) < 0.3


def test_spots_are_found_at_their_height_in_their_frame_only(fields: list[np.ndarray]) -> None:
    (noisy, background), spots = films.events(fields[0], 5.0, 0)
    shares = [films.recovered(noisy[t], background[t], spots) for t in (2, 3, 4)]
    assert shares == pytest.approx([0, 1, 0], abs=0.03)
    middle = background[3] - 100
    peak = spots[spots > 0.95 * spots.max()].max()
    assert peak <= 5 * np.sqrt(middle.max() + 4)


def test_crops_move_over_an_unmoving_scene() -> None:
    frames = np.broadcast_to(np.arange(64 * 64).reshape(64, 64), (3, 64, 64))
    crops = films.moving_crops(frames, side=32, origin=(4, 6))
    assert crops.shape == (3, 32, 32)
    assert np.array_equal(crops[1][:-3, :-5], crops[0][3:, 5:])
