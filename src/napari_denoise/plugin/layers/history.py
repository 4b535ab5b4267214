"""What Undo brings back: the data that layers held, under a memory budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psutil
from napari.layers import Image

from napari_denoise.plugin.layers.source import is_mapped

_SHARE_OF_MEMORY = 0.25


def default_budget() -> int:
    """Bytes of earlier data that may stay in memory."""
    return int(_SHARE_OF_MEMORY * psutil.virtual_memory().total)


@dataclass(eq=False)
class UndoEntry:
    """One replacement of a layer's data.

    Parameters
    ----------
    layer
        Whose data were replaced.
    before, after
        Its arrays, finest level first.
    axes
        Letters of the finest level.
    note
        Provenance that the layer carried before, or None.
    spilling
        On its way to disk, or there already.
    stored
        Copies on disk that stand in `before` for arrays that were in memory.
    """

    layer: Image
    before: tuple[Any, ...]
    after: tuple[Any, ...]
    axes: str
    note: dict[str, Any] | None = None
    spilling: bool = False
    stored: list[Any] = field(default_factory=list)

    @property
    def nbytes(self) -> int:
        """Memory that only this entry holds; files and lazy arrays take none."""
        return sum(a.nbytes for a in self.before if isinstance(a, np.ndarray) and not is_mapped(a))


class History:
    """Entries, oldest first.

    Parameters
    ----------
    budget
        Bytes that may stay in memory; entries beyond it are to be moved to disk, the
        oldest first.
    """

    def __init__(self, budget: int | None = None) -> None:
        self.budget = default_budget() if budget is None else budget
        self._entries: list[UndoEntry] = []

    def __len__(self) -> int:
        return len(self._entries)

    def push(self, entry: UndoEntry) -> None:
        """Remember a replacement."""
        self._entries.append(entry)

    def last(self) -> UndoEntry | None:
        """Return what Undo would take back next."""
        return self._entries[-1] if self._entries else None

    def pop(self) -> UndoEntry:
        """Take the last entry out."""
        return self._entries.pop()

    def forget(self, layer: Image) -> None:
        """Drop every entry of a layer that is gone."""
        self._entries = [e for e in self._entries if e.layer is not layer]

    def clear(self) -> None:
        """Drop everything; temporary stores go with their arrays."""
        self._entries.clear()

    def original(self, layer: Image) -> tuple[Any, ...] | None:
        """Return the oldest data known of a layer, from before its first run."""
        for entry in self._entries:
            if entry.layer is layer:
                return entry.before
        return None

    def replace(self, old: Any, new: Any) -> None:
        """Let a stored copy stand for an array wherever the history holds it."""

        def swap(arrays: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(new if a is old else a for a in arrays)

        for entry in self._entries:
            entry.before, entry.after = swap(entry.before), swap(entry.after)

    def next_to_spill(self, held: Callable[[Any], bool]) -> UndoEntry | None:
        """Return the oldest entry to move to disk, or None while the budget holds.

        Parameters
        ----------
        held
            Whether somebody else holds an array, so that moving it frees nothing.
        """
        kept = [e for e in self._entries if not e.spilling]
        if sum(e.nbytes for e in kept) <= self.budget:
            return None
        for entry in kept:
            if entry.nbytes and not any(held(a) for a in entry.before):
                return entry
        return None
