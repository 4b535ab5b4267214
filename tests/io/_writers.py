"""What the other processes of the tests of writing do; they tell their test through a pipe."""

from __future__ import annotations

import os
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np

from napari_denoise.io.errors import FileExists
from napari_denoise.io.meta import ImageMeta
from napari_denoise.io.stores import PreparedStore, prepare_store
from napari_denoise.io.write import write


def stuck(path: Path, test: Connection) -> None:
    """Write three of six planes and get no further."""

    def slow(block: np.ndarray, block_info: Any) -> np.ndarray:
        if block_info[0]["chunk-location"][0] == 3:
            test.send("writing")
            time.sleep(60)
        return block

    zeros = da.zeros((6, 300, 300), chunks=(1, 300, 300), dtype="uint16")
    meta = np.empty((0, 0, 0), "uint16")
    data = zeros.map_blocks(slow, name="slow", dtype="uint16", meta=meta)
    write(path, data, ImageMeta("TYX"), overwrite=True)


def store_stuck(path: Path, test: Connection) -> None:
    """Write half of the regions of a store, and get no further."""
    meta = ImageMeta("TYX", extra={"ome_zarr_version": "0.4"})
    store = prepare_store(path, (6, 30, 30), "uint16", meta, overwrite=True)
    for region in [*store.regions][:3]:
        store.write(region, np.full((1, 30, 30), 7))
    test.send("writing")
    time.sleep(60)


def store_swapped(path: Path, test: Connection) -> None:
    """Die between putting the old store aside and giving the new one its name."""
    rename = os.rename

    def last(*names: Any) -> None:
        rename(*names)
        os.kill(os.getpid(), signal.SIGKILL)

    os.rename = last
    write(path, np.full((2, 30, 30), 7, "uint16"), ImageMeta("TYX"), overwrite=True)


def store_part(store: PreparedStore, test: Connection, first: int) -> None:
    """Write every second region of a store that another process prepared."""
    for region in [*store.regions][first::2]:
        store.write(region, np.full((1, 30, 30), region[0].start + 1))
    test.send("done")


def cut_off(path: Path, test: Connection) -> None:
    """Write where the system cuts a write off, as a full disk or a quota does."""
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    data = np.random.default_rng(0).integers(0, 65535, (6, 300, 300)).astype("uint16")
    try:
        write(path, data, ImageMeta("TYX"), overwrite=True)
        test.send("done")
    except ValueError as error:
        test.send(f"{type(error).__name__} {error}")


def held(path: Path, test: Connection, value: int, overwrite: bool) -> None:
    """Write one plane of three, and the others when told to. Only writer 1 leaves a sidecar."""

    def hold(block: np.ndarray, block_info: Any) -> np.ndarray:
        if block_info[0]["chunk-location"][0] == 1:
            test.send("writing")
            test.recv()
        return block + np.uint16(value)

    zeros = da.zeros((3, 30, 30), chunks=(1, 30, 30), dtype="uint16")
    meta = np.empty((0, 0, 0), "uint16")
    data = zeros.map_blocks(hold, name="hold", dtype="uint16", meta=meta)
    note = {"napari_denoise": {"made by": str(value)}} if value == 1 else {}
    try:
        write(path, data, ImageMeta("TYX", extra=note), overwrite=overwrite)
        test.send("done")
    except FileExists as error:
        test.send(str(error))
