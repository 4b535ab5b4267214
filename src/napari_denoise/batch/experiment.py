"""One noise model for all inputs of an experiment, so that they do not differ by chance."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_denoise.batch.choice import read_image
from napari_denoise.batch.plan import BatchTask
from napari_denoise.image.frames import evenly
from napari_denoise.inference.described import Described, described
from napari_denoise.inference.noise_files import measured_models
from napari_denoise.io.errors import listening
from napari_denoise.io.formats.loaded import lazily
from napari_denoise.settings.denoise import DenoiseSettings
from napari_denoise.settings.noise import NoiseModel

MEMBERS = 8
"""Inputs that are measured."""
_LAZY_FROM = 2**26
_LEVELS = (5, 25, 50, 75, 95)
"""Percentiles of the intensities at which models are compared."""


def measured_together(
    tasks: Sequence[BatchTask], settings: DenoiseSettings, axes: str | None
) -> Generator[None, None, tuple[list[dict[str, Any]], list[str]]]:
    """Measure some inputs of an experiment, yielding after each.

    Parameters
    ----------
    tasks
        All of the experiment.
    settings, axes
        As for all of them.

    Returns
    -------
    Of each channel the model that is most like all others, as JSON values (none where no input
    tells the noise); and the inputs that were measured.
    """
    found: list[tuple[NoiseModel, ...]] = []
    levels: list[NDArray[Any]] = []
    names = []
    for task in evenly(tasks, MEMBERS):
        try:
            with listening(), lazily(_LAZY_FROM):
                array, meta = read_image(task.source, task.axes or axes, task.choice)
                stack = described(array, meta=meta)
                weights = settings.weights
                name = stack.weights(settings.mapping) if weights == "auto" else weights
                models = measured_models(stack, name)
        except (ValueError, OSError):  # its own turn says what is wrong with it
            yield
            continue
        known = tuple(model for model in models if model is not None)
        if len(known) == len(models) and NoiseModel() not in known:
            found.append(known)
            levels.append(_levels(stack))
            names.append(task.name)
        yield
    if not found:
        return [], []
    at = np.median(levels, axis=0)
    channels = range(min(map(len, found)))
    return [vars(_middle([models[c] for models in found], at)) for c in channels], names


def _levels(stack: Described) -> NDArray[Any]:
    """Intensities of a frame in the middle, thinned out."""
    index = stack.layout.frames[len(stack.layout.frames) // 2]
    frame = np.asarray(stack.array[index])[::4, ::4].astype(np.float64)
    finite = frame[np.isfinite(frame)]
    return np.percentile(finite, _LEVELS) if finite.size else np.zeros(len(_LEVELS))


def _middle(models: Sequence[NoiseModel], at: NDArray[Any]) -> NoiseModel:
    """Return the model whose noise differs least from that of all others: one that was measured."""
    sds = np.log([[max(_variance(m, level), 1e-30) for level in at] for m in models])
    apart = np.abs(sds[:, None] - sds[None]).sum(axis=(1, 2))
    return models[int(np.argmin(apart))]


def _variance(model: NoiseModel, level: float) -> float:
    light = (model.offset - level) if model.inverted else (level - model.offset)
    return model.gain * max(light, 0.0) + model.read_noise**2
