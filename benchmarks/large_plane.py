"""Memory for a plane that no memory holds: python -m benchmarks.large_plane --side 30000.

A lazy plane is measured, and goes through a network that changes nothing into a zarr store, tile
by tile. Printed is the peak memory above that of the process after its imports.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import psutil
import zarr

from benchmarks.tables import environment
from napari_denoise import DenoiseSettings
from napari_denoise.engines.base import Estimate
from napari_denoise.image.axes import Layout
from napari_denoise.image.tiles import Window
from napari_denoise.image.values import Float32Array
from napari_denoise.inference.stack import StackJob
from napari_denoise.inference.steps import TileStep
from napari_denoise.measure.channels import measured
from napari_denoise.measure.mappings import Mapped
from napari_denoise.weights.catalogue import find_weights

CHUNK = 1024


class PassThrough:
    """An engine that gives back what it gets."""

    channels, features, halo, multiple, bytes_per_pixel = 1, 0, 64, 4, 400
    device, precision = "cpu", "float32"

    def run(
        self,
        image: Mapped,
        sigma: Float32Array,
        features: Float32Array | None = None,
        keep: Window | None = None,
    ) -> Estimate:
        """Return the mapped window itself."""
        whole = image.to_float32()
        return Estimate(whole if keep is None else whole[:, *keep], None)


def plane(side: int) -> Any:
    """Make photons on a slope, uint16, computed chunk by chunk when asked for."""

    def block(block_info: Any = None) -> np.ndarray:
        (y, _), (x, _) = block_info[None]["array-location"]
        shape = block_info[None]["chunk-shape"]
        rng = np.random.default_rng([y, x])
        return rng.poisson(20 + 60 * x / side, shape).astype(np.uint16)

    chunks = da.core.normalize_chunks((CHUNK, CHUNK), (side, side))
    return da.map_blocks(block, chunks=chunks, dtype=np.uint16, meta=np.empty((0, 0), np.uint16))


def denoise(array: Any, target: Path) -> Iterator[TileStep]:
    """Denoise a plane into a zarr store, yielding after every tile."""
    info = find_weights("microscopy")
    channels = measured(
        array, Layout("YX", array.shape), info.card, DenoiseSettings(mapping="affine")
    )
    job = StackJob(
        array, Layout("YX", array.shape), DenoiseSettings(), channels, PassThrough(), info
    )
    tile = job.cost().tile
    store = zarr.create_array(target, shape=array.shape, chunks=(tile, tile), dtype=array.dtype)
    yield from job.into(store)


def main() -> None:
    """Run once and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--side", type=int, default=30_000)
    side = parser.parse_args().side
    array = plane(side)
    before = psutil.Process().memory_info().rss
    folder = Path(tempfile.mkdtemp(prefix="large-plane-"))
    try:
        start = time.perf_counter()
        tiles = sum(1 for _ in denoise(array, folder / "clean.zarr"))
        seconds = time.perf_counter() - start
        written = zarr.open_array(folder / "clean.zarr", mode="r")
        part = (slice(side // 2, side // 2 + 900), slice(side - 900, side))
        assert np.array_equal(written[part], np.asarray(array[part])), "pixels were lost"
    finally:
        shutil.rmtree(folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    print(
        f"{side} x {side} uint16, {array.nbytes / 2**20:,.0f} MiB, {tiles} tiles, {seconds:.0f} s"
    )
    print(f"peak memory above the process after its imports: {peak / 2**20:,.0f} MiB")
    print(environment([]))


if __name__ == "__main__":
    main()
