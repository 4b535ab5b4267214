"""Frames of a stack that are read before they are asked for."""

from __future__ import annotations

import mmap
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_denoise.image.axes import Layout
from napari_denoise.image.frames import is_large
from napari_denoise.io.errors import listening

KEPT_BYTES = 2**27
"""Of frames that are kept, whatever their number; two are kept whatever their size."""


class ReadAhead:
    """Looks like a lazy array; a thread reads the frames that come next while one is at work.

    Each frame is read once where those that are asked for again fit. Frames too large to be held
    are passed through, window by window.

    Parameters
    ----------
    array
        Asked for whole frames, from one thread at a time.
    axes
        A letter for each dimension.
    """

    def __init__(self, array: Any, axes: str) -> None:
        self._array, self._layout = array, Layout(axes, tuple(array.shape))
        self.shape, self.dtype, self.ndim = tuple(array.shape), np.dtype(array.dtype), array.ndim
        self._numbers = {_place(index): n for n, index in enumerate(self._layout.frames)}
        self.heard: list[str] = []
        """What was said of frames while they were read."""
        self._frames: OrderedDict[int, Future[NDArray[Any]]] = OrderedDict()
        size = sum(1 for _ in self._layout.frames) or 1
        self._frame_bytes = int(np.prod(self.shape)) * self.dtype.itemsize // size
        self._most = max(3, KEPT_BYTES // max(self._frame_bytes, 1))
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reader")
        self._lock = Lock()
        self.ahead = int(self._frame_bytes * size <= KEPT_BYTES)
        """Frames to read beyond the one that was asked for. While frames are asked for at random,
        as when they are measured, none are, unless all that is read is kept."""
        self._held = not is_large(array, axes)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        """Return a frame, a part of one, or whatever else the array gives."""
        number, window = self._frame_of(index)
        if number is None:
            part = np.array(self._array[index])
            _release(self._array)
            return part
        future = self._asked(number)
        for further in range(1, self.ahead + 1):
            if number + further < len(self._layout.frames):
                self._asked(number + further, wanted=False)
        return future.result()[window]

    def close(self) -> None:
        """Stop reading, and let go of what was read."""
        self.ahead = 0
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._frames.clear()

    def _asked(self, number: int, *, wanted: bool = True) -> Future[NDArray[Any]]:
        with self._lock:
            future = self._frames.get(number)
            if future is None or (future.done() and future.exception() is not None):
                future = self._thread.submit(self._read, number)
                self._frames[number] = future
            if wanted:
                self._frames.move_to_end(number)
            while len(self._frames) > self._most:
                self._frames.popitem(last=False)
        return future

    def _read(self, number: int) -> NDArray[Any]:
        with listening() as heard:
            frame = np.array(self._array[self._layout.frames[number]])
        _release(self._array)
        self.heard += heard
        frame.flags.writeable = False
        return frame

    def _frame_of(self, index: Any) -> tuple[int | None, tuple[slice, ...]]:
        """Find the frame that an index asks for, and the part of it."""
        if not self._held or not isinstance(index, tuple) or len(index) != self.ndim:
            return None, ()
        inside = [letter in "YXS" for letter in self._layout.axes]
        window = tuple(entry for entry, within in zip(index, inside, strict=True) if within)
        if not all(isinstance(entry, slice) for entry in window):
            return None, ()
        return self._numbers.get(_place(index)), window


def _place(index: Sequence[Any]) -> tuple[Any, ...]:
    """Positions along the axes that number frames."""
    return tuple(int(entry) for entry in index if isinstance(entry, (int, np.integer)))


def _release(array: Any) -> None:
    """Let the system take pages of a memory map back; what was read has been copied."""
    while isinstance(array, np.ndarray):
        array = array.base
    if isinstance(array, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        array.madvise(mmap.MADV_DONTNEED)
