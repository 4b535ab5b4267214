"""Simulate a fluorescence time-lapse of living cells, with its truth.

Cells hold filaments that start near the nucleus and sway, vesicles that run along them, a
nuclear membrane with dim nucleoplasm, and a plasma membrane. Each is drawn with subpixel
accuracy and blurred by a Gaussian PSF: in focus (sigma 0.75 pixels, about NA 1.4 at
520 nm) or out of focus (3 and 10 pixels), which makes the haze. The specimen drifts and
bleaches by a fifth. Camera: photons ~ Poisson(mean); count = rint(offset + gain (photons +
N(0, read noise))), 16 bit. The truth is offset + gain * mean, rounded to the same type.

    pip install numpy scipy tifffile imagecodecs
    python make_fluorescence.py
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d

Array = NDArray[np.float64]

SEED = 108
FRAMES, SIZE, MARGIN = 12, 256, 24
OFFSET, GAIN, READ_NOISE = 100.0, 2.0, 1.6  # counts, counts per electron, electrons
PEAK = 28.0  # photons at the 99.9th percentile of the first frame
BLEACHED = 0.2  # of the fluorescence, from the first frame to the last
PIXEL, INTERVAL = 0.108, 2.0  # micrometres, seconds
DRIFT = (0.25, -0.4)  # pixels per frame, (y, x)
FOCUS = (0.75, 3.0, 10.0)  # sigma in pixels of a plane in focus, near it, far from it


@dataclass(frozen=True)
class Cell:
    """Outline and nucleus as radii over an angle, and filaments as curves (points, 2)."""

    centre: Array
    outline: Array
    nucleus_centre: Array
    nucleus: Array
    filaments: list[Array]
    phases: Array
    vesicles: Array  # (n, 4): filament, start along it, speed per frame, brightness


def smooth_circle(rng: np.random.Generator, radius: float, rough: float) -> Array:
    """(720,) radii of a closed, wobbly curve."""
    bumps = gaussian_filter1d(rng.standard_normal(720), 40, mode="wrap")
    return np.asarray(radius * (1 + rough * bumps / bumps.std()))


def filament(rng: np.random.Generator, start: Array, angle: float, length: float) -> Array:
    """Return a persistent random walk in steps of a quarter pixel."""
    steps = int(length * 4)
    turns = gaussian_filter1d(rng.standard_normal(steps), 60) * 0.05
    heading = angle + np.cumsum(turns)
    walk = np.cumsum(np.stack([np.sin(heading), np.cos(heading)], -1) * 0.25, 0)
    return np.asarray(start + walk)


def inside(points: Array, centre: Array, radii: Array) -> NDArray[np.bool_]:
    """Whether points (..., 2) lie within a curve of radii around a centre."""
    y, x = np.moveaxis(points - centre, -1, 0)
    return np.asarray(np.hypot(y, x) < radii[_degree(y, x)])


def _degree(y: Array, x: Array) -> NDArray[np.intp]:
    return np.asarray(np.arctan2(y, x) / (2 * np.pi) * 720).astype(np.intp) % 720


def make_cell(rng: np.random.Generator, centre: tuple[float, float], radius: float) -> Cell:
    """Draw one cell's shapes."""
    middle = np.array(centre)
    outline = smooth_circle(rng, radius, 0.14)
    nucleus_centre = middle + rng.normal(0, radius * 0.08, 2)
    nucleus = smooth_circle(rng, radius * 0.32, 0.05)
    angle = rng.uniform(0, 2 * np.pi)
    hub = nucleus_centre + radius * 0.4 * np.array([np.sin(angle), np.cos(angle)])
    filaments = []
    for heading in rng.uniform(0, 2 * np.pi, 70):
        start = hub + rng.normal(0, radius * 0.16, 2)
        curve = filament(rng, start, heading, rng.uniform(0.8, 2.0) * radius)
        kept = inside(curve, middle, outline * 0.96)
        end = int(np.argmin(kept)) if not kept.all() else len(kept)
        if end > 60:
            filaments.append(curve[:end])
    count = 42
    vesicles = np.stack(
        [
            rng.integers(0, len(filaments), count),
            rng.uniform(0, 1, count),
            rng.normal(0, 0.005, count),
            rng.uniform(15, 60, count),
        ],
        -1,
    )
    phases = rng.uniform(0, 2 * np.pi, (len(filaments), 2))
    return Cell(middle, outline, nucleus_centre, nucleus, filaments, phases, vesicles)


def sway(cell: Cell, number: int, time: float) -> Array:
    """Return a filament at a time: its far end swings by about two pixels."""
    curve, phase = cell.filaments[number], cell.phases[number]
    along = np.linspace(0, 1, len(curve))[:, None]
    return np.asarray(curve + 2.0 * along**1.5 * np.sin(0.2 * time + phase + 3 * along))


