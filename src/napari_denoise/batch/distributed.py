"""More than one process: inputs, or regions of large ones, spread over a Dask cluster."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import prod
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import napari_denoise
from napari_denoise.batch.events import Connected, Done, Event, Failed, Progress, Started
from napari_denoise.batch.shared import SharedStack, begun
from napari_denoise.batch.units import (
    SentWeights,
    denoise_region,
    denoise_whole,
    keep_weights,
)
from napari_denoise.batch.work import Work, opened
from napari_denoise.io.inputs import suffix_of
from napari_denoise.weights.catalogue import find_weights

if TYPE_CHECKING:
    from napari_denoise.batch.plan import BatchTask
    from napari_denoise.io.stores import Region

IN_BLOCKS = 2**26
"""Bytes of pixels from which a stack is shared by the workers, where its result is a store."""
_AHEAD = 2
"""Units for each worker that are sent before the last ones are back."""
_LOOK = 0.2
"""Seconds between two looks, and so until Cancel acts."""
_TRIES = 5
_ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Processes:
    """Which processes denoise.

    Parameters
    ----------
    workers
        Of this machine: with graphics cards one for each, at most so many; else processes of one
        thread each.
    scheduler
        Address of a Dask scheduler instead, such as ``tcp://10.0.0.1:8786``.
    in_blocks
        Bytes of pixels from which a stack is shared.
    """

    workers: int = 0
    scheduler: str = ""
    in_blocks: int = IN_BLOCKS


@contextmanager
def local_cluster(workers: int) -> Iterator[str]:
    """Start workers on this machine, and yield the address of their scheduler.

    A worker that dies is started again. In a script that starts one, what runs at its import
    stands under ``if __name__ == "__main__":``.

    Raises
    ------
    ValueError
        The package distributed is not installed.
    """
    distributed = _dask()
    gpus = _gpus()
    options: dict[str, Any] = {
        "nthreads": 1,
        "memory_limit": 0,
        "silence_logs": logging.CRITICAL,
    }
    specs = {}
    for number in range(min(workers, len(gpus)) if gpus else workers):
        env = dict.fromkeys(_ONE_THREAD, "1")
        if gpus:
            env = {"CUDA_VISIBLE_DEVICES": gpus[number]}
        specs[number] = {"cls": distributed.Nanny, "options": {**options, "env": env}}
    scheduler = {
        "cls": distributed.Scheduler,
        "options": {"dashboard_address": ":0", "host": "127.0.0.1"},
    }
    import dask

    # Ctrl+Z stops scheduler and workers: none of them is lost by that.
    with (
        dask.config.set({"distributed.scheduler.worker-ttl": None}),
        distributed.SpecCluster(specs, scheduler, silence_logs=logging.CRITICAL) as cluster,
    ):
        yield cluster.scheduler_address


def spread(works: Iterable[Work | Event], processes: Processes) -> Generator[Event, None, None]:
    """Do works as `denoised` does, by the workers of a cluster.

    An input is a unit; of a large one whose result is an OME-Zarr store regions are. A worker that
    dies costs the units that it was at. What was sent is not more than what the workers need next,
    so that a pause acts soon.

    Raises
    ------
    ValueError
        The package distributed is not installed, or workers run another version.
    OSError
        There is no such scheduler.
    """
    distributed = _dask()
    with ExitStack() as stack:
        address = processes.scheduler or stack.enter_context(local_cluster(processes.workers))
        client = stack.enter_context(distributed.Client(address, set_as_default=False))
        client.wait_for_workers(1)
        count = len(client.scheduler_info(n_workers=-1)["workers"])
        _check_versions(client)
        yield Connected(client.dashboard_link, count)
        yield from _Spread(client, max(count, 1), processes).events(works)


def _dask() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise ValueError(
            "more than one process needs the package distributed: "
            "pip install 'napari-denoise[cluster]'"
        ) from error
    return distributed


def _gpus() -> list[str]:
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    return visible.split(",")[:count] if visible else [str(n) for n in range(count)]


def _version() -> str:
    return napari_denoise.__version__


def _check_versions(client: Any) -> None:
    found = {v for v in client.run(_version).values() if v != napari_denoise.__version__}
    if found:
        raise ValueError(
            f"workers run napari-denoise {', '.join(sorted(found))}, and this is "
            f"{napari_denoise.__version__}: install the same version everywhere"
        )


@dataclass(frozen=True, eq=False)
class _Region:
    """A part of a stack that was sent; None is its end."""

    shared: SharedStack
    region: Region | None

    @property
    def task(self) -> BatchTask:
        return self.shared.work.task


class _Spread:
    """Keeps the workers busy, and says how it goes."""

    def __init__(self, client: Any, workers: int, processes: Processes) -> None:
        self._client, self._most, self._processes = client, _AHEAD * workers, processes
        self._units: dict[Any, Work | _Region] = {}
        self._sent: set[SentWeights] = set()
        self._stacks: list[SharedStack] = []
        self._back_again: SimpleQueue[Any] = SimpleQueue()

    def events(self, works: Iterable[Work | Event]) -> Iterator[Event]:
        """Send works, and yield what became of them."""
        try:
            for item in works:
                if not isinstance(item, Work):
                    yield item
                    continue
                yield Started(item.task)
                yield from self._send(item)
            while self._units:
                yield from self._back()
        finally:
            self._client.cancel(list(self._units))
            for shared in self._stacks:
                shared.leave()

    def _send(self, work: Work) -> Iterator[Event]:
        try:
            if self._is_shared(work):
                yield from self._share(work)
                return
            weights = self._weights(work.settings.weights)
        except Exception as error:  # noqa: BLE001 - whatever it is, the others must go on
            yield Failed(work.task, error, isinstance(error, ValueError))
            return
        self._submit(work, denoise_whole, work, weights)
        yield from self._wait_for_room(work)

    def _is_shared(self, work: Work) -> bool:
        if suffix_of(work.task.target).lower() not in (".ome.zarr", ".zarr"):
            return False
        if work.task.frames_used is not None:
            return False
        source = opened(work)
        size: int = prod(source.array.shape) * source.array.dtype.itemsize
        return size >= self._processes.in_blocks

    def _share(self, work: Work) -> Iterator[Event]:
        """Measure a stack once, and send those of its regions that are not whole yet."""
        preparing = begun(work)
        while True:
            try:
                next(preparing)
            except StopIteration as end:
                shared: SharedStack = end.value
                break
            yield Progress(work.task)
        self._stacks.append(shared)
        weights = self._weights(str(shared.job.info.path))
        for region in shared.kept.left:
            sent = _Region(shared, region)
            self._submit(sent, denoise_region, shared.block, region, weights)
            yield from self._wait_for_room(work)
            if shared not in self._stacks:  # one of its regions failed
                return
        if len(shared.kept.whole) == shared.count:
            yield from self._finish(shared)

    def _wait_for_room(self, work: Work) -> Iterator[Event]:
        while len(self._units) >= self._most:
            yield Progress(work.task)
            yield from self._back()

    def _back(self) -> Iterator[Event]:
        """Wait a little, and take what is back."""
        try:
            future = self._back_again.get(timeout=_LOOK)
        except Empty:
            yield Progress(next(iter(self._units.values())).task)
            return
        if future not in self._units:  # it was cancelled
            return
        due = self._units.pop(future)
        if isinstance(due, Work):
            yield self._outcome(due, future)
        else:
            yield from self._region_back(due, future)

    def _submit(self, unit: Work | _Region, function: Any, *arguments: Any) -> Any:
        future = self._client.submit(function, *arguments, pure=False)
        self._units[future] = unit
        future.add_done_callback(self._back_again.put)
        return future

    def _outcome(self, work: Work, future: Any) -> Done | Failed:
        if future.status == "finished":
            outcome: Done | Failed = future.result()
            return outcome
        return Failed(work.task, _error_of(future), unusable=False)

    def _region_back(self, sent: _Region, future: Any) -> Iterator[Event]:
        shared = sent.shared
        try:
            if future.status != "finished":
                raise _error_of(future)
            if sent.region is not None:
                shared.took(sent.region, future.result())
        except Exception as error:  # noqa: BLE001 - whatever it is, the others must go on
            yield self._failed(shared, error)
            return
        if sent.region is None:
            self._stacks.remove(shared)
            yield shared.outcome(future.result())
            return
        yield Progress(sent.task, shared.step)
        if shared.whole:
            yield from self._finish(shared)

    def _finish(self, shared: SharedStack) -> Iterator[Event]:
        try:
            meta = shared.last_meta()
        except ValueError as error:
            yield self._failed(shared, error)
            return
        self._submit(_Region(shared, None), shared.block.store.finish, meta)

    def _failed(self, shared: SharedStack, error: Exception) -> Failed:
        self._drop(shared)
        shared.leave(error)
        return Failed(shared.work.task, error, unusable=False)

    def _drop(self, shared: SharedStack) -> None:
        """Let go of what was sent of a stack."""
        if shared in self._stacks:
            self._stacks.remove(shared)
        others = [
            future
            for future, unit in self._units.items()
            if isinstance(unit, _Region) and unit.shared is shared
        ]
        self._client.cancel(others)
        for other in others:
            del self._units[other]

    def _weights(self, name: str) -> SentWeights | None:
        """Say which weights; those that workers may lack travel to all of them, once."""
        if name == "auto":
            return None
        info = find_weights(name)
        weights = SentWeights(info.name, info.sha256)
        if not info.bundled and weights not in self._sent:
            plugin = _carrier(weights, info.path.read_bytes())
            for left in reversed(range(_TRIES)):
                try:
                    self._client.register_plugin(plugin, name=f"weights {info.sha256}")
                    break
                except OSError:  # a worker died meanwhile
                    if not left:
                        raise
            self._sent.add(weights)
        return weights


def _carrier(weights: SentWeights, content: bytes) -> Any:
    """Make what brings weights to each worker, those that come later or again too."""
    from distributed import WorkerPlugin

    class Carrier(WorkerPlugin):  # type: ignore[misc]
        def setup(self, worker: Any) -> None:
            keep_weights(weights, content)

    return Carrier()


def _error_of(future: Any) -> Exception:
    error = future.exception()
    if isinstance(error, Exception):
        return error
    return RuntimeError(f"its worker was lost ({future.status})")
