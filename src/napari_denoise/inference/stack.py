"""A stack, prepared once, denoised frame by frame and tile by tile."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import napari_denoise
from napari_denoise.engines.base import Engine, Estimate
from napari_denoise.engines.device import free_memory, is_out_of_memory, release_memory
from napari_denoise.image.axes import Index, Layout
from napari_denoise.image.planes import frame_order
from napari_denoise.image.tiles import Tile, Window, plan_tiles, recompute_factor
from napari_denoise.image.values import Float32Array, restore_dtype
from napari_denoise.inference.frame_source import LargeFrame, WholeFrame, open_frame
from napari_denoise.inference.guides import Features
from napari_denoise.measure.channels import Channel, Measuring, measure
from napari_denoise.measure.mappings import inverse_mean
from napari_denoise.settings.denoise import REALISM_NOTE, DenoiseSettings
from napari_denoise.settings.noise import NoiseModel
from napari_denoise.weights.card import WeightsCard
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
class Step:
    """One tile is done; the last tile of a frame carries the frame."""

    frame: int
    """Frames finished before this one."""
    frames: int
    tile: int
    """Tiles of this frame that are done."""
    tiles: int
    index: Index | None = None
    """Where the finished frame stands in the stack; None between."""
    result: NDArray[Any] | None = None

    @property
    def fraction(self) -> float:
        """Share of all work that is done, 0 to 1."""
        return (self.frame + self.tile / self.tiles) / self.frames


@dataclass(frozen=True, eq=False)
class TileStep:
    """One tile is done: its pixels, where they belong, and how far the work is.

    A tile of the albedo beside a render is work too, and carries no pixels.
    """

    frame: int
    """Frames finished before this one."""
    frames: int
    tile: int
    """Tiles of this frame that are done."""
    tiles: int
    window: Window | None = None
    """Rows and columns of the frame."""
    place: Index | None = None
    """The same in the stack: ``out[place] = pixels``."""
    pixels: NDArray[Any] | None = None
    """In the data's dtype and order of axes."""
    variance: Float32Array | None = None
    """(C, Y, X) of the error that the network states, in mapped units squared."""

    @property
    def ends_frame(self) -> bool:
        """Whether the frame is whole now."""
        return self.tile == self.tiles


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

    @property
    def value(self) -> float:
        """The mean so far."""
        return self._sum / max(self._count, 1)

    def is_below(self, level: float) -> bool:
        """Whether there is anything, and its mean is lower."""
        return self._count > 0 and self.value < level


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
    ) -> None:
        self.features, self._notes, self.albedo = features, notes, albedo
        self.array, self.layout, self.settings = array, layout, settings
        self.engine, self.info = engine, info
        self.dtype = settings.result_dtype(array.dtype)
        self.channels = channels
        self._tile = self._auto_tile() if settings.tile == "auto" else int(settings.tile)
        self._nonfinite: dict[tuple[int, int, int], int] = {}
        self._without_values: set[int] = set()
        self._levels = MeanSize()
        self._overflowed: set[tuple[int, int, int]] = set()
        self._exact: Engine | None = None

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
        return StackJob(self.array, self.layout, settings, *fixed)

    @property
    def frames(self) -> tuple[Index, ...]:
        """An index per frame: `array[index]` is (Y, X), or (Y, X, S) for colour."""
        return self.layout.frames

    @property
    def noise(self) -> tuple[NoiseModel, ...]:
        """The noise of each channel, in the data's units."""
        return tuple(channel.noise for channel in self.channels)

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
        found = [*self._notes, *_found(self.channels), *_unnoisy(self.channels, self.settings)]
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
        if 0 in _shape(wanted):
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
            "tile": self._tile,
            "device": self.engine.device,
            "precision": self.engine.precision,
            "version": napari_denoise.__version__,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
        }

    @property
    def _everywhere(self) -> Window:
        return slice(0, self.size[0]), slice(0, self.size[1])

    def _assembled(
        self, number: int, begun: TileStep, wanted: Window, *, counted: bool
    ) -> Iterator[Step]:
        """Put the tiles of a window together."""
        rows, columns = _shape(wanted)
        sizes = {"Y": rows, "X": columns, "S": self.layout.size("S")}
        output = np.empty([sizes[letter] for letter in self.layout.frame_axes], self.dtype)
        for step in self._frame_tiles(number, begun, wanted, counted=counted):
            if step.pixels is not None and step.window is not None:
                _cut(output, _within(step.window, wanted), self.layout)[...] = step.pixels
            counts = step.frame, step.frames, step.tile, step.tiles
            yield Step(*counts, self.frames[number], output) if step.ends_frame else Step(*counts)

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
        albedo = self.albedo if guided else None
        before = [len(albedo._plan(_hull(group))) if albedo else 0 for group in groups]
        count, total = 0, len(plan) + sum(before)
        for group in groups:
            read, guides = _hull(group), None
            if self.features and guided:
                for part in guide_steps(self.features, albedo, number, read):
                    guides = part.result
                    if albedo is not None:
                        count += 1
                        total = max(total, count + len(group))
                        yield replace(begun, tile=count, tiles=total)
            for tile in group:
                count += 1
                near = None if guides is None else guides[:, *_within(tile.read, read)]
                colors, variance, again = self._denoise(frame, channel, tile, near, counted)
                alpha = frame.alpha(tile.write)
                planes = colors
                if alpha is not None:
                    planes = np.concatenate([colors, alpha.astype(self.dtype, copy=False)])
                if counted:
                    corner = tile.write[0].start, tile.write[1].start
                    if again:
                        self._overflowed.add((number, *corner))
                    self._nonfinite[number, *(corner if frame.large else (0, 0))] = frame.bad
                step = replace(begun, tile=count, tiles=total, variance=variance)
                yield self._done(step, index, tile.write, frame_order(planes, self.layout))

    def _done(self, step: TileStep, index: Index, window: Window, pixels: NDArray[Any]) -> TileStep:
        place = self.layout.window(index, window)
        return replace(step, window=window, place=place, pixels=pixels)

    def _leaves(self, channel: Channel) -> bool:
        """Whether there is nothing to remove: every value stays as it is."""
        return channel.scale.sigma == 0 or self.settings.strength == 0

    def _denoise(
        self,
        frame: WholeFrame | LargeFrame,
        channel: Channel,
        tile: Tile,
        guides: Float32Array | None,
        counted: bool,
    ) -> tuple[NDArray[Any], Float32Array | None, bool]:
        """Denoise the part of (C, Y, X) that a tile writes.

        Returns
        -------
        Its pixels, the variance of their error, and whether it took float32 to hold them.
        """
        window, original, outliers, fill = frame.part(tile)
        if self._leaves(channel):
            return original.astype(self.dtype, copy=False), None, False
        sigma = channel.sigma_map(*window.shape[1:], where=tile.read)
        mapped = channel.to_network(window)
        estimate = self.engine.run(mapped, sigma, guides, tile.keep)
        overflowed = not _is_finite(estimate)
        if overflowed:
            estimate = self._in_float32().run(mapped, sigma, guides, tile.keep)
            if not _is_finite(estimate):
                raise ValueError(_NOT_FINITE.format(self.info.name))
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
        return result, variance, overflowed

    def _in_float32(self) -> Engine:
        """Return the engine for tiles that another precision cannot hold, made once."""
        self._exact = self._exact or self.engine.in_float32()
        return self._exact

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


