"""How far the blind noise estimate is off, on simulations: python -m benchmarks.noise.

Scenes are scikit-image's bundled pictures and simulated fluorescence. The noise sweeps
photons per pixel, gain, offset, read noise, correlation, bit depth, clipping and hot pixels.
Prints a Markdown table; errors are medians over the scenes, 90th percentiles in brackets.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve1d, gaussian_filter
from skimage import data
from skimage.color import rgb2gray

from napari_denoise.measure.jensen import amplifier_shape
from napari_denoise.measure.noise_estimation import estimate_noise
from napari_denoise.settings.noise import NoiseModel

Image = NDArray[np.float64]

PICTURES = ("camera", "astronaut", "coffee", "chelsea", "rocket", "moon")
LEVELS = (10, 50, 95)


@dataclass(frozen=True)
class Case:
    """One kind of noise."""

    name: str
    photons: float = 0.0
    """Mean photo-electrons per pixel; 0 for Gaussian noise only."""
    noise: NoiseModel = field(default_factory=NoiseModel)
    kernel: tuple[float, float] = (0.0, 0.0)
    """c1 and c2 of the separable kernel that correlates the noise."""
    top: float = 0.0
    """Levels are whole numbers from 0 to this; 0 leaves floats."""
    hot: float = 0.0
    """Share of hot pixels, at 30 noise sigmas."""
    size: int = 0
    """Crop to this side; 0 keeps all."""
    frames: int = 1


@dataclass(frozen=True)
class Result:
    """One estimate beside the truth."""

    gain: float
    """Relative error; NaN without gain."""
    sd: tuple[float, ...]
    """|log(estimated / true sd)| at the darkest 10 %, the median and the 95 % level."""
    lag: float
    """Absolute error of the lag-1 correlation."""
    skewness: float
    """Absolute error."""
    seconds: float
    """Of CPU time."""


def cases() -> list[Case]:
    """Return the sweep."""
    sparse = [
        Case(f"{p:g} photons", p, NoiseModel(20.0, 100.0, 3.0))
        for p in (0.05, 0.2, 0.5, 1, 3, 10, 100, 1000)
    ]
    counted = [Case(f"{p:g} photons counted", p, NoiseModel(1.0)) for p in (0.2, 2)]
    multiplied = [
        Case(f"{p:g} photons, skewness {s:g}", p, NoiseModel(20.0, 100.0, 3.0, skewness=s))
        for p, s in ((0.3, 1.5), (1, 1.5), (3, 1.5), (10, 1.5), (3, 1.25))
    ]
    small = NoiseModel(2.0, 100.0, 8.0)
    shared = replace(small, read_noise=3.0)
    gauss = [Case(f"sigma {s:g}", 0, NoiseModel(read_noise=float(s))) for s in (2, 5, 15, 25, 50)]
    clipped = [
        Case(f"sigma {s:g}, 8 bit clipped", 0, NoiseModel(read_noise=float(s)), top=255)
        for s in (2, 5, 25, 50)
    ]
    blurred = [
        Case(f"30 photons, kernel {k}", 30, shared, kernel=k)
        for k in ((0.1, 0.0), (0.3, 0.05), (0.7, 0.25), (1.0, 0.6))
    ]
    blurred += [
        Case(f"sigma 15, kernel {k}", 0, NoiseModel(read_noise=15.0), kernel=k)
        for k in ((0.3, 0.05), (0.7, 0.25))
    ]
    other = [
        Case("strong read noise", 10, NoiseModel(2.0, 100.0, 20.0)),
        Case("30 photons, 8 bit", 30, NoiseModel(3.0, 5.0, 1.0), top=255),
        Case("1 photon, 8 bit", 1, NoiseModel(20.0, 0.0, 1.0), top=255),
        Case("200 photons, 12 bit, saturated", 200, NoiseModel(12.0, 100.0, 8.0), top=4095),
        Case("30 photons, 0.5 % hot", 30, small, hot=0.005),
        Case("sigma 15, 0.5 % hot", 0, NoiseModel(read_noise=15.0), hot=0.005),
        Case("30 photons, 96 px", 30, small, size=96),
        Case("sigma 15, 64 px", 0, NoiseModel(read_noise=15.0), size=64),
    ]
    stacks = [
        Case("30 photons, stack", 30, small, frames=4),
        Case("0.2 photons, stack", 0.2, NoiseModel(20.0, 100.0, 3.0), frames=4),
        Case("sigma 5, stack", 0, NoiseModel(read_noise=5.0), frames=4),
        Case("30 photons, kernel (0.7, 0.25), stack", 30, shared, (0.7, 0.25), frames=4),
        Case(
            "sigma 15, kernel (0.7, 0.25), stack",
            0,
            NoiseModel(read_noise=15.0),
            (0.7, 0.25),
            frames=4,
        ),
    ]
    return sparse + counted + multiplied + gauss + clipped + blurred + other + stacks


def fluorescence(seed: int, size: int = 512) -> Image:
    """Simulate cells: filaments, spots and haze through a Gaussian PSF, 0 to 255."""
    rng = np.random.default_rng(seed)
    sharp = np.zeros((size, size))
    for _ in range(60):
        steps = rng.normal(0, 0.12, 400).cumsum() + rng.uniform(0, 2 * np.pi)
        path = np.stack([np.sin(steps), np.cos(steps)]).cumsum(1) + rng.uniform(0, size, (2, 1))
        rows, columns = path.astype(int)
        inside = (rows >= 0) & (rows < size) & (columns >= 0) & (columns < size)
        np.add.at(sharp, (rows[inside], columns[inside]), rng.uniform(0.5, 2))
    spots = rng.integers(0, size, (2, 150))
    np.add.at(sharp, (spots[0], spots[1]), rng.exponential(8, 150))
    cells = gaussian_filter(rng.normal(0, 1, sharp.shape), 40)
    haze = np.clip(cells / cells.std(), 0, None)
    image = gaussian_filter(sharp, 1.6) / 0.5 + 0.4 * haze + 0.05
    return 255 * image / image.max()


def pictures() -> Iterator[Image]:
    """Yield scikit-image's bundled pictures, gray, 0 to 255."""
    for name in PICTURES:
        image = np.asarray(getattr(data, name)(), np.float64)
        yield rgb2gray(image) if image.ndim == 3 else image


