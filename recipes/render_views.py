"""Render views for training the bundled weights `render`.

    pip install mitsuba scikit-image
    python recipes/render_views.py VIEWS --first 0 --count 60 --threads 1

Scene i follows from seed i alone (render_scenes.py); its views go to VIEWS/scene00012_view1.npz,
and a view that is there already is left alone. A file holds float16 arrays (Y, X, 3), linear HDR,
box filter: `noisy_4`, `noisy_4b`, `noisy_8`, `noisy_16`, `noisy_32` (samples per pixel, each with
seeds of its own), `albedo_4`, `normal_4` and so on (of the very samples of each), `ref` (512 or
more), and `ref_psnr`, the reference's own quality in dB, estimated from its halves. Mitsuba's llvm
variant needs a recent LLVM library, named by DRJIT_LIBLLVM_PATH: 19 and 22 worked, 14 and 15 not.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import mitsuba as mi
import numpy as np
import typer
from numpy.typing import NDArray
from render_scenes import Camera, Scene, build
from render_things import Shape

mi.set_variant("llvm_ad_rgb")
mi.set_log_level(mi.LogLevel.Error)  # says at length that poles have no normal
import drjit as dr  # noqa: E402  (needs the variant)

Image = NDArray[np.float32]
VIEWS = 5
"""Views of a scene."""
SAMPLES = {"32": 32, "16": 16, "8": 8, "4": 4, "4b": 4}
"""Samples per pixel of each rendering of a view; the first one shows whether it is worth it."""
KEY = 0.2
"""Mean brightness of a view, the brightest 3 % left out."""
PASS = 64
"""Samples per pixel of each rendering that a reference's halves add up."""
FEWEST, MOST = 4, 8
"""Renderings in each half."""
ENOUGH, LEAST = 37.0, 29.0
"""PSNR at which a reference is done, and under which it is thrown away."""


class Features(mi.SamplingIntegrator):  # type: ignore[misc]
    """Path-traced colour plus albedo and normal of the same camera rays.

    Albedo is the diffuse reflectance of the first surface that is neither clear glass nor a
    perfect mirror (three are followed), 1 on metal and lamps, and the sky's colour up to 1.
    """

    def __init__(self, properties: Any) -> None:
        super().__init__(properties)
        depth = properties.get("max_depth", 8)
        self.path = mi.load_dict({"type": "path", "max_depth": depth, "rr_depth": 3})

    def aov_names(self) -> list[str]:
        """Return the layers beside the colour."""
        return ["albedo.R", "albedo.G", "albedo.B", "normal.X", "normal.Y", "normal.Z"]

    def sample(self, scene: Any, sampler: Any, ray: Any, medium: Any, active: Any) -> Any:
        """Trace one ray: colour, validity, features."""
        albedo, normal = self.features(scene, sampler, ray, active)
        colour, valid, _ = self.path.sample(scene, sampler, ray, medium, active)
        return colour, valid, [*albedo, *normal]

    def features(self, scene: Any, sampler: Any, ray: Any, active: Any) -> tuple[Any, Any]:
        """Follow perfect reflections and refractions to the first real surface."""
        ray, live = mi.Ray3f(ray), mi.Bool(active)
        albedo, normal = mi.Color3f(0), mi.Normal3f(0)
        for bounce in range(3):
            hit = scene.ray_intersect(ray, live)
            light = hit.emitter(scene, live)
            missed = live & ~hit.is_valid()
            albedo = dr.select(missed, dr.clip(light.eval(hit, missed), 0, 1), albedo)
            live &= hit.is_valid()
            if bounce == 0:
                normal = dr.select(live, hit.sh_frame.n, 0)
            bsdf = hit.bsdf(ray)
            diffuse = mi.has_flag(bsdf.flags(), mi.BSDFFlags.DiffuseReflection)
            lamp = light != None  # noqa: E711  (an array comparison)
            colour = dr.clip(bsdf.eval_diffuse_reflectance(hit, live & diffuse), 0, 1)
            albedo = dr.select(live, dr.select(diffuse & ~lamp, colour, 1), albedo)
            live &= ~lamp & ~mi.has_flag(bsdf.flags(), mi.BSDFFlags.Smooth)
            onward, _ = bsdf.sample(
                mi.BSDFContext(), hit, sampler.next_1d(live), sampler.next_2d(live), live
            )
            ray = hit.spawn_ray(hit.to_world(onward.wo))
        return albedo, normal


