"""Draw textured things as a path tracer sees them, with references free of noise, for training.

    python recipes/simulate_views.py PHOTOS FOLDER --count 300

A view of real scenes costs seconds to minutes, and most of it are plain walls. Here surfaces of
patterns and photographs lie one before the other in random perspective, flat or round, under light
that falls off smoothly or at the edge of a shadow; behind them a sky, among them mirrors, glass and
small bright bulbs. A sample of a pixel goes through a random place of it and of a lens, which has
each surface in focus or not, to the nearest surface there, and meets light of random strength. The
places are drawn from a list, and the reference is the mean over that list: exact, which no
renderer's is. Rare samples carry most of some light: fireflies.

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
from scipy.stats import qmc

from napari_denoise.training.data.pairs import files_below

Plane = NDArray[np.float32]
SIZE, FINE = 128, 4
"""Pixels along a side, and places inside a pixel along each of its sides."""
SIDE = SIZE * FINE
GRID = np.arange(SIZE)[:, None] * FINE, np.arange(SIZE)[None] * FINE
"""Number of the first place of every pixel, down and across."""
PLANES = ("albedo", "normal", "light", "variance")
SAMPLES = {"4": 4, "4b": 4, "8": 8, "16": 16, "32": 32}
"""Samples per pixel of each drawing of a view."""
PATHS = {False: 256, True: 512}
"""How many ways a sample may take, without a lens and with one."""
STEADY = 1e-3
"""Relative variance of light that needs no luck: a sky, a bulb."""


@dataclass(frozen=True)
class Surface:
    """What is to be seen of one thing, at every place of the view, in front of or behind others.

    Parameters
    ----------
    inside
        Where it is, (SIDE, SIDE).
    albedo, normal, light
        Radiance is albedo times light, on average; (SIDE, SIDE, 3).
    variance
        Of the light of one sample, relative to its mean squared, (SIDE, SIDE, 1).
    blur
        Radius of the circle that a pixel sees of it, pixels: for all, or (SIDE, SIDE).
    glass
        Where a sample goes on to in the surface behind all, refracted and reflected, as numbers of
        places, and the share of those reflected, (SIDE, SIDE) each; None if nothing shines through.
    """

    inside: NDArray[np.bool_]
    albedo: Plane
    normal: Plane
    light: Plane
    variance: Plane
    blur: float | Plane = 0.0
    glass: tuple[NDArray[np.int64], NDArray[np.int64], Plane] | None = None


@dataclass(frozen=True)
class Scene:
    """What there is to see, the nearest last.

    Parameters
    ----------
    surfaces
        The first one fills the view.
    flies, rate
        Share of the light that comes by rare samples, and how many of them there are.
    tint
        Colour of that light.
    grey
        How much of the luck of a sample its colours have in common.
    paths
        Ways of a sample, as likely as each other: place in the pixel, place on the lens (within a
        circle of radius 1), and what decides whether glass reflects; (N, 5).
    """

    surfaces: tuple[Surface, ...]
    flies: float
    rate: float
    tint: NDArray[np.float64]
    grey: float
    paths: NDArray[np.float64]


def compose(photos: list[Path], rng: np.random.Generator) -> Scene:
    """Put a few things one before the other."""
    lens = rng.random() < 0.5
    widest = np.exp(rng.uniform(np.log(1), np.log(12))) if lens else 0.0
    focus = rng.uniform(-0.3, 1.3)
    restless = np.exp(rng.uniform(np.log(0.03), np.log(4)))
    light, luck = _light(rng), restless * np.exp(0.5 * _cloud(rng))[..., None]
    surfaces = [_behind(photos, light, luck, np.float32(widest), rng)]
    number = int(rng.integers(1, 9))
    for depth in np.sort(rng.random(number)):
        surfaces.append(_thing(photos, light, luck, widest * abs(depth - focus), rng))
    if rng.random() < 0.3:
        bulbs = _bulbs(widest * rng.uniform(0.2, 1), rng)
        surfaces.insert(int(rng.integers(1, len(surfaces) + 1)), bulbs)
    flies = rng.uniform(0, 0.15) if rng.random() < 0.5 else 0.0
    rate, tint, grey = np.exp(rng.uniform(-7, -4)), _colour(rng, 4), rng.uniform(0.5, 1)
    return Scene(tuple(surfaces), flies, rate, tint, grey, _paths(PATHS[lens], rng))


def drawn(scene: Scene, samples: int, rng: np.random.Generator) -> tuple[Plane, Plane, Plane]:
    """Trace so many samples per pixel; return radiance, albedo, normal, (Y, X, 3) each."""
    planes = [_stacked([getattr(surface, name) for surface in scene.surfaces]) for name in PLANES]
    sums = np.zeros((3, SIZE, SIZE, 3), np.float32)
    for _ in range(samples):
        picks = scene.paths[rng.integers(len(scene.paths), size=(SIZE, SIZE))]
        where = _met(scene.surfaces, np.moveaxis(picks, -1, 0))
        albedo, normal, light, variance = (plane[where] for plane in planes)
        common = rng.gamma(1 / variance, variance)
        own = rng.gamma(1 / variance, variance, albedo.shape)
        rare = rng.random((SIZE, SIZE, 1)) < scene.rate
        bright = rare * rng.exponential(1 / scene.rate, (SIZE, SIZE, 1)) * scene.tint
        flies = _rare(scene, variance)
        luck = (1 - flies) * (scene.grey * common + (1 - scene.grey) * own) + flies * bright
        sums += np.stack([albedo * light * luck, albedo, normal])
    radiance, albedo, normal = sums / np.float32(samples)
    return radiance, albedo, normal


def reference(scene: Scene) -> Plane:
    """Return the mean radiance over all ways that a sample may take."""
    expected = _stacked([_expected(scene, surface) for surface in scene.surfaces])
    total = np.zeros((SIZE, SIZE, 3))
    for path in scene.paths:
        total += expected[_met(scene.surfaces, path)]
    return (total / len(scene.paths)).astype(np.float32)


def _stacked(planes: list[Plane]) -> Plane:
    """Lay planes out by surface and number of the place: (surfaces, SIDE * SIDE, channels)."""
    return np.stack([plane.reshape(SIDE**2, -1) for plane in planes])


def _expected(scene: Scene, surface: Surface) -> Plane:
    flies = _rare(scene, surface.variance)
    mean: Plane = surface.albedo * surface.light * (1 - flies + flies * scene.tint)
    return mean.astype(np.float32)


def _rare(scene: Scene, variance: Plane) -> Plane:
    """Share of the light that comes by rare samples, at places of some variance."""
    return np.where(variance > 1.5 * STEADY, np.float32(scene.flies), np.float32(0))


def _paths(number: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Spread ways over the pixel, the lens and chance more evenly than chance would."""
    drawn = qmc.Sobol(5, seed=rng).random(number)
    radius, angle = np.sqrt(drawn[:, 2]), 2 * np.pi * drawn[:, 3]
    place = np.floor(drawn[:, :2] * FINE)
    return np.column_stack([place, radius * np.cos(angle), radius * np.sin(angle), drawn[:, 4]])


