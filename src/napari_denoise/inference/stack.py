"""A stack, prepared once, denoised frame by frame and tile by tile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

import napari_denoise
from napari_denoise.engines.base import Engine, Estimate
from napari_denoise.engines.device import free_memory, is_out_of_memory, release_memory
from napari_denoise.image.axes import Index, Layout
from napari_denoise.image.planes import frame_order
from napari_denoise.image.tiles import Tile, Window, plan_tiles, recompute_factor, shape_of, within
from napari_denoise.image.values import Float32Array, restore_dtype
from napari_denoise.inference.albedo import guide_steps
from napari_denoise.inference.alpha import AlphaAsLight, alpha_steps
from napari_denoise.inference.frame_source import LargeFrame, WholeFrame, open_frame
from napari_denoise.inference.guides import Features
from napari_denoise.inference.neighbors import Neighbors
from napari_denoise.inference.notes import found_notes, unnoisy_notes
from napari_denoise.inference.steps import FrameWork, Step, TileStep
from napari_denoise.measure.channels import Channel
from napari_denoise.measure.mappings import Mapped, inverse_mean
from napari_denoise.settings.denoise import REALISM_NOTE, DenoiseSettings
from napari_denoise.settings.noise import NoiseModel
from napari_denoise.weights.catalogue import WeightsInfo

SMALLEST_TILE = 64
LARGEST_AUTO_TILE = {"cpu": 768, "cuda": 1024, "mps": 1024}
"""A CPU is faster per pixel on windows near its caches, and cancels sooner; beyond 1024 the
halo costs little anywhere."""
_NOT_FINITE = (
    "the weights {!r} give NaN or infinity for these data, in float32 too: choose other weights, "
    "or state the noise if the estimate is far off"
)


FEW_LEVELS = 2.0
"""Where integers hold less than this on average, their steps are as coarse as the image."""


@dataclass(frozen=True)
class Cost:
    """What a tile size means: memory at its peak, and pixels computed per pixel kept."""

    tile: int
    bytes: int
    recompute: float


class MeanSize:
    """Mean size of the values that have been denoised, added up as they come."""

    def __init__(self) -> None:
        self._sum, self._count = 0.0, 0

    def add(self, values: Float32Array) -> None:
        """Take values in."""
        self._sum += float(np.abs(values).sum(dtype=np.float64))
        self._count += values.size

    def count(self, total: float, number: int) -> None:
        """Take in what was counted elsewhere."""
        self._sum, self._count = self._sum + total, self._count + number

    @property
    def counted(self) -> tuple[float, int]:
        """Sum and number of the values so far."""
        return self._sum, self._count

    def __bool__(self) -> bool:
        """Whether there is anything."""
        return self._count > 0

    @property
    def value(self) -> float:
        """The mean so far."""
        return self._sum / max(self._count, 1)

    def is_below(self, level: float) -> bool:
        """Whether there is anything, and its mean is lower."""
        return bool(self) and self.value < level


class Tally(NamedTuple):
    """What a job counts while it denoises, to be told in the end."""

    levels: tuple[float, int]
    frames_used: tuple[float, int]
    nonfinite: dict[tuple[int, int, int], int]
    without_values: set[int]
    overflowed: set[tuple[int, int, int]]


class _Done(NamedTuple):
    """What a tile became.

    Parameters
    ----------
    pixels
        (C, Y, X) in the dtype of the result.
    variance
        Of their error, mapped units squared.
    frames_used
        (Y, X), how many frames they are made of.
    overflowed
        Whether it took float32 to hold them.
    """

    pixels: NDArray[Any]
    variance: Float32Array | None = None
    frames_used: Float32Array | None = None
    overflowed: bool = False


class StackJob:
    """A stack with its noise, mapping and engine fixed; denoises any part of it alike.

    Parameters
    ----------
    array
        numpy, memmap, dask or zarr; frames are read one by one and never written to.
    layout
        Its axes.
    settings
        As resolved.
    channels
        How each goes to the network and back.
    engine, info
        The network, and the weights it came from.
    features
        Albedo and normal of renders, for weights that take them.
    notes
        What the user should know before any frame is done.
    albedo
        From `albedo_job`: how the albedo is denoised before it guides; None leaves it as it is.
    neighbors
        What frames before and after add; None takes each frame by itself.
    """

    def __init__(
        self,
        array: Any,
        layout: Layout,
        settings: DenoiseSettings,
        channels: tuple[Channel, ...],
        engine: Engine,
        info: WeightsInfo,
        features: Features | None = None,
        notes: tuple[str, ...] = (),
        albedo: StackJob | None = None,
        neighbors: Neighbors | None = None,
    ) -> None:
        self.features, self._notes, self.albedo = features, notes, albedo
        self.neighbors = neighbors
        self.alpha: StackJob | None = None
        """From `alpha_job`: how the alpha of a render is denoised; None leaves it as it is."""
        self.why_alone = ""
        """Why frames are denoised by themselves although neighbours were asked for."""
        self.array, self.layout, self.settings = array, layout, settings
        self.engine, self.info = engine, info
        self.dtype = settings.result_dtype(array.dtype)
        self.channels = channels
        self._tile = self._auto_tile() if settings.tile == "auto" else int(settings.tile)
        self._nonfinite: dict[tuple[int, int, int], int] = {}
        self._without_values: set[int] = set()
        self._levels = MeanSize()
        self._overflowed: set[tuple[int, int, int]] = set()
        self._frames_used = MeanSize()

    def adjusted(
        self,
        *,
        strength: float,
        tile: Literal["auto"] | int,
        dtype: Literal["same", "float32"] | None = None,
    ) -> StackJob:
        """Return the same job with another strength, tile size and dtype of the result.

        Nothing is measured anew; a dtype of None stays.
        """
        settings = replace(
            self.settings, strength=strength, tile=tile, dtype=dtype or self.settings.dtype
        )
        albedo = self.albedo and self.albedo.adjusted(strength=1.0, tile=tile)
        fixed = self.channels, self.engine, self.info, self.features, self._notes, albedo
        made = StackJob(self.array, self.layout, settings, *fixed, self.neighbors)
        made.alpha = self.alpha and self.alpha.adjusted(strength=strength, tile=tile)
        made.why_alone = self.why_alone
        return made

    def alone(self) -> StackJob:
        """Return the same job with every frame by itself: half of the work, for a first look."""
        fixed = self.channels, self.engine, self.info, self.features, self._notes, self.albedo
        made = StackJob(self.array, self.layout, self.settings, *fixed)
        made.alpha = self.alpha
        return made

    def let_go(self) -> None:
        """Give memory back that only makes further frames faster; the job stays as it is."""
        if self.neighbors is not None:
            self.neighbors.let_go()

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know before any frame is done."""
        return self._notes

    @property
    def frames(self) -> tuple[Index, ...]:
        """An index per frame: `array[index]` is (Y, X), or (Y, X, S) for colour."""
        return self.layout.frames

    @property
    def noise(self) -> tuple[NoiseModel, ...]:
        """The noise of each channel, in the data's units."""
        return tuple(channel.noise for channel in self.channels)

    @property
    def leaves_all(self) -> bool:
        """Whether there is nothing to remove: the result is the data."""
        return all(map(self._leaves, self.channels))

    @property
    def frames_used(self) -> float | None:
        """How many frames the pixels denoised so far are made of on average; None without any."""
        return self._frames_used.value if self._frames_used else None

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of a frame."""
        return self.layout.size("Y"), self.layout.size("X")

    @property
    def tile_count(self) -> int:
        """Tiles of a frame, by the tile size in use."""
        return len(self._plan())

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know about the frames done so far."""
        found = [
            *([self.why_alone] if self.why_alone else []),
            *self._notes,
            *found_notes(self.channels),
            *unnoisy_notes(self.channels, self.settings),
        ]
        if count := sum(self._nonfinite.values()):
            found.append(
                f"{count} pixel{'s were' if count > 1 else ' was'} NaN or infinite: replaced by "
                "the median of the 5 x 5 around it, or of its frame where that holds no value"
            )
        if count := len(self._without_values):
            found.append(
                f"{count} of {len(self.frames)} frames held no finite pixel: left as "
                f"{'they are' if count > 1 else 'it is'}"
            )
        if count := len(self._overflowed):
            found.append(
                f"{count} tile{'s' if count > 1 else ''} overflowed in {self.engine.precision}: "
                "computed once more in float32; choose that to spare the time"
            )
        colors = min(self.layout.size("S") // 2 * 2 + 1, 3) if "S" in self.layout.axes else 1
        if self.engine.channels > 1 and colors == 1:
            found.append(
                f"the weights {self.info.name!r} are for colour; gray data is denoised better "
                "with 'microscopy'"
            )
        if self.features is not None and self.features.arrays and not self.engine.features:
            found.append(f"the weights {self.info.name!r} make no use of albedo and normal")
        if self.dtype.kind in "iu" and self._levels.is_below(FEW_LEVELS):
            found.append(
                f"the result is {self._levels.value:.2g} levels of {self.dtype} on average, and "
                "whole numbers hide most of it: choose float32 as the data type of the result "
                "(dtype = 'float32')"
            )
        return tuple(found)

    def tiles(self, which: Sequence[int] | None = None) -> Iterator[TileStep]:
        """Denoise frames tile by tile; memory for some tiles, if the array is read on demand.

        Where memory runs out, a frame begins anew with smaller tiles: pixels that were given
        before come again, the same.

        Parameters
        ----------
        which
            Numbers of the frames; all if None.

        Raises
        ------
        MemoryError
            Even the smallest tile does not fit.
        """
        numbers = range(len(self.frames)) if which is None else which
        for done, number in enumerate(numbers):
            begun = TileStep(done, len(numbers), 0, 1)
            yield from self._frame_tiles(number, begun, self._everywhere, counted=True)

    def into(self, target: Any, which: Sequence[int] | None = None) -> Iterator[TileStep]:
        """Denoise frames into an array of the stack's shape, yielding after every tile.

        Parameters
        ----------
        target
            Anything that takes ``target[place] = pixels``: numpy, memmap, zarr.
        which
            As for `tiles`.
        """
        for step in self.tiles(which):
            if step.pixels is not None:
                target[step.place] = step.pixels
            yield step

    def steps(self, which: Sequence[int] | None = None) -> Iterator[Step]:
        """Denoise frames, yielding after every tile; the last one carries the frame.

        Parameters and errors as for `tiles`.
        """
        numbers = range(len(self.frames)) if which is None else which
        for done, number in enumerate(numbers):
            begun = TileStep(done, len(numbers), 0, 1)
            yield from self._assembled(number, begun, self._everywhere, counted=True)

    def region(self, frame: int, y: slice, x: slice) -> NDArray[Any]:
        """Denoise a window of one frame: the pixels that `steps` would give there.

        Returns
        -------
        ndarray
            (Y, X), or (Y, X, S) for colour, in the dtype of the data.
        """
        rows, columns = (s.indices(n) for s, n in zip((y, x), self.size, strict=True))
        wanted = slice(rows[0], max(rows[:2])), slice(columns[0], max(columns[:2]))
        if 0 in shape_of(wanted):
            raise ValueError(f"region {y}, {x} of a frame of {self.size} holds no pixel")
        *_, last = self.region_steps(frame, wanted)
        return np.asarray(last.result)

    def region_steps(self, frame: int, wanted: Window, *, counted: bool = False) -> Iterator[Step]:
        """Denoise a window of one frame, yielding after every tile; the last step carries it.

        Parameters
        ----------
        frame, wanted
            Its number; rows and columns.
        counted
            Whether `warnings` are to tell of bad pixels in it: part of a result, not a preview.
        """
        yield from self._assembled(frame, TileStep(0, 1, 0, 1), wanted, counted=counted)

    def cost(self) -> Cost:
        """Memory and recomputation of the tile size in use."""
        tiles = self._plan()
        most = max(tile.pixels for tile in tiles)
        samples = self.layout.size("S") if self.engine.channels == 1 else 1
        size = most * self.engine.bytes_per_pixel * samples
        return Cost(self._tile, size, recompute_factor(tiles, self.size))

    def tally(self) -> Tally:
        """Return what was counted of the frames done so far, for another process to `add`."""
        levels, used = self._levels.counted, self._frames_used.counted
        bad = dict(self._nonfinite), set(self._without_values), set(self._overflowed)
        return Tally(levels, used, *bad)

    def add(self, tally: Tally) -> None:
        """Count what another process did of this stack."""
        self._levels.count(*tally.levels)
        self._frames_used.count(*tally.frames_used)
        self._nonfinite |= tally.nonfinite
        self._without_values |= tally.without_values
        self._overflowed |= tally.overflowed

    def provenance(self) -> dict[str, Any]:
        """Return all that is needed to repeat this, as JSON values."""
        note = {"note": REALISM_NOTE} if self.settings.realism else {}
        return note | {
            "weights": self.info.name,
            "weights_sha256": self.info.sha256,
            "settings": self.settings.to_json(),
            "channels": [channel.to_json() for channel in self.channels],
            "features": sorted(self.features.arrays) if self.features else [],
            **({"albedo": [c.to_json() for c in self.albedo.channels]} if self.albedo else {}),
            **({"alpha": [c.to_json() for c in self.alpha.channels]} if self.alpha else {}),
            **self.neighbors_note(),
            "tile": self._tile,
            "device": self.engine.device,
            "precision": self.engine.precision,
            "version": napari_denoise.__version__,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
        }

    def neighbors_note(self) -> dict[str, Any]:
        """Return what the provenance says of neighbours, with how many were used so far."""
        if self.neighbors is None:
            return {}
        used = self.frames_used
        return {
            "neighbors": {
                "along": self.neighbors.letter,
                "each_side": self.neighbors.radius,
                "most": self.neighbors.most,
                **({} if used is None else {"frames_used": round(used, 3)}),
            }
        }

    @property
    def _everywhere(self) -> Window:
        return slice(0, self.size[0]), slice(0, self.size[1])

    def _assembled(
        self, number: int, begun: TileStep, wanted: Window, *, counted: bool
    ) -> Iterator[Step]:
        """Put the tiles of a window together."""
        rows, columns = shape_of(wanted)
        sizes = {"Y": rows, "X": columns, "S": self.layout.size("S")}
        output = np.empty([sizes[letter] for letter in self.layout.frame_axes], self.dtype)
        used: Float32Array | None = None
        for step in self._frame_tiles(number, begun, wanted, counted=counted):
            if step.pixels is not None and step.window is not None:
                where = within(step.window, wanted)
                _cut(output, where, self.layout)[...] = step.pixels
                if step.frames_used is not None:
                    used = np.ones((rows, columns), np.float32) if used is None else used
                    used[where] = step.frames_used
            counts = step.frame, step.frames, step.tile, step.tiles
            if step.ends_frame:
                yield Step(*counts, self.frames[number], output, used)
            else:
                yield Step(*counts)

    def _frame_tiles(
        self, number: int, begun: TileStep, wanted: Window, *, counted: bool
    ) -> Iterator[TileStep]:
        """Denoise one frame; start it again with smaller tiles when memory runs out."""
        while True:
            try:
                yield from self._attempt(number, begun, wanted, counted)
                return
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                self._shrink(error)

    def _shrink(self, error: BaseException) -> None:
        release_memory(self.engine.device)
        largest = max(self.size)
        if self._tile <= SMALLEST_TILE:
            raise MemoryError(
                f"a tile of {self._tile} pixels does not fit into the memory of "
                f"{self.engine.device} ({free_memory(self.engine.device) / 2**20:.0f} MiB "
                "free): close other programs, or choose the device 'cpu'"
            ) from error
        self._tile = max(SMALLEST_TILE, min(self._tile, largest) // 2)

    def _attempt(
        self, number: int, begun: TileStep, wanted: Window, counted: bool
    ) -> Iterator[TileStep]:
        index = self.frames[number]
        channel = self.channels[self.layout.channel_of(number)]
        frame = open_frame(self.array, self.layout, index, channel)
        if frame.empty or frame.blank:
            if counted and frame.empty:
                self._without_values.add(number)
            raw = np.asarray(self.array[self.layout.window(index, wanted)]).astype(self.dtype)
            yield self._done(replace(begun, tile=1, tiles=1), index, wanted, raw)
            return
        plan = self._plan(wanted)
        # A frame that is not held is read tile by tile, and so is what guides it.
        groups = [(tile,) for tile in plan] if frame.large else [plan]
        guided = self.features and self.engine.features and not self._leaves(channel)
        fusing = None if self._leaves(channel) else self.neighbors
        albedo = self.albedo if guided and not fusing else None
        before = sum(len(albedo._plan(_hull(group))) for group in groups) if albedo else 0
        if fusing:
            before = fusing.missing(number, _hull(plan))
        work = FrameWork(begun, len(plan), before + len(plan) * (self.alpha is not None))
        for group in groups:
            read, guides = _hull(group), None
            if fusing:
                for _ in fusing.steps(number, read):
                    yield work.prepared()
                guides = fusing.guides(number, read)
            elif self.features and guided:
                for part in guide_steps(self.features, albedo, number, read):
                    guides = part.result
                    if albedo is not None:
                        yield work.prepared()
            for tile in group:
                near = None if guides is None else guides[:, *within(tile.read, read)]
                done = self._denoise(number, frame, channel, tile, near, counted)
                colors = done.pixels
                alpha = frame.alpha(tile.write)
                if self.alpha is not None:
                    for covered in alpha_steps(self.alpha, number, tile.write):
                        alpha = alpha if covered.result is None else covered.result
                        yield work.prepared()
                planes = colors
                if alpha is not None:
                    planes = np.concatenate([colors, alpha.astype(self.dtype, copy=False)])
                if counted:
                    corner = tile.write[0].start, tile.write[1].start
                    if done.overflowed:
                        self._overflowed.add((number, *corner))
                    self._nonfinite[number, *(corner if frame.large else (0, 0))] = frame.bad
                    if fusing:
                        alone = np.ones(shape_of(tile.write), np.float32)
                        used = alone if done.frames_used is None else done.frames_used
                        self._frames_used.add(used)
                step = replace(work.written(), variance=done.variance, frames_used=done.frames_used)
                yield self._done(step, index, tile.write, frame_order(planes, self.layout))

    def _done(self, step: TileStep, index: Index, window: Window, pixels: NDArray[Any]) -> TileStep:
        place = self.layout.window(index, window)
        return replace(step, window=window, place=place, pixels=pixels)

    def _leaves(self, channel: Channel) -> bool:
        """Whether there is nothing to remove: every value stays as it is."""
        return channel.scale.sigma == 0 or self.settings.strength == 0

    def estimate(
        self,
        mapped: Mapped,
        sigma: Float32Array,
        guides: Float32Array | None,
        tile: Tile,
        engine: Engine,
    ) -> tuple[Estimate, bool]:
        """Run a network on a window, once more in float32 where its precision cannot hold it."""
        estimate = engine.run(mapped, sigma, guides, tile.keep)
        if _is_finite(estimate):
            return estimate, False
        estimate = engine.in_float32().run(mapped, sigma, guides, tile.keep)
        if not _is_finite(estimate):
            raise ValueError(_NOT_FINITE.format(self.info.name))
        return estimate, True

    def _denoise(
        self,
        number: int,
        frame: WholeFrame | LargeFrame,
        channel: Channel,
        tile: Tile,
        guides: Float32Array | None,
        counted: bool,
    ) -> _Done:
        """Denoise the part of (C, Y, X) that a tile writes."""
        window, original, outliers, fill, _ = frame.part(tile)
        if self._leaves(channel):
            return _Done(original.astype(self.dtype, copy=False))
        sigma = channel.sigma_map(*window.shape[1:], where=tile.read)
        fused = self.neighbors.fused(number, tile.read) if self.neighbors else None
        if fused is None:
            mapped = channel.to_network(window)
        else:
            mapped, sigma = Mapped(fused.values), sigma * fused.noise
        engine = self.engine
        if fused is not None and self.neighbors and (second := self.neighbors.second_of(channel)):
            if len(fused.values) == second.channels:
                engine, guides = second, fused.alone
        estimate, overflowed = self.estimate(mapped, sigma, guides, tile, engine)
        mean, variance = channel.from_network(*estimate)
        clean = channel.maps.restored(inverse_mean(channel.mapping, mean, variance), tile.write)
        if channel.positive and self.dtype.kind == "f":
            np.maximum(clean, 0, out=clean, where=original >= 0)
        if self.settings.strength < 1:
            noisy = original.astype(np.float32)
            clean = noisy + np.float32(self.settings.strength) * (clean - noisy)
        if channel.largest is not None:  # higher ones in the data say that it is not the largest
            clean = np.minimum(clean, np.maximum(original, np.float32(channel.largest)))
        if counted:
            self._levels.add(clean)
        result = restore_dtype(clean, self.dtype)
        if channel.keep and outliers.any():
            result = np.where(outliers, original.astype(self.dtype), result)
        if fill is not None and fill.any():
            result = np.where(fill, original.astype(self.dtype), result)
        used = None if fused is None else fused.frames[tile.keep]
        return _Done(result, variance, used, overflowed)

    def _plan(self, region: Window | None = None) -> tuple[Tile, ...]:
        multiple = self.engine.multiple
        tile = max(self._tile, multiple)
        return plan_tiles(self.size, tile, self.engine.halo, multiple, region)

    def _auto_tile(self) -> int:
        """Return the largest tile that fits half of the free memory."""
        free = free_memory(self.engine.device)
        samples = self.layout.size("S") if self.engine.channels == 1 else 1
        pixels = free / 2 / (self.engine.bytes_per_pixel * samples)
        side = int(pixels**0.5) - 2 * self.engine.halo
        tile = LARGEST_AUTO_TILE[self.engine.device.partition(":")[0]]
        while tile > max(side, SMALLEST_TILE):
            tile = max(tile // 2, SMALLEST_TILE)
        return tile


def albedo_job(
    features: Features,
    channels: tuple[Channel, ...],
    engine: Engine,
    info: WeightsInfo,
    tile: Literal["auto"] | int = "auto",
) -> StackJob | None:
    """Fix how the albedo beside a render is denoised: as a render by itself.

    Parameters
    ----------
    features
        With the albedo.
    channels
        From `measure_albedo`; empty ones give None.
    engine, info
        The faithful end: what a realistic one adds to an albedo would be added to the render.
    tile
        As in `DenoiseSettings`.
    """
    if not channels:
        return None
    albedo, settings = features.arrays["albedo"], DenoiseSettings(tile=tile)
    return StackJob(albedo, features.layout, settings, channels, engine, info)


def alpha_job(
    alpha: AlphaAsLight,
    channels: tuple[Channel, ...],
    engine: Engine,
    info: WeightsInfo,
    settings: DenoiseSettings,
) -> StackJob | None:
    """Fix how the alpha of a render is denoised: as light, each frame by itself.

    Parameters
    ----------
    alpha
        Of the stack.
    channels
        From `measure_alpha`; empty ones give None.
    engine, info
        The faithful end: alpha has no texture to make up.
    settings
        Of the colour.
    """
    if not channels:
        return None
    kept = DenoiseSettings(strength=settings.strength, tile=settings.tile, dtype=settings.dtype)
    return StackJob(alpha, alpha.layout, kept, channels, engine, info)


def _is_finite(estimate: Estimate) -> bool:
    return all(part is None or bool(np.isfinite(part).all()) for part in estimate)


def _hull(tiles: Iterable[Tile]) -> Window:
    """Return the least window that holds all that the tiles read."""
    rows, columns = zip(*(tile.read for tile in tiles), strict=True)
    return _span(rows), _span(columns)


def _span(parts: Sequence[slice]) -> slice:
    return slice(min(part.start for part in parts), max(part.stop for part in parts))


def _cut(frame: NDArray[Any], window: Window, layout: Layout) -> NDArray[Any]:
    """Cut a window out of a frame in the data's own order of axes."""
    parts = {"Y": window[0], "X": window[1]}
    return frame[tuple(parts.get(letter, slice(None)) for letter in layout.frame_axes)]
