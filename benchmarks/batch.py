"""Figures of batches: python -m benchmarks.batch overlap memory plane small workers kills.

Each prints a line of a table. Every task runs in processes of its own.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from benchmarks.large_plane import PassThrough
from benchmarks.tables import environment
from napari_denoise import DenoiseSettings, ImageMeta, write
from napari_denoise.batch import Done, Ended, Processes, plan_folder, run, survey
from napari_denoise.image.long_work import finished
from napari_denoise.io.read import read

SIDE = 2048
CONTEXT = multiprocessing.get_context("spawn")


def noisy(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Make photons on a slope, uint16."""
    rng = np.random.default_rng(seed)
    slope = np.linspace(20, 80, shape[-1])
    return (100 + 2 * rng.poisson(slope, shape)).astype(np.uint16)


def denoise(inputs: list[Path], out: Path, **fields: Any) -> Any:
    """Run a batch to its end, and return its last event."""
    where = {"file_format": fields.pop("file_format", None)}
    tasks, _ = plan_folder(inputs, out, **where)
    settings = DenoiseSettings(device="cpu", precision="float32", **fields)
    (ended,) = deque(run(finished(survey(tasks, settings, out))), maxlen=1)  # events hold frames
    return ended


def in_child(task: Callable[..., Any], *arguments: Any) -> Any:
    """Run a task in a fresh process and return what it gives."""
    with CONTEXT.Pool(1) as pool:
        return pool.apply(task, arguments)


# Overlap


class SlowArray:
    """A lazy stack each of whose frames takes a while to be read."""

    def __init__(self, frames: np.ndarray, seconds: float) -> None:
        self._frames, self._seconds = frames, seconds
        self.shape, self.dtype, self.ndim = frames.shape, frames.dtype, frames.ndim

    def __getitem__(self, index: Any) -> np.ndarray:
        time.sleep(self._seconds)
        return self._frames[index]


