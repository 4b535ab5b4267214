"""Draw textured surfaces as a path tracer sees them, with references free of noise, for training.

    python recipes/simulate_views.py PHOTOS FOLDER --count 300

A view of real scenes costs seconds to minutes, and most of it are plain walls. Here surfaces of
patterns and photographs lie one over the other in random perspective, under light that falls off
smoothly or at the edge of a shadow. A sample of a pixel looks at a random place inside it, or
through a lens out of focus around it, and meets light of random strength: what comes of it is
exact on average, and so is the reference, which no renderer's is. Rare samples carry most of some
light: fireflies.

The files are like those of `recipes/render_views.py`. The numbers are the author's own choice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates, zoom
from scipy.signal import fftconvolve

Plane = NDArray[np.float32]
SIZE, FINE = 128, 4
"""Pixels along a side, and places inside a pixel along each of its sides."""
SAMPLES = {"4": 4, "4b": 4, "8": 8, "16": 16, "32": 32}
"""Samples per pixel of each drawing of a view."""


@dataclass(frozen=True)
class Scene:
    """What there is to see, at every place inside every pixel.

    Parameters
    ----------
    albedo, normal
        (Y, X, 3).
    light
        What falls on it, on average, (Y, X, 3).
    variance
        Of the light of one sample, relative to its mean squared, (Y, X, 1).
    flies, rate
        Share of the light that comes by rare samples, and how many of them there are.
    tint
        Colour of that light.
    grey
        How much of the luck of a sample its colours have in common.
    blur
        Radius of the circle that a pixel sees, pixels, whole numbers, (Y, X).
    """

    albedo: Plane
    normal: Plane
    light: Plane
    variance: Plane
    flies: float
    rate: float
    tint: NDArray[np.float64]
    grey: float
    blur: NDArray[np.int64]


def compose(photos: list[Path], rng: np.random.Generator) -> Scene:
    """Lay a few surfaces one over the other."""
    side = SIZE * FINE
    albedo, normal = np.empty((side, side, 3), np.float32), np.empty((side, side, 3), np.float32)
    variance = np.empty((side, side, 1), np.float32)
    restless = np.exp(rng.uniform(np.log(0.03), np.log(4)))
    for number in range(int(rng.integers(2, 8))):
        shape = _shape(rng) if number else np.ones((side, side), bool)
        albedo[shape] = _surface(photos, rng)[shape]
        normal[shape] = _direction(rng)
        variance[shape] = restless * rng.lognormal(0, 0.7)
    variance *= np.exp(0.5 * _cloud(rng))[..., None]
    flies = rng.uniform(0, 0.15) if rng.random() < 0.5 else 0.0
    rate, tint, grey = np.exp(rng.uniform(-7, -4)), _colour(rng, 4), rng.uniform(0.5, 1)
    return Scene(albedo, normal, _light(rng), variance, flies, rate, tint, grey, _blur(rng))


def drawn(scene: Scene, samples: int, rng: np.random.Generator) -> tuple[Plane, Plane, Plane]:
    """Trace so many samples per pixel; return radiance, albedo, normal, (Y, X, 3) each."""
    sums = np.zeros((3, SIZE, SIZE, 3), np.float32)
    grid = np.arange(SIZE)[:, None] * FINE, np.arange(SIZE)[None] * FINE
    for _ in range(samples):
        inside = (axis + rng.integers(FINE, size=(SIZE, SIZE)) for axis in grid)
        through = _lens(scene.blur, rng)
        place = tuple(
            np.clip(a + b, 0, SIZE * FINE - 1) for a, b in zip(inside, through, strict=True)
        )
        albedo, variance = scene.albedo[place], scene.variance[place]
        common = rng.gamma(1 / variance, variance)
        own = rng.gamma(1 / variance, variance, albedo.shape)
        rare = rng.random((SIZE, SIZE, 1)) < scene.rate
        bright = rare * rng.exponential(1 / scene.rate, (SIZE, SIZE, 1)) * scene.tint
        luck = (1 - scene.flies) * (scene.grey * common + (1 - scene.grey) * own)
        luck = luck + scene.flies * bright
        sums += np.stack([albedo * scene.light[place] * luck, albedo, scene.normal[place]])
    radiance, albedo, normal = sums / np.float32(samples)
    return radiance, albedo, normal


def reference(scene: Scene) -> Plane:
    """Return the mean radiance over the places of each pixel."""
    expected = scene.light * (1 - scene.flies + scene.flies * scene.tint)
    radiance = (scene.albedo * expected).astype(np.float32)
    mean = np.empty((SIZE, SIZE, 3), np.float32)
    for radius in np.unique(scene.blur):
        circle, reach = _circle(radius), radius * FINE
        padded = np.pad(radiance, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
        seen = fftconvolve(padded, circle[..., None] / circle.sum(), mode="valid", axes=(0, 1))
        whole = seen.reshape(SIZE, FINE, SIZE, FINE, 3).mean((1, 3))
        mean[scene.blur == radius] = whole[scene.blur == radius]
    return np.maximum(mean, 0)


def _blur(rng: np.random.Generator) -> NDArray[np.int64]:
    """Focus on some line of the view, or on everything."""
    if rng.random() < 0.5:
        return np.zeros((SIZE, SIZE), np.int64)
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE - 0.5
    turn = rng.uniform(0, 2 * np.pi)
    away = np.abs(np.cos(turn) * x + np.sin(turn) * y - rng.uniform(-0.6, 0.6))
    return np.minimum(rng.uniform(1, 12) * away, 6).astype(np.int64)


def _circle(radius: int) -> NDArray[np.float64]:
    """Mark the places that a lens brings together."""
    reach = np.arange(-radius * FINE, radius * FINE + 1)
    return np.asarray(np.hypot(reach[:, None], reach) <= radius * FINE, np.float64)


def _lens(blur: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw a place of its circle for every pixel: two (Y, X), from its middle."""
    drawn = np.zeros((2, *blur.shape), np.int64)
    for radius in np.unique(blur[blur > 0]):
        places = np.argwhere(_circle(radius)) - radius * FINE
        pixels = blur == radius
        drawn[:, pixels] = places[rng.integers(len(places), size=pixels.sum())].T
    return drawn


