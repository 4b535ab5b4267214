"""What the other process of the test of shrinking files does."""

from __future__ import annotations

from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from napari_denoise.io.formats import loaded
from napari_denoise.io.read import read


def frames(path: Path, test: Connection) -> None:
    """Read one frame after the other of a stack that counts as large, each when told to."""
    loaded.LAZY_BYTES = 0
    stack, _ = read(path)
    for number in range(len(stack)):
        test.recv()
        try:
            test.send(int(np.asarray(stack[number]).sum()))
        except ValueError as error:
            test.send(f"{type(error).__name__} {error}")
