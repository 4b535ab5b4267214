"""A camera, from the light to the JPEG file: what it makes of a clean picture.

After a demosaicer, a colour matrix, a tone curve, the camera's own smoothing and JPEG, noise is
coarse, coloured, stronger in some tones than in others, and cut off at black and white.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter, uniform_filter

from napari_denoise.training.data.demosaic import DEMOSAICERS, Colour, Phase, Plane, mosaic

_LUMA = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32
)
"""RGB to Y, Cb, Cr as JPEG has them (ITU-R BT.601)."""
_FROM_LUMA: NDArray[np.float32] = np.linalg.inv(_LUMA).astype(np.float32)
_TYPICAL = np.array([[1.7, -0.6, -0.1], [-0.2, 1.55, -0.35], [0.05, -0.55, 1.5]], np.float32)
"""A camera's colours to sRGB, about; rows add up to 1, which keeps gray."""
_STEPS: NDArray[np.float64] = np.linspace(0, 1, 1 << 15)
"""Linear light, in steps of at most a tenth of a level of 255 after a curve."""
_SUBSAMPLING = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}
_SMALLEST = 16
"""Side in pixels below which nothing is resized."""
_PIXELS_OF_A_LEVEL = 8000
"""As many show the mean of coarse noise well enough."""


@dataclass(frozen=True)
class Camera:
    """One camera at one setting; the defaults are the plainest.

    Parameters
    ----------
    full_well
        Photons at white: high ISO numbers have few.
    read_noise
        In photons.
    gains
        White balance: what red, green and blue are multiplied by.
    matrix
        (3, 3), the camera's colours to sRGB.
    contrast
        Of an S-curve after sRGB's, 0 to below 1.
    demosaic
        One of `DEMOSAICERS`.
    phase, other_phase
        Of the mosaic, and of that behind which the picture without noise is seen.
    zoom
        By how much the scene is enlarged before it is photographed: soft pixels.
    resize
        Pixels of the file per pixel of the sensor, along each axis.
    smoothing, smoothing_radius
        The camera's own denoising of luminance and of colour: strength over the noise, and pixels.
    sharpening, sharpening_radius
        Amount and width of an unsharp mask.
    quality, subsampling
        Of the JPEG file; no JPEG if None.
    first_quality
        Of a JPEG file that it was saved as before, its blocks elsewhere; None for none.
    """

    full_well: float = 1000.0
    read_noise: float = 2.0
    gains: tuple[float, float, float] = (1.0, 1.0, 1.0)
    matrix: NDArray[np.float32] | None = None
    contrast: float = 0.0
    demosaic: Callable[[Plane, Phase], Colour] = DEMOSAICERS[0]
    phase: Phase = (0, 0)
    other_phase: Phase = (0, 0)
    zoom: float = 1.0
    resize: float = 1.0
    smoothing: tuple[float, float] = (0.0, 0.0)
    smoothing_radius: tuple[int, int] = (1, 3)
    sharpening: float = 0.0
    sharpening_radius: float = 1.0
    quality: int | None = 95
    subsampling: str = "4:2:0"
    first_quality: int | None = None


def draw_camera(
    full_well: tuple[float, float], quality: tuple[int, int], rng: np.random.Generator
) -> Camera:
    """Draw a camera, its setting and what its owner did with the file.

    Parameters
    ----------
    full_well
        Range of photons at white, evenly in the logarithm.
    quality
        Range of JPEG qualities.
    rng
        Source of chance.
    """
    wells = float(np.exp(rng.uniform(*np.log(np.maximum(full_well, 1)))))
    saturation = rng.uniform(0.2, 1.2)
    phases = rng.integers(2, size=(2, 2))
    smooths = rng.random(2) < (0.6, 0.75)
    return Camera(
        full_well=wells,
        read_noise=float(rng.uniform(0, 4)),
        gains=(float(rng.uniform(1.3, 2.4)), 1.0, float(rng.uniform(1.2, 2.4))),
        matrix=np.eye(3, dtype=np.float32) * np.float32(1 - saturation)
        + np.float32(saturation) * _TYPICAL,
        contrast=float(rng.uniform(-0.1, 0.7)),
        demosaic=DEMOSAICERS[int(rng.integers(len(DEMOSAICERS)))],
        phase=(int(phases[0, 0]), int(phases[0, 1])),
        other_phase=(int(phases[1, 0]), int(phases[1, 1])),
        zoom=float(rng.uniform(1.0, 2.5)) if rng.random() < 0.5 else 1.0,
        resize=float(np.exp(rng.uniform(-0.6, 0.4))) if rng.random() < 0.35 else 1.0,
        smoothing=(
            float(rng.uniform(0.4, 1.6)) * bool(smooths[0]),
            float(rng.uniform(0.5, 3.0)) * bool(smooths[1]),
        ),
        smoothing_radius=(int(rng.integers(1, 4)), int(rng.integers(2, 17))),
        sharpening=float(rng.uniform(0.2, 1.2)) if rng.random() < 0.5 else 0.0,
        sharpening_radius=float(rng.uniform(0.6, 1.5)),
        quality=int(rng.integers(quality[0], quality[1] + 1)) if rng.random() < 0.95 else None,
        subsampling=("4:2:0", "4:2:2", "4:4:4")[int(rng.choice(3, p=(0.65, 0.1, 0.25)))],
        first_quality=int(rng.integers(88, 99)) if rng.random() < 0.35 else None,
    )


