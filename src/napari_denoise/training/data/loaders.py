"""Batches drawn ahead by processes of their own, so that a fast device need not wait for them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from napari_denoise.training.data.pairs import Batch, Pairs

_AHEAD = 2
"""Batches that every process draws ahead."""
_ENDLESS = 2**40


def choose_loaders(device: str, wanted: int | None = None) -> int:
    """Resolve None: all processors but one beside a graphics card, none beside a CPU."""
    if wanted is not None:
        return wanted
    return 0 if device == "cpu" else max(1, (os.cpu_count() or 2) - 1)


class LoadedPairs:
    """Batches of another source, drawn by several processes and in order.

    Each process draws as a rank of its own does, with its own photographs. So batches depend
    on (seed, step) and on the number of processes.

    Parameters
    ----------
    pairs
        What to draw from; each process has a copy.
    loaders
        Processes.
    device
        Where batches go: their memory is pinned for CUDA.
    """

    def __init__(self, pairs: Pairs, loaders: int, device: str) -> None:
        self.pairs, self.loaders, self.noisy_target = pairs, loaders, pairs.noisy_target
        self._pinned = device.startswith("cuda")
        self._next: tuple[int, int] | None = None
        self._drawn: Iterator[tuple[Batch, dict[str, Tensor]]] = iter(())

    def batch(self, step: int, rank: int = 0) -> Batch:
        """Return the batch of a step; the one after it is being drawn already."""
        if self._next != (step, rank):
            self._drawn = iter(self._loader(step, rank))
        self._next = step + 1, rank
        rest, tensors = next(self._drawn)
        arrays: dict[str, Any] = {name: tensor.numpy() for name, tensor in tensors.items()}
        return replace(rest, **arrays)

    def close(self) -> None:
        """End the processes."""
        self._next, self._drawn = None, iter(())

    def _loader(self, first: int, rank: int) -> DataLoader[Any]:
        # A copy of a process costs nothing where the data are; elsewhere they are sent to each.
        start = "fork" if sys.platform == "linux" else None
        return DataLoader(
            _Steps(self.pairs, rank),
            batch_size=None,
            sampler=range(first, first + _ENDLESS),
            num_workers=self.loaders,
            collate_fn=_as_it_is,
            pin_memory=self._pinned,
            prefetch_factor=_AHEAD,
            multiprocessing_context=start,
        )


class _Steps(Dataset[Any]):
    """Steps by their number, as a process of `LoadedPairs` draws them."""

    def __init__(self, pairs: Pairs, rank: int) -> None:
        self.pairs, self.rank = pairs, rank

    def __getitem__(self, step: int) -> tuple[Batch, dict[str, Tensor]]:
        """Draw a batch; its arrays as tensors, which processes share without a copy."""
        info = get_worker_info()
        lane, lanes = (info.id, info.num_workers) if info else (0, 1)
        batch = self.pairs.batch(step // lanes, self.rank * lanes + lane)
        arrays = {f.name: getattr(batch, f.name) for f in fields(batch) if f.name in _ARRAYS}
        tensors = {name: torch.from_numpy(a) for name, a in arrays.items() if a is not None}
        empty = dict.fromkeys(tensors)
        return replace(batch, **empty), tensors  # type: ignore[arg-type]


_ARRAYS = ("noisy", "target", "sigma", "features", "shots")


def _as_it_is(drawn: Any) -> Any:
    return drawn
