"""Pairs of noisy images and what they should become: from arrays, files, folders, repeats."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_denoise.image.axes import Layout
from napari_denoise.image.frames import evenly
from napari_denoise.image.tiles import Window
from napari_denoise.inference.described import Described, described
from napari_denoise.io.meta import ImageMeta
from napari_denoise.io.read import read
from napari_denoise.training.data.pair_planes import WHOLE, PairPlanes
from napari_denoise.training.data.pairs import CLEAN, NOISY, SECOND

PROVENANCE = "napari_denoise"
"""Key of what was done to an image, in the `extra` of its metadata."""
CLEAN_REPEATS = 8
"""From so many repeated frames on their average counts as clean."""
_MOST_REPEATS = 16
FEWEST_FRAMES = 3
"""Of a noisy stack: one to denoise, and two independent ones to measure it by."""
MANY_FRAMES = 12
"""From so many on whole frames of a stack are held out, else a part of each."""
_HELD_OUT, _FEWEST_HELD_OUT, _MOST_HELD_OUT = 5, 3, 9
"""One in so many frames, at least and at most."""


@dataclass(frozen=True, eq=False)
class Pair:
    """A noisy image or stack, and a clean one or a second noisy shot of the same scene.

    Parameters
    ----------
    name
        For regions and reports; unlike that of other pairs.
    noisy, target
        Of equal shape; checked by `pair_checks.check_pair`, not here.
    axes
        One letter per dimension of both.
    noisy_target
        The target is a second noisy shot (noise2noise).
    features
        "albedo" and "normal" of a render.
    denoised
        Whether the noisy image is known to be denoised already.
    sources
        The files, for the card.
    one_scene
        All frames show the same, but for noise; of a stack, were said to.
    linear, bits
        Whether the colour is known to be light, and the bits of the camera; as in `Described`.
    stack
        There is nothing but a noisy stack, whose frames teach each other; `target` is `noisy`.
    repeats
        How many frames there were of one scene; 0 for a pair of other kinds.
    """

    name: str
    noisy: Any
    target: Any
    axes: str
    noisy_target: bool = False
    features: Mapping[str, Any] = field(default_factory=dict)
    denoised: bool = False
    sources: tuple[str, ...] = ()
    one_scene: bool = False
    linear: bool = False
    bits: int | None = None
    stack: bool = False
    repeats: int = 0

    @cached_property
    def layout(self) -> Layout:
        """Axes of the noisy image."""
        return Layout(self.axes, tuple(self.noisy.shape))

    @property
    def described(self) -> Described:
        """The noisy image as it would be denoised."""
        return Described(self.noisy, self.layout, self.features, self.linear, self.bits)

    def planes(self, frame: int, window: Window = WHOLE) -> PairPlanes:
        """Return a frame of both as planes, to be read where it is looked at."""
        return PairPlanes((self.noisy, self.target), self.layout, frame, window)

    @cached_property
    def sha256(self) -> str:
        """Hash of all pixels of both."""
        done = sha256()
        for array in (self.noisy,) if self.stack else (self.noisy, self.target):
            done.update(f"{array.dtype.str}{tuple(array.shape)}".encode())
            for part in _in_parts(array, self.axes):
                done.update(part.data)
        return done.hexdigest()

    @property
    def along(self) -> str:
        """Axis along which frames of a stack are neighbours: T, else Z."""
        return "T" if self.layout.size("T") > 1 else "Z"

    def held_out_whole(self, frame: int) -> bool | None:
        """Whether a frame is held out where nobody says; None for a part of each frame.

        Of a stack of many frames some in the middle are: each with others of its scene.
        """
        count = self.layout.size(self.along)
        if not self.stack or count < MANY_FRAMES:
            return None
        index = self.layout.frames[frame][self.layout.axes.index(self.along)]
        assert isinstance(index, int)  # noqa: S101 - frames never span T or Z
        held = min(max(count // _HELD_OUT, _FEWEST_HELD_OUT), _MOST_HELD_OUT)
        return 0 <= index - (count - held) // 2 < held

    def scene(self, frame: int) -> str:
        """Return what is equal for frames with one and the same content."""
        if self.stack:
            return f"{self.name} {frame}"
        if self.one_scene or self.noisy_target:
            return f"pair {self.name}" if self.one_scene else f"{self.name} {frame}"
        target = np.ascontiguousarray(self.target[self.layout.frames[frame]])
        done = sha256(f"{target.dtype.str}{target.shape}".encode())
        done.update(target.data)
        return done.hexdigest()


def _in_parts(array: Any, axes: str) -> Iterator[NDArray[Any]]:
    """Yield all values of an array in C order, a frame at a time where Y, X and S come last."""
    leading = sum(1 for _ in takewhile(lambda letter: letter not in "YXS", axes))
    # A partner that does not fit, which is refused later, may have fewer axes.
    for index in np.ndindex(*array.shape[: min(leading, max(len(array.shape) - 2, 0))]):
        yield np.ascontiguousarray(array[index])


def pair_of(
    name: str,
    noisy: Any,
    target: Any,
    axes: str | None = None,
    *,
    noisy_target: bool = False,
    features: Mapping[str, Any] | None = None,
    denoised: bool | None = None,
    sources: Sequence[str] = (),
    meta: ImageMeta | None = None,
) -> Pair:
    """Make a pair of two arrays; one clean image serves every frame of a noisy stack.

    Parameters
    ----------
    name, noisy, target, noisy_target, sources
        As in `Pair`.
    axes, features, denoised
        As in `Pair`; None leaves them to `meta`, or to a guess, none, and no.
    meta
        What `read` gave beside the noisy image: pass it wherever there is one, as for `Denoiser`.

    Raises
    ------
    ValueError
        The axes do not describe the noisy image.
    """
    known, shape = described(noisy, axes, features, meta), tuple(noisy.shape)
    letters, one_scene = known.layout.axes, False
    extra = len(shape) - len(target.shape)
    if extra > 0 and shape[extra:] == tuple(target.shape) and set(letters[:extra]) <= set("TZ"):
        target, one_scene = np.broadcast_to(np.asarray(target), shape), True
    return Pair(
        name,
        noisy,
        target,
        letters,
        noisy_target,
        known.features,
        _is_denoised(denoised, meta),
        tuple(sources),
        one_scene,
        known.linear,
        known.bits,
    )


def open_pair(
    noisy: str | Path,
    target: str | Path,
    *,
    axes: str | None = None,
    noisy_target: bool = False,
    name: str | None = None,
) -> Pair:
    """Read a pair from two files, each whatever `napari_denoise.read` takes.

    Raises
    ------
    ValueError
        A file cannot be read.
    """
    image, meta = read(noisy, axes=axes)
    other, _ = read(target, axes=axes if axes and len(axes) == len(meta.axes) else None)
    return pair_of(
        _printable(name or meta.name or Path(noisy).stem),
        image,
        other,
        noisy_target=noisy_target,
        sources=(_printable(Path(noisy).name), _printable(Path(target).name)),
        meta=meta,
    )


def open_folder(folder: str | Path, *, axes: str | None = None) -> list[Pair]:
    """Read the pairs of a folder: ``noisy/`` and ``clean/``, or ``noisy/`` and ``noisy2/``.

    Raises
    ------
    FileNotFoundError
        No pairs, or a file without a partner of its name.
    ValueError
        A file cannot be read.
    """
    return [
        open_pair(one, other, axes=axes, noisy_target=second, name=one.name.split(".")[0])
        for one, other, second in partners(Path(folder))
    ]


def partners(folder: Path) -> list[tuple[Path, Path, bool]]:
    """List the files of a folder that belong together, and whether the second is noisy too.

    Raises
    ------
    FileNotFoundError
        See `open_folder`.
    """
    second = not (folder / CLEAN).is_dir()
    targets = folder / (SECOND if second else CLEAN)
    given = (folder / NOISY).iterdir() if (folder / NOISY).is_dir() else ()
    files = sorted(path for path in given if not path.name.startswith("."))
    if not files or not targets.is_dir():
        raise FileNotFoundError(
            f"{folder}: real pairs need files in {NOISY}/ and their partners, of equal names, in "
            f"{CLEAN}/ or {SECOND}/"
        )
    for path in files:
        if not (targets / path.name).is_file():
            raise FileNotFoundError(
                f"{path}: it has no partner of its name in {targets.name}/; put one there, or take "
                "this file out"
            )
    return [(path, targets / path.name, second) for path in files]


def open_repeats(path: str | Path, *, axes: str | None = None) -> Pair:
    """Read repeated frames of one scene, see `pair_of_repeats`."""
    stack, meta = read(path, axes=axes)
    return pair_of_repeats(
        _printable(meta.name or Path(path).stem),
        stack,
        sources=(_printable(Path(path).name),),
        meta=meta,
    )


def pair_of_repeats(
    name: str,
    stack: Any,
    axes: str | None = None,
    *,
    denoised: bool | None = None,
    sources: Sequence[str] = (),
    meta: ImageMeta | None = None,
) -> Pair:
    """Make the clean image from repeated frames of one scene, along the first axis.

    The target of a frame is the mean of all the others: an average that held the frame itself
    would teach the network to keep a part of its noise. Fewer than eight frames have too noisy
    a mean, and each frame is paired with the next one instead (noise2noise).
    Parameters are those of `pair_of`.

    Raises
    ------
    ValueError
        Fewer than two frames, or a first axis that is not T or Z.
    """
    known, shape = described(stack, axes, {}, meta), tuple(stack.shape)
    letters = known.layout.axes
    if letters[0] not in "TZ" or shape[0] < 2:
        raise ValueError(
            f"{name}: repeated frames of shape {shape}, axes {letters!r}: expected two frames or "
            "more along T, the first axis"
        )
    count, said = shape[0], _is_denoised(denoised, meta)
    told = said, tuple(sources), True, known.linear, known.bits
    if count < CLEAN_REPEATS:
        one, other = (np.asarray(stack[start : count - 1 + start]) for start in (0, 1))
        return Pair(name, one, other, letters, True, {}, *told, repeats=count)
    total = np.zeros(shape[1:], np.float64)
    for number in range(count):
        total += np.asarray(stack[number])
    chosen = evenly(range(count), _MOST_REPEATS)
    noisy = np.stack([np.asarray(stack[n]) for n in chosen])
    clean = _without(total, noisy, count)
    return Pair(name, noisy, clean, letters, False, {}, *told, repeats=count)


def open_stack(path: str | Path, *, axes: str | None = None) -> Pair:
    """Read a noisy stack to learn from alone, see `pair_of_stack`.

    Raises
    ------
    ValueError
        It cannot be read.
    """
    stack, meta = read(path, axes=axes)
    return pair_of_stack(
        _printable(meta.name or Path(path).stem),
        stack,
        sources=(_printable(Path(path).name),),
        meta=meta,
    )


def pair_of_stack(
    name: str,
    stack: Any,
    axes: str | None = None,
    *,
    denoised: bool | None = None,
    sources: Sequence[str] = (),
    meta: ImageMeta | None = None,
) -> Pair:
    """Make a noisy stack its own teacher: of each frame the neighbours, where they show the same.

    Whatever moves is aligned, what changes brightness is matched, and what comes, goes or moves
    otherwise is left out. Parameters are those of `pair_of`; checked by `pair_checks.check_pair`.
    """
    known = described(stack, axes, {}, meta)
    told = _is_denoised(denoised, meta), tuple(sources), False, known.linear, known.bits
    return Pair(name, stack, stack, known.layout.axes, True, {}, *told, stack=True)


def _without(total: NDArray[np.float64], frames: NDArray[Any], count: int) -> NDArray[np.float32]:
    clean = np.empty(frames.shape, np.float32)
    for number, frame in enumerate(frames):
        clean[number] = (total - frame) / (count - 1)
    return clean


def distinct(pairs: Iterable[Pair]) -> list[Pair]:
    """Give pairs of one name different ones, so that regions can tell them apart."""
    done: list[Pair] = []
    for pair in pairs:
        done.append(replace(pair, name=unlike(pair.name, [other.name for other in done])))
    return done


def unlike(name: str, taken: Collection[str]) -> str:
    """Make a name unlike those that are taken: "cells (2)"."""
    number, wanted = 1, name
    while wanted in taken:
        number += 1
        wanted = f"{name} ({number})"
    return wanted


def _printable(name: str) -> str:
    """Replace what is not text in the name of a file, which JSON cannot hold."""
    return name.encode(errors="replace").decode()


def _is_denoised(given: bool | None, meta: ImageMeta | None) -> bool:
    if given is not None:
        return given
    return meta is not None and bool(meta.extra.get(PROVENANCE))
