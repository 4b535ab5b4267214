"""Processes forked from one that has the imports done: they are what takes a new one longest."""

from __future__ import annotations

import multiprocessing
import sys

CONTEXT = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
CONTEXT.set_forkserver_preload(["dask.array", "napari_denoise.io.write"])
