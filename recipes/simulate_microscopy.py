"""Draw images with the structures of fluorescence microscopy, without noise, for training.

    python recipes/simulate_microscopy.py FOLDER --count 400

Each image mixes one to three structures - filaments, puncta, membranes, nuclei, mitochondria - in
focus, the same kinds out of focus as haze, and a dark background, all seen through a blur as of a
microscope's point spread function. The numbers are the author's own choice, from the look of
published images in general; no image of the validation sets was used to choose them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial import cKDTree
from scipy.special import expit

Plane = NDArray[np.float32]
SIZE = 320
FINE = 2
"""Lines are drawn this much finer than pixels, for smooth edges."""


def filaments(rng: np.random.Generator) -> Plane:
    """Draw long bending lines: microtubules out of a centre, or actin along a direction."""
    astral = rng.random() < 0.5
    centre, course = rng.uniform(0, SIZE, 2), rng.uniform(0, 2 * np.pi)
    bend = rng.uniform(0.01, 0.08)
    image = np.zeros((SIZE, SIZE), np.float32)
    for _ in range(int(rng.integers(15, 90))):
        start = centre + rng.normal(0, 15, 2) if astral else rng.uniform(0, SIZE, 2)
        angle = rng.uniform(0, 2 * np.pi) if astral else rng.normal(course, 0.25)
        image += _curve(start, angle, int(rng.integers(60, 400)), bend, rng) * _brightness(rng)
    return image


def mitochondria(rng: np.random.Generator) -> Plane:
    """Draw short thick worms."""
    image = np.zeros((SIZE, SIZE), np.float32)
    width = rng.uniform(1.5, 4)
    for _ in range(int(rng.integers(20, 150))):
        start, angle = rng.uniform(0, SIZE, 2), rng.uniform(0, 2 * np.pi)
        worm = _curve(start, angle, int(rng.integers(5, 50)), 0.15, rng, width)
        image = np.maximum(image, worm * _brightness(rng))
    return image


def puncta(rng: np.random.Generator) -> Plane:
    """Scatter spots, evenly or in clusters, most of them weak."""
    count = int(np.exp(rng.uniform(np.log(20), np.log(1500))))
    spots = rng.uniform(0, SIZE, (count, 2))
    if rng.random() < 0.5:
        middles = rng.uniform(0, SIZE, (int(rng.integers(3, 30)), 2))
        spots = middles[rng.integers(len(middles), size=count)] + rng.normal(0, 15, (count, 2))
    image = np.zeros((SIZE, SIZE), np.float32)
    y, x = np.clip(spots, 0, SIZE - 1).astype(int).T
    np.add.at(image, (y, x), rng.lognormal(0, 1, count).astype(np.float32))
    return gaussian_filter(image, rng.uniform(0.4, 2))


def membranes(rng: np.random.Generator) -> Plane:
    """Draw the borders of a sheet of cells, and fill the cells a little."""
    cells = rng.uniform(-30, SIZE + 30, (int(rng.integers(8, 90)), 2))
    (near, second), (cell, _) = (a.T for a in cKDTree(cells).query(_warped(rng), k=2))
    border = np.exp(-(((second - near) / rng.uniform(1, 4)) ** 2))
    filling = rng.uniform(0, 0.3) * rng.random(len(cells))[cell]
    return (border + filling).reshape(SIZE, SIZE).astype(np.float32)


def nuclei(rng: np.random.Generator) -> Plane:
    """Draw blobs with chromatin and dark nucleoli."""
    image = np.zeros((SIZE, SIZE), np.float32)
    points = _warped(rng)
    chromatin = _cloud(rng.uniform(1, 5), rng)
    for _ in range(int(rng.integers(2, 25))):
        axes, turn = rng.uniform(10, 40) * rng.uniform(0.6, 1.4, 2), rng.uniform(0, np.pi)
        spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        radius = np.hypot(*(((points - rng.uniform(0, SIZE, 2)) @ spin) / axes).T)
        inside = expit((1 - radius.reshape(SIZE, SIZE)) * rng.uniform(8, 30))
        texture = 1 + rng.uniform(0, 0.5) * chromatin
        image = np.maximum(image, (inside * texture * _brightness(rng)).astype(np.float32))
    return np.maximum(image, 0)


STRUCTURES: tuple[Callable[[np.random.Generator], Plane], ...] = (
    filaments,
    mitochondria,
    puncta,
    membranes,
    nuclei,
)


def specimen(rng: np.random.Generator) -> Plane:
    """Compose one image, (Y, X) in [0, 1]."""
    kinds = rng.choice(len(STRUCTURES), size=rng.choice([1, 2, 3], p=[0.5, 0.35, 0.15]))
    image = sum(_unit(STRUCTURES[k](rng)) * rng.uniform(0.3, 1) for k in kinds)
    if rng.random() < 0.7:
        image = _labelled(np.asarray(image), rng)
    image = gaussian_filter(np.asarray(image), rng.uniform(0.4, 2))
    haze = gaussian_filter(_unit(STRUCTURES[rng.choice(kinds)](rng)), rng.uniform(5, 25))
    image = _unit(image) + rng.uniform(0, 0.6) * _unit(haze)
    if rng.random() < 0.4:  # uneven light, or autofluorescence
        image = image * (1 + rng.uniform(0, 0.6) * _cloud(60, rng))
    background = rng.uniform(0, 0.1) if rng.random() < 0.7 else rng.uniform(0.1, 0.4)
    return np.clip(background + (1 - background) * _unit(np.maximum(image, 0)), 0, 1)


def main(
    folder: Annotated[Path, typer.Argument(help="Where the PNG files go; made if missing.")],
    count: Annotated[int, typer.Option(min=1, help="Images to draw.")] = 400,
    seed: Annotated[int, typer.Option(help="Same seed, same images.")] = 0,
) -> None:
    """Draw images with the structures of fluorescence microscopy, without noise."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        image = specimen(np.random.default_rng([seed, number]))
        Image.fromarray(np.rint(image * 255).astype(np.uint8)).save(folder / f"{number:04}.png")