def _surface(photos: list[Path], rng: np.random.Generator) -> Plane:
    """Paint a surface in random perspective: a photograph, a pattern, or one colour."""
    u, v = _perspective(rng)
    kind = rng.random()
    if kind < 0.4:
        return _photograph(photos[int(rng.integers(len(photos)))], u, v)
    dark, bright = np.sort(rng.uniform(0.02, 0.9, (2, 3)), axis=0).astype(np.float32)
    if kind < 0.55:
        bright = dark
    pattern = PATTERNS[int(rng.integers(len(PATTERNS)))](u, v, rng)
    painted: Plane = dark + (bright - dark) * pattern[..., None].astype(np.float32)
    return painted


def _perspective(rng: np.random.Generator) -> tuple[Plane, Plane]:
    """Return the coordinates on a surface, in pixels, of every place of the view."""
    y, x = (np.mgrid[: SIZE * FINE, : SIZE * FINE] / FINE - SIZE / 2).astype(np.float32)
    angle, tilt = rng.uniform(0, 2 * np.pi), rng.uniform(0, 1.2)
    away = 1 + rng.uniform(-0.6, 0.6) * (np.cos(angle) * x + np.sin(angle) * y) / SIZE
    turn = rng.uniform(0, 2 * np.pi)
    u, v = np.cos(turn) * x - np.sin(turn) * y, np.sin(turn) * x + np.cos(turn) * y
    return u / away, v / away / np.float32(np.cos(tilt))


def _photograph(path: Path, u: Plane, v: Plane) -> Plane:
    picture = np.asarray(Image.open(path).convert("RGB"), np.float32) / 255
    linear = picture**2.2
    middle = [length / 2 for length in linear.shape[:2]]
    where = np.stack([v + middle[0], u + middle[1]])
    return np.stack(
        [map_coordinates(linear[..., s], where, order=1, mode="mirror") for s in range(3)], -1
    )