def described(value: Any) -> Any:
    """Turn arrays into Mitsuba's pictures and transforms, at any depth."""
    if not isinstance(value, dict):
        return value
    found = {}
    for key, item in value.items():
        if key == "image":
            found["bitmap"] = mi.Bitmap(np.ascontiguousarray(item))
        elif key in ("to_uv", "to_world"):
            found[key] = mi.ScalarTransform4f(item)
        else:
            found[key] = described(item)
    return found


def solid(shape: Shape) -> Any:
    """Hand a mesh over."""
    properties = mi.Properties()
    properties["bsdf"] = mi.load_dict(described(shape.bsdf))
    if shape.radiance is not None:
        light = {"type": "area", "radiance": described(shape.radiance)}
        properties["emitter"] = mi.load_dict(light)
    mesh, size = shape.mesh, (len(shape.mesh.vertices), len(shape.mesh.faces))
    made = mi.Mesh("mesh", *size, properties, mesh.smooth, True)
    parameters = mi.traverse(made)
    parameters["vertex_positions"] = mesh.vertices.astype(np.float32).ravel()
    parameters["vertex_texcoords"] = mesh.uv.astype(np.float32).ravel()
    parameters["faces"] = mesh.faces.astype(np.uint32).ravel()
    parameters.update()
    return made


def loaded(scene: Scene) -> Any:
    """Hand a scene over."""
    parts = {f"shape{i}": solid(shape) for i, shape in enumerate(scene.shapes)}
    lights = {f"light{i}": described(light) for i, light in enumerate(scene.lights)}
    return mi.load_dict({"type": "scene", **parts, **lights})


def sensor(camera: Camera, size: int) -> Any:
    """Hand a camera over."""
    look = mi.ScalarTransform4f().look_at(camera.origin, camera.target, [0, 0, 1])
    lens: dict[str, Any] = {"type": "perspective"}
    if camera.aperture:
        far = float(np.linalg.norm(camera.target - camera.origin))
        lens = {"type": "thinlens", "aperture_radius": camera.aperture, "focus_distance": far}
    film = {
        "type": "hdrfilm",
        "width": size,
        "height": size,
        "pixel_format": "rgb",
        "component_format": "float32",
        "rfilter": {"type": "box"},
    }
    return mi.load_dict({**lens, "fov": camera.fov, "to_world": look, "film": film})


class Renderer:
    """Render one camera's pictures, each with a new seed."""

    def __init__(self, scene: Any, camera: Any, integrators: tuple[Any, Any], seed: int) -> None:
        self.scene, self.camera, self.seed = scene, camera, seed
        self.plain, self.featured = integrators

    def __call__(self, spp: int, features: bool = False) -> Image:
        """Render (Y, X, 3), or (Y, X, 9) with albedo and normal."""
        self.seed += 1
        chosen = self.featured if features else self.plain
        image = mi.render(
            self.scene, sensor=self.camera, integrator=chosen, spp=spp, seed=self.seed
        )
        return np.nan_to_num(np.array(image, np.float32), posinf=0, neginf=0)


def brightness(image: Image) -> Image:
    """Return the luminance (Y, X)."""
    return image @ np.array([0.2126, 0.7152, 0.0722], np.float32)


def shown(image: Image) -> Image:
    """Map linear colour to [0, 1] as a screen shows it."""
    return np.clip(image, 0, 1) ** np.float32(1 / 2.2)


def exposure(image: Image) -> float:
    """Return the gain that brings a view to its usual brightness; 0 for a black one."""
    light = brightness(image)
    mean = float(light[light <= np.percentile(light, 97)].mean())
    return KEY / mean if mean > 1e-5 else 0.0