def _curve(
    start: NDArray[np.float64],
    angle: float,
    steps: int,
    bend: float,
    rng: np.random.Generator,
    width: float = 1.0,
) -> Plane:
    """Draw a line whose direction wanders, one pixel a step."""
    angles = angle + np.cumsum(rng.normal(0, bend, steps))
    points = start + np.cumsum(np.stack([np.sin(angles), np.cos(angles)], axis=1), axis=0)
    canvas = Image.new("L", (SIZE * FINE, SIZE * FINE))
    track = [(float(x) * FINE, float(y) * FINE) for y, x in points]
    ImageDraw.Draw(canvas).line(track, fill=255, width=max(1, round(width * FINE)), joint="curve")
    return np.asarray(canvas.reduce(FINE), np.float32) / np.float32(255)


def _warped(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the coordinates of every pixel, pushed about smoothly: (Y * X, 2)."""
    grid = np.stack(np.mgrid[:SIZE, :SIZE], axis=-1).astype(np.float64)
    push = np.stack([_cloud(rng.uniform(8, 30), rng) for _ in range(2)], axis=-1)
    return (grid + rng.uniform(0, 6) * push).reshape(-1, 2)


def _cloud(scale: float, rng: np.random.Generator) -> Plane:
    """Smooth noise of mean 0 and standard deviation 1."""
    small = rng.standard_normal((SIZE // 4, SIZE // 4)).astype(np.float32)
    smooth = gaussian_filter(small, scale / 4, mode="wrap")
    grid = np.mgrid[:SIZE, :SIZE] / 4
    cloud: Plane = map_coordinates(smooth, grid, order=1, mode="wrap").astype(np.float32)
    return (cloud - cloud.mean()) / cloud.std()


def _labelled(image: Plane, rng: np.random.Generator) -> Plane:
    """Make a structure grainy: what glows is so many labels, which bind by chance."""
    density = np.exp(rng.uniform(np.log(2), np.log(100)))  # per pixel where it is brightest
    return (rng.poisson(np.maximum(image, 0) * density) / density).astype(np.float32)


def _brightness(rng: np.random.Generator) -> np.float32:
    return np.float32(rng.lognormal(0, 0.5))


def _unit(image: Plane) -> Plane:
    """Scale so that all but the very brightest lies in [0, 1]."""
    return image / np.float32(max(float(np.percentile(image, 99.9)), 1e-6))


if __name__ == "__main__":
    typer.run(main)
