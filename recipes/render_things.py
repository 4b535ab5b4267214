"""Random things for the training views of path-traced frames: about 1 in radius, on z = 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from render_meshes import (
    Mesh,
    ball,
    blob,
    box,
    can,
    cloth,
    lathe,
    leaf,
    merged,
    ring,
    scattered,
    tube,
    turned,
    vase,
)  # fmt: skip
from render_textures import (
    Array,
    Bsdf,
    bitmap,
    cloud,
    material,
    matte,
    metal,
    pick,
    ramp,
    thin,
)  # fmt: skip
from scipy.spatial.transform import Rotation


@dataclass(frozen=True)
class Shape:
    """A mesh, its material, and the light it sends out if it does (radiance)."""

    mesh: Mesh
    bsdf: Bsdf
    radiance: dict[str, Any] | None = None

    def moved(self, size: float, turn: Rotation, place: Array) -> Shape:
        """Scale, turn, then shift."""
        return Shape(self.mesh.moved(size, turn, place), self.bsdf, self.radiance)


def solid(rng: np.random.Generator) -> list[Shape]:
    """Draw one body of any material."""
    drawn = (ball, box, can, lambda: vase(rng), lambda: ring(rng), lambda: blob(rng))
    mesh = drawn[rng.choice(6, p=[0.18, 0.25, 0.12, 0.15, 0.12, 0.18])]()
    mesh = mesh.moved(rng.uniform(0.5, 1, 3) if rng.random() < 0.5 else 1)
    turn = turned(rng, np.pi if rng.random() < 0.4 else 0)
    return [Shape(mesh.moved(turn=turn).grounded(), material(rng, pick(rng, 0.7, 5)))]


def pile(rng: np.random.Generator) -> list[Shape]:
    """Scatter pebbles, dice, beads or rods."""
    part = (ball(16), box(), can(12).moved((0.3, 0.3, 2)), blob(rng))[rng.integers(4)]
    if len(part.vertices) > 1000:
        part = lathe([(0, -0.6), (0.9, -0.3), (0.7, 0.4), (0, 0.7)], 7)
    count = int(pick(rng, 15, 200))
    places = rng.normal(0, 0.45, (count, 3))
    places[:, 2] = np.abs(places[:, 2]) * rng.uniform(0, 1)
    sizes = rng.uniform(0.4, 1, count) * 0.5 / np.sqrt(count)
    bsdf = material(rng, 1) if rng.random() < 0.4 else matte(rng, 1, 1)
    return [Shape(scattered(rng, part, places, sizes).grounded(), bsdf)]


def fence(rng: np.random.Generator) -> list[Shape]:
    """Draw a fence, a grille or a net of thin rods."""
    thick = pick(rng, 0.008, 0.05)
    rods = [[(x, 0, 0), (x, 0, 0.7), (x, 0, 1.4)] for x in np.linspace(-1, 1, rng.integers(6, 28))]
    levels = np.linspace(0.1, 1.3, rng.integers(2, 16))
    rods += [[(-1, 0, z), (0, 0, z), (1, 0, z)] for z in levels]
    slanted = Rotation.from_euler("x", rng.uniform(-0.3, 0.3))
    mesh = merged([tube(rod, thick) for rod in rods]).moved(turn=slanted)
    return [Shape(mesh, metal(rng) if rng.random() < 0.4 else matte(rng, 2, 0.4))]


def wires(rng: np.random.Generator) -> list[Shape]:
    """Draw bent wires, hair or grass."""
    bend, count = rng.uniform(0.1, 0.6), int(pick(rng, 4, 120))
    time = np.linspace(0, 1, 16)[:, None]
    tubes = []
    for _ in range(count):
        start, push = np.append(rng.normal(0, 0.35, 2), 0), np.append(rng.normal(0, bend, 2), 0)
        path = start + push * time**2 + rng.uniform(0.7, 1.8) * time * [0, 0, 1]
        tubes.append(tube(path, 0.02 * rng.uniform(0.3, 1), 6))
    return [Shape(merged(tubes), matte(rng, 1, 0.5))]


def plant(rng: np.random.Generator) -> list[Shape]:
    """Draw leaves in a ball over a stem."""
    count, crown = int(pick(rng, 40, 500)), rng.uniform(0.8, 1.4)
    places = rng.normal(0, 0.3, (count, 3)) + np.array([0, 0, crown])
    sizes = pick(rng, 1, 3) * rng.uniform(0.5, 1, count) / np.sqrt(count)
    green = np.stack([rng.uniform(0.2, 0.9), 1, rng.uniform(0.1, 0.5)])
    weight, shades = cloud(rng, 1), [green * rng.uniform(0.05, 0.5) for _ in range(3)]
    blade = {"type": "diffuse", "reflectance": bitmap(rng, ramp(weight, shades), 1)}
    stem = tube([(0, 0, 0), (0, 0.05, crown / 2), (0, 0, crown)], 0.04)
    return [
        Shape(scattered(rng, leaf(), places, sizes), thin(blade)),
        Shape(stem, matte(rng, 2)),
    ]


def stack(rng: np.random.Generator) -> list[Shape]:
    """Pile up books or crates."""
    shapes, top = [], 0.0
    for _ in range(int(rng.integers(3, 8))):
        scale = np.array([rng.uniform(0.5, 0.9), rng.uniform(0.4, 0.7), rng.uniform(0.05, 0.25)])
        mesh = box().moved(scale, turned(rng, 0), (0, 0, top + scale[2]))
        shapes.append(Shape(mesh, matte(rng, pick(rng, 0.7, 4), 0.85)))
        top += 2 * scale[2] + 0.002
    return shapes


def board(rng: np.random.Generator) -> list[Shape]:
    """Lean a textured board against nothing."""
    lean = Rotation.from_euler("x", rng.uniform(-0.5, 0.5))
    mesh = box().moved((rng.uniform(0.4, 1), 0.03, rng.uniform(0.4, 1)), lean).grounded()
    return [Shape(mesh, matte(rng, 1, 1))]


def drape(rng: np.random.Generator) -> list[Shape]:
    """Lay or hang a cloth, often with a weave."""
    mesh = cloth(rng).moved((1, 1, rng.uniform(0.3, 1.2)))
    if rng.random() < 0.4:
        mesh = mesh.moved(turn=Rotation.from_euler("x", 90, degrees=True))
    return [Shape(mesh.grounded(), thin(matte(rng, pick(rng, 1, 6), 0.9)))]


KINDS = (
    (solid, 0.36), (pile, 0.11), (fence, 0.07), (wires, 0.06), (plant, 0.1), (stack, 0.12),
    (board, 0.08), (drape, 0.1),
)  # fmt: skip


def thing(rng: np.random.Generator) -> list[Shape]:
    """Draw a thing of any kind."""
    return KINDS[rng.choice(len(KINDS), p=[chance for _, chance in KINDS])][0](rng)
