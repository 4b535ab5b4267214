"""Render the sample sequence: a slow camera move over still_life.xml with Mitsuba 3.

Each frame holds the colour at 8 samples per pixel and, from the very same samples, the
albedo (diffuse reflectance of the first surface that is neither clear glass nor a perfect
mirror; 1 on metal and lamps) and the normal (world space, first hit). The reference of a
frame is the colour alone at many samples per pixel with its own seeds.

    pip install mitsuba OpenEXR numpy pillow scipy
    python make_render.py [--frames 4] [--spp 8] [--reference-spp 512]

Mitsuba's llvm variant needs a recent LLVM library (DRJIT_LIBLLVM_PATH names another one).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import mitsuba as mi
import numpy as np
import OpenEXR
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

mi.set_variant("llvm_ad_rgb")
import drjit as dr  # noqa: E402  (needs the variant)

HERE = Path(__file__).parent
SEED = 2024
WIDTH, HEIGHT = 256, 192
MAX_DEPTH = 10
PASS_SPP = 128  # references are sums of passes of this size: little memory
NAMES = ["albedo.R", "albedo.G", "albedo.B", "normal.X", "normal.Y", "normal.Z"]


class Features(mi.SamplingIntegrator):  # type: ignore[misc]
    """Path-traced colour plus albedo and normal of the same camera rays."""

    def __init__(self, properties: Any) -> None:
        super().__init__(properties)
        self.path = mi.load_dict({"type": "path", "max_depth": MAX_DEPTH, "rr_depth": 5})

    def aov_names(self) -> list[str]:
        """Return the layers beside the colour."""
        return NAMES

    def sample(self, scene: Any, sampler: Any, ray: Any, medium: Any, active: Any) -> Any:
        """Trace one ray: colour, validity, features."""
        albedo, normal = self.features(scene, sampler, ray, active)
        colour, valid, _ = self.path.sample(scene, sampler, ray, medium, active)
        return colour, valid, [*albedo, *normal]

    def features(self, scene: Any, sampler: Any, ray: Any, active: Any) -> tuple[Any, Any]:
        """Follow up to three perfect reflections or refractions to the first real surface."""
        ray, live = mi.Ray3f(ray), mi.Bool(active)
        albedo, normal = mi.Color3f(0), mi.Normal3f(0)
        for bounce in range(3):
            hit = scene.ray_intersect(ray, live)
            live &= hit.is_valid()
            if bounce == 0:
                normal = dr.select(live, hit.sh_frame.n, 0)
            bsdf = hit.bsdf(ray)
            diffuse = mi.has_flag(bsdf.flags(), mi.BSDFFlags.DiffuseReflection)
            lamp = hit.emitter(scene, live) != None  # noqa: E711  (an array comparison)
            colour = bsdf.eval_diffuse_reflectance(hit, live & diffuse)
            albedo = dr.select(live, dr.select(diffuse & ~lamp, colour, 1), albedo)
            live &= ~lamp & ~mi.has_flag(bsdf.flags(), mi.BSDFFlags.Smooth)
            onward, _ = bsdf.sample(
                mi.BSDFContext(), hit, sampler.next_1d(live), sampler.next_2d(live), live
            )
            ray = hit.spawn_ray(hit.to_world(onward.wo))
        return albedo, normal


def cloud(rng: np.random.Generator, size: int, sigma: tuple[float, float]) -> NDArray[Any]:
    """Tileable smooth noise, (size, size), zero mean and unit deviation."""
    noise = gaussian_filter(rng.standard_normal((size, size)), sigma, mode="wrap")
    return np.asarray((noise - noise.mean()) / noise.std())


def blend(
    weight: NDArray[Any], first: tuple[float, ...], second: tuple[float, ...]
) -> NDArray[Any]:
    """Mix two sRGB colours by `weight` (Y, X) in [0, 1]."""
    weight = np.clip(weight, 0, 1)[..., None]
    return np.asarray((1 - weight) * np.array(first) + weight * np.array(second))


def wood(rng: np.random.Generator, size: int = 512) -> NDArray[Any]:
    """Planks with grain along x."""
    y = np.mgrid[:size, :size][0]
    plank = y * 8 // size
    grain = 0.5 + 0.2 * cloud(rng, size, (1.2, 40)) + 0.15 * cloud(rng, size, (4, 60))
    image = blend(grain + rng.uniform(-0.2, 0.2, 8)[plank], (0.42, 0.27, 0.16), (0.72, 0.52, 0.33))
    return np.where((y % (size // 8) < 2)[..., None], image * 0.45, image)


def wallpaper(rng: np.random.Generator, size: int = 256) -> NDArray[Any]:
    """Pale stripes with small rhombs."""
    y, x = np.mgrid[:size, :size] / size
    stripe = 0.5 + 0.5 * np.sign(np.sin(2 * np.pi * 2 * x))
    rhomb = np.abs((x * 4) % 1 - 0.5) + np.abs((y * 4) % 1 - 0.5) < 0.16
    image = blend(stripe, (0.70, 0.72, 0.64), (0.80, 0.80, 0.72))
    image = np.where(rhomb[..., None], np.array((0.42, 0.52, 0.50)), image)
    return image + 0.015 * cloud(rng, size, (1, 1))[..., None]


def marble(rng: np.random.Generator, size: int = 512) -> NDArray[Any]:
    """Veins: a sine of a warped coordinate."""
    x = np.mgrid[:size, :size][1] / size
    veins = np.abs(np.sin(2 * np.pi * (2 * x + 0.35 * cloud(rng, size, (24, 24)))))
    veins += 0.06 * cloud(rng, size, (3, 3))
    return blend(np.clip(veins, 0, 1) ** 0.4, (0.25, 0.10, 0.08), (0.90, 0.84, 0.78))


def picture(rng: np.random.Generator, size: int = 512) -> NDArray[Any]:
    """Hills under a low sun, contour lines in the hills; y points up."""
    y, x = np.mgrid[:size, :size][:, ::-1] / size
    image = blend(y * 1.6, (0.95, 0.72, 0.35), (0.35, 0.55, 0.75))
    image[np.hypot((x - 0.7) * 1.38, y - 0.6) < 0.11] = (0.98, 0.93, 0.70)
    for layer, base in enumerate((0.5, 0.36, 0.2)):
        ridge = base + 0.06 * np.interp(x[0], np.linspace(0, 1, 9), rng.standard_normal(9))
        depth = gaussian_filter(ridge, 8)[None] - y
        lines = (depth * 28) % 1 < 0.2
        colour = np.array((0.16, 0.36, 0.34)) * (1.3 - 0.35 * layer)
        hill = np.where(lines[..., None], colour * 1.7, colour)
        image = np.where((depth > 0)[..., None], hill, image)
    return image


def pages(rng: np.random.Generator, size: int = 256) -> NDArray[Any]:
    """Return the edge of a book block: fine lines."""
    lines = np.repeat(rng.uniform(0, 1, size // 8), 8)[:, None] * np.ones(size)
    return blend(lines, (0.62, 0.56, 0.44), (0.92, 0.88, 0.76))


def write_textures(folder: Path) -> None:
    """Draw every texture of the scene, each from its own seed."""
    for number, draw in enumerate((wood, wallpaper, marble, picture, pages)):
        image = np.clip(draw(np.random.default_rng([SEED, number])), 0, 1)
        Image.fromarray(np.rint(255 * image).astype(np.uint8)).save(folder / f"{draw.__name__}.png")


def load_scene(frame: int, textures: Path) -> Any:
    """Load the scene with the camera of a frame: 4 cm to the right and 1 cm up each."""
    return mi.load_file(
        str(HERE / "still_life.xml"),
        x=0.25 + 0.04 * frame,
        y=-3.6,
        z=1.55 + 0.01 * frame,
        width=WIDTH,
        height=HEIGHT,
        textures=str(textures),
    )


def render(scene: Any, spp: int, seed: int) -> NDArray[np.float32]:
    """(Y, X, 9) float32: linear colour, albedo, normal."""
    integrator = mi.load_dict({"type": "features"})
    return np.array(mi.render(scene, integrator=integrator, spp=spp, seed=seed), np.float32)


def reference(scene: Any, spp: int, seed: int) -> NDArray[np.float32]:
    """(Y, X, 3) float32: the mean of independent passes."""
    integrator = mi.load_dict({"type": "path", "max_depth": MAX_DEPTH, "rr_depth": 5})
    total = np.zeros((HEIGHT, WIDTH, 3))
    for number in range(spp // PASS_SPP):
        total += np.array(mi.render(scene, integrator=integrator, spp=PASS_SPP, seed=seed + number))
    return (total / (spp // PASS_SPP)).astype(np.float32)


def save(path: Path, image: NDArray[np.float32], spp: int) -> None:
    """Write half-float layers, compressed without loss."""
    names = ["R", "G", "B", *NAMES][: image.shape[-1]]
    half = image.astype(np.float16)
    half[..., 3:] = np.rint(image[..., 3:] * 256) / 256  # finer than any use, half the bytes
    channels = {name: np.ascontiguousarray(half[..., i]) for i, name in enumerate(names)}
    header = {
        "compression": OpenEXR.PIZ_COMPRESSION,
        "type": OpenEXR.scanlineimage,
        "comments": f"Mitsuba {mi.__version__}, path tracing, {spp} samples per pixel",
    }
    OpenEXR.File(header, channels).write(str(path))


def main() -> None:
    """Render every frame and its reference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--spp", type=int, default=8)
    parser.add_argument("--reference-spp", type=int, default=512)
    parser.add_argument("--out", type=Path, default=HERE.parent)
    options = parser.parse_args()
    mi.register_integrator("features", Features)
    for folder in ("render", "render_truth"):
        (options.out / folder).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        write_textures(Path(folder))
        for frame in range(options.frames):
            scene, name = load_scene(frame, Path(folder)), f"still_life_{frame + 1:04d}.exr"
            noisy = render(scene, options.spp, SEED + frame)
            save(options.out / "render" / name, noisy, options.spp)
            seed = SEED + 1000 * (frame + 1)
            clean = reference(scene, options.reference_spp, seed)
            save(options.out / "render_truth" / name, clean, options.reference_spp)


if __name__ == "__main__":
    main()
