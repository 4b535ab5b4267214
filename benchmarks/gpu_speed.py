"""How fast a device takes 16 bit frames in and gives 16 bit frames out, and what takes the time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import cycle
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_denoise.engines.torch import TorchEngine
from napari_denoise.inference.stack import StackJob
from napari_denoise.measure.channels import Channel
from napari_denoise.settings.recipe import TrainSettings
from napari_denoise.training.data.loaders import LoadedPairs
from napari_denoise.training.data.pairs import Batch, SyntheticPairs
from napari_denoise.training.loop.stages import distortion_step
from napari_denoise.training.loop.state import TrainingState
from napari_denoise.training.loop.train import launch

Frames = NDArray[np.uint16]
BUFFERS = 2
"""Pinned for each direction: one is filled while the other is on its way."""


def settle(device: str) -> None:
    """Wait for all that the device was asked for."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def seconds(work: Callable[[], object], device: str, rounds: int) -> float:
    """Median wall seconds, after one that sets things up."""
    work()
    taken = []
    for _ in range(rounds):
        settle(device)
        start = perf_counter()
        work()
        settle(device)
        taken.append(perf_counter() - start)
    return float(np.median(taken))


class Pipeline:
    """Frames through a network, with transfers beside the computing.

    While a frame is computed, the next one is on its way up and the last one on its way down, each
    in a stream and a pinned buffer of its own. On a CPU there is nothing to overlap, and the same
    steps run one after the other.

    Parameters
    ----------
    engine
        A network of one channel.
    channel
        Says what a code becomes, and how noisy it is.
    shape
        Of a frame.
    """

    def __init__(self, engine: TorchEngine, channel: Channel, shape: tuple[int, int]) -> None:
        self.engine, self._device = engine, torch.device(engine.device)
        table = channel.to_network(np.zeros((1, *shape), np.uint16)).table
        assert table is not None
        self._table = torch.from_numpy(table).to(self._device)
        self._sigma = float(channel.scale.sigma * channel.scale.factor)
        on_gpu = self._device.type == "cuda"
        self._up, self._down = (torch.cuda.Stream(self._device) if on_gpu else None for _ in "ud")
        sizes = (torch.int16, (1, *shape)), (torch.float32, (1, *shape))
        self._above, self._below = (
            [torch.empty(size, dtype=kind, pin_memory=on_gpu) for _ in range(BUFFERS)]
            for kind, size in sizes
        )

    def run(self, frames: Frames) -> Iterator[NDArray[np.float32]]:
        """Yield each frame in mapped units; it holds until the next one is taken."""
        sent: list[torch.cuda.Event | None] = [None] * BUFFERS
        waiting: list[tuple[Tensor, torch.cuda.Event | None]] = []
        for frame, slot in zip(frames, cycle(range(BUFFERS)), strict=False):
            _await(sent[slot])
            self._above[slot].numpy()[0] = frame.view(np.int16)
            codes, sent[slot] = self._send(self._above[slot])
            waiting.append(self._fetch(self._compute(codes), self._below[slot]))
            if len(waiting) == BUFFERS:
                yield _taken(*waiting.pop(0))
        for part in waiting:
            yield _taken(*part)

    def _send(self, codes: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
        with _in(self._up):
            return codes.to(self._device, non_blocking=True), _mark(self._up)

    def _compute(self, codes: Tensor) -> Tensor:
        if self._up is not None:
            torch.cuda.current_stream(self._device).wait_stream(self._up)
            codes.record_stream(torch.cuda.current_stream(self._device))
        image = self._table[codes.int() & (self._table.numel() - 1)]
        level = torch.full((1, 1, 1, 1), self._sigma, device=self._device)
        rows, columns = image.shape[1:]
        whole = slice(0, rows), slice(0, columns)
        with torch.inference_mode():
            return self.engine._network_on(image, level.expand(1, 1, rows, columns), None, whole)[0]

    def _fetch(self, result: Tensor, target: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
        if self._down is not None:
            self._down.wait_stream(torch.cuda.current_stream(self._device))
            result.record_stream(self._down)
        with _in(self._down):
            target.copy_(result, non_blocking=True)
            return target, _mark(self._down)


def _in(stream: torch.cuda.Stream | None) -> AbstractContextManager[object]:
    return nullcontext() if stream is None else torch.cuda.stream(stream)


def _mark(stream: torch.cuda.Stream | None) -> torch.cuda.Event | None:
    return None if stream is None else stream.record_event()


def _await(event: torch.cuda.Event | None) -> None:
    if event is not None:
        event.synchronize()


def _taken(result: Tensor, ready: torch.cuda.Event | None) -> NDArray[np.float32]:
    _await(ready)
    return result.numpy()


def parts(job: StackJob, frames: Frames, rounds: int) -> dict[str, float]:
    """Return seconds a frame of each transfer, the network, the engine, the pipeline, and all."""
    engine, channel = job.engine, job.channels[0]
    assert isinstance(engine, TorchEngine)
    device, shape = engine.device, frames.shape[1:]
    pipeline = Pipeline(engine, channel, shape)
    above, below = pipeline._above[0], pipeline._below[0]
    here, result = above.to(device), below.to(device)
    sigma = channel.sigma_map(*shape)
    count = len(frames)

    def one_by_one() -> None:
        for frame in frames:
            engine.run(channel.to_network(frame[None]), sigma)

    def whole() -> None:
        for _ in job.tiles():
            pass

    works: Sequence[tuple[str, Callable[[], object], int]] = (
        ("to the device, pinned uint16", lambda: above.to(device, non_blocking=True), 1),
        ("the network", lambda: pipeline._compute(here), 1),
        ("from the device, pinned float32", lambda: below.copy_(result, non_blocking=True), 1),
        ("the engine, frame after frame", one_by_one, count),
        ("transfers overlapped", lambda: [None for _ in pipeline.run(frames)], count),
        ("all of it, uint16 to uint16", whole, count),
    )
    return {name: seconds(work, device, rounds) / share for name, work, share in works}


def training(
    settings: TrainSettings,
    pictures: Sequence[NDArray[np.uint8]],
    device: str,
    steps: int,
    loaders: int,
) -> tuple[float, float]:
    """Return steps a second of one batch over and over, and of batches drawn meanwhile."""
    torch.backends.cudnn.benchmark = True  # as `napari-denoise train` has it
    state = TrainingState(settings, launch(settings, device, 1))
    pairs = SyntheticPairs(pictures, settings)
    same = pairs.batch(0)

    def timed(batch_of: Callable[[int], Batch]) -> float:
        distortion_step(state, batch_of(0))
        settle(device)
        start = perf_counter()
        for step in range(1, steps + 1):
            distortion_step(state, batch_of(step))
        settle(device)
        return steps / (perf_counter() - start)

    alone = timed(lambda step: same)
    source: Any = LoadedPairs(pairs, loaders, device) if loaders else pairs
    fed = timed(source.batch)
    if loaders:
        source.close()
    return alone, fed
