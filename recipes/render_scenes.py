"""Random scenes for the training views of path-traced frames, each from its seed alone.

Three settings - a room lit through a window or by lamps, a place under the sky, a studio with
soft lights - hold textured things of every size. Lengths are metres, z is up. Nothing here needs
a renderer: `render_views.py` hands a scene to Mitsuba.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from render_meshes import Mesh, ball, box, quad, scattered, tube, turned
from render_textures import (
    Array,
    Bsdf,
    bitmap,
    cloud,
    colour,
    matte,
    metal,
    pattern,
    pick,
    ramp,
    rgb,
)  # fmt: skip
from render_things import Shape, plant, solid, thing
from scipy.spatial.transform import Rotation

BLACK: Bsdf = {"type": "diffuse", "reflectance": {"type": "rgb", "value": 0.0}}
FLIPPED = Rotation.from_euler("x", 180, degrees=True)


@dataclass(frozen=True)
class Camera:
    """A camera with a square picture; `aperture` 0 has everything in focus."""

    origin: Array
    target: Array
    fov: float
    aperture: float


@dataclass
class Scene:
    """What there is to render.

    Parameters
    ----------
    shapes
        Things and lamps.
    lights
        Emitters without a shape, as Mitsuba takes them.
    cameras
        Tried in turn.
    depth
        Length of the longest path.
    """

    shapes: list[Shape] = field(default_factory=list)
    lights: list[dict[str, Any]] = field(default_factory=list)
    cameras: list[Camera] = field(default_factory=list)
    depth: int = 8


def build(seed: int) -> Scene:
    """Draw the scene of a seed."""
    rng = np.random.default_rng(seed)
    scene = Scene(depth=int(rng.integers(4, 9)))
    setting = (_room, _open, _studio)[rng.choice(3, p=[0.45, 0.3, 0.25])]
    reach, ceiling = setting(scene, rng)
    things = _things(scene, rng, reach)
    blurred = rng.random() < 0.35
    for _ in range(15):
        scene.cameras.append(_camera(rng, things, reach, ceiling, blurred))
    return scene


# Settings: each gives the half-width that things may take up, and the height of the ceiling.


def _room(scene: Scene, rng: np.random.Generator) -> tuple[float, float]:
    """Close a box, and light it through a window or by lamps."""
    half, height = rng.uniform(1.2, 2.5), rng.uniform(2.2, 3)
    windowed = rng.random() < 0.55
    papers = [matte(rng, 2 * half / pick(rng, 0.3, 2), 0.6) for _ in range(2)]
    for wall in range(4):
        turn = Rotation.from_euler("z", wall * 90, degrees=True)
        parts = _pierced(rng, half, height) if windowed and wall == 0 else [_panel(half, height)]
        bsdf = papers[int(rng.integers(2))]
        scene.shapes += [Shape(part.moved(turn=turn), bsdf) for part in parts]
    _ground(scene, rng, half)
    ceiling = quad().moved(half, FLIPPED, (0, 0, height))
    scene.shapes.append(Shape(ceiling, matte(rng, 3, 0.3)))
    for _ in range(int(rng.integers(0, 4))):
        _hang(scene, rng, half)
    if windowed:
        _sky(scene, rng, rng.uniform(0.5, 3))
        if rng.random() < 0.6:
            _sun(scene, rng, azimuth=rng.uniform(-0.6, 0.6))
    if not windowed or rng.random() < 0.3:
        _lamps(scene, rng, half, height)
    return half, height


def _open(scene: Scene, rng: np.random.Generator) -> tuple[float, float]:
    """Lay out a ground under the sky, with walls and plants far off."""
    night = rng.random() < 0.15
    reach = rng.uniform(1, 3)
    _ground(scene, rng, 12 * reach)
    _sky(scene, rng, 0.02 if night else 1)
    if not night and rng.random() < 0.65:
        _sun(scene, rng, azimuth=rng.uniform(-np.pi, np.pi))
    if night or rng.random() < 0.2:
        _bulbs(scene, rng, reach, int(rng.integers(5, 40)))
    for _ in range(int(rng.integers(2, 9))):
        angle, far, size = rng.uniform(-np.pi, np.pi), rng.uniform(2.5, 5), rng.uniform(0.5, 2)
        place = reach * far * np.array([np.cos(angle), np.sin(angle), 0])
        draw = plant if rng.random() < 0.4 else solid
        scene.shapes += [s.moved(size, turned(rng, 0), place) for s in draw(rng)]
    return reach, 3 * reach


def _studio(scene: Scene, rng: np.random.Generator) -> tuple[float, float]:
    """Put soft lights around a table before a wall, small lamps behind it at times."""
    reach = rng.uniform(0.5, 1.5)
    _ground(scene, rng, 4 * reach)
    for wall in range(int(rng.integers(1, 3))):
        turn = Rotation.from_euler("z", wall * 90, degrees=True)
        mesh = _panel(4 * reach, 6 * reach).moved(turn=turn)
        scene.shapes.append(Shape(mesh, matte(rng, 8 * reach / pick(rng, 0.2, 2), 0.6)))
    for _ in range(int(rng.integers(1, 4))):
        angle, size = rng.uniform(-np.pi, np.pi), reach * pick(rng, 0.15, 1)
        place = reach * np.array([2.5 * np.cos(angle), 2.5 * np.sin(angle), rng.uniform(1, 3)])
        aim = Rotation.align_vectors([-place], [[0, 0, 1]])[0]
        _glow(scene, rng, quad().moved(size, aim, place), 4 * size**2, 4 * reach**2)
    if rng.random() < 0.4:
        _bulbs(scene, rng, 2.5 * reach, int(rng.integers(10, 60)))
    _sky(scene, rng, pick(rng, 0.03, 0.6))
    return reach, 3 * reach


def _panel(half: float, height: float) -> Mesh:
    """Return the wall at x = half, seen from inside."""
    turn = Rotation.from_matrix([[0, 0, -1], [-1, 0, 0], [0, 1, 0]])
    return quad().moved((half, height / 2, 1), turn, (half, 0, height / 2))


def _pierced(rng: np.random.Generator, half: float, height: float) -> list[Mesh]:
    """Return the wall with a window that has bars."""
    left, right = -half * rng.uniform(0.3, 0.8), half * rng.uniform(0.3, 0.8)
    low, high = height * rng.uniform(0.1, 0.4), height * rng.uniform(0.75, 0.95)
    frames = [(-half, half, 0, low), (-half, half, high, height)]
    frames += [(-half, left, low, high), (right, half, low, high)]
    for y in np.linspace(left, right, int(rng.integers(2, 7))):
        frames.append((y - 0.02, y + 0.02, low, high))
    for z in np.linspace(low, high, int(rng.integers(2, 9))):
        frames.append((left, right, z - 0.02, z + 0.02))
    parts = []
    for y0, y1, z0, z1 in frames:
        scale, middle = (0.04, (y1 - y0) / 2, (z1 - z0) / 2), (half, (y0 + y1) / 2, (z0 + z1) / 2)
        parts.append(box().moved(scale, shift=middle))
    return parts


def _ground(scene: Scene, rng: np.random.Generator, half: float) -> None:
    repeats = 2 * half / pick(rng, 0.15, 2)
    bsdf = metal(rng) if rng.random() < 0.04 else matte(rng, repeats, 0.85)
    scene.shapes.append(Shape(quad().moved(half), bsdf))


def _hang(scene: Scene, rng: np.random.Generator, half: float) -> None:
    """Hang a picture, a mirror or a screen on a wall."""
    turn = Rotation.from_euler("z", int(rng.integers(1, 4)) * 90, degrees=True)
    middle = (half - 0.03, rng.uniform(-0.7, 0.7) * half, rng.uniform(0.8, 1.8))
    mesh = _panel(half, 1).moved((0, *(rng.uniform(0.2, 0.9, 2) / (half, 1))))
    mesh = mesh.moved(shift=middle).moved(turn=turn)
    image = bitmap(rng, pattern(rng), 1)
    if rng.random() < 0.15:
        scene.shapes.append(Shape(mesh, BLACK, image))
    elif rng.random() < 0.2:
        scene.shapes.append(Shape(mesh, metal(rng)))
    else:
        scene.shapes.append(Shape(mesh, {"type": "diffuse", "reflectance": image}))


# Lights.


def _sky(scene: Scene, rng: np.random.Generator, level: float) -> None:
    """Surround the scene: sky with clouds, one colour, or a dark studio with bright fields."""
    height, kind = 128, rng.choice(3, p=[0.6, 0.15, 0.25])
    if kind == 1:
        scene.lights.append({"type": "constant", "radiance": rgb(level * colour(rng, 0.5, 1))})
        return
    if kind == 0:
        up = np.linspace(1, -1, height)[:, None] * np.ones(2 * height)
        image = ramp((1 - up) / 2, [colour(rng, 0.3, 1) for _ in range(3)])
        clouds = np.tile(cloud(rng, 1.6, 2, height), (1, 2))
        image = image + np.clip(clouds - 0.5, 0, 1)[..., None] * rng.uniform(0, 3)
        image = np.where(up[..., None] < 0, colour(rng, 0.05, 0.4), image)
    else:
        image = np.full((height, 2 * height, 3), 0.1)
        for _ in range(int(rng.integers(2, 7))):
            y, x = rng.integers(height), rng.integers(2 * height)
            h, w = rng.integers(5, 40, 2)
            image[y : y + h, x : x + w] = pick(rng, 1, 15) * colour(rng, 0.8, 1)
    turn = Rotation.from_euler("xz", [90, rng.uniform(0, 360)], degrees=True)
    matrix = np.eye(4)
    matrix[:3, :3] = turn.as_matrix()
    image = (level * image).astype(np.float32)
    scene.lights.append({"type": "envmap", "image": image, "to_world": matrix})


def _sun(scene: Scene, rng: np.random.Generator, azimuth: float) -> None:
    """Shine from the azimuth, a little or far above the horizon."""
    height = rng.uniform(0.15, 1.1)
    towards = -np.array([np.cos(azimuth), np.sin(azimuth), np.tan(height)])
    light = rgb(pick(rng, 3, 15) * np.array([1, 0.92, 0.8]))
    sun = {"type": "directional", "direction": towards.tolist(), "irradiance": light}
    scene.lights.append(sun)


def _glow(scene: Scene, rng: np.random.Generator, mesh: Mesh, area: float, power: float) -> None:
    """Make a mesh shine: the larger it is, the dimmer."""
    tint = rgb(pick(rng, 0.5, 2) * power / area * (0.6 + 0.4 * colour(rng, 0.5, 1)))
    scene.shapes.append(Shape(mesh, BLACK, tint))


def _bulbs(scene: Scene, rng: np.random.Generator, reach: float, count: int) -> None:
    """Hang many little lamps around: discs of light where they are out of focus."""
    angle, radius = rng.uniform(-np.pi, np.pi, count), reach * rng.uniform(0.8, 2, count)
    height = reach * rng.uniform(0.1, 1.5, count)
    places = np.stack([radius * np.cos(angle), radius * np.sin(angle), height], axis=1)
    size = reach * pick(rng, 0.008, 0.03)
    mesh = scattered(rng, ball(8), places, np.full(count, size))
    _glow(scene, rng, mesh, count * 12 * size**2, 6 * reach**2)


def _lamps(scene: Scene, rng: np.random.Generator, half: float, height: float) -> None:
    """Light a room: a panel, small lamps, a tube, or a point with hard shadows."""
    kind = rng.choice(4, p=[0.3, 0.35, 0.2, 0.15])
    spot = np.array([*rng.uniform(-0.6, 0.6, 2) * half, rng.uniform(0.75, 0.93) * height])
    if kind == 0:
        size = rng.uniform(0.1, 0.6)
        mesh = quad().moved(size, FLIPPED, (*spot[:2], height - 0.01))
        _glow(scene, rng, mesh, 4 * size**2, 8)
    elif kind == 1:
        count, size = int(rng.integers(1, 6)), pick(rng, 0.025, 0.12)
        places = rng.uniform(-0.8, 0.8, (count, 3)) * [half, half, 0.4] + [0, 0, spot[2] - 0.4]
        _glow(
            scene,
            rng,
            scattered(rng, ball(24), places, np.full(count, size)),
            count * 12 * size**2,
            8,
        )
    elif kind == 2:
        size = rng.uniform(0.01, 0.04)
        mesh = tube(spot + np.outer([-1, 0, 1], [0.6, 0.1, 0]), size, 12)
        _glow(scene, rng, mesh, 7 * size, 8)
    else:
        light = rgb(pick(rng, 1, 4) * np.ones(3))
        scene.lights.append({"type": "point", "position": spot.tolist(), "intensity": light})


def _things(scene: Scene, rng: np.random.Generator, reach: float) -> list[tuple[Array, float]]:
    """Place things on the ground where there is room; give their middles and radii."""
    count = int(pick(rng, 6, 30))
    usual, things = 0.65 * reach / np.sqrt(count), []
    for _ in range(count):
        size = float(np.clip(usual * pick(rng, 0.5, 2), 0.05, 0.8))
        for _ in range(10):
            place = np.append(rng.uniform(-0.8, 0.8, 2) * reach, 0)
            if all(np.hypot(*(place - c)[:2]) > 0.8 * (size + r) for c, r in things):
                break
        scene.shapes += [s.moved(size, turned(rng, 0), place) for s in thing(rng)]
        things.append((place + np.array([0, 0, 0.6 * size]), size))
    return things


def _camera(
    rng: np.random.Generator,
    things: list[tuple[Array, float]],
    reach: float,
    ceiling: float,
    blurred: bool,
) -> Camera:
    """Look at a thing from outside all of them; long lenses show a part of a large picture."""
    for _ in range(100):
        target, radius = things[rng.integers(len(things))]
        target = target + rng.normal(0, 0.5, 3) * radius
        angle, up = rng.uniform(-np.pi, np.pi), rng.uniform(0.03, 0.7)
        way = np.array([np.cos(angle) * np.cos(up), np.sin(angle) * np.cos(up), np.sin(up)])
        origin = target + way * max(radius, 0.15) * pick(rng, 2, 10)
        inside = np.all(np.abs(origin[:2]) < 0.93 * reach) or ceiling > 2.9 * reach
        free = all(np.linalg.norm(origin - c) > 1.3 * r + 0.1 for c, r in things)
        if inside and free and 0.1 < origin[2] < 0.93 * ceiling:
            break
    distance = float(np.linalg.norm(target - origin))
    wide = np.degrees(2 * np.arctan(radius * pick(rng, 0.6, 4) / distance))
    fov = float(np.clip(wide, 8, 65))
    blur = pick(rng, 0.05, 0.4) * np.tan(np.radians(fov / 2))
    return Camera(origin, target, fov, distance * blur if blurred else 0.0)
