"""What runs in worker threads: generators over the engine, and the jobs it prepared.

PyTorch is imported here, inside the functions, so that the GUI thread never waits for it.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from napari_denoise.image.axes import Layout, plane_chunks
from napari_denoise.plugin import preferences
from napari_denoise.plugin.denoise.preview import Piece
from napari_denoise.plugin.layers.apply import rebuild_levels
from napari_denoise.plugin.layers.history import UndoEntry
from napari_denoise.plugin.layers.source import Box, Source
from napari_denoise.plugin.layers.storage import allocate, copy_frames, temporary_store
from napari_denoise.settings.denoise import DenoiseSettings

if TYPE_CHECKING:
    from napari_denoise.inference.stack import StackJob
    from napari_denoise.settings.noise import NoiseModel


_NOT_MEASURED = ("strength", "tile", "dtype")
"""Settings that change nothing of what a job measured."""


class Jobs:
    """Prepared jobs, one per layer, kept while its data and the settings stay the same."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.kinds: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
        """What kind of data layers hold, named as the bundled weights for them."""
        self._kept: dict[int, tuple[Source, DenoiseSettings, tuple[int, ...], StackJob]] = {}

    def prepare(self, source: Source, settings: DenoiseSettings) -> Generator[None, None, StackJob]:
        """Load the weights and measure the noise, unless that was done (worker threads).

        Yields after every frame looked at, so that Cancel acts within one.
        """
        settings = fitting(settings, source)
        with self._lock:
            samples = source.samples
            kept = self._find(source, settings, samples)
            if kept is None:
                kept, self.kinds[source.layer] = yield from _prepare(source, settings)
                self._kept[id(source.layer)] = (source, settings, samples, kept)
            return kept

    def _find(
        self, source: Source, settings: DenoiseSettings, samples: tuple[int, ...]
    ) -> StackJob | None:
        old = self._kept.get(id(source.layer))
        if old is None or not source.reads_as(old[0]):
            return None
        _, asked, measured, job = old
        light = {name: getattr(settings, name) for name in _NOT_MEASURED}
        if replace(asked, **light) != settings or measured != samples:
            return None
        return job if asked == settings else job.adjusted(**light)

    def forget(self, layer: Any) -> None:
        """Let go of a layer's data."""
        for key, (source, *_) in list(self._kept.items()):
            if layer is source.layer or any(layer is guide.layer for guide in source.guides):
                self._kept.pop(key, None)

    def clear(self) -> None:
        """Let go of everything."""
        self._kept.clear()


def fitting(settings: DenoiseSettings, source: Source) -> DenoiseSettings:
    """Return the settings as they are right for a layer.

    Colour in integers keeps its type: in floating point napari shows it from 0 to 1 only. Frames
    join others in the type that these have. Where denoised frames cannot be told from noisy ones
    by their pixels, the noise is what it was for those, and none is a neighbour.
    """
    whole = np.dtype(source.noisy.dtype).kind in "iu"
    if source.layer.rgb and whole:
        settings = replace(settings, dtype="same")
    elif whole and np.dtype(source.array.dtype).kind == "f":
        settings = replace(settings, dtype="float32")
    if source.noise is None:
        return settings
    stated = settings.noise != "auto" or settings.noise_from or settings.sigma_map
    noise = settings.noise if stated else _one_or_all(source.noise)
    return replace(settings, noise=noise, neighbors=0)


def _one_or_all(models: tuple[NoiseModel, ...]) -> Any:
    return models[0] if len(models) == 1 else models


def _prepare(
    source: Source, settings: DenoiseSettings
) -> Generator[None, None, tuple[StackJob, str]]:
    from napari_denoise.inference.denoiser import Denoiser
    from napari_denoise.inference.described import described

    preferences.use_threads()
    denoiser = Denoiser.load(settings.weights, settings.device, settings.precision)
    work = denoiser.preparing(source.noisy, settings=settings, meta=source.meta)
    job = yield from _silent(work)
    if not job.engine.features:
        job.features = None  # the form says that they are of no use to these weights
    _ = job.info.sha256  # reads the file once, here rather than where the card is shown
    return job, described(source.noisy, meta=source.meta).weights()


