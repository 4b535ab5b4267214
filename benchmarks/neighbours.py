"""One stack denoised frame by frame and with neighbours, as columns of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.tables import environment, verdict
from napari_denoise import Denoiser, read

Array = NDArray[Any]
Neighbors = int | str
"""Frames on each side, or "auto"; 0 is frame by frame."""


@dataclass(frozen=True)
class Bench:
    """What is measured, with which weights.

    Parameters
    ----------
    data
        Folder of the data sets.
    photo, microscopy, render
        Weights, ready.
    neighbors
        What is compared with frame by frame.
    size, rounds
        Of the frames whose time is taken.
    """

    data: Path
    photo: Denoiser
    microscopy: Denoiser
    render: Denoiser
    neighbors: tuple[Neighbors, ...]
    size: int = 1024
    rounds: int = 5

    @property
    def header(self) -> tuple[str, ...]:
        """Name the columns of measured figures."""
        return ("frame by frame", *(f"**neighbors={n}**" for n in self.neighbors))

    @property
    def gained(self) -> tuple[str, ...]:
        """Name the columns of gains."""
        return tuple(f"{column}, gained" for column in self.header[1:])

    def images(self, *paths: str) -> Array:
        """Read single planes as one stack."""
        return np.stack([np.asarray(read(self.data / p, sequence=False)[0]) for p in paths])

    def field(self, name: str) -> Array:
        """Read a clean image of W2S."""
        return self.images(f"microscopy/w2s/clean_avg400/{name}.png")[0]

    def each(self, denoiser: Denoiser, stack: Array, axes: str, **more: Any) -> list[Array]:
        """Denoise frame by frame, then with every number of neighbours."""
        return [denoised(denoiser, stack, axes, n, **more) for n in (0, *self.neighbors)]

    def judged(
        self, what: str, values: Sequence[float], bar: float, slack: float = 0.0
    ) -> list[str]:
        """Compare figures of neighbours with what is needed, less `slack` where it is "auto"."""
        return [
            verdict(f"{what}, neighbors={n}", value, bar - slack * (n == "auto"))
            for n, value in zip(self.neighbors, values, strict=True)
        ]

    def note(self, denoiser: Denoiser) -> str:
        """Say what the figures depend on."""
        named = [f"weights {denoiser.info.name} {denoiser.info.sha256[:12]}"]
        return environment([*named, denoiser.precision])


def denoised(
    denoiser: Denoiser, stack: Array, axes: str, neighbors: Neighbors, **more: Any
) -> Array:
    """Denoise a stack by the public call."""
    return denoiser(stack, axes, **with_neighbors(neighbors), **more)


def with_neighbors(neighbors: Neighbors) -> dict[str, Neighbors]:
    """Return the field of the public call."""
    return {"neighbors": neighbors}


def parsed(text: str) -> tuple[Neighbors, ...]:
    """Parse "3,auto"; nothing leaves frame by frame alone."""
    return tuple(part if part == "auto" else int(part) for part in text.split(",") if part)


def together(notes: Sequence[str]) -> tuple[str, ...]:
    """Join verdicts to one line, if there are any."""
    return (" ".join(notes),) if notes else ()
