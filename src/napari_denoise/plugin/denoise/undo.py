"""Undo and Redo: whole runs back and forth, and the history within its budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from napari.layers import Image
from psygnal import Signal

from napari_denoise.plugin.denoise.jobs import Moved, restore, spill
from napari_denoise.plugin.kit.text import names_text
from napari_denoise.plugin.kit.workers import WorkerTask
from napari_denoise.plugin.layers.apply import assign, insert_above, show_instead, twin
from napari_denoise.plugin.layers.history import AddedEntry, Entry, History, UndoEntry
from napari_denoise.plugin.layers.source import holds, levels_of, set_provenance


class Undo:
    """Takes runs back, the last one first, and repeats what was taken back.

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
        self._moving: Image | None = None

    @property
    def busy(self) -> bool:
        """Whether data are being read back from disk."""
        return self._restoring is not None and self._restoring.running

    def step(self) -> None:
        """Take the last run back."""
        self._go(self.history.last_run())

    def step_forward(self) -> None:
        """Repeat the run that was taken back last."""
        self._go(self.history.next_run())

    def _go(self, entries: Sequence[Entry]) -> None:
        """Turn the entries of a run, once all of their data are in memory again."""
        if not entries or self.busy:
            return
        stored = [e for e in entries if isinstance(e, UndoEntry) and e.stored]
        if not stored:
            self._turn(entries)
            return
        names = names_text([e.layer.name for e in stored])
        self.said.emit("info", f"Reading “{names}” back from disk …")
        self._restoring = WorkerTask(
            restore,
            stored,
            on_event=self._moved,
            on_error=self.failed.emit,
            on_end=lambda: self._restored(entries),
        )
        self.changed.emit()

    def _restored(self, entries: Sequence[Entry]) -> None:
        task, self._restoring = self._restoring, None
        there = {id(e) for e in [*self.history.last_run(), *self.history.next_run()]}
        if task is not None and not task.cancelled and all(id(e) in there for e in entries):
            self._turn(entries)
        self.changed.emit()

    def _turn(self, entries: Sequence[Entry]) -> None:
        notes = [note for entry in entries if (note := self._turn_one(entry))]
        if notes:
            self.said.emit("warning", "\n".join(notes))
        else:
            names = names_text(list(dict.fromkeys(e.layer.name for e in entries)))
            self.said.emit("good", f"{'Undone' if entries[0].undone else 'Done again'}: {names}.")
        self.changed.emit()
        self.keep_budget()

    def _turn_one(self, entry: Entry) -> str:
        """Take back or repeat one result; return what there is to warn of."""
        if isinstance(entry, AddedEntry):
            self._turn_added(entry)
            return ""
        back, layer = not entry.undone, entry.layer
        shown, wanted = (entry.after, entry.before) if back else (entry.before, entry.after)
        if holds(layer, shown):
            (self.history.undo if back else self.history.redo)(entry)
            set_provenance(layer, entry.note if back else entry.note_after)
            assign(layer, wanted)
            return ""
        self.history.drop(entry)
        if not back:
            return f"“{layer.name}” was changed since: the run is not repeated."
        made = twin(layer, wanted, f"{layer.name} (before denoising)")
        set_provenance(made, entry.note)
        insert_above(self._viewer, layer, made)
        return f"“{layer.name}” was changed since: its earlier data are a new layer."

    def _turn_added(self, entry: AddedEntry) -> None:
        layers, origin = self._viewer.layers, entry.source.layer
        if entry.undone:
            self.history.redo(entry)
            insert_above(self._viewer, origin, entry.layer)
            show_instead(self._viewer, origin, entry.layer, hide=entry.hid)
            return
        self.history.undo(entry)
        show_instead(self._viewer, entry.layer, origin, hide=False)
        self._moving = entry.layer
        try:
            if entry.layer in layers:
                layers.remove(entry.layer)
        finally:
            self._moving = None

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
            if entry is not None and any(event.new is array for array in entry.kept):
                entry.stored.append(event.new)

    def _held(self, array: Any) -> bool:
        """Whether a layer in the viewer shows an array, so that memory keeps it anyway."""
        images = [x for x in self._viewer.layers if isinstance(x, Image)]
        return any(array is level for layer in images for level in levels_of(layer))

    def forget(self, layer: Image) -> None:
        """Follow the removal of a layer from the viewer, unless it was taken back here."""
        if layer is not self._moving:
            for entry in self.history.added():
                if entry.layer is layer and entry.hid:
                    entry.source.layer.visible = True
            self.history.forget(layer)
            self.changed.emit()

    def close(self) -> None:
        """Stop moving data and forget everything."""
        for task in (self._restoring, self._spilling):
            if task is not None:
                task.detach()
        self.history.clear()
