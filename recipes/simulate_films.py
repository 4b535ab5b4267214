"""Draw short films, make them noisy, and keep what a second pass of neighbours sees of them.

    python recipes/simulate_films.py PICTURES FOLDER --count 1000
    python recipes/simulate_films.py PICTURES FOLDER --count 600 --weights photo

PICTURES holds what films are made of: photographs and specimens of `simulate_microscopy.py`. In
each film the scene is still, drifts, jumps or deforms; an object may pass before it, parts of
it may brighten and fade, spots may flash up, and the lamp may change. Its noise is that of
photons and a camera, white Gaussian, or correlated; in colour, for `photo`, white, correlated,
or what a camera makes of it. The stack is denoised as in use, up to the average of neighbours;
an ``.npz`` holds two of its frames in the network's units: `fused` (C, Y, X), the standard
deviation of its noise (`sigma`, (1, Y, X)), the frame `noisy` and after the first pass
(`first`), and the `clean` one.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
import typer
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from napari_denoise.image.long_work import finished
from napari_denoise.inference.denoiser import Denoiser
from napari_denoise.inference.stack import StackJob
from napari_denoise.settings.noise import NoiseModel
from napari_denoise.settings.recipe import NoiseRecipe
from napari_denoise.training.data.camera import draw_camera, photograph
from napari_denoise.training.data.degrade import _energy, _lags
from napari_denoise.training.data.mapped import map_frame
from napari_denoise.training.data.pairs import load_images, vary_intensity

Plane = NDArray[np.float32]
SIZE = 192
MARGIN = 48
"""Around a frame, for what moves into it."""
FRAMES_KEPT = 2


class Film(NamedTuple):
    """(T, C, Y, X) without and with noise, and the noise: what is told of it, or "auto"."""

    clean: Plane
    noisy: Plane
    noise: NoiseModel | Literal["auto"]


def scene(pictures: list[NDArray[np.uint8]], rng: np.random.Generator) -> Plane:
    """Cut a square out of a picture and vary it, (C, Y, X) in [0, 1]."""
    side = SIZE + 2 * MARGIN
    picture = pictures[int(rng.integers(len(pictures)))]
    largest = min(picture.shape[:2]) / side
    step = rng.uniform(min(1.0, largest), min(max(1.0, largest), 2.0))
    reach = int(step * side)
    y, x = (int(rng.integers(max(n - reach, 0) + 1)) for n in picture.shape[:2])
    part = picture[y : y + reach, x : x + reach].astype(np.float32) / np.float32(255)
    part = np.moveaxis(np.rot90(part, int(rng.integers(4))), -1, 0)
    if min(part.shape[1:]) < side:
        pads = [(0, 0), *((0, max(side - n, 0)) for n in part.shape[1:])]
        part = np.pad(part, pads, mode="reflect")
    if step > 1:
        part = gaussian_filter(part, (0, 0.4 * step, 0.4 * step))
        places = np.linspace(0, min(part.shape[1:]) - 1, side)
        grid = np.meshgrid(places, places, indexing="ij")
        part = np.stack([map_coordinates(plane, grid, order=1) for plane in part])
    part = part[:, :side, :side]
    if len(part) == 1 and rng.random() < 0.3:
        part = vary_intensity(part, rng)
    return np.ascontiguousarray(np.clip(part, 0, 1), dtype=np.float32)


def path(frames: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return where things are in each frame, (T, 2) pixels."""
    kind = rng.choice(["still", "drift", "fast", "shaken"], p=[0.3, 0.35, 0.2, 0.15])
    time = (np.arange(frames) - frames // 2)[:, None]
    most = {"still": 0.0, "drift": 1.6, "fast": 7.0, "shaken": 0.5}[str(kind)]
    places = time * rng.uniform(-most, most, 2)
    if kind == "shaken":
        places = places + rng.normal(0, rng.uniform(0.3, 4), (frames, 2))
    return np.clip(places, -MARGIN + 8, MARGIN - 8)


def cloud(width: float, rng: np.random.Generator) -> Plane:
    """Draw a smooth field over a scene, -1 to 1."""
    field = gaussian_filter(rng.standard_normal((SIZE + 2 * MARGIN,) * 2), width)
    return np.asarray(field / np.abs(field).max(), np.float32)


def clean_film(pictures: list[NDArray[np.uint8]], frames: int, rng: np.random.Generator) -> Plane:
    """Move a scene and what is in it; (T, C, Y, X) about [0, 1]."""
    ground, course = scene(pictures, rng), path(frames, rng)
    side = SIZE + 2 * MARGIN
    rows, columns = np.mgrid[:side, :side].astype(np.float64)
    bend = np.zeros((2, side, side))
    if rng.random() < 0.3:
        bend = np.stack([cloud(30, rng), cloud(30, rng)]) * rng.uniform(0.5, 4)
    passes = rng.random() < 0.35
    thing, own = scene(pictures, rng), path(frames, rng) * 1.5
    inside = (cloud(rng.uniform(6, 20), rng) > rng.uniform(0.15, 0.5)).astype(np.float32)
    inside = gaussian_filter(inside, 0.7)
    fades = rng.random() < 0.3
    where, size = np.maximum(cloud(rng.uniform(5, 20), rng), 0), rng.uniform(0.2, 2)
    film = []
    for time in range(frames):
        phase = np.sin(2 * np.pi * (time / frames + 0.1))

        def seen(planes: Plane, at: NDArray[np.float64], phase: float = phase) -> Plane:
            places = rows - at[0] - phase * bend[0], columns - at[1] - phase * bend[1]
            moved = [map_coordinates(p, places, order=3, mode="reflect") for p in planes]
            return np.asarray(moved, np.float32)

        frame = seen(ground, course[time])
        if passes:
            share = np.clip(seen(inside[None], own[time]), 0, 1)
            frame = frame * (1 - share) + seen(thing, own[time]) * share
        if fades:
            frame = frame * (1 + size * rng.uniform(-0.5, 1) * seen(where[None], course[time]))
        film.append(frame[:, MARGIN:-MARGIN, MARGIN:-MARGIN])
    return np.clip(np.stack(film), 0, None)


def lamp(frames: int, rng: np.random.Generator) -> Plane:
    """Return how bright each frame is."""
    if rng.random() > 0.25:
        return np.ones(frames, np.float32)
    bleaching = np.exp(-rng.uniform(0, 0.1) * np.arange(frames))
    return np.asarray(bleaching * rng.uniform(0.92, 1.08, frames), np.float32)


def with_events(film: Plane, noise_sd: Plane, rng: np.random.Generator) -> Plane:
    """Add spots that live for one frame or a few, some of them as weak as the noise."""
    film = film.copy()
    rows, columns = np.mgrid[:SIZE, :SIZE]
    for _ in range(int(rng.integers(3, 25))):
        y, x = rng.uniform(0, SIZE, 2)
        width = rng.uniform(0.8, 3)
        spot = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * width**2)).astype(np.float32)
        first, life = int(rng.integers(len(film))), int(rng.choice([1, 1, 1, 2, 3]))
        height = np.exp(rng.uniform(0, np.log(10)))
        sign = -0.5 if rng.random() < 0.15 else 1.0
        for time in range(first, min(first + life, len(film))):
            film[time] += sign * height * noise_sd[time, :, int(y), int(x), None, None] * spot
    return np.clip(film, 0, None)