def worth_it(image: Image) -> bool:
    """Say whether a view, exposed, has something to see: neither flat, dark nor burnt out."""
    light = brightness(shown(image))
    fields = light.reshape(16, light.shape[0] // 16, 16, -1).mean(axis=(1, 3))
    return bool(fields.std() > 0.04 and light.mean() > 0.1 and (light > 0.99).mean() < 0.3)


def reference(render: Renderer, gain: float) -> tuple[Image, float]:
    """Average two halves until they agree, or never will; give the mean and its PSNR in dB."""
    halves: NDArray[Any] = np.zeros(())
    for done in range(1, MOST + 1):
        halves = halves + np.stack([render(PASS), render(PASS)])
        first, second = shown(gain * halves / done)
        quality = float(-10 * np.log10(np.mean((first - second) ** 2) / 4 + 1e-9))
        hopeless = quality + 10 * np.log10(MOST / done) < LEAST
        if hopeless or (done >= FEWEST and quality > ENOUGH):
            break
    return (halves.mean(axis=0) / done).astype(np.float32), quality


def view(render: Renderer) -> dict[str, NDArray[Any]] | None:
    """Render the arrays of a view, or None if it is not worth it or stays noisy."""
    first, *others = SAMPLES
    drawn = {first: render(SAMPLES[first], features=True)}
    gain = exposure(drawn[first][..., :3])
    if not gain or not worth_it(gain * drawn[first][..., :3]):
        return None
    ref, quality = reference(render, gain)
    if quality < LEAST:
        return None
    drawn |= {name: render(SAMPLES[name], features=True) for name in others}
    arrays = {"ref": np.clip(gain * ref, 0, 60000)}
    for name, planes in drawn.items():
        colour, albedo, normal = np.split(planes, 3, axis=-1)
        arrays[f"noisy_{name}"] = np.clip(gain * colour, 0, 60000)
        arrays |= {f"albedo_{name}": albedo, f"normal_{name}": normal}
    arrays = {name: image.astype(np.float16) for name, image in arrays.items()}
    return {**arrays, "ref_psnr": np.float32(quality)}


def save(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Write a view whole or not at all."""
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez_compressed(file, **arrays)
    os.replace(part, path)


def views(seed: int, folder: Path, size: int) -> Iterator[Path]:
    """Render the views of a scene that are not there yet."""
    paths = [folder / f"scene{seed:05}_view{number}.npz" for number in range(VIEWS)]
    if all(path.exists() for path in paths):
        return
    described_scene = build(seed)
    scene = loaded(described_scene)
    depth = {"max_depth": described_scene.depth}
    path_tracer = mi.load_dict({"type": "path", "rr_depth": 3, **depth})
    integrators = (path_tracer, mi.load_dict({"type": "features", **depth}))
    for number, path in enumerate(paths):
        if path.exists():
            continue
        for attempt, camera in enumerate(described_scene.cameras[number::VIEWS]):
            start = ((seed * VIEWS + number) * 8 + attempt) * 64 % 2**31
            arrays = view(Renderer(scene, sensor(camera, size), integrators, start))
            if arrays is not None:
                save(path, arrays)
                yield path
                break


def main(
    folder: Annotated[Path, typer.Argument(help="Where the views go; made if missing.")],
    first: Annotated[int, typer.Option(min=0, help="Seed of the first scene.")] = 0,
    count: Annotated[int, typer.Option(min=1, help="Scenes to render.")] = 60,
    threads: Annotated[int, typer.Option(min=0, help="0: one for each core.")] = 0,
    size: Annotated[int, typer.Option(min=16, help="Pixels, a multiple of 16.")] = 128,
) -> None:
    """Render views for training the bundled weights `render`."""
    if threads:
        dr.set_thread_count(threads)
    mi.register_integrator("features", Features)
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(first, first + count):
        start = time.monotonic()
        made = len(list(views(seed, folder, size)))
        typer.echo(f"scene {seed}: {made} views in {time.monotonic() - start:.1f} s")


if __name__ == "__main__":
    typer.run(main)
