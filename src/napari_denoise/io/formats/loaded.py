"""What a reader of one format hands over, and the frames of a sequence joined."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_denoise.io.errors import FileError, ReadWarning, heard_here, listening, say

LAZY_BYTES = 2**29
"""Data larger than this is read on demand, frame by frame where it is compressed."""
_LAZY_FROM: ContextVar[int | None] = ContextVar("lazy_from", default=None)


def lazy_bytes() -> int:
    """Return the size from which data is read on demand here."""
    wanted = _LAZY_FROM.get()
    return LAZY_BYTES if wanted is None else wanted


@contextmanager
def lazily(above: int) -> Iterator[None]:
    """Read on demand what is larger than so many bytes, in this block. Do not yield in it."""
    token = _LAZY_FROM.set(above)
    try:
        yield
    finally:
        _LAZY_FROM.reset(token)


Frame = Mapping[str, NDArray[Any]]
"""The "color" of one frame and, for renders, its "albedo" and "normal"."""


@dataclass(frozen=True)
class Loaded:
    """An array with what its file says about it, each empty where it says nothing."""

    array: Any
    axes: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of `ImageMeta`."""
    images: int = 1
    """How many images the file holds, of which this is one."""
    levels: tuple[Any, ...] = ()
    """The same image at lower resolutions, finest first, where the file has it."""
    described: Mapping[str, Any] = field(default_factory=dict)
    """What the file holds of what a sidecar would say."""


def check_dtype(path: Path, dtype: np.dtype[Any]) -> None:
    """Refuse data that has no grey values.

    Raises
    ------
    FileError
        Complex, boolean or otherwise not real numbers.
    """
    if dtype.kind == "c":
        raise FileError(
            path,
            f"the data is complex ({dtype})",
            "save magnitude and phase as real images",
            value=dtype,
        )
    if dtype.kind == "b":
        raise FileError(
            path,
            "the data is boolean (1 bit per pixel)",
            "only grey values can be denoised: open the image the mask was made from",
            value=dtype,
        )
    if dtype.kind not in "uif":
        rule = f"the data type is {dtype}"
        raise FileError(path, rule, "expected integers or floats", value=dtype)


def join(files: Sequence[Path], load: Callable[[Path], Frame]) -> dict[str, Any]:
    """Stack frames along a new first axis: in memory, or with dask where they are large.

    Parameters
    ----------
    files
        One frame each.
    load
        Reads one of them.

    Raises
    ------
    FileError
        The frames differ in size or data type; in lazy data, when the frame is read.
    """
    load = _saying_once(load)
    first = load(files[0])
    size = len(files) * sum(image.nbytes for image in first.values())
    if size > lazy_bytes():
        return {role: _lazy(files, load, role, first[role]) for role in first}
    joined = {
        role: np.empty((len(files), *image.shape), image.dtype) for role, image in first.items()
    }
    for number, file in enumerate(files):
        frame = load(file) if number else first
        for role, stack in joined.items():
            stack[number] = _checked(frame, role, first[role], file, files[0])
    return joined


def _saying_once(load: Callable[[Path], Frame]) -> Callable[[Path], Frame]:
    """Say of one frame what is true of many."""
    said: set[str] = set()

    def quietly(file: Path) -> Frame:
        with listening() as heard:
            frame = load(file)
        for text in heard:
            kind = text.replace(str(file), "")
            if kind not in said:
                said.add(kind)
                say(text, ReadWarning, stacklevel=5)
        return frame

    return quietly


def _lazy(files: Sequence[Path], load: Callable[[Path], Frame], role: str, like: Any) -> Any:
    import dask
    import dask.array as da

    # Only these two are kept, not the pixels of the first frame.
    template = np.broadcast_to(np.zeros((), like.dtype), like.shape)
    load = heard_here(load)

    def one(file: Path) -> NDArray[Any]:
        return _checked(load(file), role, template, file, files[0])

    frames = [
        da.from_delayed(dask.delayed(one, pure=True)(file), like.shape, like.dtype)
        for file in files
    ]
    return da.stack(frames)


def _checked(frame: Frame, role: str, like: Any, file: Path, first: Path) -> NDArray[Any]:
    image = frame.get(role)
    if image is None:
        raise FileError(
            file,
            f"it has no {role}, but {first.name} of the same sequence has",
            "render the layer in every frame or remove it from all",
        )
    if image.shape != like.shape or image.dtype != like.dtype:
        raise FileError(
            file,
            f"the frame is {image.shape} {image.dtype}, but {first.name} of the same "
            f"sequence is {like.shape} {like.dtype}",
            "make all frames of a sequence alike or open the file by itself",
        )
    return image