def _met(
    surfaces: tuple[Surface, ...], path: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Say for every pixel which surface is met, and at which place (its number)."""
    y, x = (axis + part.astype(np.int64) for axis, part in zip(GRID, path[:2], strict=True))
    start = y * SIDE + x
    which, where = np.zeros((SIZE, SIZE), np.int64), np.zeros((SIZE, SIZE), np.int64)
    for number, surface in enumerate(surfaces):
        blur = np.asarray(surface.blur, np.float32)
        radius = FINE * (blur.reshape(-1)[start] if blur.ndim else blur)
        place = np.clip(np.rint(y + radius * path[2]), 0, SIDE - 1).astype(np.int64) * SIDE
        place = place + np.clip(np.rint(x + radius * path[3]), 0, SIDE - 1).astype(np.int64)
        inside = surface.inside.reshape(-1)[place] if number else np.ones(place.shape, bool)
        if surface.glass is None:
            which, where = np.where(inside, number, which), np.where(inside, place, where)
            continue
        refracted, reflected, share = (plane.reshape(-1)[place] for plane in surface.glass)
        beyond = np.where(path[4] < share, reflected, refracted)
        which, where = np.where(inside, 0, which), np.where(inside, beyond, where)
    return which, where


def _behind(
    photos: list[Path], light: Plane, luck: Plane, widest: np.float32, rng: np.random.Generator
) -> Surface:
    """Fill the view: a wall or a ground, in focus along some line, and a sky above it at times."""
    away = np.abs(_ramp(rng))
    blur = widest * np.minimum(rng.uniform(0, 1.5) * away, 1).astype(np.float32)
    albedo, normal = _surface(photos, rng), np.broadcast_to(_direction(rng), light.shape).copy()
    light, luck = light.copy(), luck.copy()
    if rng.random() < 0.35:
        sky = _ramp(rng) > 0
        hue, fall = _colour(rng, 10) * rng.uniform(0.1, 1.5), rng.uniform(0, 0.5) * _ramp(rng)
        radiance = np.maximum(hue * (1 + fall[..., None]), 0.01).astype(np.float32)
        albedo[sky] = np.minimum(radiance, 1)[sky]
        light[sky] = np.maximum(radiance, 1)[sky]
        normal[sky], luck[sky] = 0, STEADY
    everywhere = np.ones((SIDE, SIDE), bool)
    return Surface(everywhere, albedo, normal, light, luck, blur)


def _thing(
    photos: list[Path], light: Plane, luck: Plane, blur: float, rng: np.random.Generator
) -> Surface:
    """Put up a picture, a ball, a mirror or a lens of glass."""
    inside, u, v, oval = _shape(rng)
    albedo, light = _surface(photos, rng), light * np.float32(rng.lognormal(0, 0.3))
    luck = luck * np.float32(rng.lognormal(0, 0.7))
    normal = np.broadcast_to(_direction(rng), light.shape)
    glass = None
    if oval and rng.random() < 0.6:
        height = np.sqrt(np.maximum(1 - u**2 - v**2, 0))
        normal = np.stack([u, v, height], -1).astype(np.float32)
        lit = np.maximum(normal @ _direction(rng), 0)[..., None]
        light = light * (rng.uniform(0.1, 1) + lit).astype(np.float32)
        if rng.random() < 0.25:
            glass = _glass(u, v, height, rng)
    if rng.random() < 0.12:  # a mirror's picture is in its light
        albedo, light = np.ones_like(albedo), albedo * light
    return Surface(inside, albedo, normal, light, np.maximum(luck, 2 * STEADY), blur, glass)


def _glass(
    u: Plane, v: Plane, height: Plane, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], Plane]:
    """Bend the way of samples, and throw some back at the rim (Schlick's approximation)."""
    y, x = np.mgrid[:SIDE, :SIDE]

    def moved(by: float) -> NDArray[np.int64]:
        down, across = (
            np.clip(axis + by * SIDE * bend, 0, SIDE - 1).astype(np.int64)
            for axis, bend in ((y, v), (x, u))
        )
        return down * SIDE + across

    share = (0.04 + 0.96 * (1 - np.clip(height, 0, 1)) ** 5).astype(np.float32)
    return moved(-rng.uniform(0.05, 0.4)), moved(rng.uniform(0.2, 0.6)), share


def _bulbs(blur: float, rng: np.random.Generator) -> Surface:
    """Hang up small bright balls."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32) / FINE
    shape = (SIDE, SIDE, 3)
    inside, light = np.zeros(shape[:2], bool), np.zeros(shape, np.float32)
    normal = np.zeros(shape, np.float32)
    size, power = np.exp(rng.uniform(np.log(0.5), np.log(4))), np.exp(rng.uniform(0.5, 4))
    for _ in range(int(rng.integers(2, 20))):
        radius = size * rng.uniform(0.7, 1.4)
        v, u = ((axis - rng.uniform(0, SIZE)) / radius for axis in (y, x))
        ball = u**2 + v**2 < 1
        inside |= ball
        light[ball] = power * rng.lognormal(0, 0.4) * _colour(rng, 8)
        height = np.sqrt(np.maximum(1 - u**2 - v**2, 0))
        normal[ball] = np.stack([u, v, height], -1)[ball]
    steady = np.full((*shape[:2], 1), STEADY, np.float32)
    return Surface(inside, np.ones(shape, np.float32), normal, light, steady, blur)


def _ramp(rng: np.random.Generator) -> Plane:
    """Rise across the view, from some line where it is 0, by about 1."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE - 0.5
    turn = rng.uniform(0, 2 * np.pi)
    ramp: Plane = (np.cos(turn) * x + np.sin(turn) * y - rng.uniform(-0.6, 0.6)).astype(np.float32)
    return ramp


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
    y, x = (np.mgrid[:SIDE, :SIDE] / FINE - SIZE / 2).astype(np.float32)
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


def _shape(rng: np.random.Generator) -> tuple[NDArray[np.bool_], Plane, Plane, bool]:
    """Cut out an ellipse or a rectangle: where it is, its axes, and whether it is oval."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32) / SIDE - rng.uniform(0, 1, (2, 1, 1))
    turn, (a, b) = rng.uniform(0, np.pi), rng.uniform(0.05, 0.45, 2)
    u, v = (np.cos(turn) * x - np.sin(turn) * y) / a, (np.sin(turn) * x + np.cos(turn) * y) / b
    oval = bool(rng.random() < 0.5)
    inside = u**2 + v**2 < 1 if oval else np.maximum(np.abs(u), np.abs(v)) < 1
    return inside, u, v, oval


def _light(rng: np.random.Generator) -> Plane:
    """Smooth light over a range of stops, with up to two shadows, of some colour."""
    light = np.exp2(rng.uniform(0.2, 1.5) * _cloud(rng))
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
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
    side = SIDE // 16
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
    found = files_below(photos, (".jpg", ".png"))
    if not found:
        raise typer.BadParameter(f"{photos}: no .jpg or .png there")
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(seed, seed + count):
        np.savez_compressed(folder / f"surfaces{number:05d}.npz", **view(found, number))


if __name__ == "__main__":
    typer.run(main)
