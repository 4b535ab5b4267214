"""What must hold whatever is pressed: no exception, and every image shows pixels that are known."""

from __future__ import annotations

import sys
import threading
import traceback
from hashlib import blake2b
from typing import Any

_NOT_OURS = {"hold_to_lock_aspect_ratio"}
"""Functions of napari that raise by themselves: Shift where shapes are shown in 3-D."""
_MADE = "(denoised)", "(before denoising)"


class Broken(Exception):
    """Something that must hold does not."""


class Errors:
    """Collects exceptions that nobody caught, and those that napari shows as such."""

    def __init__(self) -> None:
        from napari.utils.notifications import notification_manager

        self.texts: list[str] = []
        sys.excepthook = lambda kind, error, trace: self._add(error)
        threading.excepthook = lambda args: self._add(args.exc_value)
        sys.unraisablehook = lambda args: self._add(args.exc_value)
        notification_manager.notification_ready.connect(self._shown)

    def _shown(self, notification: Any) -> None:
        error = getattr(notification, "exception", None)
        if error is not None and not isinstance(error, Warning):
            self._add(error)

    def check(self) -> None:
        """Raise what was collected."""
        if self.texts:
            raise Broken("\n".join(self.texts))

    def _add(self, error: BaseException | None) -> None:
        if error is None:
            return
        frames = traceback.extract_tb(error.__traceback__)
        if not frames or frames[-1].name not in _NOT_OURS:
            self.texts.append("".join(traceback.format_exception(error)))


class Ledger:
    """Knows which pixels every image may show.

    A layer belongs to a line: an original, and all results that were made of it.
    """

    def __init__(self, viewer: Any) -> None:
        from napari_denoise.plugin.denoise.session import session_of

        self.viewer, self.session = viewer, session_of(viewer)
        self._lines: dict[int, tuple[Any, int]] = {}
        self._known: dict[bytes, set[int]] = {}
        self._entries: dict[int, tuple[Any, bytes, bytes]] = {}
        self.results = self.turned = 0
        self._undone: dict[int, bool] = {}
        self.session.runner.applied.connect(self._applied)
        viewer.layers.events.inserted.connect(self._inserted)

    def _inserted(self, event: Any) -> None:
        """Take what was opened as an original; what is made of runs must be known."""
        from napari.layers import Image

        from napari_denoise.plugin.layers.source import bare, is_helper

        layer = bare(event.value)
        made = any(words in layer.name for words in _MADE)
        if isinstance(layer, Image) and not is_helper(layer) and not made:
            self.own(layer)

    def own(self, layer: Any) -> None:
        """Begin a line with what a layer shows now, or go on with its line after an edit."""
        line = self._lines.setdefault(id(layer), (layer, len(self._lines)))[1]
        self._known.setdefault(_digest(layer.data), set()).add(line)

    def _applied(self, source: Any, made: Any) -> None:
        line = self._lines[id(source.layer)][1]
        self._lines[id(made)] = made, line
        self._known.setdefault(_digest(made.data), set()).add(line)
        self.results += 1

    def check(self) -> None:
        """Compare all images, and all that Undo and Redo hold, with what is known."""
        from napari.layers import Image

        from napari_denoise.plugin.layers.source import bare, holds, is_helper

        for layer in map(bare, self.viewer.layers):
            if not isinstance(layer, Image) or is_helper(layer):
                continue
            lines = self._known.get(_digest(layer.data))
            if lines is None:
                raise Broken(f"“{layer.name}” shows what is neither its original nor a result")
            if self._lines.setdefault(id(layer), (layer, min(lines)))[1] not in lines:
                raise Broken(f"“{layer.name}” shows data of another layer")
        history = self.session.history
        for entry in history._replacements():
            if id(entry) not in self._entries:
                digests = (_digest(arrays[0]) for arrays in (entry.before, entry.after))
                self._entries[id(entry)] = entry, *digests
            self.turned += self._undone.get(id(entry), False) != entry.undone
            self._undone[id(entry)] = entry.undone
            _, before, after = self._entries[id(entry)]
            now, wanted = (entry.before, before) if entry.undone else (entry.after, after)
            if holds(entry.layer, now) and _digest(entry.layer.data) != wanted:
                raise Broken(f"Undo or Redo brought other bytes to “{entry.layer.name}”")


def _digest(array: Any) -> bytes:
    import numpy as np

    pixels = np.ascontiguousarray(np.asarray(array))
    return blake2b(f"{pixels.dtype}{pixels.shape}".encode() + pixels.tobytes()).digest()
