"""CPU seconds per megapixel, by turns in one run: python -m benchmarks.speed.

The bundled generators (shapes from recipes/, random weights: time does not depend on them)
beside plain networks of FFDNet's size; memory layouts, threads, a worker thread, the first
preview, the noise estimate. docs/benchmarks.md takes the tables with --markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import references
from benchmarks.tables import Table, add_options, environment, pick, show
from benchmarks.tiling import NOISE, run, simulate
from benchmarks.timing import Timing, alternate
from napari_denoise import Denoiser
from napari_denoise.measure.noise_estimation import estimate_noise
from napari_denoise.models.registry import build

RECIPES = Path(__file__).parents[1] / "recipes"
PREVIEW_SIDE = 704
"""Half a megapixel around the centre, as the widget asks for first."""

Network = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Options:
    """What is measured, and how long it may take."""

    weights: str
    weights_render: str
    size: int
    rounds: int
    threads: int


class PlainNetwork(nn.Module):
    """Plain convolutions at half resolution with a noise map: FFDNet's size.

    Zhang et al. 2018, arXiv 1710.04026; its batch normalisation is folded at run time, so
    none is here.

    Parameters
    ----------
    channels
        Of the image.
    layers, width
        15 and 64 for gray, 12 and 96 for colour.
    """

    def __init__(self, channels: int, layers: int, width: int) -> None:
        super().__init__()
        inner: list[nn.Module] = []
        for _ in range(layers - 2):
            inner += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(
            nn.Conv2d(4 * channels + 1, width, 3, padding=1),
            nn.ReLU(inplace=True),
            *inner,
            nn.Conv2d(width, 4 * channels, 3, padding=1),
        )

    def forward(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        """(N, C, Y, X) and (N, 1, Y, X) -> (N, C, Y, X); even Y and X."""
        folded = nn.functional.pixel_unshuffle(noisy, 2)
        x = torch.cat([folded, sigma[..., ::2, ::2]], dim=1)
        return nn.functional.pixel_shuffle(self.layers(x), 2)


def networks() -> dict[str, tuple[nn.Module, int]]:
    """Name the networks to compare, with their image channels."""
    found: dict[str, tuple[nn.Module, int]] = {}
    for name in ("microscopy", "photo", "render"):
        recipe = tomllib.loads((RECIPES / f"{name}.toml").read_text(encoding="utf-8"))
        channels = recipe["config"]["channels"]
        found[f"{name}"] = build(recipe["architecture"], recipe["config"]), channels
    found["plain gray, 15 x 64"] = PlainNetwork(1, 15, 64), 1
    found["plain colour, 12 x 96"] = PlainNetwork(3, 12, 96), 3
    return {name: (net.eval().requires_grad_(False), c) for name, (net, c) in found.items()}


def forward(
    network: nn.Module, channels: int, size: int, layout: torch.memory_format
) -> Callable[[], None]:
    """Prepare one forward pass of a square image."""
    network = network.to(memory_format=layout)  # type: ignore[call-overload]
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, channels, size, size, generator=generator).to(memory_format=layout)
    sigma = torch.full((1, 1, size, size), 0.1)

    def once() -> None:
        with torch.inference_mode():
            network(image, sigma)

    return once


def network_times(options: Options) -> Iterator[Table]:
    """Bundled generators beside plain networks, in both memory layouts."""
    variants: dict[str, Callable[[], object]] = {}
    for name, layout in (("NCHW", torch.contiguous_format), ("channels last", torch.channels_last)):
        for network, (module, channels) in networks().items():
            variants[f"{network}, {name}"] = forward(module, channels, options.size, layout)
    timings = alternate(variants, options.rounds)
    rows = []
    for network, (module, channels) in networks().items():
        plain = "plain gray, 15 x 64" if channels == 1 else "plain colour, 12 x 96"
        nchw, last = timings[f"{network}, NCHW"], timings[f"{network}, channels last"]
        weights = sum(parameter.numel() for parameter in module.parameters())
        rows.append(
            (
                network,
                f"{weights / 1e6:.2f} M",
                nchw.describe(options.size**2 / 1e6),
                last.describe(options.size**2 / 1e6),
                _ratio(nchw, timings[f"{plain}, NCHW"]),
            )
        )
    header = ("network", "parameters", "NCHW", "channels last", "NCHW over plain")
    about = (
        f"CPU seconds per megapixel of one forward pass in float32, {options.size} x "
        f"{options.size} pixels, {options.rounds} rounds by turns; medians, quartiles in brackets."
    )
    yield Table("speed", header, tuple(rows), (about, environment()))


def render(options: Options) -> Iterator[Table]:
    """Time a frame of a renderer, radiance to radiance, on two threads, beside OIDN."""
    torch.set_num_threads(2)
    rng = np.random.default_rng(0)
    shape = (options.size, options.size, 3)
    frame, albedo, normal = (rng.gamma(2, 0.1, shape).astype(np.float32) for _ in range(3))
    denoiser = Denoiser.load(options.weights_render, "cpu", "float32")
    guides = {"albedo": albedo, "normal": normal}
    cases = {"colour only": None, "with albedo and normal": guides}
    variants: dict[str, Callable[[], object]] = {}
    for name, features in cases.items():
        job = denoiser.prepare(frame, "YXS", features)
        variants[f"{name}, denoised"] = lambda job=job: run(job)
        variants[f"{name}, and measured"] = lambda features=features: run(
            denoiser.prepare(frame, "YXS", features)
        )
    timings = alternate(variants, options.rounds)
    torch.set_num_threads(options.threads)
    share = options.size**2 / 1e6
    rows = [(n, f"{t.wall_median / share:.2f}", t.describe(share)) for n, t in timings.items()]
    rows.append(("OIDN 2.5, colour only, denoised", f"{references.OIDN_WALL:.2f}", ""))
    header = ("render, two threads", "wall s per megapixel", "CPU s per megapixel")
    about = (
        f"{options.size} x {options.size} pixels, linear HDR, {options.rounds} rounds by turns. "
        "Measured: exposure and noise too. OIDN's row was taken at another time."
    )
    yield Table("speed-render", header, tuple(rows), (about, environment()))


def threads(options: Options) -> Iterator[Table]:
    """One and two threads, spinning or sleeping while they wait, each in its own process."""
    cases = [(count, policy) for count in (1, 2) for policy in ("active", "passive")]
    taken: dict[tuple[int, str], list[tuple[float, float]]] = {case: [] for case in cases}
    for _ in range(options.rounds):
        for case in cases:
            taken[case].append(_in_process(case, options.size))
    rows = []
    for count, policy in cases:
        cpu, wall = np.median(taken[count, policy], axis=0) / (options.size**2 / 1e6)
        rows.append((f"{count}", policy, f"{cpu:.2f}", f"{wall:.2f}"))
    header = ("threads", "OMP_WAIT_POLICY", "CPU s per megapixel", "wall s per megapixel")
    about = (
        f"The microscopy generator, other work on the machine: load {os.getloadavg()[0]:.1f} "
        f"on {os.cpu_count()} cores."
    )
    yield Table("speed-threads", header, tuple(rows), (about,))


def _in_process(case: tuple[int, str], size: int) -> tuple[float, float]:
    command = [sys.executable, "-m", "benchmarks.speed", "--one", f"{case[0]}", f"--size={size}"]
    variables = {**os.environ, "OMP_WAIT_POLICY": case[1]}
    done = subprocess.run(  # noqa: S603
        command, check=True, capture_output=True, text=True, env=variables
    )
    cpu, wall = json.loads(done.stdout)
    return cpu, wall


def _one(count: int, size: int) -> None:
    torch.set_num_threads(count)
    module, channels = networks()["microscopy"]
    once = forward(module, channels, size, torch.contiguous_format)
    timing = alternate({"microscopy": once}, 3)["microscopy"]
    print(json.dumps([timing.cpu_median, timing.wall_median]))


def whole_call(options: Options) -> Iterator[Table]:
    """Time what surrounds the network: mapping, worker thread, preview, noise estimate."""
    image = simulate((2048, 2048)).astype(np.uint16)
    denoiser = Denoiser.load(options.weights, "cpu", "float32")
    crop = image[: options.size, : options.size]
    job = denoiser.prepare(crop, "YX", noise=NOISE)
    preview = denoiser.prepare(image, "YX", noise=NOISE)
    side = slice((2048 - PREVIEW_SIDE) // 2, (2048 + PREVIEW_SIDE) // 2)
    module = denoiser.prepare(crop, "YX", noise=NOISE).engine.network
    variants: dict[str, Callable[[], object]] = {
        "network alone": forward(module, 1, options.size, torch.contiguous_format),
        "a frame, main thread": lambda: run(job),
        "a frame, worker thread": lambda: _in_worker(lambda: run(job)),
        "first preview, 0.5 megapixel": lambda: preview.region(0, side, side),
        "prepare with noise estimate": lambda: denoiser.prepare(image, "YX"),
        "noise estimate, photon-limited": lambda: estimate_noise([image]),
        "noise estimate, 512 x 512": lambda: estimate_noise([image[:512, :512]]),
    }
    timings = alternate(variants, options.rounds)
    pixels = dict.fromkeys(list(variants)[:3], options.size**2)
    pixels |= {"first preview, 0.5 megapixel": PREVIEW_SIDE**2}
    pixels |= {"noise estimate, 512 x 512": 512**2}
    rows = tuple(
        (
            name,
            f"{timing.cpu_median:.3f}",
            f"{timing.wall_median:.3f}",
            timing.describe(pixels.get(name, image.size) / 1e6, 3),
        )
        for name, timing in timings.items()
    )
    main, worker = timings["a frame, main thread"], timings["a frame, worker thread"]
    note = (
        f"Worker over main thread: {_ratio(worker, main)}. Frame over network alone: "
        f"{_ratio(main, timings['network alone'])}. Preview and noise estimate on a 2048 x 2048 "
        "uint16 frame, warm; wall times are those of a shared machine."
    )
    header = ("part", "CPU s", "wall s", "CPU s per megapixel")
    yield Table("speed-parts", header, rows, (note, environment()))


def _in_worker(work: Callable[[], object]) -> None:
    worker = threading.Thread(target=work)
    worker.start()
    worker.join()


def _ratio(timing: Timing, other: Timing) -> str:
    low, middle, high = timing.ratio(other)
    return f"{middle:.2f} ({low:.2f}-{high:.2f})"


SECTIONS: dict[str, Callable[[Options], Iterator[Table]]] = {
    "networks": network_times,
    "render": render,
    "parts": whole_call,
    "threads": threads,
}


def main(argv: list[str] | None = None) -> None:
    """Print the tables, and fill a document with them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights-microscopy", default="microscopy", help="name or path")
    parser.add_argument("--weights-render", default="render", help="name or path")
    parser.add_argument("--size", type=int, default=512, help="rows and columns of the image")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch")
    add_options(parser, SECTIONS)
    parser.add_argument("--one", type=int, help="only time one pass on so many threads, as JSON")
    chosen = parser.parse_args(argv)
    if chosen.one:
        _one(chosen.one, chosen.size)
        return
    sections = pick(parser, chosen.only, SECTIONS)
    torch.set_num_threads(chosen.threads)
    weights = chosen.weights_microscopy, chosen.weights_render
    options = Options(*weights, chosen.size, chosen.rounds, chosen.threads)
    show((table for section in sections for table in section(options)), chosen.markdown)


if __name__ == "__main__":
    main()
