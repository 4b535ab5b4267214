"""What tiles cost and that they change nothing: python -m benchmarks.tiling.

Time and error of tiled against un-tiled runs by turns, peak memory, half precision against
the noise. docs/benchmarks.md takes the tables with --markdown.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import memory
from benchmarks.noise import fluorescence
from benchmarks.protocol import expose
from benchmarks.tables import Table, add_options, environment, limit_verdict, pick, show
from benchmarks.timing import Timing, alternate
from napari_denoise import Denoiser, NoiseModel
from napari_denoise.inference.stack import StackJob
from napari_denoise.measure.mappings import AnscombeMapping

Array = NDArray[Any]

TILES: tuple[int | str, ...] = (64, 128, 256, 512, 1024, "auto")
ODD_SHAPES = ((501, 397), (37, 500), (9, 9), (3, 700), (1, 1))
RANGE_LIMIT = 1e-5
"""Of the data range: tiled against un-tiled in float32."""
SIGMA_LIMIT = 5.0
"""Percent of the noise sigma: any other precision against float32."""
NOISE = NoiseModel(gain=2.0, offset=100.0, read_noise=3.0)


@dataclass(frozen=True)
class Options:
    """What is measured, and how long it may take."""

    denoiser: Denoiser
    photo: str
    size: int
    rounds: int
    precision_size: int

    @property
    def environment(self) -> str:
        """Say what the figures depend on."""
        info = self.denoiser.info
        named = f"weights {info.name} {info.sha256[:12]}" if info else ""
        return environment([named, self.denoiser.device, self.denoiser.precision])


def simulate(shape: tuple[int, int], photons: float = 30) -> Array:
    """Photon-limited fluorescence in float32, so that no rounding hides a difference."""
    scene = fluorescence(0, max(*shape, 64))
    mean = photons * scene[: shape[0], : shape[1]] / scene.mean()
    return expose(mean, NOISE).astype(np.float32)


def run(job: StackJob) -> Array:
    """Denoise the one frame of a job."""
    return next(step.result for step in job.steps() if step.result is not None)


def time_and_error(options: Options) -> Iterator[Table]:
    """Tile sizes against un-tiled at one large size."""
    image = simulate((options.size, options.size))
    sizes = {"un-tiled": options.size, **{f"{tile}": tile for tile in TILES}}
    jobs = {
        name: options.denoiser.prepare(image, "YX", noise=NOISE, tile=tile)
        for name, tile in sizes.items()
    }
    results: dict[str, Array] = {}

    def keep(name: str, job: StackJob) -> Callable[[], None]:
        return lambda: results.__setitem__(name, run(job))

    timings = alternate(
        {name: keep(name, job) for name, job in jobs.items()}, options.rounds, warm=False
    )
    width = _range(jobs["un-tiled"])
    errors = {name: _largest(results["un-tiled"], r) / width for name, r in results.items()}
    rows = tuple(
        _tile_row(name, job, timings, errors[name], options.size) for name, job in jobs.items()
    )
    header = ("tile", "CPU s per megapixel", "time / un-tiled", "recompute", "memory, MiB", "error")
    note = limit_verdict("Largest error", max(errors.values()), RANGE_LIMIT, "of the range")
    about = (
        f"{options.size} x {options.size} pixels, {options.rounds} rounds by turns; medians, "
        "quartiles in brackets. Recompute: pixels read over pixels written. Memory: as the "
        "widget shows it. Error: largest difference from un-tiled over the data range."
    )
    yield Table("tiling", header, rows, (note, about, options.environment))


def _tile_row(
    name: str, job: StackJob, timings: dict[str, Timing], error: float, size: int
) -> tuple[str, ...]:
    cost = job.cost()
    low, middle, high = timings[name].ratio(timings["un-tiled"])
    label = f"auto ({cost.tile})" if name == "auto" else name
    return (
        label,
        timings[name].describe(size**2 / 1e6),
        f"{middle:.2f} ({low:.2f}-{high:.2f})",
        f"{cost.recompute:.2f}",
        f"{cost.bytes / 2**20:.0f}",
        f"{error:.1e}",
    )


def odd_shapes(options: Options) -> Iterator[Table]:
    """Error of tiles on shapes that fit no grid."""
    rows, worst = [], 0.0
    for shape in ODD_SHAPES:
        image = simulate(shape)
        whole = options.denoiser.prepare(image, "YX", noise=NOISE, tile=max(*shape, 64))
        expected, width = run(whole), _range(whole)
        errors = []
        for tile in (64, 256, 1024):
            job = options.denoiser.prepare(image, "YX", noise=NOISE, tile=tile)
            errors.append(_largest(expected, run(job)) / width)
        worst = max(worst, *errors)
        rows.append((f"{shape[0]} x {shape[1]}", *(f"{error:.1e}" for error in errors)))
    note = limit_verdict("Largest error", worst, RANGE_LIMIT, "of the range")
    header = ("error, of the range", "tile 64", "tile 256", "tile 1024")
    yield Table("tiling-shapes", header, tuple(rows), (note,))


def peak_memory(options: Options) -> Iterator[Table]:
    """Bytes per pixel read of one window, and the growth of a long stack."""
    assert options.denoiser.info is not None
    rows = []
    weights = {"microscopy": options.denoiser.info.path, "photo": options.photo}
    for name, path in weights.items():
        for size in sorted({512, 1024, options.size}):
            found = memory.measure("window", weights=path, size=size)
            cells = (f"{found['bytes_per_pixel']:.0f}", f"{found['peak'] / 2**20:.0f}")
            rows.append((name, f"{size} x {size}", *cells))
    header = ("weights, float32", "window", "bytes per pixel", "process at its peak, MiB")
    long = memory.measure("stack", weights=weights["microscopy"], size=256, frames=200)
    note = (
        f"A lazy stack of 200 frames of 256 x 256 uint16: {long['early'] / 2**20:.1f} MiB at the "
        f"peak after {memory.SETTLED} frames, {long['late'] / 2**20:.1f} MiB after all, a growth "
        f"of {long['grown_frames']:.1f} frames."
    )
    yield Table("memory", header, tuple(rows), (note,))


def half_precision(options: Options) -> Iterator[Table]:
    """Error of half precision over the noise sigma, both after the Anscombe transform."""
    device = options.denoiser.device
    others = ("bfloat16",) if device == "cpu" else ("bfloat16", "float16")
    rows, worst = [], 0.0
    for precision, photons in product(others, (1, 10, 100)):
        image = simulate((options.precision_size,) * 2, photons)
        exact, used, error = _precision_error(options.denoiser, image, precision)
        worst = max(worst, float(error.max()))
        sizes = np.sqrt(np.mean(error**2)), np.percentile(error, 99.9), error.max()
        sigma = f"{exact.channels[0].scale.sigma:.3f}"
        named = precision if used == precision else f"{precision}, {used} used"
        rows.append((named, f"{photons}", sigma, *(f"{size:.1f} %" for size in sizes)))
    note = limit_verdict("Largest error", worst, SIGMA_LIMIT, "% of sigma")
    about = f"{options.precision_size} x {options.precision_size} pixels, against float32."
    header = (
        "precision",
        "photons",
        "sigma / range",
        "rms, of sigma",
        "99.9 percentile",
        "largest",
    )
    yield Table("precision", header, tuple(rows), (note, about, options.environment))


def _precision_error(
    denoiser: Denoiser, image: Array, precision: str
) -> tuple[StackJob, str, Array]:
    """Difference from float32 in percent of the noise sigma, pixel by pixel, and what was used."""
    assert denoiser.info is not None
    path, device = str(denoiser.info.path), denoiser.device
    exact = denoiser.prepare(image, "YX", noise=NOISE)
    other = Denoiser.load(path, device, precision).prepare(image, "YX", noise=NOISE)
    difference = _in_sigmas(exact, run(other)) - _in_sigmas(exact, run(exact))
    return exact, other.settings.precision, 100 * np.abs(difference)


def _in_sigmas(job: StackJob, image: Array) -> Array:
    """Stabilised values in units of the noise sigma."""
    mapping = job.channels[0].mapping
    return np.asarray(mapping.forward(image) / mapping.sigma, np.float64)


def _range(job: StackJob) -> float:
    mapping = job.channels[0].mapping
    assert isinstance(mapping, AnscombeMapping)
    return mapping.high - mapping.low if mapping.high > mapping.low else 1.0


def _largest(expected: Array, image: Array) -> float:
    return float(np.abs(image - expected).max())


SECTIONS: dict[str, Callable[[Options], Iterator[Table]]] = {
    "time": time_and_error,
    "shapes": odd_shapes,
    "memory": peak_memory,
    "precision": half_precision,
}


def main(argv: list[str] | None = None) -> None:
    """Print the tables, and fill a document with them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights-microscopy", default="microscopy", help="name or path")
    parser.add_argument("--weights-photo", default="photo", help="name or path")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch")
    parser.add_argument("--size", type=int, default=2048, help="rows and columns of the image")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--precision-size", type=int, default=96, help="rows and columns for half precision"
    )
    add_options(parser, SECTIONS)
    chosen = parser.parse_args(argv)
    sections = pick(parser, chosen.only, SECTIONS)
    torch.set_num_threads(chosen.threads)
    denoiser = Denoiser.load(chosen.weights_microscopy, chosen.device, "float32")
    options = Options(
        denoiser, chosen.weights_photo, chosen.size, chosen.rounds, chosen.precision_size
    )
    show((table for section in sections for table in section(options)), chosen.markdown)


if __name__ == "__main__":
    main()
