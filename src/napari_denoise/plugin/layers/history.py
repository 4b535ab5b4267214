"""What Undo brings back and Redo repeats: results by run, under a memory budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psutil
from napari.layers import Image

from napari_denoise.plugin import preferences
from napari_denoise.plugin.layers.source import Source, holds, is_mapped


def default_budget() -> int:
    """Bytes of earlier data that may stay in memory, as the user prefers."""
    return int(preferences.current().undo_share / 100 * psutil.virtual_memory().total)


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
    note, note_after
        Provenance that the layer carried before and after, or None.
    run
        What the entries of one run share; Undo takes them back together.
    undone
        Whether it was taken back; then it is `after` that nobody else holds.
    spilling
        On its way to disk, or there already.
    stored
        Copies on disk that stand in for arrays that were in memory.
    """

    layer: Image
    before: tuple[Any, ...]
    after: tuple[Any, ...]
    axes: str
    note: dict[str, Any] | None = None
    note_after: dict[str, Any] | None = None
    run: object = None
    undone: bool = False
    spilling: bool = False
    stored: list[Any] = field(default_factory=list)

    @property
    def kept(self) -> tuple[Any, ...]:
        """The arrays that wait here to be shown again."""
        return self.after if self.undone else self.before

    @property
    def nbytes(self) -> int:
        """Memory that only this entry holds; files and lazy arrays take none."""
        return sum(a.nbytes for a in self.kept if isinstance(a, np.ndarray) and not is_mapped(a))

    def turned(self) -> None:
        """Change sides: what was shown waits here now."""
        self.undone = not self.undone
        self.spilling, self.stored = False, []


@dataclass(eq=False)
class AddedEntry:
    """One result that became a layer of its own.

    Parameters
    ----------
    source
        What it was made from.
    layer
        The result.
    frame
        The only frame that it holds; None where it holds all.
    hid
        Whether the layer that it came from was hidden for it.
    run, undone
        As for `UndoEntry`.
    """

    source: Source
    layer: Image
    frame: int | None = None
    hid: bool = False
    run: object = None
    undone: bool = False

    def turned(self) -> None:
        """Change sides."""
        self.undone = not self.undone


Entry = UndoEntry | AddedEntry


class History:
    """Entries, oldest first; those that were undone wait until a new result arrives.

    Parameters
    ----------
    budget
        Bytes that may stay in memory; entries beyond it are to be moved to disk, the
        oldest first.
    """

    def __init__(self, budget: int | None = None) -> None:
        self.budget = default_budget() if budget is None else budget
        self._done: list[Entry] = []
        self._undone: list[Entry] = []

    def __len__(self) -> int:
        return len(self._done)

    def push(self, entry: Entry) -> None:
        """Remember a result; what was undone before it cannot be repeated any more."""
        self._done.append(entry)
        self._undone.clear()

    def last_run(self) -> list[Entry]:
        """Return what Undo would take back next, the newest first."""
        return _of_one_run(self._done)

    def next_run(self) -> list[Entry]:
        """Return what Redo would repeat next, the oldest first."""
        return _of_one_run(self._undone)

    def last(self) -> UndoEntry | None:
        """Return the replacement that Undo would take back first."""
        return next((e for e in self.last_run() if isinstance(e, UndoEntry)), None)

    def undo(self, entry: Entry) -> None:
        """Note that an entry was taken back."""
        self._done.remove(entry)
        self._undone.append(entry)
        entry.turned()

    def redo(self, entry: Entry) -> None:
        """Note that an entry was repeated."""
        self._undone.remove(entry)
        self._done.append(entry)
        entry.turned()

    def drop(self, entry: Entry) -> None:
        """Forget an entry that can be neither taken back nor repeated."""
        self._done = [e for e in self._done if e is not entry]
        self._undone = [e for e in self._undone if e is not entry]

    def forget(self, layer: Image) -> None:
        """Drop every entry of a layer that is gone."""
        for entry in [*self._done, *self._undone]:
            if layer is entry.layer or (isinstance(entry, AddedEntry) and layer is _origin(entry)):
                self.drop(entry)

    def clear(self) -> None:
        """Drop everything; temporary stores go with their arrays."""
        self._done.clear()
        self._undone.clear()

    def original(self, layer: Image) -> tuple[Any, ...] | None:
        """Return the oldest data known of a layer, from before its first run."""
        return next((entry.before for entry in self._replaced(layer)), None)

    def noisy_behind(self, layer: Image) -> tuple[Any, ...] | None:
        """Return the data from before a layer's first run, where it shows what runs made of them.

        None where somebody else changed it in between.
        """
        shown: tuple[Any, ...] | None = None
        for entry in reversed([*self._replaced(layer)]):
            unbroken = holds(layer, entry.after) if shown is None else _same(entry.after, shown)
            if not unbroken:
                return None
            shown = entry.before
            if entry.note is None:
                return shown
        return None

    def added(self) -> Iterator[AddedEntry]:
        """Results in layers of their own, the newest first."""
        return (entry for entry in reversed(self._done) if isinstance(entry, AddedEntry))

    def replace(self, old: Any, new: Any) -> None:
        """Let a stored copy stand for an array wherever the history holds it."""

        def swap(arrays: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(new if a is old else a for a in arrays)

        for entry in self._replacements():
            entry.before, entry.after = swap(entry.before), swap(entry.after)

    def next_to_spill(self, held: Callable[[Any], bool]) -> UndoEntry | None:
        """Return the oldest entry to move to disk, or None while the budget holds.

        Parameters
        ----------
        held
            Whether somebody else holds an array, so that moving it frees nothing.
        """
        kept = [e for e in self._replacements() if not e.spilling]
        if sum(e.nbytes for e in kept) <= self.budget:
            return None
        for entry in kept:
            if entry.nbytes and not any(held(a) for a in entry.kept):
                return entry
        return None

    def _replacements(self) -> list[UndoEntry]:
        return [e for e in [*self._done, *self._undone] if isinstance(e, UndoEntry)]

    def _replaced(self, layer: Image) -> Iterator[UndoEntry]:
        return (e for e in self._done if isinstance(e, UndoEntry) and e.layer is layer)


def _of_one_run(entries: list[Entry]) -> list[Entry]:
    """Return the entries at the end that belong to one run, the last first."""
    found: list[Entry] = []
    for entry in reversed(entries):
        if found and (entry.run is None or entry.run is not found[0].run):
            break
        found.append(entry)
    return found


def _origin(entry: AddedEntry) -> Image:
    return entry.source.layer


def _same(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))