def draw_film(pictures: list[NDArray[np.uint8]], rng: np.random.Generator) -> Film:
    """Draw a film of one channel with its noise."""
    frames = int(rng.choice([5, 7]))
    film = clean_film(pictures, frames, rng) * lamp(frames, rng)[:, None, None, None]
    if rng.random() < 0.6:
        peak = np.exp(rng.uniform(np.log(4), np.log(300)))
        read = rng.uniform(0, 6) * rng.random()
        film = film * np.float32(peak) + np.float32(rng.uniform(0, 2))
        if rng.random() < 0.5:
            film = with_events(film, np.sqrt(film + read**2), rng)
        noisy = rng.poisson(film) + rng.normal(0, read, film.shape)
        return Film(film, noisy.astype(np.float32), NoiseModel(1.0, 0.0, read))
    sigma = 0.02 + 0.25 * rng.random() ** 2
    if rng.random() < 0.5:
        film = with_events(film, np.full_like(film, sigma), rng)
    return gaussian(film, sigma, rng)


def draw_colour_film(pictures: list[NDArray[np.uint8]], rng: np.random.Generator) -> Film:
    """Draw a film in colour, 0 to 255, with its noise."""
    frames = int(rng.choice([5, 7]))
    film = clean_film(pictures, frames, rng) * lamp(frames, rng)[:, None, None, None]
    if rng.random() < 0.2:
        recipe = NoiseRecipe()
        camera = draw_camera(recipe.full_well, recipe.jpeg_quality, rng)
        shots = [photograph(np.clip(frame, 0, 1), camera, rng) for frame in film]
        noisy, clean = (np.stack([shot[n] for shot in shots]) for n in (0, 1))
        return Film(np.float32(255) * clean, noisy, "auto")
    made = gaussian(film, 0.01 + 0.2 * rng.random() ** 1.5, rng)
    noisy = np.clip(np.rint(255 * made.noisy), 0, 255).astype(np.uint8)
    assert isinstance(made.noise, NoiseModel)  # noqa: S101
    return Film(255 * film, noisy, made.noise.scaled(255.0**2))


