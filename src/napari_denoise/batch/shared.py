"""A large stack that workers share: measured once, its regions noted as they become whole."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from math import prod
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import napari_denoise
from napari_denoise.batch.events import Done
from napari_denoise.batch.history import EVIDENCE
from napari_denoise.batch.maps import used_text
from napari_denoise.batch.units import Block
from napari_denoise.batch.work import Opened, Work, check_unchanged, make_folder, opened, prepared
from napari_denoise.image.frames import is_large
from napari_denoise.io.errors import NotWritten

if TYPE_CHECKING:
    from napari_denoise.inference.stack import StackJob, Tally
    from napari_denoise.inference.steps import Step
    from napari_denoise.io.kept_stores import KeptStore
    from napari_denoise.io.meta import ImageMeta
    from napari_denoise.io.stores import Region

_FOLLOWED = ("weights_sha256", "settings", "channels", "features", "albedo", "alpha", "precision")
"""Parts of the provenance that pixels follow from."""
_NOT_THE_PIXELS = ("device", "tile", "engine")


@dataclass(eq=False)
class SharedStack:
    """A stack that is shared by workers; made by `begun`."""

    block: Block
    kept: KeptStore
    job: StackJob
    source: Opened
    said: list[str]
    since: float
    count: int
    done: int = 0
    note: dict[str, Any] = field(default_factory=dict)

    @property
    def work(self) -> Work:
        """Which input, and how."""
        return self.block.work

    @property
    def whole(self) -> bool:
        """Whether nothing is left but to finish the store."""
        return self.done == self.count

    @property
    def step(self) -> Step:
        """How far it is."""
        from napari_denoise.inference.steps import Step

        return Step(0, 1, self.done, self.count)

    def took(self, region: Region, tally: Tally) -> None:
        """Note a region that a worker wrote.

        Raises
        ------
        NotWritten
            The disk is full.
        """
        self.kept.note(region, _plain(tally))
        self.job.add(tally)
        self.done += 1

    def last_meta(self) -> ImageMeta:
        """Return what the store is to say of itself, once all regions are whole.

        Raises
        ------
        FileError
            The input changed while it was denoised.
        """
        check_unchanged(self.work.task, self.source)
        self.note.update(self.job.neighbors_note())
        meta = self.block.store.meta
        return replace(meta, extra={**meta.extra, "napari_denoise": self.note})

    def leave(self, error: Exception | None = None) -> None:
        """Keep what is whole for the next run; nothing where there is none, or it is of no use."""
        useless = isinstance(error, ValueError) and not isinstance(error, NotWritten)
        if useless or not self.done:
            self.block.store.discard()

    def outcome(self, files: Any) -> Done:
        """Say that it is done."""
        job, task = self.job, self.work.task
        told = (f"{task.source.pattern}: {text}" for text in job.warnings)
        before = len(self.kept.whole)
        return Done(
            task,
            tuple(files),
            frames=len(job.frames),
            seconds=perf_counter() - self.since,
            noise=tuple(noise.describe() for noise in job.noise),
            weights=job.info.name,
            frames_used=used_text(job),
            warnings=tuple(dict.fromkeys([*self.said, *told])),
            weights_sha256=job.info.sha256,
            pixels=prod(job.layout.shape),
            kept=f"{before} of {self.count} parts kept from an earlier run" if before else "",
        )


def begun(work: Work) -> Generator[None, None, SharedStack]:
    """Measure a stack, and find what an earlier run left of it; yields on the way.

    Raises
    ------
    ValueError
        The input, the settings or the target cannot be used.
    """
    from napari_denoise.inference.denoiser import Denoiser
    from napari_denoise.inference.parts import JobParts
    from napari_denoise.io.kept_stores import kept_store

    since, said = perf_counter(), list[str]()
    settings = work.settings
    denoiser = Denoiser.load(settings.weights, settings.device, settings.precision)
    source = opened(work)
    job, ahead = yield from prepared(work, source, denoiser, said)
    if job.neighbors is not None and is_large(source.array, source.meta.axes):
        for _ in job.neighbors.relating():
            yield
    target, shape = work.task.target, tuple(source.array.shape)
    make_folder(target)
    note = {**job.provenance(), **work.note}
    kept = kept_store(
        target, shape, job.dtype, source.meta, _identity(work, note), overwrite=work.overwrite
    )
    block = Block(uuid4().hex, work, JobParts.of(job), kept.store)
    if ahead is not None:
        ahead.close()
    job.let_go()
    said[:0] = source.said
    count = sum(1 for _ in kept.store.regions)
    for value in kept.whole.values():
        job.add(_tally(value))
    return SharedStack(block, kept, job, source, said, since, count, len(kept.whole), note)


def _identity(work: Work, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Say what pixels follow from; what nobody marked is like nothing else."""
    followed = {name: provenance.get(name) for name in _FOLLOWED}
    settings = followed["settings"] or {}
    followed["settings"] = {k: v for k, v in settings.items() if k not in _NOT_THE_PIXELS}
    job = sha256(json.dumps(followed, sort_keys=True, default=str).encode()).hexdigest()
    marks = work.note.get(EVIDENCE) or {"input": uuid4().hex}
    return {**marks, "job": job, "version": napari_denoise.__version__}


def _plain(tally: Tally) -> dict[str, Any]:
    """Turn what was counted into JSON values."""
    return {
        "levels": tally.levels,
        "frames_used": tally.frames_used,
        "nonfinite": [[*place, count] for place, count in tally.nonfinite.items()],
        "without_values": sorted(tally.without_values),
        "overflowed": sorted(tally.overflowed),
    }


def _tally(values: Mapping[str, Any]) -> Tally:
    from napari_denoise.inference.stack import Tally

    total, number = values["levels"]
    used = values["frames_used"]
    return Tally(
        (total, number),
        (used[0], used[1]),
        {(a, b, c): count for a, b, c, count in values["nonfinite"]},
        set(values["without_values"]),
        {(a, b, c) for a, b, c in values["overflowed"]},
    )


def forget(target: Path) -> None:
    """Remove what was kept of a target that is whole by now."""
    from napari_denoise.io.atomic import remove
    from napari_denoise.io.kept_stores import kept_folder

    remove(kept_folder(target))