def _checks(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    period = _period(rng)
    return ((np.floor(u / period) + np.floor(v / period)) % 2).astype(np.float32)


def _stripes(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    return (np.mod(u / _period(rng), 2) < rng.uniform(0.3, 1.7)).astype(np.float32)


def _bricks(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    height, long, joint = _period(rng) * 2, rng.uniform(1, 3), rng.uniform(0.1, 0.3)
    row = np.floor(v / height)
    across, down = np.mod(u / height / long + row / 2, 1), np.mod(v / height, 1)
    return ((across > joint / long) & (down > joint)).astype(np.float32)


def _dots(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    period = _period(rng) * 2
    reach = np.hypot(np.mod(u / period, 1) - 0.5, np.mod(v / period, 1) - 0.5)
    return (reach < rng.uniform(0.15, 0.45)).astype(np.float32)


def _grain(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    """Random values on a lattice: asphalt, plaster, grass from afar."""
    table, size = rng.random((256, 256)).astype(np.float32), _period(rng) / 2
    where = np.stack([np.mod(v / size, 256), np.mod(u / size * rng.uniform(0.3, 1), 256)])
    grain: Plane = map_coordinates(table, where, order=int(rng.integers(2)), mode="grid-wrap")
    return grain


PATTERNS: tuple[Callable[[Plane, Plane, np.random.Generator], Plane], ...] = (
    _checks,
    _stripes,
    _bricks,
    _dots,
    _grain,
)


def _period(rng: np.random.Generator) -> float:
    """Half of the period of a pattern, pixels."""
    return float(np.exp(rng.uniform(np.log(1.2), np.log(25))))


def _shape(rng: np.random.Generator) -> NDArray[np.bool_]:
    """Cut out an ellipse or a rectangle, turned."""
    y, x = np.mgrid[: SIZE * FINE, : SIZE * FINE] / (SIZE * FINE) - rng.uniform(0, 1, (2, 1, 1))
    turn, (a, b) = rng.uniform(0, np.pi), rng.uniform(0.08, 0.45, 2)
    u, v = (np.cos(turn) * x - np.sin(turn) * y) / a, (np.sin(turn) * x + np.cos(turn) * y) / b
    inside: NDArray[np.bool_] = (
        u**2 + v**2 < 1 if rng.random() < 0.5 else np.maximum(np.abs(u), np.abs(v)) < 1
    )
    return inside


def _light(rng: np.random.Generator) -> Plane:
    """Smooth light over a range of stops, with up to two shadows, of some colour."""
    light = np.exp2(rng.uniform(0.2, 1.5) * _cloud(rng))
    y, x = np.mgrid[: SIZE * FINE, : SIZE * FINE] / (SIZE * FINE)
    for _ in range(int(rng.integers(3))):
        angle = rng.uniform(0, 2 * np.pi)
        edge = np.cos(angle) * x + np.sin(angle) * y - rng.uniform(-0.3, 1.2)
        soft = np.exp(rng.uniform(np.log(0.002), np.log(0.2)))
        light = light * (1 - rng.uniform(0.3, 0.95) / (1 + np.exp(-np.clip(edge / soft, -50, 50))))
    return (light[..., None] * _colour(rng, 20) / light.mean() * rng.uniform(0.1, 0.8)).astype(
        np.float32
    )


def _colour(rng: np.random.Generator, pale: float) -> NDArray[np.float64]:
    """Return a colour of mean 1, the paler the more."""
    colour: NDArray[np.float64] = rng.dirichlet((pale, pale, pale)) * 3
    return colour


def _cloud(rng: np.random.Generator) -> Plane:
    """Smooth noise of mean 0 and standard deviation 1."""
    side = SIZE * FINE // 16
    small = gaussian_filter(rng.standard_normal((side, side)), rng.uniform(4, 12), mode="wrap")
    smooth: Plane = zoom(small, 16, order=1).astype(np.float32)
    return (smooth - smooth.mean()) / smooth.std()


def _direction(rng: np.random.Generator) -> Plane:
    vector = rng.standard_normal(3)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def view(photos: list[Path], seed: int) -> dict[str, NDArray[np.float16]]:
    """Draw one view at every number of samples."""
    rng = np.random.default_rng(seed)
    scene = compose(photos, rng)
    arrays = {}
    for name, samples in SAMPLES.items():
        radiance, albedo, normal = drawn(scene, samples, rng)
        arrays |= {f"noisy_{name}": radiance, f"albedo_{name}": albedo, f"normal_{name}": normal}
    arrays["ref"] = reference(scene)
    return {name: np.minimum(array, 65000).astype(np.float16) for name, array in arrays.items()}


def main(
    photos: Annotated[Path, typer.Argument(help="folder of photographs to paint surfaces with")],
    folder: Annotated[Path, typer.Argument(help="where the views go")],
    count: Annotated[int, typer.Option(min=1)] = 300,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Write views as .npz files."""
    found = sorted(p for p in photos.rglob("*") if p.suffix.lower() in {".jpg", ".png"})
    if not found:
        raise typer.BadParameter(f"{photos}: no .jpg or .png there")
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(seed, seed + count):
        np.savez_compressed(folder / f"surfaces{number:05d}.npz", **view(found, number))


if __name__ == "__main__":
    typer.run(main)