def photograph(
    clean: Colour, camera: Camera, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], Colour]:
    """Return the file's levels, and what the camera would have made without noise.

    The latter has gone through the same resizing, colours and sharpening, which nothing has to
    undo; neither through JPEG nor the camera's smoothing. It has the mean of the noisy levels.
    Its mosaic is at a phase of its own: at the same phase it taught a network to draw a faint
    mesh into flat areas.

    Parameters
    ----------
    clean
        (3, Y, X), as displayed, [0, 1].
    camera
        What to photograph it with.
    rng
        Source of the noise.

    Returns
    -------
    tuple
        (3, Y, X) uint8, and (3, Y, X) float32 in [0, 1].
    """
    shape = clean.shape[1:]
    scene = _zoomed(np.clip(clean, 0, 1), camera.zoom)
    if camera.resize != 1 and min(shape) >= _SMALLEST:
        scene = _resized(scene, tuple(max(_SMALLEST, round(n / camera.resize)) for n in shape))
    light = _seen(scene, camera)
    wanted = _developed(mosaic(light, camera.other_phase), camera.other_phase, camera)
    noisy = _developed(_exposed(mosaic(light, camera.phase), camera, rng), camera.phase, camera)
    noisy = _finished(_smoothed(noisy, noisy - wanted, camera), shape, camera)
    codes = _saved(np.rint(noisy * 255).astype(np.uint8), camera, rng)
    wanted = _finished(wanted, shape, camera)
    return codes, _with_mean_of(codes.astype(np.float32) / np.float32(255), wanted)


def _seen(scene: Colour, camera: Camera) -> Colour:
    """Light on the sensor, 1 at its white: the camera's processing, undone."""
    shown = np.linspace(0, 1, 1 << 12)
    linear = _looked_up(scene, np.interp(shown, _curve(camera.contrast), _STEPS))
    if camera.matrix is not None:
        linear = _mixed(linear, np.linalg.inv(camera.matrix))
    return np.asarray(np.clip(linear, 0, 1) / _of_colours(camera.gains), np.float32)


def _of_colours(values: tuple[float, float, float]) -> Colour:
    """(3, 1, 1)."""
    return np.asarray(values, np.float32)[:, None, None]


def _exposed(raw: Plane, camera: Camera, rng: np.random.Generator) -> Plane:
    """Count photons, and add what reading them out does."""
    counts = rng.poisson(raw * np.float32(camera.full_well)).astype(np.float32)
    counts += np.float32(camera.read_noise) * rng.standard_normal(raw.shape, dtype=np.float32)
    return counts / np.float32(camera.full_well)


def _developed(raw: Plane, phase: Phase, camera: Camera) -> Colour:
    """Raw mosaic to displayed colours."""
    balanced = np.clip(camera.demosaic(raw, phase) * _of_colours(camera.gains), None, 1)
    if camera.matrix is not None:
        balanced = _mixed(balanced, camera.matrix)
    return _looked_up(balanced, _curve(camera.contrast))


def _curve(contrast: float) -> NDArray[np.float64]:
    """Return what is displayed of `_STEPS`: sRGB's curve (IEC 61966-2-1), then an S."""
    shown = _srgb()
    return np.asarray(shown + contrast * (3 * shown**2 - 2 * shown**3 - shown))


@lru_cache(maxsize=1)
def _srgb() -> NDArray[np.float64]:
    dark = 12.92 * _STEPS
    return np.where(_STEPS <= 0.0031308, dark, 1.055 * _STEPS ** (1 / 2.4) - 0.055)


def _looked_up(values: Colour, table: NDArray[np.float64]) -> Colour:
    """Map [0, 1] by a table of even steps; what lies beyond is clipped."""
    scaled = np.clip(values, 0, 1) * np.float32(len(table) - 1) + np.float32(0.5)
    return np.asarray(table.astype(np.float32)[scaled.astype(np.int32)])


