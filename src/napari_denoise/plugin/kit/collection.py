"""Garbage is collected on the GUI thread while a worker of ours is alive.

Python collects on whichever thread allocates. In a worker's thread that destroys objects of Qt:
their destructors take Qt's locks and then wait for the interpreter, which the GUI thread holds
while it waits for the same locks. Neither ever goes on.
"""

from __future__ import annotations

import gc
from collections import deque
from math import inf
from time import monotonic

from qtpy.QtCore import QCoreApplication, QTimer

INTERVAL_MS = 25
"""Between two looks at whether a collection is due."""
_GENERATIONS = (2, 1, 0)
_OLDEST = 2
_RARELY = 20
"""Times that the last collection of the oldest generation took, before the next one."""


class GuiCollection:
    """Keeps automatic collection off while it holds workers, and collects in its place.

    A worker is held from before its thread starts until two looks after it has left: by then its
    thread is out of Python, and it is the GUI thread that drops it, with its signals.
    """

    def __init__(self) -> None:
        self._held: set[object] = set()
        self._left: deque[object] = deque()
        self._leaving: list[object] = []
        self._timer: QTimer | None = None
        self._due = _Due()
        self._was_on = False

    @property
    def active(self) -> bool:
        """Whether it collects in place of the interpreter."""
        return self._timer is not None and self._was_on

    def hold(self, worker: object) -> None:
        """Begin, on the GUI thread, before a worker starts."""
        self._held.add(worker)
        if self._timer is None:
            self._was_on = gc.isenabled()
            gc.disable()
            self._due = _Due()
            self._timer = QTimer(QCoreApplication.instance())
            self._timer.timeout.connect(self.look)
            self._timer.start(INTERVAL_MS)

    def leave(self, worker: object) -> None:
        """Say, as the last act in its own thread, that a worker is done."""
        self._left.append(worker)

    def look(self) -> None:
        """Collect what is due; let go of workers that have left; end with the last of them."""
        if self._was_on:
            gc.disable()  # somebody may have switched it on meanwhile
            self._due.collect()
        self._held.difference_update(self._leaving)
        self._leaving = [self._left.popleft() for _ in range(len(self._left))]
        if not self._held:
            self._end()

    def _end(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.stop()
            timer.deleteLater()
        if self._was_on:
            gc.enable()


class _Due:
    """When the interpreter itself would collect which generation.

    The oldest is most of the heap, and going through it takes tenths of a second: it waits until
    that is a small part of the time since. Objects are never listed here to be counted: a tuple
    that another thread is just making would be held, and Python fails where it grows.
    """

    def __init__(self) -> None:
        self._took, self._ended = 0.0, -inf

    def collect(self) -> None:
        """Collect the oldest generation that is due, and the younger ones with it."""
        thresholds = gc.get_threshold()
        if not thresholds[0]:
            return
        counts = gc.get_count()
        for generation in _GENERATIONS:
            if counts[generation] > thresholds[generation] and self._worth(generation):
                self._run(generation)
                return

    def _worth(self, generation: int) -> bool:
        return generation < _OLDEST or monotonic() - self._ended > _RARELY * self._took

    def _run(self, generation: int) -> None:
        began = monotonic()
        gc.collect(generation)
        if generation == _OLDEST:
            self._ended = monotonic()
            self._took = self._ended - began


collection = GuiCollection()
"""The one of this process."""