def gaussian(film: Plane, sigma: float, rng: np.random.Generator) -> Film:
    """Add noise of one level, white or blurred."""
    white = rng.standard_normal(film.shape)
    if rng.random() < 0.6:
        return Film(film, (film + sigma * white).astype(np.float32), NoiseModel(0.0, 0.0, sigma))
    blur = rng.uniform(0.3, 1.1, 2)
    blurred = gaussian_filter(white, (0, 0, *blur), mode="wrap")
    blurred /= np.sqrt(_energy(blur[0]) * _energy(blur[1]))
    lags = _lags(blur[0]), _lags(blur[1])
    noisy = (film + sigma * blurred).astype(np.float32)
    return Film(film, noisy, NoiseModel(0.0, 0.0, sigma, *lags))


def seen(film: Film, denoiser: Denoiser, rng: np.random.Generator) -> list[dict[str, Plane]]:
    """Denoise a film up to the average of neighbours; return what is known of some frames."""
    stated = film.noise
    if isinstance(stated, NoiseModel):
        stated = stated.scaled(float(np.exp(rng.normal(0, 0.12))))
    radius = int(rng.choice([1, 2, 2, 2, 3]))
    colour = film.noisy.shape[1] > 1
    array = np.moveaxis(film.noisy, 1, -1) if colour else film.noisy[:, 0]
    axes = "TYXS" if colour else "TYX"
    job: StackJob = denoiser.prepare(array, axes=axes, noise=stated, neighbors=radius)
    neighbors, everywhere = job.neighbors, (slice(0, SIZE), slice(0, SIZE))
    (channel,), found = job.channels, []
    if neighbors is None or channel.scale.sigma == 0:
        return []
    middle = len(film.clean) // 2
    for number in {middle, int(rng.integers(len(film.clean)))}:
        finished(neighbors.steps(number, everywhere))
        fused = neighbors.fused(number, everywhere)
        if fused is None:
            continue
        frame = map_frame(channel, film.noisy[number], film.clean[number], noisy_target=False)
        noisy, first = np.split(fused.alone, 2)
        found.append(
            {
                "fused": fused.values,
                "sigma": channel.sigma_map(SIZE, SIZE) * fused.noise,
                "noisy": noisy,
                "first": first,
                "clean": np.moveaxis(frame.target, -1, 0),
            }
        )
    return found[:FRAMES_KEPT]


def main(
    pictures: Annotated[Path, typer.Argument(help="Folder of photographs and specimens.")],
    folder: Annotated[Path, typer.Argument(help="Where the npz files go; made if missing.")],
    count: Annotated[int, typer.Option(min=1, help="Films to draw.")] = 1000,
    first: Annotated[int, typer.Option(min=0, help="Number of the first one.")] = 0,
    seed: Annotated[int, typer.Option(help="Same seed, same films.")] = 0,
    weights: Annotated[str, typer.Option(help="Of the first pass; photo is for colour.")] = (
        "microscopy"
    ),
) -> None:
    """Write the films numbered from `first` on; those that are there already stay."""
    warnings.simplefilter("ignore")
    denoiser = Denoiser.load(weights, device="cpu")
    assert denoiser.info is not None  # noqa: S101 - it has a name
    channels = denoiser.info.card.channels
    images, draw = load_images(pictures, channels), draw_film if channels == 1 else draw_colour_film
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        target = folder / f"film_{number:05d}.npz"
        if target.exists():
            continue
        rng = np.random.default_rng([seed, number])
        frames = seen(draw(images, rng), denoiser, rng)
        if not frames:
            continue
        arrays = {
            f"{name}_{k}": plane.astype(np.float16)
            for k, frame in enumerate(frames)
            for name, plane in frame.items()
        }
        with target.with_suffix(".part").open("wb") as file:
            np.savez(file, **arrays)
        target.with_suffix(".part").rename(target)


if __name__ == "__main__":
    typer.run(main)