def simulate(scene: Image, case: Case, seed: int) -> tuple[list[NDArray[np.generic]], Image]:
    """Return noisy frames and the noise-free image in data units.

    Gaussian noise is added to the scene as it is, photons follow the scene scaled to their
    mean. Correlated noise has its variance from the model and its correlation from the kernel.
    """
    rng = np.random.default_rng(seed)
    if case.size:
        start = [(n - case.size) // 2 for n in scene.shape]
        scene = scene[start[0] :, start[1] :][: case.size, : case.size]
    clean = scene
    if case.photons:
        clean = case.noise.offset + case.noise.gain * scene / scene.mean() * case.photons
    return [_expose(clean, case, rng) for _ in range(case.frames)], clean


def _expose(clean: Image, case: Case, rng: np.random.Generator) -> NDArray[np.generic]:
    sd = np.sqrt(case.noise.variance(clean))
    if any(case.kernel):
        kernel = np.array([case.kernel[1], case.kernel[0], 1, *case.kernel])
        kernel /= np.linalg.norm(kernel)
        white = rng.normal(0, 1, clean.shape)
        noisy = clean + sd * convolve1d(convolve1d(white, kernel, 0), kernel, 1)
    elif case.photons:
        model = case.noise
        shot = model.gain * _amplified((clean - model.offset) / model.gain, model.skewness, rng)
        noisy = model.offset + shot + rng.normal(0, 1, clean.shape) * model.read_noise
    else:
        noisy = clean + sd * rng.normal(0, 1, clean.shape)
    if case.hot:
        noisy += (rng.random(clean.shape) < case.hot) * 30 * sd
    if case.top:
        noisy = np.clip(np.rint(noisy), 0, case.top)
        return noisy.astype(np.uint8 if case.top < 256 else np.uint16)
    return noisy


def _amplified(photons: Image, skewness: float, rng: np.random.Generator) -> Image:
    """Count photons, or give every electron a random gain: of the same mean and variance."""
    shape = amplifier_shape(skewness)
    if np.isinf(shape):
        return rng.poisson(photons).astype(np.float64)
    return rng.gamma(shape * rng.poisson(photons * (shape + 1) / shape)) / (shape + 1)


def measure(scene: Image, case: Case, seed: int) -> Result:
    """Simulate, estimate, compare."""
    frames, clean = simulate(scene, case, seed)
    start = time.process_time()
    found = estimate_noise(frames, list(pairwise(frames)))
    seconds = time.process_time() - start
    levels = np.percentile(clean[clean < (case.top or np.inf)], LEVELS)
    true = np.sqrt(np.maximum(case.noise.variance(levels), 1e-12))
    sd = np.sqrt(np.maximum(found.variance(levels), 1e-12))
    kernel = np.array([case.kernel[1], case.kernel[0], 1, *case.kernel])
    rho = np.convolve(kernel, kernel)[5] / (kernel @ kernel)
    return Result(
        gain=found.gain / case.noise.gain - 1 if case.noise.gain else np.nan,
        sd=tuple(np.log(sd / true)),
        lag=max(found.correlation_y[0] - rho, found.correlation_x[0] - rho, key=abs),
        skewness=found.skewness - case.noise.skewness if case.photons else np.nan,
        seconds=seconds,
    )


def table(scenes: Iterable[Image], chosen: Iterable[Case]) -> Iterator[str]:
    """Yield the lines of a Markdown table for one kind of scene."""
    yield (
        "| noise | gain error | sd error at 10 % | 50 % | 95 % | lag-1 error | skewness error "
        "| CPU ms |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    scenes = list(scenes)
    for case in chosen:
        results = [measure(scene, case, seed) for seed, scene in enumerate(scenes)]
        sd = np.array([r.sd for r in results])
        cells = [
            case.name,
            _cell([r.gain for r in results]) if case.noise.gain else "",
            *(_cell(list(column)) for column in sd.T),
            _cell([r.lag for r in results]),
            _cell([r.skewness for r in results]) if case.photons else "",
            f"{1e3 * np.median([r.seconds for r in results]):.0f}",
        ]
        yield "| " + " | ".join(cells) + " |"


def _cell(errors: list[float]) -> str:
    sizes = np.abs(errors)
    return f"{np.median(errors):+.3f} ({np.percentile(sizes, 90):.3f})"


def main(argv: list[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    wanted = parser.parse_args(argv).only
    kinds: dict[str, Callable[[], Iterable[Image]]] = {
        "Fluorescence": lambda: (fluorescence(seed) for seed in range(6)),
        "Photographs": pictures,
    }
    for name, make in kinds.items():
        print(f"\n### {name}\n")
        for line in table(make(), [c for c in cases() if wanted in c.name]):
            print(line, flush=True)


if __name__ == "__main__":
    main()