def _is_finite(estimate: Estimate) -> bool:
    return all(part is None or bool(np.isfinite(part).all()) for part in estimate)


def _hull(tiles: Iterable[Tile]) -> Window:
    """Return the least window that holds all that the tiles read."""
    rows, columns = zip(*(tile.read for tile in tiles), strict=True)
    return _span(rows), _span(columns)


def _span(parts: Sequence[slice]) -> slice:
    return slice(min(part.start for part in parts), max(part.stop for part in parts))


def _shape(window: Window) -> tuple[int, int]:
    return window[0].stop - window[0].start, window[1].stop - window[1].start


def _within(inner: Window, outer: Window) -> Window:
    """Return a window as counted from the corner of one that holds it."""
    rows, columns = (
        slice(part.start - whole.start, part.stop - whole.start)
        for part, whole in zip(inner, outer, strict=True)
    )
    return rows, columns


def _found(channels: tuple[Channel, ...]) -> list[str]:
    """Say what was found in the channels; once, where all say the same."""
    if len({channel.notes for channel in channels}) == 1:
        return list(channels[0].notes)
    return [f"channel {n}: {text}" for n, c in enumerate(channels) for text in c.notes]


def _unnoisy(channels: tuple[Channel, ...], settings: DenoiseSettings) -> list[str]:
    """Name the channels that stay unchanged although their noise was looked for, or given."""
    wanted = settings.noise if isinstance(settings.noise, tuple) else (settings.noise,)
    asked = [wanted[number % len(wanted)] for number in range(len(channels))]
    left = [number for number, channel in enumerate(channels) if channel.scale.sigma == 0]
    looked = [number for number in left if asked[number] == "auto"]
    given = [number for number in left if asked[number] not in ("auto", 0, NoiseModel())]
    said = []
    if looked:
        said.append(
            f"no noise was found in {_places(looked, channels)}: {_stay(looked)}; if there is "
            "noise, state it (noise = its standard deviation, in the data's units)"
        )
    if given:
        said.append(
            f"the noise that was given is none at the intensities of {_places(given, channels)}: "
            f"{_stay(given)}; look at its offset"
        )
    return said


def _places(numbers: Sequence[int], channels: Sequence[Channel]) -> str:
    if len(channels) == 1:
        return "the data"
    several = "s" if numbers[1:] else ""
    return f"channel{several} {', '.join(map(str, numbers))} of {len(channels)}, counted from 0"


def _stay(numbers: Sequence[int]) -> str:
    it = "they are" if numbers[1:] else "it is"
    return f"{it} returned as {it}"


def _cut(frame: NDArray[Any], window: Window, layout: Layout) -> NDArray[Any]:
    """Cut a window out of a frame in the data's own order of axes."""
    parts = {"Y": window[0], "X": window[1]}
    return frame[tuple(parts.get(letter, slice(None)) for letter in layout.frame_axes)]
