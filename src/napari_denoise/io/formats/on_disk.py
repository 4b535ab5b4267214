"""An array in a file, of which parts are read when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import FileIO
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import DTypeLike, NDArray

from napari_denoise.io.errors import FileError

_DENSE, _SMALL = 4, 2**16
"""What is wanted is read in one piece where that has at most so many times its bytes, or so few."""


@dataclass(frozen=True, eq=False)
class OnDisk:
    """Pixels that lie in one piece of a file; it slices as a numpy array does.

    A memory map would end the whole process when its file is cut off meanwhile. Here each part
    is read when it is asked for, and a file that has lost it is an error.

    Parameters
    ----------
    path
        The file; it is opened for each reading, so that the array can go to other processes.
    stored
        Data type in the file, of either byte order.
    shape, strides
        As for numpy, the strides in bytes.
    start
        Position in the file of the first pixel.
    """

    path: Path
    stored: np.dtype[Any]
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    start: int

    @classmethod
    def of(
        cls, path: Path, stored: DTypeLike, shape: Sequence[int], start: int, order: str = "C"
    ) -> OnDisk:
        """Describe an array without gaps; `order` "F" has its first axis innermost."""
        dtype = np.dtype(stored)
        steps, size = [0] * len(shape), dtype.itemsize
        for axis in reversed(range(len(shape))) if order == "C" else range(len(shape)):
            steps[axis] = size
            size *= int(shape[axis])
        return cls(path, dtype, tuple(map(int, shape)), tuple(steps), int(start))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of what is read, in the byte order of the machine."""
        return self.stored.newbyteorder("=")

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of pixels."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all pixels."""
        return self.size * self.stored.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Read a part: whole numbers and slices as for numpy, or a list of them for one axis."""
        entries = key if isinstance(key, tuple) else (key,)
        if all(map(_is_plain, entries)):
            # 0-d parts stay views: nothing behind this array may be touched.
            more = () if any(entry is Ellipsis for entry in entries) else (Ellipsis,)
            return self._changed(lambda whole: whole[(*entries, *more)])._read()[()]
        first, *rest = entries
        if isinstance(first, list | np.ndarray) and np.ndim(first) == 1:
            listed = np.arange(self.shape[0])[first]
            return np.stack([self[(int(number), *rest)] for number in listed])
        raise IndexError(f"{self.path.name}: index {key!r}: use numbers and slices, or one list")

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError(f"{self.path.name}: its pixels are on the disk: they have to be read")
        pixels = self._read()
        return pixels if dtype is None else pixels.astype(dtype, copy=False)

    def unread(self, key: Any) -> OnDisk:
        """Describe a part, by numbers and slices, without reading it."""
        return self._changed(lambda whole: whole[key])

    def transpose(self, *order: Any) -> OnDisk:
        """Permute the axes; reads nothing."""
        return self._changed(lambda whole: whole.transpose(*order))

    def squeeze(self, axis: Any = None) -> OnDisk:
        """Leave out axes of length 1; reads nothing."""
        return self._changed(lambda whole: whole.squeeze(axis))

    def reshape(self, *shape: Any) -> OnDisk:
        """Add and leave out axes of length 1; reads nothing.

        Raises
        ------
        ValueError
            Another axis would change.
        """
        wanted = tuple(shape[0]) if len(shape) == 1 and not np.isscalar(shape[0]) else shape
        longer = [pair for pair in zip(self.shape, self.strides, strict=True) if pair[0] != 1]
        if [n for n in wanted if n != 1] != [n for n, _ in longer]:
            raise ValueError(f"{self.path.name}: {self.shape} cannot become {wanted} unread")
        left = iter(longer)
        steps = tuple(self.stored.itemsize if n == 1 else next(left)[1] for n in wanted)
        return OnDisk(self.path, self.stored, wanted, steps, self.start)

    def _changed(self, change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]) -> OnDisk:
        """Let numpy say where a part lies; it is asked of one byte in the array's place."""
        whole = as_strided(np.zeros(1, np.uint8), self.shape, self.strides, writeable=False)
        part = change(whole)
        start = self.start + _address(part) - _address(whole)
        return OnDisk(self.path, self.stored, part.shape, part.strides, start)

    def _read(self) -> NDArray[Any]:
        out = np.empty(self.shape, self.dtype)
        if out.size:
            # Backward axes forward, and the longest steps outermost, as they lie in the file.
            back: Any = tuple(slice(None, None, -1 if s < 0 else 1) for s in self.strides)
            steps = [(n - 1) * s for n, s in zip(self.shape, self.strides, strict=True) if s < 0]
            order = sorted(range(self.ndim), key=lambda axis: -abs(self.strides[axis]))
            target = out[(*back, Ellipsis)].transpose(order)
            strides = tuple(abs(self.strides[axis]) for axis in order)
            with self._opened() as file:
                self._fill(file, target, strides, self.start + sum(steps))
        return out

    def _opened(self) -> FileIO:
        try:
            return self.path.open("rb", buffering=0)
        except OSError as error:
            raise self._gone(f"it can no longer be opened ({error.strerror})") from error

    def _fill(
        self, file: FileIO, target: NDArray[Any], strides: tuple[int, ...], start: int
    ) -> None:
        """Read a part in one piece where little lies between its pixels, else piece by piece."""
        for where, part, steps, begin in _pieces(target, strides, start, self.stored.itemsize):
            count = sum((n - 1) * s for n, s in zip(part, steps, strict=True))
            data = self._bytes(file, begin, count + self.stored.itemsize)
            target[where] = np.ndarray(part, self.stored, data, 0, steps)

    def _bytes(self, file: FileIO, start: int, count: int) -> bytearray:
        data, done = bytearray(count), 0
        file.seek(start)
        while done < count:
            try:
                got = file.readinto(memoryview(data)[done:])
            except OSError as error:
                raise self._gone(f"it can no longer be read ({error.strerror})") from error
            if not got:
                size = file.seek(0, 2)
                raise self._gone(
                    f"it has {size:,} bytes, but its pixels go on to byte {start + count:,} or "
                    "further: it was cut off after it was opened"
                )
            done += got
        return data

    def _gone(self, rule: str) -> FileError:
        return FileError(self.path, rule, "leave files alone while they are in use; copy it again")


def _pieces(
    target: NDArray[Any], strides: tuple[int, ...], start: int, item: int
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], int]]:
    """Yield what to read at once: where it goes, its shape and strides, its first byte."""
    outer = 0
    while outer < target.ndim:
        inner = zip(target.shape[outer:], strides[outer:], strict=True)
        span = item + sum((n - 1) * s for n, s in inner)
        if span <= max(_SMALL, _DENSE * item * prod(target.shape[outer:])):
            break
        outer += 1
    for where in np.ndindex(*target.shape[:outer]):
        begin = start + sum(i * s for i, s in zip(where, strides, strict=False))
        yield where, target.shape[outer:], strides[outer:], begin


def _is_plain(entry: Any) -> bool:
    """Whether numpy makes a view of it, which touches no pixel."""
    number = isinstance(entry, int | np.integer) and not isinstance(entry, bool)
    return number or entry is None or entry is Ellipsis or isinstance(entry, slice)


def _address(array: Any) -> int:
    return int(array.__array_interface__["data"][0])
