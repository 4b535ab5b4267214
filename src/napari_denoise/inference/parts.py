"""What a prepared job is made of, to be sent to other processes and put together there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from napari_denoise.engines.device import choose_device
from napari_denoise.engines.torch import load_engine
from napari_denoise.image.axes import Layout
from napari_denoise.inference.described import usable_features
from napari_denoise.inference.fusion import Pair
from napari_denoise.inference.guides import Features
from napari_denoise.inference.neighbors import Neighbors
from napari_denoise.inference.stack import StackJob, albedo_job
from napari_denoise.io.meta import ImageMeta
from napari_denoise.measure.channels import Channel
from napari_denoise.settings.denoise import DenoiseSettings
from napari_denoise.weights.catalogue import WeightsInfo


@dataclass(frozen=True)
class JobParts:
    """All that was measured and fixed for a stack, without its array and its network.

    Parameters
    ----------
    layout, settings, channels, notes
        Of the job.
    tile
        In use, so that every process computes the same windows.
    guided
        Whether albedo and normal are used.
    albedo
        Channels of the albedo's own pass.
    along, each_side
        Of the neighbours; 0 on each side for none.
    pairs
        Shifts and brightness between frames, as far as they were measured.
    why_alone
        Why there are no neighbours.
    """

    layout: Layout
    settings: DenoiseSettings
    channels: tuple[Channel, ...]
    notes: tuple[str, ...]
    tile: int
    guided: bool = False
    albedo: tuple[Channel, ...] = ()
    along: str = ""
    each_side: int = 0
    pairs: Mapping[tuple[int, int], Pair | None] = field(default_factory=dict)
    why_alone: str = ""

    @classmethod
    def of(cls, job: StackJob) -> JobParts:
        """Take a job apart."""
        near = job.neighbors
        return cls(
            Layout(job.layout.axes, job.layout.shape),
            job.settings,
            job.channels,
            job.notes,
            job.cost().tile,
            job.features is not None,
            job.albedo.channels if job.albedo else (),
            near.letter if near else "",
            near.radius if near else 0,
            near.pairs if near else {},
            job.why_alone,
        )

    def job(self, array: Any, meta: ImageMeta, info: WeightsInfo, device: str) -> StackJob:
        """Put the job together again.

        Parameters
        ----------
        array, meta
            The same stack, as it is read here.
        info
            The same weights, as they are found here.
        device
            As it was asked for; "auto" takes what there is here.
        """
        chosen = choose_device(device)
        same = chosen.partition(":")[0] == self.settings.device.partition(":")[0]
        precision = self.settings.precision if same else "float32"
        settings = replace(self.settings, tile=self.tile, device=chosen, precision=precision)
        engine = load_engine(info, settings.realism, chosen, precision)
        faithful = load_engine(info, 0.0, chosen, precision)
        features = Features(usable_features(array, meta), self.layout) if self.guided else None
        albedo = None
        if features is not None and self.albedo:
            albedo = albedo_job(features, self.albedo, faithful, info, self.tile)
        fixed = self.channels, engine, info, features, self.notes, albedo
        job = StackJob(array, self.layout, settings, *fixed)
        job.why_alone = self.why_alone
        if self.each_side:
            job.neighbors = Neighbors(job.alone(), faithful, self.along, self.each_side)
            job.neighbors.take(self.pairs)
        return job