def deposit(plane: Array, points: Array, amount: float | Array) -> None:
    """Add light at points (n, 2), shared bilinearly between four pixels."""
    base = np.floor(points).astype(int)
    part = points - base
    for dy in (0, 1):
        for dx in (0, 1):
            y, x = (base + np.array((dy, dx))).T
            share = np.abs(1 - dy - part[:, 0]) * np.abs(1 - dx - part[:, 1])
            ok = (y >= 0) & (x >= 0) & (y < plane.shape[0]) & (x < plane.shape[1])
            np.add.at(plane, (y[ok], x[ok]), (share * amount)[ok])


def ring(centre: Array, radii: Array, shift: Array) -> Array:
    """Points on a closed curve, about four per pixel."""
    angles = np.arange(0, 720, 0.5) / 720 * 2 * np.pi
    dense = np.interp(np.arange(0, 720, 0.5), np.arange(721), np.append(radii, radii[0]))
    return np.asarray(
        centre + shift + dense[:, None] * np.stack([np.sin(angles), np.cos(angles)], -1)
    )


def draw_cell(planes: list[Array], cell: Cell, time: float) -> None:
    """Add a cell to the planes: in focus, near the focus, far from it."""
    focus, near, far = planes
    shift = np.array(DRIFT) * time + MARGIN
    for number in range(len(cell.filaments)):
        plane, light = (near, 2.0) if number % 4 == 3 else (focus, 1.6 + 0.25 * (number % 4))
        deposit(plane, sway(cell, number, time) + shift, light)
    for number, start, speed, light in cell.vesicles:
        curve = sway(cell, int(number), time)
        place = 1 - abs((start + speed * time) % 2 - 1)  # back and forth
        point = curve[int(place * (len(curve) - 1))]
        deposit(focus, point[None] + shift, light)
    breath = 1 + 0.01 * np.sin(0.5 * time)
    deposit(focus, ring(cell.centre, cell.outline * breath, shift), 0.9)
    deposit(focus, ring(cell.nucleus_centre, cell.nucleus, shift), 1.2)
    grid = np.stack(np.mgrid[: focus.shape[0], : focus.shape[1]], -1) - shift
    body = inside(grid, cell.centre, cell.outline)
    core = inside(grid, cell.nucleus_centre, cell.nucleus)
    near += 0.4 * (body & ~core) + 1.0 * core
    far += 1.2 * body


def simulate(rng: np.random.Generator) -> Array:
    """Return the expected photons, (T, Y, X)."""
    cells = [
        make_cell(rng, (104.0, 92.0), 82.0),
        make_cell(rng, (206.0, 214.0), 74.0),
        make_cell(rng, (12.0, 236.0), 62.0),
    ]
    frames = []
    for time in range(FRAMES):
        planes = [np.zeros((SIZE + 2 * MARGIN,) * 2) for _ in FOCUS]
        for cell in cells:
            draw_cell(planes, cell, float(time))
        light = sum(gaussian_filter(p, s) for p, s in zip(planes, FOCUS, strict=True))
        light += 0.25 * gaussian_filter(planes[0], FOCUS[1]) + 0.6 * gaussian_filter(
            planes[0], FOCUS[2]
        )
        frames.append(light[MARGIN:-MARGIN, MARGIN:-MARGIN])
    photons = np.stack(frames)
    photons *= PEAK / np.percentile(photons[0], 99.9)
    bleaching = (1 - BLEACHED) ** (np.arange(FRAMES) / (FRAMES - 1))
    return np.asarray(1.0 + photons * bleaching[:, None, None])


def camera(rng: np.random.Generator, photons: Array) -> NDArray[np.uint16]:
    """Expose and digitise."""
    electrons = rng.poisson(photons) + rng.normal(0, READ_NOISE, photons.shape)
    return np.rint(OFFSET + GAIN * electrons).clip(0, 65535).astype(np.uint16)


def save(path: Path, stack: NDArray[np.uint16], name: str) -> None:
    """Write OME-TIFF with pixel size and time step."""
    metadata = {
        "axes": "TYX",
        "Name": name,
        "PhysicalSizeX": PIXEL,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": PIXEL,
        "PhysicalSizeYUnit": "µm",
        "TimeIncrement": INTERVAL,
        "TimeIncrementUnit": "s",
    }
    tifffile.imwrite(
        path, stack, ome=True, metadata=metadata, compression="zlib", compressionargs={"level": 9}
    )


def main() -> None:
    """Write fluorescence_truth.ome.tif and fluorescence.ome.tif."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1])
    out = parser.parse_args().out
    rng = np.random.default_rng(SEED)
    photons = simulate(rng)
    truth = np.rint(OFFSET + GAIN * photons).astype(np.uint16)
    save(out / "fluorescence_truth.ome.tif", truth, "fluorescence truth")
    save(out / "fluorescence.ome.tif", camera(rng, photons), "fluorescence")


if __name__ == "__main__":
    main()
