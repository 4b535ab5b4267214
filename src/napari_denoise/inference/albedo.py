"""The albedo beside a render is noisy too: measured and denoised before it guides."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_denoise.image.tiles import Window
from napari_denoise.inference.guides import Features
from napari_denoise.inference.steps import Step
from napari_denoise.measure.channels import Channel, Measuring, measure
from napari_denoise.settings.denoise import DenoiseSettings
from napari_denoise.weights.card import WeightsCard

if TYPE_CHECKING:
    from napari_denoise.inference.stack import StackJob


def measure_albedo(
    features: Features, card: WeightsCard
) -> Generator[Measuring, None, tuple[Channel, ...]]:
    """Measure the albedo beside a render; none where there is none, or no use for it.

    Raises
    ------
    ValueError
        It cannot be denoised, see `measure`.
    """
    if "albedo" not in features.arrays or not card.config.get("features"):
        return ()
    try:
        albedo = features.arrays["albedo"]
        return (yield from measure(albedo, features.layout, card, DenoiseSettings(), plain=True))
    except ValueError as error:
        raise ValueError(f"albedo: {error}; or leave it out") from error


def guide_steps(
    features: Features, albedo: StackJob | None, number: int, where: Window
) -> Iterator[Step]:
    """Read the planes beside a window of a frame, the albedo denoised, yielding after every tile.

    Out of focus and behind glass an albedo is noise itself, which the light that was divided by it
    would get back. The last step has the planes, as `Features.frame` gives them but for the albedo.
    """
    planes = features.frame(features.layout.frames[number], where)
    if albedo is None:
        yield Step(0, 1, 0, 0, result=planes)
        return
    for step in albedo.region_steps(number, where):
        if step.result is not None:
            features.put_albedo(planes, step.result)
        yield replace(step, result=None if step.result is None else planes)
