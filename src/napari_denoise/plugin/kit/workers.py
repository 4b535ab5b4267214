"""Work off the GUI thread: the only place that starts napari's thread workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from napari.qt.threading import GeneratorWorker, create_worker

from napari_denoise.plugin.kit.collection import collection


@dataclass(frozen=True)
class _Failed:
    error: Exception


_NAP_S = 0.02


def _guarded(
    after: WorkerTask | None, function: Callable[..., Iterator[Any]], *args: Any
) -> Iterator[Any]:
    """Wait for another task, and hand an error over as a value.

    The worker takes a RuntimeError for its own deletion and drops it; PyTorch raises
    little else.
    """
    while after is not None and after.running:
        time.sleep(_NAP_S)
        yield None
    try:
        yield from function(*args)
    except Exception as error:  # noqa: BLE001 - goes to on_error, on the GUI thread
        yield _Failed(error)


class _QuietWorker(GeneratorWorker):  # type: ignore[misc]  # Qt has no types
    """Works in its thread and switches nothing there that belongs to the whole process."""

    def run(self) -> None:
        """Do as the inherited method, but leave the filters of warnings alone.

        It puts filters and `warnings.showwarning` of its own in their place, for all threads;
        of two workers that overlap the later one then leaves those of the earlier for good.
        """
        try:
            self.started.emit()
            self._running = True
            try:
                self.work()
            except Exception as error:  # noqa: BLE001 - of what was left unfinished; shown
                self.errored.emit(error)
            self._running = False
            self.finished.emit()
            self._finished.emit(self)
        except RuntimeError:  # Qt deleted the signals: the application ends
            self._running = False
        finally:
            collection.leave(self)

    def work(self) -> Any:
        """Run the generator to its end or until it is cancelled.

        What it left unfinished ends here, not when and where somebody forgets the worker.
        """
        try:
            return super().work()
        finally:
            self._gen.close()


class WorkerTask:
    """One generator at work in a thread, with callbacks on the GUI thread.

    Parameters
    ----------
    function
        A generator function; it may be left at any of its yields.
    *args
        Its arguments.
    on_event
        Called with each value it yields; None is a pause, of which nobody is told.
    on_error
        Called with the exception that ended it.
    on_end
        Called once, last, however it ended.
    after
        A task that has to end before this one begins; None for none.
    """

    # Qt does not keep the owner of a bound method alive: a task that nobody remembers
    # must live on until its last signal has arrived.
    _alive: ClassVar[set[WorkerTask]] = set()

    def __init__(
        self,
        function: Callable[..., Iterator[Any]],
        *args: Any,
        on_event: Callable[[Any], None] | None = None,
        on_error: Callable[[Exception], None] | None = None,
        on_end: Callable[[], None] | None = None,
        after: WorkerTask | None = None,
    ) -> None:
        self._on_event, self._on_error, self._on_end = on_event, on_error, on_end
        self.cancelled = False
        self.running = True
        self._alive.add(self)
        self._worker: GeneratorWorker = create_worker(
            _guarded,
            after,
            function,
            *args,
            _connect={"yielded": self._yielded, "finished": self._finished},
            _start_thread=False,
            _worker_class=_QuietWorker,
        )
        collection.hold(self._worker)
        self._worker.start()

    def cancel(self) -> None:
        """Leave the generator at its next yield; events are no longer delivered."""
        self.cancelled = True
        self._worker.quit()

    def detach(self) -> None:
        """Cancel, and call nobody any more: for when the widget goes away."""
        self._on_event = self._on_error = self._on_end = None
        self.cancel()

    def _yielded(self, event: Any) -> None:
        if isinstance(event, _Failed):
            # A failure after cancelling still is one: it must not pass silently.
            if self._on_error is not None:
                self._on_error(event.error)
        elif event is not None and self._on_event is not None and not self.cancelled:
            self._on_event(event)

    def _finished(self) -> None:
        self.running = False
        self._alive.discard(self)
        if self._on_end is not None:
            self._on_end()
        self._on_event = self._on_error = self._on_end = None
