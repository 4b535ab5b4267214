"""Triangle meshes for the training views of path-traced frames, made of nothing but numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from render_textures import Array, cloud
from scipy.spatial.transform import Rotation


@dataclass(frozen=True)
class Mesh:
    """Triangles with texture coordinates.

    Parameters
    ----------
    vertices, uv
        (N, 3) and (N, 2).
    faces
        (M, 3), numbers of vertices.
    smooth
        Interpolate normals across faces.
    """

    vertices: Array
    faces: NDArray[np.int64]
    uv: Array
    smooth: bool = False

    def moved(
        self, scale: ArrayLike = 1, turn: Rotation | None = None, shift: ArrayLike = 0
    ) -> Mesh:
        """Scale, then turn, then shift."""
        vertices = self.vertices * np.asarray(scale)
        if turn is not None:
            vertices = turn.apply(vertices)
        return Mesh(vertices + np.asarray(shift), self.faces, self.uv, self.smooth)

    def grounded(self) -> Mesh:
        """Stand on z = 0."""
        return self.moved(shift=(0, 0, -self.vertices[:, 2].min()))


def merged(meshes: Sequence[Mesh]) -> Mesh:
    """Join meshes into one."""
    starts = np.cumsum([0, *(len(m.vertices) for m in meshes)])
    return Mesh(
        np.concatenate([m.vertices for m in meshes]),
        np.concatenate([m.faces + start for m, start in zip(meshes, starts, strict=False)]),
        np.concatenate([m.uv for m in meshes]),
        meshes[0].smooth,
    )


def turned(rng: np.random.Generator, tilt: float = np.pi) -> Rotation:
    """Draw a rotation: any about z, at most `tilt` about the others."""
    angles = rng.uniform(-1, 1, 3) * [np.pi, tilt, tilt]
    return Rotation.from_euler("zyx", angles)


def sheet(points: Array, smooth: bool = True) -> Mesh:
    """Join a grid of points (rows, columns, 3) by triangles; those without an area go."""
    rows, columns = points.shape[:2]
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    faces = np.concatenate(
        [
            np.stack([corner, corner + 1, corner + columns + 1], axis=1),
            np.stack([corner, corner + columns + 1, corner + columns], axis=1),
        ]
    )
    v, u = np.meshgrid(np.linspace(0, 1, rows), np.linspace(0, 1, columns), indexing="ij")
    vertices = points.reshape(-1, 3)
    a, b, c = vertices[faces].transpose(1, 0, 2)
    solid = np.linalg.norm(np.cross(b - a, c - a), axis=1) > 1e-12
    return Mesh(vertices, faces[solid], np.stack([u.ravel(), v.ravel()], axis=1), smooth)


def quad() -> Mesh:
    """Return the square [-1, 1] at z = 0, facing up."""
    y, x = np.meshgrid([-1.0, 1.0], [-1.0, 1.0], indexing="ij")
    return sheet(np.stack([x, y, np.zeros_like(x)], axis=-1), smooth=False)


def box() -> Mesh:
    """Return the cube [-1, 1], each side with the whole texture."""
    sides = [(0, 0), (90, 0), (180, 0), (270, 0), (0, 90), (0, -90)]
    up = quad().moved(shift=(0, 0, 1))
    turns = [Rotation.from_euler("xy", angles, degrees=True) for angles in sides]
    return merged([up.moved(turn=turn) for turn in turns])


def lathe(profile: ArrayLike, around: int = 64) -> Mesh:
    """Turn a profile (K, 2) of radius and height, from below, about z; twice a point: an edge."""
    radius, height = np.asarray(profile, np.float64).T[..., None]
    angle = np.linspace(0, 2 * np.pi, around + 1)
    ring = [radius * np.cos(angle), radius * np.sin(angle), height + 0 * angle]
    return sheet(np.stack(ring, axis=-1))


def ball(around: int = 64) -> Mesh:
    """Return the unit sphere."""
    angle = np.linspace(0, np.pi, around // 2 + 1)
    return lathe(np.stack([np.sin(angle), -np.cos(angle)], axis=1), around)


def can(around: int = 48) -> Mesh:
    """Return a closed cylinder of radius 1, from -1 to 1."""
    return lathe([(0, -1), (1, -1), (1, -1), (1, 1), (1, 1), (0, 1)], around)


def vase(rng: np.random.Generator) -> Mesh:
    """Draw a closed body of revolution."""
    height = np.linspace(-1, 1, 60)
    waves = [np.sin(rng.uniform(1, 5) * height + rng.uniform(0, 6)) for _ in range(3)]
    radius = np.clip(0.5 + 0.2 * np.sum(waves, axis=0), 0.12, 1)
    body = np.stack([radius, height], axis=1)
    return lathe([(0, -1), body[0], *body, body[-1], (0, 1)])


def ring(rng: np.random.Generator) -> Mesh:
    """Draw a torus."""
    angle, thick = np.linspace(0, -2 * np.pi, 33), rng.uniform(0.1, 0.45)
    profile = np.stack([1 - thick + thick * np.cos(angle), thick * np.sin(angle)], axis=1)
    return lathe(profile[::-1])


def blob(rng: np.random.Generator) -> Mesh:
    """Draw a ball with dents, smooth or like a stone."""
    base = ball(96)
    waves = rng.normal(0, rng.uniform(1.5, 5), (8, 3))
    swell = np.sin(base.vertices @ waves.T + rng.uniform(0, 6, 8)).mean(axis=1)
    vertices = base.vertices * (1 + rng.uniform(0.3, 0.9) * swell[:, None])
    return Mesh(vertices / np.abs(vertices).max(), base.faces, base.uv, rng.random() < 0.7)


def cloth(rng: np.random.Generator, size: int = 96) -> Mesh:
    """Draw a sheet [-1, 1] with folds, hills or ripples, about 0 in height."""
    height = cloud(rng, rng.uniform(1.8, 2.6), rng.uniform(1, 4), size)
    y, x = np.meshgrid(*[np.linspace(-1, 1, size)] * 2, indexing="ij")
    return sheet(np.stack([x, y, height - np.median(height)], axis=-1))


def tube(path: ArrayLike, radius: float, around: int = 8) -> Mesh:
    """Draw a pipe along points (K, 3)."""
    points = np.asarray(path, np.float64)
    along = np.gradient(points, axis=0)
    side = np.cross(along, [0.31, 0.52, 0.79])
    up = np.cross(along, side)
    side, up = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (side, up))
    angle = np.linspace(0, 2 * np.pi, around + 1)[:, None, None]
    pipe = points + radius * (np.cos(angle) * side + np.sin(angle) * up)
    return sheet(pipe.transpose(1, 0, 2))


def leaf() -> Mesh:
    """Return a leaf 1 long along x, folded a little."""
    along = np.linspace(0, 1, 5)
    half = 0.28 * np.sin(np.pi * along**0.8)
    rows = [np.stack([along, s * half, np.abs(s) * half * 0.4], axis=1) for s in (-1, 0, 1)]
    return sheet(np.stack(rows), smooth=False)


def scattered(rng: np.random.Generator, mesh: Mesh, places: Array, sizes: Array) -> Mesh:
    """Put turned copies of a mesh at places (N, 3), each with its own part of the texture."""
    copies = []
    for place, size in zip(places, sizes, strict=True):
        part = mesh.moved(size, turned(rng), place)
        uv = part.uv * rng.uniform(0.05, 0.5) + rng.random(2)
        copies.append(Mesh(part.vertices, part.faces, uv, part.smooth))
    return merged(copies)