def _smoothed(noisy: Colour, noise: Colour, camera: Camera) -> Colour:
    """Denoise as cameras do: luminance a little, colour more, edges kept; coarse noise stays."""
    if not any(camera.smoothing):
        return noisy
    planes = _mixed(noisy, _LUMA)
    levels = _mixed(noise, _LUMA).std(axis=(1, 2))
    strengths, radii = camera.smoothing, camera.smoothing_radius
    for n, (strength, radius) in enumerate(
        ((strengths[0], radii[0]), (strengths[1], radii[1]), (strengths[1], radii[1]))
    ):
        if strength:
            planes[n] = _self_guided(planes[n], radius, float(strength * levels[n]))
    return np.clip(_mixed(planes, _FROM_LUMA), 0, 1)


def _self_guided(plane: Plane, radius: int, level: float) -> Plane:
    """Average where the variance is that of noise (guided filter, He et al. 2010)."""

    def mean(values: NDArray[np.floating]) -> Plane:
        return np.asarray(uniform_filter(values, 2 * radius + 1, mode="reflect"))

    centre = mean(plane)
    variance = np.maximum(mean(plane * plane) - centre * centre, 0)
    kept = variance / (variance + np.float32(level**2 + 1e-12))
    return np.asarray(mean(kept) * plane + mean((1 - kept) * centre), np.float32)


def _finished(image: Colour, shape: tuple[int, ...], camera: Camera) -> Colour:
    """Sharpen, and bring to the size of the file."""
    if camera.sharpening:
        blurred = gaussian_filter(image, (0, camera.sharpening_radius, camera.sharpening_radius))
        image = image + np.float32(camera.sharpening) * (image - blurred)
    if image.shape[1:] != shape:
        image = _resized(image, shape)
    return np.clip(image, 0, 1)


def _with_mean_of(noisy: Colour, wanted: Colour) -> Colour:
    """Move each level to the mean of what was made of it.

    A tone curve, and black and white, bend the mean of noise. The mean of many shots has that bend
    too, and what is to keep the mean of an image must not undo it.
    """
    return np.clip([_moved(*planes) for planes in zip(noisy, wanted, strict=True)], 0, 1)


def _moved(noisy: Plane, wanted: Plane) -> Plane:
    bins = min(8, wanted.size // _PIXELS_OF_A_LEVEL)
    if not bins:
        return wanted
    edges = np.unique(np.quantile(wanted[::4, ::4], np.linspace(0, 1, bins + 1)[1:-1]))
    number = np.searchsorted(edges, wanted.ravel())
    count = np.bincount(number)
    seen, there = (
        np.bincount(number, plane.ravel())[count > 0] / count[count > 0]
        for plane in (noisy, wanted)
    )
    return wanted + np.interp(wanted, there, seen - there).astype(np.float32)


def _zoomed(image: Colour, zoom: float) -> Colour:
    """Enlarge the middle to the whole."""
    shape = image.shape[1:]
    part = [max(_SMALLEST, round(n / zoom)) for n in shape]
    if zoom == 1 or min(n - p for n, p in zip(shape, part, strict=True)) < 0:
        return image
    top, left = ((n - p) // 2 for n, p in zip(shape, part, strict=True))
    return _resized(image[:, top : top + part[0], left : left + part[1]], shape)


def _resized(image: Colour, shape: tuple[int, ...]) -> Colour:
    planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in image]
    size = shape[1], shape[0]
    done = [np.asarray(plane.resize(size, Image.Resampling.BICUBIC)) for plane in planes]
    return np.asarray(np.clip(done, 0, 1), np.float32)


def _mixed(planes: Colour, matrix: NDArray[np.floating]) -> Colour:
    """Multiply the colours of each pixel by a matrix."""
    flat = np.asarray(matrix, np.float32) @ planes.reshape(3, -1)
    return flat.reshape(planes.shape)


def _saved(codes: NDArray[np.uint8], camera: Camera, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Save as one JPEG file, or as two with their blocks apart, as behind a crop."""
    if camera.first_quality is not None:
        shift = rng.integers(8, size=2)
        moved = _jpeg(np.roll(codes, shift, (1, 2)), camera.first_quality, camera.subsampling)
        codes = np.roll(moved, -shift, (1, 2))
    return codes if camera.quality is None else _jpeg(codes, camera.quality, camera.subsampling)


def _jpeg(codes: NDArray[np.uint8], quality: int, subsampling: str) -> NDArray[np.uint8]:
    """Write and read a JPEG file in memory; (3, Y, X)."""
    with io.BytesIO() as file:
        Image.fromarray(np.moveaxis(codes, 0, -1)).save(
            file, "JPEG", quality=quality, subsampling=_SUBSAMPLING[subsampling]
        )
        file.seek(0)
        return np.moveaxis(np.asarray(Image.open(file).convert("RGB")), -1, 0)