def overlapped(frames: int, reading: float, computing: float, writing: float) -> float:
    """Denoise a stack of which each frame takes so long to be read, computed, and written."""
    from napari_denoise.batch import choice, work
    from napari_denoise.engines import torch as engines

    stack = np.repeat(noisy((8, 128, 128)), frames // 8, axis=0)
    kept_run, kept_read, kept_write = engines.TorchEngine.run, choice.read, work.write

    def slow_run(self: Any, image: Any, sigma: Any, features: Any = None, keep: Any = None) -> Any:
        time.sleep(computing)
        return PassThrough().run(image, sigma, features, keep)

    def slow_read(*given: Any, **more: Any) -> Any:
        array, meta = kept_read(*given, **more)
        return SlowArray(np.asarray(array), reading), meta

    def slow_write(path: Path, array: Any, meta: ImageMeta, **more: Any) -> Any:
        for number in range(array.shape[0]):
            array[number]
            time.sleep(writing)
        return kept_write(path, stack, meta, **more)

    folder = Path(tempfile.mkdtemp(prefix="batch-"))
    try:
        (folder / "raw").mkdir()
        np.save(folder / "raw/a.npy", stack)
        engines.TorchEngine.run = slow_run
        choice.read, work.write = slow_read, slow_write
        denoise([folder / "raw"], folder / "warm", weights="microscopy", neighbors=0, noise=20.0)
        start = time.perf_counter()
        denoise([folder / "raw"], folder / "out", weights="microscopy", neighbors=0, noise=20.0)
        return time.perf_counter() - start
    finally:
        engines.TorchEngine.run, choice.read, work.write = kept_run, kept_read, kept_write
        shutil.rmtree(folder)


def overlap(chosen: argparse.Namespace) -> str:
    """Compare a run with its slowest part."""
    each = chosen.seconds
    alone = [
        in_child(overlapped, chosen.frames, *(each * (part == number) for part in range(3)))
        for number in range(3)
    ]
    taken = in_child(overlapped, chosen.frames, each, each, each)
    read_only, computed, written = alone
    return (
        f"overlap: {chosen.frames} frames, {each * 1000:.0f} ms each: reading alone "
        f"{read_only:.2f} s, computing alone {computed:.2f} s, writing alone {written:.2f} s, all "
        f"{taken:.2f} s = {taken / max(alone):.2f} x the slowest"
    )


# Memory


def peak(folder: Path, file_format: str) -> float:
    """Denoise with a network that changes nothing; return MiB above the imports."""
    from napari_denoise.engines import torch as engines

    def unchanged(self: Any, image: Any, sigma: Any, features: Any = None, keep: Any = None) -> Any:
        return PassThrough().run(image, sigma, features, keep)

    engines.TorchEngine.run = unchanged
    before = _status("VmRSS")
    ended = denoise(
        [folder / "raw"], folder / "out", weights="microscopy", neighbors=0, file_format=file_format
    )
    assert isinstance(ended, Ended)
    assert ended.done == 1, "it failed"
    return (_status("VmHWM") - before) / 2**20


def memory(chosen: argparse.Namespace) -> Iterator[str]:
    """Peak memory for stacks of several sizes."""
    for size in chosen.gigabytes:
        frames = max(1, round(size * 1e9 / (SIDE**2 * 2)))
        for file_format in chosen.formats:
            folder = Path(tempfile.mkdtemp(prefix="batch-", dir=chosen.folder))
            try:
                (folder / "raw").mkdir()
                some = noisy((4, SIDE, SIDE))
                with tifffile.TiffWriter(folder / "raw/a.ome.tif", bigtiff=True, ome=True) as tif:
                    planes = (some[n % 4] for n in range(frames))
                    shape = (frames, SIDE, SIDE)
                    tif.write(planes, shape=shape, dtype="uint16", metadata={"axes": "TYX"})
                found = in_child(peak, folder, file_format)
            finally:
                shutil.rmtree(folder)
            yield f"memory: {size} GB to {file_format}: {found:,.0f} MiB above the imports"


# One large plane


def plane(chosen: argparse.Namespace) -> Iterator[str]:
    """Peak memory for one plane that is read and written by windows."""
    side = chosen.side
    tile = noisy((512, 512))
    for source in ("tif", "ome.zarr"):
        for target in chosen.formats:
            folder = Path(tempfile.mkdtemp(prefix="batch-", dir=chosen.folder))
            try:
                (folder / "raw").mkdir()
                if source == "tif":
                    tiles = (tile for _ in range((-(-side // 512)) ** 2))
                    file = folder / "raw/a.ome.tif"
                    with tifffile.TiffWriter(file, bigtiff=True, ome=True) as tif:
                        shape = (side, side)
                        tif.write(tiles, shape=shape, dtype="uint16", tile=(512, 512))
                else:
                    _write_store(folder / "raw/a.ome.zarr", side, tile)
                start = time.perf_counter()
                found = in_child(peak, folder, target)
                taken = time.perf_counter() - start
            finally:
                shutil.rmtree(folder)
            yield (
                f"plane: {side} x {side} uint16, {source} to {target}: {found:,.0f} MiB above the "
                f"imports, {taken:.0f} s"
            )


def _write_store(path: Path, side: int, tile: np.ndarray) -> None:
    """Write a plane by windows."""

    class Plane:
        """Looks like a plane, and holds one tile."""

        shape, dtype, ndim, nbytes = (side, side), tile.dtype, 2, 2 * side**2

        def transpose(self, _order: Any) -> Plane:
            return self

        def __getitem__(self, index: Any) -> np.ndarray:
            rows, columns = (range(*i.indices(side)) for i in index)
            return tile[np.ix_([r % 512 for r in rows], [c % 512 for c in columns])]

    write(path, Plane(), ImageMeta("YX"))


# Many small files


def small_files(count: int) -> tuple[float, float]:
    """Return ms a file: of all, and without those inside engine and measuring."""
    from napari_denoise.engines import torch as engines
    from napari_denoise.inference.denoiser import Denoiser

    inside = 0.0
    kept_run, kept = engines.TorchEngine.run, Denoiser.preparing
    depth = 0

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*given: Any, **more: Any) -> Any:
            nonlocal inside, depth
            start, depth = time.perf_counter(), depth + 1
            try:
                return function(*given, **more)
            finally:
                depth -= 1
                if not depth:
                    inside += time.perf_counter() - start

        return wrapped

    def preparing(*given: Any, **more: Any) -> Any:
        work = kept(*given, **more)
        advance = timed(lambda: next(work))
        while True:
            try:
                yield advance()
            except StopIteration as end:
                return end.value

    folder = Path(tempfile.mkdtemp(prefix="batch-"))
    try:
        (folder / "raw").mkdir()
        for number in range(count):
            write(folder / f"raw/{number:04d}x.ome.tif", noisy((256, 256), number), ImageMeta("YX"))
        engines.TorchEngine.run = timed(kept_run)
        Denoiser.preparing = preparing
        start = time.perf_counter()
        ended = denoise([folder / "raw"], folder / "out", weights="microscopy")
        whole = time.perf_counter() - start
        assert ended.done == count
        return 1000 * whole / count, 1000 * (whole - inside) / count
    finally:
        engines.TorchEngine.run, Denoiser.preparing = kept_run, kept
        shutil.rmtree(folder)


def small(chosen: argparse.Namespace) -> str:
    """Time between many small files."""
    whole, between = in_child(small_files, chosen.files)
    return (
        f"small: {chosen.files} files of 256 x 256: {whole:.1f} ms a file, {between:.1f} ms "
        "outside engine and measuring"
    )


# Workers


def workers(chosen: argparse.Namespace) -> Iterator[str]:
    """Compare two workers with one, one thread each, from when each has finished its first."""
    folder = Path(tempfile.mkdtemp(prefix="batch-"))
    taken: dict[int, float] = {}
    try:
        (folder / "raw").mkdir()
        for number in range(chosen.stacks):
            write(folder / f"raw/{number}x.ome.tif", noisy((4, 512, 512), number), ImageMeta("TYX"))
        for count in (1, 2):
            tasks, _ = plan_folder([folder / "raw"], folder / f"out{count}")
            settings = DenoiseSettings(weights="microscopy", device="cpu", precision="float32")
            plan = finished(survey(tasks, settings, folder / f"out{count}"))
            done = [
                time.perf_counter()
                for event in run(plan, Processes(workers=count))
                if isinstance(event, Done)
            ]
            taken[count] = (done[-1] - done[count - 1]) / (len(done) - count)
    finally:
        shutil.rmtree(folder)
    yield (
        f"workers: {chosen.stacks} stacks, after the first of each worker: {taken[1]:.2f} s a "
        f"stack with one worker, {taken[2]:.2f} s with two: {taken[1] / taken[2]:.2f} x"
    )


# Kills


def command(folder: Path, out: Path, weights: str, processes: int) -> list[str]:
    """Return the command line of a batch."""
    given = [str(folder), "-o", str(out), "-w", weights, "-d", "cpu", "--precision", "float32"]
    more = ["--workers", str(processes)] if processes else []
    return [sys.executable, "-m", "napari_denoise.cli", "batch", *given, "--tile", "64", *more]


def kills(chosen: argparse.Namespace) -> str:
    """Kill runners and workers again and again, then compare with an undisturbed run."""
    folder = Path(tempfile.mkdtemp(prefix="batch-"))
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    rng = random.Random(chosen.seed)  # noqa: S311
    try:
        (folder / "raw").mkdir()
        for number in range(chosen.stacks):
            write(folder / f"raw/{number}x.ome.tif", noisy((6, 256, 256), number), ImageMeta("TYX"))
        calm = command(folder / "raw", folder / "calm", chosen.weights, 0)
        subprocess.run(calm, check=True, capture_output=True, env=env)  # noqa: S603
        call = command(folder / "raw", folder / "out", chosen.weights, chosen.processes)
        start = time.perf_counter()
        subprocess.run(call, check=True, capture_output=True, env=env)  # noqa: S603
        usual = time.perf_counter() - start
        shutil.rmtree(folder / "out")
        expected = results(folder / "calm")
        killed = {"runner": 0, "worker": 0}
        rounds = twice = 0
        same, left = True, list[str]()
        while sum(killed.values()) < chosen.kills or (folder / "out").exists():
            process = subprocess.Popen(  # noqa: S603
                call, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            _disturb(process, killed, chosen.kills, usual, rng)
            if process.returncode < 0:
                continue
            rounds += 1
            same &= results(folder / "out") == expected
            lines = (folder / "out/batch.jsonl").read_text().splitlines()
            events = [event for line in lines if (event := _parsed(line))]
            done = [event["name"] for event in events if event.get("event") == "done"]
            twice += len(done) - len(set(done))
            left += [f.name for f in (folder / "out").glob(".*") if f.name != ".batch.lock"]
            shutil.rmtree(folder / "out")
    finally:
        shutil.rmtree(folder)
    return (
        f"kills: {killed['runner']} kills -9 of runners and {killed['worker']} of workers in "
        f"{rounds} batches of {chosen.stacks} stacks: results equal: {same}; done twice: {twice}; "
        f"left over: {left or 'nothing'}"
    )


def _disturb(
    process: subprocess.Popen[bytes],
    killed: dict[str, int],
    most: int,
    usual: float,
    rng: random.Random,
) -> None:
    """Kill workers of a run, at most two, and perhaps the run; wait for its end."""
    of_workers = 0
    while True:
        try:
            enough = sum(killed.values()) >= most
            process.wait(None if enough else rng.uniform(0.3, 1) * usual)
            return
        except subprocess.TimeoutExpired:
            found = _workers_of(process.pid) if of_workers < 2 else []  # a unit has three tries
            victim = rng.choice([None, *found[:1], *found[1:2]])
            os.kill(process.pid if victim is None else victim, signal.SIGKILL)
            killed["runner" if victim is None else "worker"] += 1
            if victim is None:
                process.wait()
                return
            of_workers += 1


def _workers_of(runner: int) -> list[int]:
    """Return the worker processes of a run."""
    import psutil

    try:
        below = psutil.Process(runner).children(recursive=True)
        return [p.pid for p in below if "spawn_main" in " ".join(p.cmdline())]
    except psutil.Error:
        return []


def results(folder: Path) -> dict[str, Any]:
    """Read all results with what is known of them, times aside."""
    found = {}
    for file in sorted(folder.glob("*.tif")):
        array, meta = read(file, sequence=False)
        note = {k: v for k, v in meta.extra["napari_denoise"].items() if k != "time"}
        meta = replace(meta, source=(), extra={**meta.extra, "napari_denoise": note})
        found[file.name] = np.asarray(array).tobytes(), json.dumps(str(meta))
    return found


def _parsed(line: str) -> dict[str, Any]:
    try:
        event: dict[str, Any] = json.loads(line)
    except ValueError:
        return {}
    return event


def _status(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) * 1024 for line in lines if line.startswith(key))


TASKS = {f.__name__: f for f in (overlap, memory, plane, small, workers, kills)}


def main() -> None:
    """Run what is asked for and print it."""
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("tasks", nargs="+", choices=TASKS)
    parser.add_argument("--frames", type=int, default=160, help="of the overlap")
    parser.add_argument("--seconds", type=float, default=0.03, help="of a frame of the overlap")
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[0.5, 2, 12])
    parser.add_argument("--formats", nargs="+", default=["ome.tif", "ome.zarr"])
    parser.add_argument("--side", type=int, default=30_000, help="of the plane")
    parser.add_argument("--folder", type=Path, help="for large files; a temporary one by default")
    parser.add_argument("--files", type=int, default=500, help="of the small ones")
    parser.add_argument("--stacks", type=int, default=8, help="of workers and kills")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--processes", type=int, default=0, help="of the runs that are killed")
    parser.add_argument("--weights", default="microscopy")
    chosen = parser.parse_args()
    for name in chosen.tasks:
        found: Any = TASKS[name](chosen)
        for line in [found] if isinstance(found, str) else found:
            print(line, flush=True)
    print(environment([]))


if __name__ == "__main__":
    main()
