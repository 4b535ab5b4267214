"""Simulated films of which every clean frame is known: motion, traps, and things that flash up.

All light is counted in photons. A film is a pair: noisy frames as a camera writes them, and the
clean frames in the same units. The same seed gives the same film.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from napari_denoise import NoiseModel

Image = NDArray[np.float64]
Film = tuple[NDArray[np.uint16], Image]
"""Noisy and clean frames, both (T, Y, X)."""

FRAMES, SIDE = 7, 192
MIDDLE = FRAMES // 2
INNER = slice(2, 5)
"""Frames that are judged: those with two neighbours on each side."""

SENSOR = NoiseModel(gain=1.0, offset=100.0, read_noise=2.0)
NOISY_SENSOR = NoiseModel(gain=1.0, offset=100.0, read_noise=6.0)
ROW_NOISE = 3.0
"""Standard deviation of the offsets of rows, anew in every frame."""
COUNTER = NoiseModel(gain=20.0, offset=100.0, read_noise=3.0)
"""Sees single photons, where there are few."""

MOTIONS = {
    "static": (0.0, 0.0),
    "drift": (1.1, -0.9),
    "fast": (-5.2, 2.4),
    "deform": (0.5, -0.3),
}
"""Rows and columns that the scene moves by in a frame; "deform" bends it, too."""
BEND, BEND_WIDTH = 2.5, 30.0
"""Of "deform": largest displacement and smoothness, pixels."""

SPOT_SD = 1.6
SPOT_PITCH = 32


def light(field: ArrayLike, peak: float = 45.0, dark: float = 2.0) -> Image:
    """Turn a clean image into photons: 1st percentile to `dark`, `peak` more at the 99.9th."""
    image = np.asarray(field, np.float64)
    low, high = np.percentile(image, [1, 99.9])
    return np.maximum((image - low) * peak / (high - low) + dark, 0)


def moved(scene: ArrayLike, motion: str, rng: np.random.Generator) -> Image:
    """Film the middle of a scene while it moves: (Y, X) -> (7, 192, 192).

    Parameters
    ----------
    scene
        Photons, at least 224 x 224; frame 3 shows it where it is.
    motion
        One of `MOTIONS`.
    rng
        Draws the fields of "deform".
    """
    image = np.asarray(scene, np.float64)
    step = np.array(MOTIONS[motion])[:, None, None]
    start = [(n - SIDE) // 2 for n in image.shape]
    at = np.mgrid[:SIDE, :SIDE] + np.array(start)[:, None, None]
    bend = np.zeros((2, SIDE, SIDE))
    if motion == "deform":
        bend = gaussian_filter(rng.standard_normal(bend.shape), (0, BEND_WIDTH, BEND_WIDTH))
        bend *= BEND / np.abs(bend).max(axis=(1, 2), keepdims=True)
    frames = [
        map_coordinates(
            image,
            at - step * (t - MIDDLE) - bend * np.sin(2 * np.pi * t / FRAMES),
            mode="nearest",
        )
        for t in range(FRAMES)
    ]
    return np.maximum(frames, 0)


def record(photons: ArrayLike, rng: np.random.Generator, camera: NoiseModel = SENSOR) -> Film:
    """Expose a camera to the mean photons per pixel: Poisson, gain, offset, read noise, uint16."""
    mean = np.asarray(photons, np.float64)
    read = camera.read_noise * rng.standard_normal(mean.shape)
    counts = camera.offset + camera.gain * rng.poisson(mean) + read
    noisy = np.clip(np.rint(counts), 0, 65535).astype(np.uint16)
    return noisy, camera.offset + camera.gain * mean


def simulated_film(clean: ArrayLike, motion: str, seed: int) -> Film:
    """Film a clean image of any units: seven frames of its middle 192 px, uint16 and float64."""
    rng = np.random.default_rng(seed)
    return record(moved(light(clean), motion, rng), rng)


def film_with_rows(clean: ArrayLike, motion: str, seed: int) -> Film:
    """Film as `simulated_film` does, by a camera that reads out noisily, and each row otherwise."""
    rng = np.random.default_rng(seed)
    noisy, mean = record(moved(light(clean), motion, rng), rng, NOISY_SENSOR)
    rows = np.rint(ROW_NOISE * rng.standard_normal((*noisy.shape[:2], 1)))
    return np.clip(noisy + rows, 0, 65535).astype(np.uint16), mean


def cut(fields: Sequence[ArrayLike], seed: int) -> Film:
    """Film one scene for four frames, another for three."""
    rng = np.random.default_rng(seed)
    first, second = (moved(light(field), "drift", rng) for field in (fields[0], fields[-1]))
    return record(np.concatenate([first[: MIDDLE + 1], second[MIDDLE + 1 :]]), rng)


def chaos(fields: Sequence[ArrayLike], seed: int) -> Film:
    """Show another scene in every frame: the fields by turns, each time turned or mirrored."""
    rng = np.random.default_rng(seed)
    frames = []
    for t in range(FRAMES):
        scene = np.rot90(light(fields[t % len(fields)]), t % 4)
        frames.append(moved(scene[::-1] if t >= 4 else scene, "static", rng)[MIDDLE])
    return record(np.stack(frames), rng)


def lit(fields: Sequence[ArrayLike], seed: int, light_of: Sequence[float]) -> Film:
    """Film a drifting scene while the light changes: a factor for each frame."""
    rng = np.random.default_rng(seed)
    lamp = np.array(light_of)[:, None, None]
    return record(lamp * moved(light(fields[0]), "drift", rng), rng)


def flash(fields: Sequence[ArrayLike], seed: int) -> Film:
    """Light the middle frame four times as bright."""
    return lit(fields, seed, [4.0 if t == MIDDLE else 1.0 for t in range(FRAMES)])


def blank(fields: Sequence[ArrayLike], seed: int) -> Film:
    """Close the shutter in the middle frame."""
    return lit(fields, seed, [float(t != MIDDLE) for t in range(FRAMES)])


def repeated(fields: Sequence[ArrayLike], seed: int) -> Film:
    """Write the middle frame twice, its noise too."""
    noisy, clean = simulated_film(fields[0], "drift", seed)
    noisy[MIDDLE + 1], clean[MIDDLE + 1] = noisy[MIDDLE], clean[MIDDLE]
    return noisy, clean


def bleaching(fields: Sequence[ArrayLike], seed: int) -> Film:
    """Lose 12 % of the light with every frame."""
    return lit(fields, seed, [0.88**t for t in range(FRAMES)])


def fading(fields: Sequence[ArrayLike], seed: int) -> Film:
    """Begin at half a photon per pixel, end at a tenth of it."""
    rng = np.random.default_rng(seed)
    frames = moved(light(fields[0]), "drift", rng)
    lamp = 10 ** (-np.arange(FRAMES) / (FRAMES - 1))
    return record(0.5 * frames / frames[0].mean() * lamp[:, None, None], rng, COUNTER)


TRAPS: dict[str, Callable[[Sequence[ArrayLike], int], Film]] = {
    "cut in the middle": cut,
    "unrelated frames": chaos,
    "one flash": flash,
    "one blank frame": blank,
    "one repeated frame": repeated,
    "bleaching, 12 % a frame": bleaching,
    "bleaching tenfold, half a photon": fading,
}
"""Films whose neighbours mislead; each takes one or more clean images and a seed."""


def events(field: ArrayLike, sigmas: float, seed: int) -> tuple[Film, Image]:
    """Film a static scene on which spots appear in the middle frame only.

    Parameters
    ----------
    field
        Clean image.
    sigmas
        Height of a spot, in standard deviations of one pixel's noise below it.
    seed
        Of noise and places.

    Returns
    -------
    The film, clean frames without the spots, and the image of the spots, (192, 192), data units.
    """
    rng = np.random.default_rng(seed)
    frames = moved(light(field), "static", rng)
    noise = np.sqrt(frames[MIDDLE] + SENSOR.read_noise**2)
    y, x = np.mgrid[:SIDE, :SIDE]
    spots = np.zeros((SIDE, SIDE))
    for corner in np.ndindex(SIDE // SPOT_PITCH, SIDE // SPOT_PITCH):
        row, column = np.array(corner) * SPOT_PITCH + rng.integers(8, SPOT_PITCH - 8, 2)
        shape = np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * SPOT_SD**2))
        spots += sigmas * noise[row, column] * shape
    lively = frames.copy()
    lively[MIDDLE] += spots
    noisy, _ = record(lively, rng)
    return (noisy, SENSOR.offset + SENSOR.gain * frames), SENSOR.gain * spots


def recovered(frame: ArrayLike, background: ArrayLike, spots: ArrayLike) -> float:
    """Return the share of the spots that a frame shows, by regression."""
    shown = np.asarray(frame, np.float64) - background
    return float(np.polyfit(np.ravel(spots), shown.ravel(), 1)[0])


def moving_crops(
    frames: ArrayLike,
    side: int = 224,
    step: tuple[int, int] = (3, 5),
    origin: tuple[int, int] = (128, 128),
) -> NDArray[Any]:
    """Cut (T, Y, X) so that an unmoving scene moves: the origin goes on by `step` px a frame."""
    crops = []
    for t, frame in enumerate(np.asarray(frames)):
        row, column = np.array(origin) + t * np.array(step)
        crops.append(frame[row : row + side, column : column + side])
    return np.stack(crops)
