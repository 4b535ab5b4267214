"""What a process of a cluster does: an input, or a region of a large one. Runs on the workers."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import platformdirs

from napari_denoise.batch.ahead import ReadAhead
from napari_denoise.batch.events import Done, Failed
from napari_denoise.batch.stream import DenoisedArray, Parts
from napari_denoise.batch.work import Work, denoised, opened
from napari_denoise.io.atomic import replacing
from napari_denoise.weights.catalogue import SUFFIX, WeightsInfo, find_weights, read_info

if TYPE_CHECKING:
    from napari_denoise.inference.parts import JobParts
    from napari_denoise.inference.stack import StackJob, Tally
    from napari_denoise.io.stores import PreparedStore, Region
    from napari_denoise.settings.denoise import DenoiseSettings


@dataclass(frozen=True)
class SentWeights:
    """Weights that travel by their content; a worker keeps them under their hash."""

    name: str
    sha256: str


@dataclass(frozen=True)
class Block:
    """Regions of one large stack have this in common.

    Parameters
    ----------
    key
        Alike for no other stack of the run.
    work
        Which input, and how.
    parts
        What was measured, once.
    store
        Where the regions are written.
    """

    key: str
    work: Work
    parts: JobParts
    store: PreparedStore


def denoise_whole(work: Work, weights: SentWeights | None) -> Done | Failed:
    """Denoise one input, from its file to its result."""
    settings = _here(work.settings, weights)
    outcome: Done | Failed | None = None
    for event in denoised([replace(work, settings=settings)], _denoiser_of):
        if isinstance(event, (Done, Failed)):
            outcome = event
    assert outcome is not None  # noqa: S101 - a work ends in one of them
    return replace(outcome, task=work.task)


def denoise_region(block: Block, region: Region, weights: SentWeights) -> Tally:
    """Denoise a region of a stack and write it into its store; return what was counted."""
    job = _job_of(block, weights)
    before = job.tally()
    array = DenoisedArray(job, Parts(job, source=block.work.task.source.files[0]))
    pixels = np.empty([side.stop - side.start for side in region], job.dtype)
    for place in product(*_places(job.layout.axes, region)):
        local = [
            entry - side.start if isinstance(entry, int) else slice(None)
            for entry, side in zip(place, region, strict=True)
        ]
        pixels[tuple(local)] = array[place]
    block.store.write(region, pixels)
    block.store.flush(region)
    return _since(before, job.tally())


def _places(axes: str, region: Region) -> list[Any]:
    """Positions along each axis: every frame, and the window of it."""
    return [
        [side] if letter in "YXS" else list(range(side.start, side.stop))
        for letter, side in zip(axes, region, strict=True)
    ]


def _since(before: Tally, now: Tally) -> Tally:
    """Leave out what was counted of other regions."""
    return now._replace(
        levels=_less(now.levels, before.levels),
        frames_used=_less(now.frames_used, before.frames_used),
    )


def _less(now: tuple[float, int], before: tuple[float, int]) -> tuple[float, int]:
    return now[0] - before[0], now[1] - before[1]


_HELD: OrderedDict[str, tuple[StackJob, ReadAhead]] = OrderedDict()
"""The stack that this process works on: it opens it once for all its regions."""


def _job_of(block: Block, weights: SentWeights) -> StackJob:
    held = _HELD.get(block.key)
    if held is None:
        while _HELD:
            _, (before, ahead) = _HELD.popitem()
            before.let_go()
            ahead.close()
        source = opened(replace(block.work, overwrite=True))
        array = ReadAhead(source.array, source.meta.axes)
        info = _info_of(weights)
        job = block.parts.job(array, source.meta, info, block.work.settings.device)
        held = _HELD[block.key] = job, array
    return held[0]


def keep_weights(weights: SentWeights, content: bytes) -> None:
    """Keep weights that were sent, under their hash, for all units of this machine."""
    path = _place(weights)
    if path.is_file() and read_info(path).sha256 == weights.sha256:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing([path], overwrite=True) as (temporary,):
        temporary.write_bytes(content)


def _here(settings: DenoiseSettings, weights: SentWeights | None) -> DenoiseSettings:
    if weights is None:
        return settings
    return replace(settings, weights=str(_info_of(weights).path))


def _info_of(weights: SentWeights) -> WeightsInfo:
    """Find weights of this hash here: by name, or as they were sent."""
    try:
        info = find_weights(weights.name)
        if info.sha256 == weights.sha256:
            return info
    except ValueError:
        pass
    return read_info(_place(weights))


def _place(weights: SentWeights) -> Path:
    folder = Path(platformdirs.user_cache_path("napari-denoise", appauthor=False))
    return folder / "sent" / weights.sha256 / f"{weights.name}{SUFFIX}"


@lru_cache(maxsize=8)
def _denoiser_of(settings: DenoiseSettings) -> Any:
    from napari_denoise.inference.denoiser import Denoiser

    return Denoiser.load(settings.weights, settings.device, settings.precision)
