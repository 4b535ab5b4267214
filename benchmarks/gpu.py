"""All that a graphics card has to do right, and how fast it is: python -m benchmarks.gpu.

Without CUDA it says so and ends with 2. `--device cpu` runs every check small, which shows that
the checks work. What is broken ends it with 1. --markdown FILE writes the table.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import gpu_speed
from benchmarks.tables import Table, environment, pick
from napari_denoise import Denoiser, NoiseModel
from napari_denoise.engines.base import Engine, Estimate
from napari_denoise.engines.device import free_memory
from napari_denoise.engines.torch import TorchEngine
from napari_denoise.image.long_work import finished
from napari_denoise.inference.stack import StackJob
from napari_denoise.settings.finetune import FineTuneSettings
from napari_denoise.settings.recipe import DistortionStage, TrainSettings
from napari_denoise.training.data.loaders import choose_loaders
from napari_denoise.training.data.pairs import RealPairs
from napari_denoise.training.finetune.step_plan import (
    load_recipe,
    measure_speed,
    training_settings,
)
from napari_denoise.weights.files import load_network

Array = NDArray[Any]
RANGE_LIMIT = 1e-5
"""Of the range, in float32: against the CPU, and tiled against un-tiled."""
SIGMA_LIMIT = 5.0
"""Percent of the noise: half precision, and neighbours, whose weights may tip at a pixel."""
PHOTONS = NoiseModel(gain=2.0, offset=100.0, read_noise=3.0)
MIB = 2**20


class Row(NamedTuple):
    """A line of the table: a check has a limit, a plain figure has none."""

    what: str
    value: float
    unit: str
    limit: float | None = None
    note: str = ""

    @property
    def kept(self) -> bool:
        """Whether it is within its limit; NaN never is."""
        return self.limit is None or self.value <= self.limit

    def cells(self) -> tuple[str, ...]:
        """Return what the table shows."""
        limit = "" if self.limit is None else f"{self.limit:g}"
        word = "" if self.limit is None else "kept" if self.kept else "**broken**"
        return self.what, f"{self.value:.3g} {self.unit}", limit, word, self.note


@dataclass(frozen=True)
class Bench:
    """What is checked, and how large.

    Parameters
    ----------
    device
        As PyTorch names it.
    microscopy, photo, render
        Names or paths of weights.
    side
        Of the square images that are compared.
    frame
        Rows and columns of the frames whose throughput is measured: 4K.
    frames, rounds
        How many of them, and how often.
    batch, patch, steps
        Of the training that is timed.
    loaders
        Processes that draw its batches.
    """

    device: str
    microscopy: str
    photo: str
    render: str
    side: int
    frame: tuple[int, int]
    frames: int
    rounds: int
    batch: int
    patch: int
    steps: int
    loaders: int

    @property
    def halves(self) -> tuple[str, ...]:
        """Precisions below float32 that the device may be asked for."""
        return ("bfloat16",) if self.device == "cpu" else ("float16", "bfloat16")

    def job(
        self, image: Array, axes: str, precision: str = "float32", device: str = "", **fields: Any
    ) -> StackJob:
        """Prepare microscopy with known noise."""
        denoiser = Denoiser.load(self.microscopy, device or self.device, precision)
        return denoiser.prepare(image, axes, noise=PHOTONS, **{"neighbors": 0, **fields})


def scene(shape: tuple[int, int], photons: float, *, shift: float = 0.0, seed: int = 0) -> Array:
    """Count photons of waves and spots, in float32, so that no rounding hides a difference."""
    y, x = np.mgrid[: shape[0], : shape[1]] + np.array([0.0, shift])[:, None, None]
    light = 1 + 0.5 * np.sin(x / 9) * np.cos(y / 13) + 0.4 * (np.sin(x / 3.1) * np.sin(y / 2.7) > 0)
    rng = np.random.default_rng(seed)
    counts = PHOTONS.gain * rng.poisson(photons * light) + PHOTONS.offset
    return (counts + rng.normal(0, PHOTONS.read_noise, shape)).astype(np.float32)


def run(job: StackJob) -> Array:
    """Denoise all frames of a job, in mapped units: the range is 1."""
    results = [step.result for step in job.steps() if step.result is not None]
    return np.asarray(job.channels[0].mapping.forward(np.stack(results)), np.float64)


def apart(one: Array, other: Array) -> float:
    """Return the largest difference; infinity where there is none to tell."""
    found = float(np.abs(one - other).max())
    return found if np.isfinite(found) else float("inf")


def agreement(bench: Bench) -> Iterator[Row]:
    """Float32 on the device against float32 on the CPU, for every kind of weights."""
    rng = np.random.default_rng(0)
    image = scene((bench.side, bench.side), 30)
    colour = np.clip(image[..., None] * np.float32([0.9, 1.0, 1.1]), 0, 400) / 400
    radiance = (colour * rng.gamma(4, 0.25, colour.shape)).astype(np.float32)
    cases = (
        ("microscopy", bench.microscopy, image, "YX", {"noise": PHOTONS}),
        ("photo", bench.photo, 255 * colour, "YXS", {"noise": NoiseModel(read_noise=12)}),
        ("render", bench.render, radiance, "YXS", {"mapping": "log"}),
    )
    for name, weights, array, axes, fields in cases:
        exact, here = (
            run(Denoiser.load(weights, device, "float32").prepare(array, axes, **fields))
            for device in ("cpu", bench.device)
        )
        yield Row(f"{name}, float32, from the CPU", apart(exact, here), "of the range", RANGE_LIMIT)


def tiles(bench: Bench) -> Iterator[Row]:
    """Tiled against un-tiled."""
    image = scene((bench.side - 3, bench.side), 30)
    for precision in ("float32", *bench.halves):
        whole, parts = (
            bench.job(image, "YX", precision, tile=tile)
            for tile in (bench.side, max(64, bench.side // 4))
        )
        error = apart(run(whole), run(parts))
        name, used = f"tiles, {precision}", whole.settings.precision
        if used == "float32":
            yield Row(name, error, "of the range", RANGE_LIMIT, f"computed in {used}")
        else:
            sigma = whole.channels[0].scale.sigma
            yield Row(name, 100 * error / sigma, "% of sigma", SIGMA_LIMIT, f"computed in {used}")


def half(bench: Bench) -> Iterator[Row]:
    """Half precision against float32; noise too fine for one is computed in float32, and said."""
    for photons in (1, 10, 100):
        image = scene((bench.side, bench.side), photons)
        exact = bench.job(image, "YX")
        wanted, sigma = run(exact), exact.channels[0].scale.sigma
        for precision in bench.halves:
            job = bench.job(image, "YX", precision)
            error = 100 * apart(run(job), wanted) / sigma
            name = f"{precision}, {photons} photons, sigma {sigma:.3f} of the range"
            note = f"computed in {job.settings.precision}"
            yield Row(name, error, "% of sigma", SIGMA_LIMIT, note)


def out_of_memory(bench: Bench) -> Iterator[Row]:
    """Give a tile that does not fit: it is halved, and the frame begins anew."""
    image = scene((bench.side, bench.side), 30)
    whole = bench.job(image, "YX", tile=bench.side)
    wanted, needed = _peak(whole)
    job = bench.job(image, "YX", tile=bench.side)
    with _short_of_memory(job, needed, image.size):
        found = run(job)
    note = f"a tile of {bench.side} became {job.cost().tile}"
    yield Row("out of memory, from enough", apart(found, wanted), "of the range", RANGE_LIMIT, note)
    smaller = float(job.cost().tile >= bench.side)
    yield Row("out of memory, tiles as large as before", smaller, "", 0.0)


def _peak(job: StackJob) -> tuple[Array, int]:
    """Denoise, and return the bytes that it took on a graphics card beyond what was held before."""
    device = job.engine.device
    if device == "cpu":
        return run(job), 0
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    result = run(job)
    return result, torch.cuda.max_memory_allocated(device) - before


@contextmanager
def _short_of_memory(job: StackJob, needed: int, pixels: int) -> Iterator[None]:
    """Leave 0.7 of the memory that a window of all pixels needs."""
    device = job.engine.device
    if device == "cpu":
        job.engine = _Small(job.engine, int(0.7 * pixels))  # type: ignore[assignment]
        yield
        return
    torch.cuda.empty_cache()
    allowed = torch.cuda.memory_reserved(device) + 0.7 * needed
    total = torch.cuda.mem_get_info(device)[1]
    torch.cuda.set_per_process_memory_fraction(min(1.0, allowed / total), device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)


class _Small:
    """An engine that has memory for small windows only."""

    def __init__(self, engine: Engine, pixels: int) -> None:
        self._engine, self._pixels = engine, pixels

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def run(self, image: Any, *others: Any) -> Estimate:
        """Run a window, or have no memory for it."""
        if image.values[0].size > self._pixels:
            raise MemoryError
        return self._engine.run(image, *others)


def memory(bench: Bench) -> Iterator[Row]:
    """Peak memory of a window, against what tiles are planned by."""
    if bench.device == "cpu":
        return
    image = scene((bench.side, bench.side), 30)
    for precision in ("float32", *bench.halves):
        job = bench.job(image, "YX", precision, tile=bench.side)
        taken = _peak(job)[1] / image.size
        planned = float(job.engine.bytes_per_pixel)
        yield Row(f"memory, {job.settings.precision}", taken, "bytes a pixel", planned)


def neighbours(bench: Bench) -> Iterator[Row]:
    """Compare a drifting stack and its neighbours with the CPU."""
    shape = bench.side, bench.side
    stack = np.stack([scene(shape, 30, shift=0.7 * t, seed=t) for t in range(4)])
    exact, job = (
        bench.job(stack, "TYX", device=device, neighbors=1) for device in ("cpu", bench.device)
    )
    error = 100 * apart(run(exact), run(job)) / exact.channels[0].scale.sigma
    yield Row("neighbours, float32, from the CPU", error, "% of sigma", SIGMA_LIMIT)
    for name, count in (("frames alone", 0), ("frames with neighbours", 1)):
        timed = bench.job(stack, "TYX", bench.halves[0], neighbors=count)
        taken = gpu_speed.seconds(lambda job=timed: finished(job.tiles()), bench.device, 1)
        yield Row(name, len(stack) * shape[0] * shape[1] / taken / 1e6, "megapixels/s")


def finetuning(bench: Bench) -> Iterator[Row]:
    """Time steps of fine-tuning, as the recipes have them."""
    info = Denoiser.load(bench.microscopy, "cpu").info
    assert info is not None
    side = max(bench.side, 96)
    noisy, clean = (scene((side, side), 30, seed=seed)[..., None] / 400 for seed in (0, 1))
    asked = FineTuneSettings()
    for recipe in ("faithful", "realistic"):
        settings = training_settings(
            asked, load_recipe(recipe), info.card, 1000, noisy_target=False, radiance=False
        )
        if bench.device == "cpu":
            settings = replace(settings, batch=bench.batch)
        pairs = RealPairs([noisy], [clean], [0.05], settings)
        base = dict(load_network(info).state_dict())
        speed = measure_speed(settings, pairs, base, bench.device, 0.0)
        for stage, each in (("", speed.first), (", second stage", speed.second)):
            if each:
                note = f"{settings.batch} patches of {settings.patch} px"
                yield Row(f"fine-tuning, {recipe}{stage}", 1 / each, "steps/s", None, note)


def training(bench: Bench) -> Iterator[Row]:
    """Time steps of training: what the device can do, and whether it is fed as fast."""
    info = Denoiser.load(bench.microscopy, "cpu").info
    assert info is not None
    settings = TrainSettings(
        name="benchmark",
        domain="microscopy",
        architecture=info.card.architecture,
        config={**info.card.config, "spread": False},
        distortion=DistortionStage(steps=10**6),
        batch=bench.batch,
        patch=bench.patch,
        clip=0.1,
    )
    side = max(256, 2 * bench.patch)
    pictures = [np.random.default_rng(0).integers(0, 256, (side, side, 1), np.uint8)]
    alone, fed = gpu_speed.training(settings, pictures, bench.device, bench.steps, bench.loaders)
    pixels = bench.batch * bench.patch**2 / 1e6
    note = f"{bench.batch} patches of {bench.patch} px"
    yield Row("training, the same batch", alone * pixels, "megapixels/s", None, note)
    drawn = f"{bench.loaders} processes draw"
    yield Row("training, batches drawn meanwhile", fed * pixels, "megapixels/s", None, drawn)


def throughput(bench: Bench) -> Iterator[Row]:
    """16 bit frames in, 16 bit frames out, and what takes the time."""
    shape = _fitting(bench)
    noisy = scene(shape, 30)
    frames = np.stack([np.roll(noisy, n, 1) for n in range(bench.frames)])
    codes = np.clip(np.rint(frames), 0, 65535).astype(np.uint16)
    job = bench.job(codes, "TYX", bench.halves[0], tile=max(shape))
    engine, channel = job.engine, job.channels[0]
    assert isinstance(engine, TorchEngine)
    pipeline = gpu_speed.Pipeline(engine, channel, shape)
    plain = engine.run(channel.to_network(codes[-1:]), channel.sigma_map(*shape)).mean
    *_, last = pipeline.run(codes)
    name = "overlapped transfers, from the engine's result"
    yield Row(name, apart(last, plain[0]), "of the range", RANGE_LIMIT)
    pixels = shape[0] * shape[1] / 1e6
    size = f"{shape[1]} x {shape[0]}, {job.settings.precision}"
    for name, taken in gpu_speed.parts(job, codes, bench.rounds).items():
        yield Row(name, pixels / taken, "megapixels/s", None, size)


def _fitting(bench: Bench) -> tuple[int, int]:
    """Return the shape of a frame that goes through the network in one piece: 4K, or less."""
    rows, columns = bench.frame
    engine = bench.job(scene((96, 96), 30), "YX", bench.halves[0]).engine
    while engine.bytes_per_pixel * rows * columns > 0.5 * free_memory(bench.device) and rows > 64:
        rows, columns = rows // 8 * 4, columns // 8 * 4
    return rows, columns


SECTIONS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "agreement": agreement,
    "tiles": tiles,
    "half": half,
    "out_of_memory": out_of_memory,
    "memory": memory,
    "neighbours": neighbours,
    "finetuning": finetuning,
    "training": training,
    "throughput": throughput,
}


def rows_of(section: Callable[[Bench], Iterator[Row]], bench: Bench) -> Iterator[Row]:
    """Return the rows of a section; one that fails is a broken row, and the others still run."""
    try:
        yield from section(bench)
    except Exception as error:  # noqa: BLE001 - whatever a driver raises, the others are measured
        traceback.print_exc()
        text = f"{type(error).__name__}: {error}".splitlines()[0].replace("|", "/")
        yield Row(section.__name__, float("nan"), "", 0.0, text)


def main(argv: list[str] | None = None) -> int:
    """Print the table as it is measured; return 0, 1 if anything is broken, 2 without CUDA."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda:0", help="cuda:0, or cpu for a small run")
    parser.add_argument("--weights-microscopy", default="microscopy", help="name or path")
    parser.add_argument("--weights-photo", default="photo", help="name or path")
    parser.add_argument("--weights-render", default="render", help="name or path")
    parser.add_argument("--only", default=",".join(SECTIONS), help="of " + ",".join(SECTIONS))
    parser.add_argument("--markdown", type=Path, help="file to write the table to")
    chosen = parser.parse_args(argv)
    sections = pick(parser, chosen.only, SECTIONS)
    if chosen.device != "cpu" and not torch.cuda.is_available():
        print("PyTorch finds no CUDA device here; `--device cpu` tries the checks.")
        return 2
    bench = bench_on(
        chosen.device, chosen.weights_microscopy, chosen.weights_photo, chosen.weights_render
    )
    rows = []
    for section in sections:
        for row in rows_of(section, bench):
            rows.append(row)
            print(" | ".join(row.cells()), flush=True)
    broken = sum(not row.kept for row in rows)
    checks = sum(row.limit is not None for row in rows)
    said = f"{checks - broken} of {checks} checks are kept."
    where = bench.device if bench.device == "cpu" else torch.cuda.get_device_name(bench.device)
    header = ("what", "measured", "limit", "", "")
    cells = tuple(row.cells() for row in rows)
    table = Table("gpu", header, cells, (said, f"On {where}. {environment()}"))
    print("\n" + table.markdown())
    if chosen.markdown is not None:
        chosen.markdown.write_text(table.markdown(), encoding="utf-8")
    return 1 if broken else 0


def bench_on(device: str, microscopy: str, photo: str, render: str) -> Bench:
    """Return all of it for a graphics card, and a small one for a CPU."""
    weights = device, microscopy, photo, render
    if device == "cpu":
        return Bench(*weights, 160, (64, 96), 3, 1, batch=2, patch=32, steps=2, loaders=0)
    loaders = choose_loaders(device)
    return Bench(*weights, 1024, (2160, 3840), 6, 3, batch=64, patch=144, steps=60, loaders=loaders)


if __name__ == "__main__":
    sys.exit(main())
