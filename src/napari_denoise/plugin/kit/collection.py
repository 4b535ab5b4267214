"""Garbage is collected on the GUI thread while a worker of ours is alive.

Python collects on whichever thread allocates. In a worker's thread that destroys objects of Qt:
their destructors take Qt's locks and then wait for the interpreter, which the GUI thread holds
while it waits for the same locks. Neither ever goes on.
"""

from __future__ import annotations

import gc
from collections import deque

from qtpy.QtCore import QCoreApplication, QTimer

INTERVAL_MS = 25
"""Between two looks at whether a collection is due."""
_GENERATIONS = (2, 1, 0)
_OLDEST = 2


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

    The oldest is most of the heap, and going through it takes tenths of a second. As the
    interpreter does, it waits until what came to it since is a quarter of what was there.
    """

    def __init__(self) -> None:
        self._newcomers = 0
        self._oldest: int | None = None

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
        if generation < _OLDEST:
            return True
        if self._oldest is None:
            self._oldest = len(gc.get_objects(generation=_OLDEST))
        return self._newcomers > self._oldest / 4

    def _run(self, generation: int) -> None:
        young = len(gc.get_objects(generation=0)) + len(gc.get_objects(generation=1))
        freed = gc.collect(generation)
        if generation == _OLDEST:
            self._newcomers, self._oldest = 0, None
        elif generation == 1:
            self._newcomers += max(young - freed, 0)


collection = GuiCollection()
"""The one of this process."""
