"""Undo: gives layers their earlier data back, and keeps the history within its budget."""

from __future__ import annotations

from typing import Any

from napari.layers import Image
from psygnal import Signal

from napari_denoise.plugin.denoise.jobs import Moved, restore, spill
from napari_denoise.plugin.kit.workers import WorkerTask
from napari_denoise.plugin.layers.apply import assign, insert_above, twin
from napari_denoise.plugin.layers.history import History, UndoEntry
from napari_denoise.plugin.layers.source import holds, levels_of, set_provenance


class Undo:
    """Takes replacements back, the last one first.

    Signals
    -------
    said : (kind, text)
        Something for the status line.
    failed : (Exception,)
        Moving data to or from the disk ended in an error.
    changed : ()
        There is more or less to undo, or it became busy or idle.
    """

    said = Signal(str, str)
    failed = Signal(object)
    changed = Signal()

    def __init__(self, viewer: Any, history: History) -> None:
        self._viewer, self.history = viewer, history
        self._restoring: WorkerTask | None = None
        self._spilling: WorkerTask | None = None

    @property
    def busy(self) -> bool:
        """Whether data are being read back from disk."""
        return self._restoring is not None and self._restoring.running

    def step(self) -> None:
        """Take the last replacement back."""
        entry = self.history.last()
        if entry is None or self.busy:
            return
        if not entry.stored:
            self._put_back(entry)
            return
        self.said.emit("info", f"Reading “{entry.layer.name}” back from disk …")
        self._restoring = WorkerTask(
            restore,
            entry,
            on_event=self._moved,
            on_error=self.failed.emit,
            on_end=lambda: self._restored(entry),
        )
        self.changed.emit()

    def _restored(self, entry: UndoEntry) -> None:
        task, self._restoring = self._restoring, None
        if task is not None and not task.cancelled and self.history.last() is entry:
            self._put_back(entry)
        self.changed.emit()

    def _put_back(self, entry: UndoEntry) -> None:
        self.history.pop()
        layer = entry.layer
        if holds(layer, entry.after):
            assign(layer, entry.before)
            set_provenance(layer, entry.note)
            self.said.emit("good", f"“{layer.name}” has its earlier data back.")
        else:
            made = twin(layer, entry.before, f"{layer.name} (before denoising)")
            set_provenance(made, entry.note)
            insert_above(self._viewer, layer, made)
            self.said.emit(
                "warning",
                f"“{layer.name}” was changed since: its earlier data are a new layer.",
            )
        self.changed.emit()

    def keep_budget(self) -> None:
        """Move the oldest data to disk while the history takes too much memory."""
        if self._spilling is not None and self._spilling.running:
            return
        entry = self.history.next_to_spill(self._held)
        if entry is None:
            return
        entry.spilling = True
        self._spilling = WorkerTask(
            spill,
            entry,
            on_event=lambda event: self._moved(event, entry),
            on_error=self.failed.emit,
            on_end=self.keep_budget,
        )

    def _moved(self, event: Moved | None, entry: UndoEntry | None = None) -> None:
        if event is not None:
            self.history.replace(event.old, event.new)
            if entry is not None:
                entry.stored.append(event.new)

    def _held(self, array: Any) -> bool:
        """Whether a layer in the viewer shows an array, so that memory keeps it anyway."""
        images = [x for x in self._viewer.layers if isinstance(x, Image)]
        return any(array is level for layer in images for level in levels_of(layer))

    def forget(self, layer: Image) -> None:
        """Follow the removal of a layer from the viewer."""
        self.history.forget(layer)
        self.changed.emit()

    def close(self) -> None:
        """Stop moving data and forget everything."""
        for task in (self._restoring, self._spilling):
            if task is not None:
                task.detach()
        self.history.clear()
