"""A stack that counts how often each of its frames is read."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from napari_denoise.image.axes import Layout


class CountingStack:
    """Reads as arrays do, but never as a whole.

    Parameters
    ----------
    array, axes
        What it holds.
    """

    def __init__(self, array: np.ndarray, axes: str) -> None:
        self._array = array
        self._numbers = [n for n, letter in enumerate(axes) if letter not in "YXS"]
        self._places = [
            tuple(index[n] for n in self._numbers) for index in Layout(axes, array.shape).frames
        ]
        self.shape, self.dtype = array.shape, array.dtype
        self.reads: Counter[tuple[Any, ...]] = Counter()
        """How often each frame was read, by its place along the axes that number frames."""

    def __getitem__(self, index: Any) -> np.ndarray:
        given = index if isinstance(index, tuple) else (index,)
        whole = (*given, *(slice(None),) * (len(self.shape) - len(given)))
        chosen = [np.atleast_1d(np.arange(self.shape[n])[whole[n]]) for n in self._numbers]
        self.reads.update(
            place
            for place in self._places
            if all(part in some for part, some in zip(place, chosen, strict=True))
        )
        return self._array[index]

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise AssertionError("the stack is read as a whole")
