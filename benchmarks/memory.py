"""Peak memory of one task, in a process of its own: python -m benchmarks.memory TASK.

Prints one JSON object. Linux only: it reads VmHWM, the high-water mark of this process alone;
`getrusage` would also count the process that started this one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
from numpy.typing import NDArray

from napari_denoise import Denoiser, NoiseModel

STATUS = Path("/proc/self/status")
NOISE = NoiseModel(gain=2.0, offset=100.0, read_noise=3.0)
SETTLED = 10
"""Frames after which a stack's memory should grow no more."""


def measure(task: str, **options: object) -> dict[str, float]:
    """Run a task in a fresh process and return what it printed."""
    arguments = [f"--{key}={value}" for key, value in options.items()]
    command = [sys.executable, "-m", "benchmarks.memory", task, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    found: dict[str, float] = json.loads(done.stdout)
    return found


def window(denoiser: Denoiser, size: int) -> dict[str, float]:
    """Bytes per pixel of one un-tiled frame, beyond what the loaded program held before."""
    assert denoiser.info is not None
    color = denoiser.info.card.channels == 3
    shape = (size, size, 3) if color else (size, size)
    frame = _photons(0, shape)
    axes = "YXS" if color else "YX"
    denoiser(frame[:64, :64], axes, noise=NOISE)
    job = denoiser.prepare(frame, axes, noise=NOISE, tile=size)
    before = _status("VmRSS")
    for _ in job.steps():
        pass
    return {"bytes_per_pixel": (_status("VmHWM") - before) / size**2, "peak": _status("VmHWM")}


def stack(denoiser: Denoiser, size: int, frames: int) -> dict[str, float]:
    """Peak bytes of a long lazy stack, whose frames are made on demand and dropped."""
    lazy = dask.array.map_blocks(_frame, dtype=np.uint16, chunks=((1,) * frames, (size,), (size,)))
    early = 0.0
    for number, _ in enumerate(denoiser.frames(lazy, "TYX", noise=NOISE), 1):
        if number == min(SETTLED, frames):
            early = _status("VmHWM")
    late = _status("VmHWM")
    return {"early": early, "late": late, "grown_frames": (late - early) / (size**2 * 2)}


def _frame(block_info: Any = None) -> NDArray[np.uint16]:
    location = block_info[None]
    return _photons(location["chunk-location"][0], location["chunk-shape"])


def _photons(seed: int, shape: tuple[int, ...]) -> NDArray[np.uint16]:
    counts = np.random.default_rng(seed).poisson(50, shape)
    return (NOISE.offset + NOISE.gain * counts).astype(np.uint16)


def _status(field: str) -> float:
    """Read a size in bytes from the kernel's account of this process."""
    line = next(row for row in STATUS.read_text().splitlines() if row.startswith(field))
    return float(line.split()[1]) * 1024


def main(argv: list[str] | None = None) -> None:
    """Print what one task took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=("window", "stack"))
    parser.add_argument("--weights", default="microscopy", help="name or path")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--size", type=int, default=1024, help="rows and columns of a frame")
    parser.add_argument("--frames", type=int, default=200)
    chosen = parser.parse_args(argv)
    denoiser = Denoiser.load(chosen.weights, device="cpu", precision=chosen.precision)
    if chosen.task == "window":
        found = window(denoiser, chosen.size)
    else:
        found = stack(denoiser, chosen.size, chosen.frames)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