def _silent(work: Generator[Any, None, StackJob]) -> Generator[None, None, StackJob]:
    """Pass the pauses of long work on, not what it tells."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            job: StackJob = end.value
            return job
        yield


# --- discovering what there is ----------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """Devices to choose from."""

    devices: tuple[str, ...]


def discover() -> Iterator[Found]:
    """List devices; the first import of PyTorch happens here."""
    from napari_denoise.engines.device import available_devices

    yield Found(tuple(available_devices()))


# --- measuring --------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """A layer's job is ready: noise, weights and cost are known."""

    source: Source
    job: StackJob
    kind: str
    """What kind of data it is, see `Jobs.kinds`."""


def measure_layers(
    jobs: Jobs, sources: Sequence[Source], settings: DenoiseSettings
) -> Iterator[Measured | None]:
    """Prepare one job after the other."""
    for source in sources:
        job = yield from jobs.prepare(source, settings)
        yield Measured(source, job, jobs.kinds.get(source.layer, ""))


# --- preview ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Plane:
    """The noisy pixels that an overlay starts with."""

    source: Source
    box: Box
    pixels: Any


@dataclass(frozen=True)
class Shown:
    """A denoised piece of a preview."""

    source: Source
    piece: Piece
    pixels: Any
    done: int
    total: int
    final: bool = True
    """False for a first look at frames by themselves, to which neighbours are still to come."""


@dataclass(frozen=True)
class PreviewOrder:
    """What to preview of one layer; no box where its overlay stands already."""

    source: Source
    pieces: Sequence[Piece]
    box: Box | None


def preview(
    jobs: Jobs, orders: Sequence[PreviewOrder], settings: DenoiseSettings
) -> Iterator[Plane | Measured | Shown | None]:
    """Denoise windows of frames: the centre of every layer, then the rest."""
    for order in orders:
        if order.box is not None:
            plane = order.source.noisy[order.box]
            dtype = fitting(settings, order.source).result_dtype(plane.dtype)
            yield Plane(order.source, order.box, np.array(plane, dtype))
    ready = []
    for order in orders:
        job = yield from jobs.prepare(order.source, settings)
        yield Measured(order.source, job, jobs.kinds.get(order.source.layer, ""))
        ready.append((order, job))
    # Frames by themselves first, which take less time; then what neighbours add.
    rounds = [[(o, j.alone(), j.neighbors is None) for o, j in ready]]
    if fused := [(o, j, True) for o, j in ready if j.neighbors is not None]:
        rounds.append(fused)
    total = sum(len(order.pieces) for each in rounds for order, *_ in each)
    done = 0
    for each in rounds:
        for rank in range(max((len(order.pieces) for order, *_ in each), default=0)):
            for order, job, final in each:
                if rank < len(order.pieces):
                    piece = order.pieces[rank]
                    pixels = yield from _region(job, piece)
                    done += 1
                    yield Shown(order.source, piece, pixels, done, total, final)


def _region(job: StackJob, piece: Piece) -> Generator[None, None, Any]:
    """Denoise a window, yielding after every tile so that a preview can be left."""
    result = None
    for step in job.region_steps(piece.frame, (piece.y, piece.x)):
        result = step.result
        yield None
    return result


# --- run --------------------------------------------------------------------------------


@dataclass(eq=False)
class Work:
    """One layer to denoise.

    Parameters
    ----------
    source
        Its pixels, as they were when Run was pressed.
    frames
        Numbers of the frames to denoise; None for all.
    alone
        Return the only frame by itself, not inside a copy of the stack.
    dropped
        Set where nobody wants the result any more.
    """

    source: Source
    frames: tuple[int, ...] | None = None
    alone: bool = False
    dropped: bool = field(default=False, compare=False)

    @property
    def frame(self) -> int | None:
        """The frame that stands by itself; None where the result is a stack."""
        return self.frames[0] if self.alone and self.frames else None


@dataclass(frozen=True)
class Advanced:
    """A tile is done."""

    work: Work
    done: int
    total: int
    fraction: float


