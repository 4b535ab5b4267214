"""The public call: an array in, the same array without its noise out."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_denoise.engines.base import Engine
from napari_denoise.engines.device import FINEST_SIGMA, choose_device, choose_precision
from napari_denoise.engines.torch import load_engine, load_second_engine
from napari_denoise.image.axes import Index
from napari_denoise.image.long_work import finished
from napari_denoise.inference.albedo import measure_albedo
from napari_denoise.inference.alpha import AlphaAsLight, measure_alpha
from napari_denoise.inference.checked import checked_channels
from napari_denoise.inference.described import Described, described
from napari_denoise.inference.guides import Features
from napari_denoise.inference.neighbors import neighbors_of
from napari_denoise.inference.noise_files import load_noise
from napari_denoise.inference.passes import preparing_passes
from napari_denoise.inference.stack import StackJob, albedo_job, alpha_job
from napari_denoise.inference.steps import Step
from napari_denoise.inference.warned import warn_of
from napari_denoise.io.meta import ImageMeta
from napari_denoise.measure.channels import Channel, Measuring, measure
from napari_denoise.measure.kind import looks_tone_mapped
from napari_denoise.measure.pixel_maps import PixelMaps, open_maps
from napari_denoise.settings.denoise import MAPS, DenoiseSettings
from napari_denoise.weights.catalogue import WeightsInfo, find_weights


@dataclass(frozen=True)
class Denoiser:
    """Weights, a device and a precision, ready to denoise stacks.

    Examples
    --------
    >>> stack, meta = read("cells.ome.tif")                               # doctest: +SKIP
    >>> clean = Denoiser.load("microscopy")(stack, meta=meta)             # doctest: +SKIP
    """

    info: WeightsInfo | None
    """None chooses bundled weights by the data."""
    device: str
    precision: str
    """float32 takes its place where its rounding would be more than 5 % of the noise."""
    automatic: bool = False
    """Whether `precision` was chosen for the user, who then is not told of that."""

    @classmethod
    def load(
        cls, name_or_path: str = "auto", device: str = "auto", precision: str = "auto"
    ) -> Denoiser:
        """Find weights by name or path.

        Parameters
        ----------
        name_or_path
            As `napari-denoise weights list` prints it, a .safetensors file, or "auto".
        device
            "auto", "cpu", "cuda", "cuda:1", "mps".
        precision
            "auto", "float32", "bfloat16", "float16".

        Raises
        ------
        ValueError
            The weights, the device or the precision cannot be used here.
        """
        info = None if name_or_path == "auto" else find_weights(name_or_path)
        chosen = choose_device(device)
        return cls(info, chosen, choose_precision(chosen, precision), precision == "auto")

    def prepare(
        self,
        array: Any,
        axes: str | None = None,
        features: Mapping[str, Any] | None = None,
        settings: DenoiseSettings | None = None,
        *,
        meta: ImageMeta | None = None,
        **fields: Any,
    ) -> StackJob:
        """Measure range and noise of a stack, and fix how it will be denoised.

        `preparing` does the same step by step.

        Parameters
        ----------
        array
            numpy, memmap, dask or zarr, of integers or floats.
        axes
            A letter per dimension, of T Z C Y X S; those of `meta` if None, and without it
            guessed, where a last axis of 3 or 4 after two long ones is colour.
        features
            "albedo" and "normal" of a render, of the colour's shape with three samples; used by
            weights that were made for them. Those of `meta` if None; {} leaves these out.
        settings, **fields
            `DenoiseSettings`, or single fields of it; `sigma_map`, `dark` and `gain_map` may be
            arrays of a frame's shape, too.
        meta
            What `read` gave beside the array: pass it wherever there is one. A file knows its
            axes, whether its colour is light, the albedo and normal beside it, and the bits of
            its camera; without it all of that is guessed from the pixels.

        Raises
        ------
        ValueError
            Axes, data, `meta` or settings do not fit each other.
        TypeError
            The data is not an array.
        """
        return finished(self.preparing(array, axes, features, settings, meta=meta, **fields))

    def preparing(
        self,
        array: Any,
        axes: str | None = None,
        features: Mapping[str, Any] | None = None,
        settings: DenoiseSettings | None = None,
        *,
        meta: ImageMeta | None = None,
        **fields: Any,
    ) -> Generator[Measuring | None, None, StackJob]:
        """Do as `prepare`, yielding after every frame looked at, so that it can be left."""
        _check_array(array)
        _check_fields(fields)
        arrays = _taken_arrays(fields)
        asked = _merge(settings, fields)
        stack = described(array, axes, features, meta)
        maps = _opened(asked, arrays, stack)
        info = self.info or find_weights(stack.weights(asked.mapping))
        asked = stack.settings_for(info.card, asked)
        known = _with_noise_of_file(asked)
        work = measure(array, stack.layout, info.card, known, bits=stack.bits, maps=maps)
        channels = yield from work
        precision = self._precision_for(channels)
        resolved = _merge(
            asked, {"weights": info.name, "device": self.device, "precision": precision}
        )
        engine = load_engine(info, resolved.realism, self.device, precision)
        guides = Features(stack.features, stack.layout) if stack.features else None
        notes = [*self._rounding(precision), *_tone_mapping(stack, info, self.info is not None)]
        albedo = None
        if guides is not None:
            albedo = yield from self._albedo(guides, info, resolved)
        fixed = stack.layout, resolved, channels, engine, info
        job = StackJob(array, *fixed, guides, tuple(notes), albedo)
        job.channels = yield from checked_channels(job)
        if (finer := self._precision_for(job.channels)) != precision:
            job.engine = load_engine(info, resolved.realism, self.device, finer)
            job.settings = _merge(resolved, {"precision": finer})
        faithful = load_engine(info, 0.0, self.device, finer)
        job.neighbors, job.why_alone = yield from neighbors_of(job, faithful)
        if stack.has_light_alpha and job.settings.alpha == "auto":
            job.alpha = yield from self._alpha(job, faithful)
        if job.neighbors is not None and not resolved.realism:
            job.neighbors.second = load_second_engine(info, self.device, finer)
        return job

    def _alpha(
        self, job: StackJob, faithful: Engine
    ) -> Generator[Measuring, None, StackJob | None]:
        alpha = AlphaAsLight(job.array, job.layout)
        channels = yield from measure_alpha(alpha, job.info.card)
        return alpha_job(alpha, channels, faithful, job.info, job.settings)

    def with_passes(
        self,
        array: Any,
        meta: ImageMeta,
        settings: DenoiseSettings | None = None,
        *,
        progress: Callable[[Step], object] | None = None,
        **fields: Any,
    ) -> tuple[NDArray[Any], ImageMeta]:
        """Denoise a render and its light passes so that they add up to it.

        Parts such as diffuse, specular and emission are simpler than the beauty, which becomes
        their sum. Light groups show all that the beauty does, with more noise: they are fitted to
        the denoised beauty.

        Parameters
        ----------
        array, meta
            As ``read(path, passes=True)`` gave them.
        settings, progress, **fields
            As for a call.

        Returns
        -------
        The beauty, and `meta` with the denoised passes as its layers: what `write` takes.

        Raises
        ------
        ValueError
            There are no passes, or they do not fit the beauty.
        """
        _check_fields(fields)
        job = finished(preparing_passes(self, array, meta, settings, **fields))
        output = np.empty(array.shape, job.dtype)
        layers = {name: np.empty((*array.shape[:-1], 3), np.float32) for name in job.names}
        try:
            for step in job.steps():
                if progress is not None:
                    progress(step)
                if step.index is not None:
                    output[step.index] = step.result
                    for name, part in step.layers.items():
                        layers[name][step.index] = part
        finally:
            job.let_go()
        warn_of(job.warnings)
        return output, replace(meta, layers=layers)

    def _albedo(
        self, guides: Features, info: WeightsInfo, settings: DenoiseSettings
    ) -> Generator[Measuring, None, StackJob | None]:
        channels = yield from measure_albedo(guides, info.card)
        if not channels:
            return None
        engine = load_engine(info, 0.0, self.device, self._precision_for(channels))
        return albedo_job(guides, channels, engine, info, settings.tile)

    def _rounding(self, used: str) -> Iterator[str]:
        if not self.automatic and used != self.precision:
            yield _rounds(self.precision)

    def _precision_for(self, channels: tuple[Channel, ...]) -> str:
        least = min((c.scale.sigma for c in channels if c.scale.sigma), default=1.0)
        return "float32" if least < FINEST_SIGMA[self.precision] else self.precision

    def frames(
        self,
        array: Any,
        axes: str | None = None,
        features: Mapping[str, Any] | None = None,
        settings: DenoiseSettings | None = None,
        *,
        meta: ImageMeta | None = None,
        progress: Callable[[Step], object] | None = None,
        **fields: Any,
    ) -> Iterator[tuple[Index, NDArray[Any]]]:
        """Yield ``(index, frame)`` in order; no more than a few frames are in memory.

        Parameters as for `prepare`; `progress` is called after every tile.

        Warns
        -----
        DenoiseWarning
            After the last frame, of all there is to know of the result.
        """
        job = self.prepare(array, axes, features, settings, meta=meta, **fields)
        yield from _frames(job, progress)
        warn_of(job.warnings)

    def __call__(
        self,
        array: Any,
        axes: str | None = None,
        features: Mapping[str, Any] | None = None,
        settings: DenoiseSettings | None = None,
        *,
        meta: ImageMeta | None = None,
        progress: Callable[[Step], object] | None = None,
        **fields: Any,
    ) -> NDArray[Any]:
        """Return the denoised stack, of the same shape and dtype.

        Parameters and warnings as for `frames`. The dtype is the data's own unless
        ``dtype="float32"`` asks for the other.
        """
        job = self.prepare(array, axes, features, settings, meta=meta, **fields)
        output = np.empty(array.shape, job.dtype)
        for index, frame in _frames(job, progress):
            output[index] = frame
        warn_of(job.warnings)
        return output


def _frames(
    job: StackJob, progress: Callable[[Step], object] | None
) -> Iterator[tuple[Index, NDArray[Any]]]:
    try:
        for step in job.steps():
            if progress is not None:
                progress(step)
            if step.index is not None and step.result is not None:
                yield step.index, step.result
    finally:
        job.let_go()


def _check_array(array: Any) -> None:
    if not (hasattr(array, "shape") and hasattr(array, "dtype")):
        raise TypeError(
            f"the data is a {type(array).__name__}: expected an array (numpy, dask, zarr); pass "
            "numpy.asarray(data), and for a file the array that read(path) gives"
        )
    if np.ma.is_masked(array):
        raise ValueError(
            f"the array masks {int(np.ma.getmaskarray(array).sum())} values, which would be used "
            "nevertheless: pass array.filled(numpy.nan), of floats, to have them replaced by "
            "their surroundings"
        )


def _check_fields(fields: Mapping[str, Any]) -> None:
    """Refuse what is fixed already and would go unheard."""
    for name in ("weights", "device", "precision", "engine"):
        if name in fields:
            raise ValueError(
                f"{name} = {fields[name]!r}: it is chosen when weights are loaded, with "
                "Denoiser.load(name_or_path, device, precision)"
            )


def _merge(settings: DenoiseSettings | None, fields: dict[str, Any]) -> DenoiseSettings:
    if not isinstance(settings, DenoiseSettings | None):
        raise TypeError(
            f"settings = {settings!r}: expected DenoiseSettings, for example "
            "DenoiseSettings.parse(values)"
        )
    if settings is None:
        return DenoiseSettings.parse(fields)
    return DenoiseSettings.parse({**vars(settings), **fields}) if fields else settings


def _taken_arrays(fields: dict[str, Any]) -> dict[str, Any]:
    """Take the maps that are arrays out of the fields; paths stay, as text."""
    arrays = {}
    for name in {*MAPS, "noise_from"} & set(fields):
        if isinstance(fields[name], PathLike):
            fields[name] = str(fields[name])
        elif name in MAPS and fields[name] is not None and not isinstance(fields[name], str):
            arrays[name] = fields.pop(name)
    return arrays


def _opened(
    asked: DenoiseSettings, arrays: Mapping[str, Any], stack: Described
) -> tuple[PixelMaps, ...]:
    if "sigma_map" in arrays:  # a path is checked with the settings
        replace(asked, sigma_map="array")
    given = {name: getattr(asked, name) for name in MAPS}
    return open_maps({**given, **arrays}, stack.layout)


def _with_noise_of_file(asked: DenoiseSettings) -> DenoiseSettings:
    """Put the noise that a file tells in the place of its name."""
    if asked.noise_from is None:
        return asked
    models = load_noise(asked.noise_from)
    noise = models[0] if len(models) == 1 else models
    return replace(asked, noise_from=None, noise=noise)


def _tone_mapping(stack: Described, info: WeightsInfo, chosen: bool) -> Iterator[str]:
    """Say what becomes of a render that was tone-mapped, by weights that somebody chose or not."""
    if info.card.domain == "microscopy" or not looks_tone_mapped(stack.array, stack.layout):
        return
    if info.card.domain == "photo":
        yield (
            "the noise looks like that of a tone-mapped render, whose grain weights for "
            "photographs leave in: if it is one, open its EXR, or choose the weights 'render'"
        )
    elif not chosen:
        yield (
            f"the noise looks like that of a tone-mapped render, so the weights {info.name!r} were "
            "chosen: its EXR would be denoised better, and a photograph with 'photo'"
        )


def _rounds(precision: str) -> str:
    return (
        f"{precision} would round by more than 5 % of this noise: float32 was used; choose it, or "
        "'auto', to see no such note"
    )
