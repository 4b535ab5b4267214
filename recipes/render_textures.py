"""Random textures and materials for the training views of path-traced frames; numpy alone.

Materials are dictionaries as Mitsuba takes them, except that a picture is an array (`image`) and
a transform a (4, 4) matrix. Pictures come from those inside scikit-image's package.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial import cKDTree

Array = NDArray[np.float64]
Bsdf = dict[str, Any]
SIZE = 320
PICTURES = (
    "astronaut brick camera chelsea coffee coins grass gravel ihc motorcycle_left page text"
).split()


def pick(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number whose logarithm is uniform."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def colour(rng: np.random.Generator, low: float = 0.05, high: float = 0.85) -> Array:
    """Draw a colour (3,), its brightest channel in [low, high]."""
    wheel = np.clip(np.abs((rng.random() * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    saturation = rng.beta(1.2, 2.4)
    return np.asarray(rng.uniform(low, high) * (1 - saturation + saturation * wheel))


def cloud(rng: np.random.Generator, power: float, stretch: float = 1, size: int = SIZE) -> Array:
    """Tileable noise in [0, 1] with a spectrum of 1 / f ** power, drawn out along x."""
    y, x = size * np.fft.fftfreq(size)[:, None], size * np.fft.rfftfreq(size)[None]
    frequency = np.hypot(y, x * stretch)
    frequency[0, 0] = 1
    spectrum = np.fft.rfft2(rng.standard_normal((size, size))) / frequency**power
    noise = np.fft.irfft2(spectrum, s=(size, size))
    return np.asarray(np.clip(0.5 + 0.22 * (noise - noise.mean()) / noise.std(), 0, 1))


def ramp(weight: Array, colours: list[Array]) -> Array:
    """Run a weight in [0, 1] through colours: (Y, X, 3)."""
    at = np.linspace(0, 1, len(colours))
    return np.stack([np.interp(weight, at, [c[i] for c in colours]) for i in range(3)], axis=-1)


def _grid() -> tuple[Array, Array]:
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    return y, x


def _grain(rng: np.random.Generator, amount: float = 0.5) -> Array:
    """Brightness that varies a little at every scale, (Y, X, 1)."""
    return 1 + amount * rng.random() * (cloud(rng, rng.uniform(0, 1.5)) - 0.5)[..., None]


def _noise(rng: np.random.Generator) -> Array:
    weight = cloud(rng, rng.uniform(0.2, 2))
    if rng.random() < 0.4:  # veins
        weight = np.abs(np.sin(np.pi * weight * rng.uniform(2, 12)))
    return ramp(weight, [colour(rng) for _ in range(int(rng.integers(2, 6)))])


def _checker(rng: np.random.Generator) -> Array:
    tiles, (y, x) = 2 * int(rng.integers(1, 9)), _grid()
    odd = ((y * tiles).astype(int) + (x * tiles).astype(int)) % 2
    return np.stack([colour(rng, 0.02, 0.3), colour(rng, 0.3)])[odd] * _grain(rng)


def _wood(rng: np.random.Generator) -> Array:
    planks, y = int(rng.integers(3, 9)), _grid()[0]
    plank = (y * planks).astype(int)
    rings = np.sin(rng.uniform(20, 90) * cloud(rng, 2, 6) + rng.uniform(0, 6, planks)[plank])
    weight = 0.5 * cloud(rng, 0.8, 20) + 0.2 * rings + rng.uniform(0, 0.4, planks)[plank]
    image = ramp(weight, [colour(rng, 0.05, 0.3), colour(rng, 0.3, 0.8)])
    return np.where(((y * planks) % 1 < 0.03)[..., None], image * 0.3, image)


def _bricks(rng: np.random.Generator) -> Array:
    rows, joint, (y, x) = 2 * int(rng.integers(2, 8)), rng.uniform(0.03, 0.15), _grid()
    row = (y * rows).astype(int)
    along = x * rows / 2 + 0.5 * (row % 2) * (rng.random() < 0.7)
    shade = rng.uniform(0.5, 1.2, (rows, rows + 1))[row, along.astype(int) % (rows // 2)]
    image = colour(rng, 0.2) * shade[..., None] * _grain(rng, 1)
    gap = ((y * rows) % 1 < joint) | (along % 1 < joint / 2)
    return np.where(gap[..., None], colour(rng) * _grain(rng), image)


def _weave(rng: np.random.Generator) -> Array:
    threads, (y, x) = 2 * int(rng.integers(5, 33)), _grid()
    row, column = (y * threads).astype(int), (x * threads).astype(int)
    yarns = np.stack([colour(rng) for _ in range(int(rng.integers(1, 5)))])
    warp, weft = (yarns[np.repeat(rng.integers(len(yarns), size=threads), 4)] for _ in range(2))
    over = (row + column * int(rng.integers(1, 3))) % int(rng.integers(2, 5)) == 0
    across, down = (np.sin(np.pi * ((t * threads) % 1)) for t in (x, y))
    image = np.where(over[..., None], warp[column], weft[row])
    return image * (0.3 + 0.7 * np.where(over, across, down))[..., None] * _grain(rng)


def _mosaic(rng: np.random.Generator) -> Array:
    """Draw a grid of little tiles of few colours: prints, pixels, confetti."""
    shape = [int(pick(rng, 6, 80)) for _ in range(2)]
    colours = np.stack([colour(rng) for _ in range(int(rng.integers(2, 7)))])
    tiles = colours[rng.integers(len(colours), size=shape)]
    y, x = (np.arange(SIZE) * n // SIZE for n in shape)
    return np.asarray(tiles[y][:, x])


def _cells(rng: np.random.Generator) -> Array:
    """Draw cells with borders: cobbles, scales, cracked paint."""
    points = rng.random((int(pick(rng, 12, 400)), 2))
    (near, second), (cell, _) = (
        np.moveaxis(a, -1, 0) for a in cKDTree(points, boxsize=1).query(np.dstack(_grid()), k=2)
    )
    inside = np.clip((second - near) * np.sqrt(len(points)) * rng.uniform(2, 12), 0.1, 1)
    weight = rng.random(len(points))[cell]
    return ramp(weight, [colour(rng) for _ in range(3)]) * inside[..., None] * _grain(rng)


def _stripes(rng: np.random.Generator) -> Array:
    wave = _grid()[0] * int(pick(rng, 2, 50)) + rng.uniform(0, 2) * (cloud(rng, 2) - 0.5)
    weight = np.abs(wave % 1 * 2 - 1)
    sharp = rng.random() < 0.6
    image = ramp(np.round(weight) if sharp else weight, [colour(rng), colour(rng), colour(rng)])
    return image * _grain(rng)


def _dots(rng: np.random.Generator) -> Array:
    count, (y, x) = int(pick(rng, 2, 30)), _grid()
    spot = np.hypot((y * count) % 1 - 0.5, (x * count) % 1 - 0.5) < rng.uniform(0.15, 0.45)
    return np.where(spot[..., None], colour(rng), colour(rng)) * _grain(rng)


def _picture(rng: np.random.Generator) -> Array:
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("textures use pictures of scikit-image: pip install scikit-image")
    name = PICTURES[rng.integers(len(PICTURES))]
    picture = Image.open(Path(spec.origin).parent / "data" / f"{name}.png").convert("RGB")
    side = int(rng.uniform(0.5, 1) * min(picture.size))
    left, top = (int(rng.integers(length - side + 1)) for length in picture.size)
    part = picture.resize(
        (SIZE, SIZE), Image.Resampling.LANCZOS, (left, top, left + side, top + side)
    )
    return np.asarray(part, np.float64) ** 2.2 / 255**2.2


PATTERNS = (
    (_noise, 3), (_checker, 1.5), (_wood, 2), (_bricks, 1.5), (_weave, 2), (_mosaic, 1),
    (_cells, 1.5), (_stripes, 1), (_dots, 0.7), (_picture, 3),
)  # fmt: skip


def pattern(rng: np.random.Generator) -> Array:
    """Draw a texture: (SIZE, SIZE, 3), linear reflectance."""
    chances = np.array([weight for _, weight in PATTERNS])
    draw = PATTERNS[rng.choice(len(PATTERNS), p=chances / chances.sum())][0]
    return np.clip(draw(rng), 0.01, 0.95)


def bitmap(rng: np.random.Generator, image: Array, repeats: float) -> dict[str, Any]:
    """Lay an image `repeats` times across the surface, at a random angle now and then."""
    angle = rng.choice([0, np.pi / 2, rng.uniform(0, np.pi)], p=[0.6, 0.2, 0.2])
    matrix = np.eye(4)
    cosine, sine = repeats * np.cos(angle), repeats * np.sin(angle)
    matrix[:2, :2] = [[cosine, -sine], [sine, cosine]]
    return {"type": "bitmap", "image": image.astype(np.float32), "raw": True, "to_uv": matrix}


def rgb(value: Array) -> dict[str, Any]:
    """Return a colour as Mitsuba takes it."""
    return {"type": "rgb", "value": [float(v) for v in np.broadcast_to(value, 3)]}


def surface(rng: np.random.Generator, repeats: float, textured: float = 0.75) -> dict[str, Any]:
    """Draw a reflectance: a texture with the chance `textured`, or one colour."""
    if rng.random() < textured:
        return bitmap(rng, pattern(rng), repeats)
    return rgb(colour(rng))


def matte(rng: np.random.Generator, repeats: float, textured: float = 0.75) -> Bsdf:
    """Draw a material without mirror or glass: for walls and thin things."""
    reflectance = surface(rng, repeats, textured)
    kind = rng.choice(["diffuse", "roughplastic", "principled", "plastic"], p=[0.5, 0.2, 0.2, 0.1])
    bsdf: Bsdf = {"type": str(kind)}
    if kind == "diffuse":
        bsdf["reflectance"] = reflectance
    elif kind == "principled":
        bsdf["base_color"] = reflectance
        bsdf["metallic"] = float(rng.random() * (rng.random() < 0.3))
        bsdf["roughness"] = rng.uniform(0.1, 0.9)
        if rng.random() < 0.4:
            rough = np.clip(cloud(rng, 1), 0.08, 1)[..., None]
            bsdf["roughness"] = bitmap(rng, rough, repeats)
        bsdf["clearcoat"], bsdf["sheen"] = rng.random() * (rng.random() < 0.3), rng.random() * 0.5
    else:
        bsdf["diffuse_reflectance"] = reflectance
        if kind == "roughplastic":
            bsdf["alpha"] = pick(rng, 0.05, 0.4)
    return bsdf


def thin(bsdf: Bsdf) -> Bsdf:
    """Let an opaque material be seen from behind too; closed shapes do without, it costs time."""
    return {"type": "twosided", "bsdf": bsdf}


def metal(rng: np.random.Generator) -> Bsdf:
    """Draw a mirror or a rough metal."""
    bsdf: Bsdf = {"material": str(rng.choice(["Au", "Cu", "Ag", "Al", "Cr", "W", "none"]))}
    if rng.random() < 0.25:
        bsdf["type"] = "conductor"
    else:
        bsdf.update(type="roughconductor", distribution="ggx", alpha=pick(rng, 0.04, 0.5))
    return bsdf


def glass(rng: np.random.Generator) -> Bsdf:
    """Draw clear, tinted or frosted glass; only for closed shapes."""
    bsdf: Bsdf = {"type": "dielectric", "int_ior": rng.uniform(1.3, 1.7)}
    if rng.random() < 0.25:
        bsdf.update(type="roughdielectric", distribution="ggx", alpha=pick(rng, 0.05, 0.3))
    if rng.random() < 0.5:
        bsdf["specular_transmittance"] = rgb(colour(rng, 0.8, 1))
    return bsdf


def material(rng: np.random.Generator, repeats: float) -> Bsdf:
    """Draw any material, for a closed shape."""
    kind = rng.random()
    if kind < 0.12:
        return glass(rng)
    return metal(rng) if kind < 0.28 else matte(rng, repeats)