@dataclass(frozen=True)
class Finished:
    """A layer is done: all its levels, or the one frame."""

    work: Work
    levels: tuple[Any, ...]
    note: dict[str, Any]
    """Provenance."""
    warnings: tuple[str, ...]
    edited: bool
    """The pixels of the layer were changed in place meanwhile."""
    unchanged: bool = False
    """Nothing was taken out: there was no noise, or the strength is 0."""


@dataclass(frozen=True)
class RunPhase:
    """What is going on before the first tile."""

    work: Work
    text: str


def run(
    jobs: Jobs, works: Sequence[Work], settings: DenoiseSettings
) -> Iterator[RunPhase | Measured | Advanced | Finished | None]:
    """Denoise layer after layer; nothing in them is touched."""
    for work in works:
        yield RunPhase(work, "measuring the noise")
        if not work.dropped:
            yield from _run_one(jobs, work, settings)


def _run_one(
    jobs: Jobs, work: Work, settings: DenoiseSettings
) -> Iterator[Measured | Advanced | Finished | None]:
    source = work.source
    before = yield from _fingerprint(source)
    job = yield from jobs.prepare(source, settings)
    yield Measured(source, job, jobs.kinds.get(source.layer, ""))
    result = yield from _target(work, job.dtype)
    which = work.frames
    total = len(source.layout.frames) if which is None else len(which)
    done = 0
    try:
        for step in job.steps(which):
            if step.result is not None:
                result[_place(work, step.index)] = step.result
                done += 1
            yield Advanced(work, done, total, step.fraction)
            if work.dropped:
                return
    finally:
        job.let_go()  # the job is kept for as long as the layer is
    levels: tuple[Any, ...] = (result,)
    if not work.alone and source.layer.multiscale:
        for made in rebuild_levels(result, source.levels, source.axes):
            yield None
            levels = made or levels
    after = yield from _fingerprint(source)
    told = tuple(text for text in job.warnings if text != job.why_alone)  # its row says that
    yield Finished(work, levels, _note(source, job), told, before != after, job.leaves_all)


def _note(source: Source, job: StackJob) -> dict[str, Any]:
    """Provenance, with the names of the layers that albedo and normal came from."""
    note = job.provenance()
    if job.features is not None:
        note["feature_layers"] = {guide.role: guide.layer.name for guide in source.guides}
    return note


def _place(work: Work, index: Any) -> Any:
    if not work.alone:
        return index
    return tuple(0 if isinstance(i, int) else i for i in index)


def _target(work: Work, dtype: np.dtype[Any]) -> Generator[None, None, Any]:
    """Room for the result; a stack of which one frame changes starts as a copy."""
    source = work.source
    shape = tuple(source.array.shape)
    if work.alone:
        shape = plane_chunks(source.axes, shape)
    result = allocate(shape, dtype, source.axes)
    if work.frames is not None and not work.alone:
        yield from copy_frames(source.array, result, source.layout)
    return result


def _fingerprint(source: Source) -> Generator[None, None, int]:
    """Checksum every pixel of data in memory, to notice edits in place.

    Data on disk or computed on demand are not read twice: there only a new data object
    counts as a change.
    """
    value = 0
    if source.in_memory:
        for index in source.layout.frames:
            frame = np.ascontiguousarray(source.array[index])
            value = zlib.crc32(frame.view(np.uint8).data, value)
            yield None
    return value


# --- undo on disk -----------------------------------------------------------------------


@dataclass(frozen=True)
class Moved:
    """A copy of an array now stands elsewhere."""

    old: Any
    new: Any


def spill(entry: UndoEntry) -> Iterator[Moved | None]:
    """Copy an entry's arrays to temporary stores on disk."""
    for array in entry.kept:
        if isinstance(array, np.ndarray):
            store = temporary_store(array.shape, array.dtype, entry.axes)
            yield from copy_frames(array, store, Layout(entry.axes, array.shape))
            yield Moved(array, store)


def restore(entries: Sequence[UndoEntry]) -> Iterator[Moved | None]:
    """Read the arrays of entries back into memory, where that has room for them."""
    for entry in entries:
        for store in entry.stored:
            if any(store is array for array in entry.kept):
                array = allocate(tuple(store.shape), store.dtype, entry.axes)
                yield from copy_frames(store, array, Layout(entry.axes, tuple(store.shape)))
                yield Moved(store, array)
