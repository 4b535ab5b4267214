"""Maps that are given beside a stack: what is known of every pixel of its camera.

A map is (Y, X), for all frames alike, or (C, Y, X), one per channel. Maps are read in windows, as
the frames are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_denoise.image.axes import Index, Layout
from napari_denoise.image.tiles import Window
from napari_denoise.image.values import Float32Array
from napari_denoise.settings.denoise import MAPS

_POSITIVE = {
    "sigma_map": "a standard deviation is above 0",
    "gain_map": "pixels are divided by their gain",
}
_BAND = 1 << 22
"""Pixels of a map that are checked at once."""
_COMMON = 99
"""Percentile of a map of noise that is brought into the range of the network."""


@dataclass(frozen=True, eq=False)
class PixelMap:
    """One map, checked.

    Parameters
    ----------
    array
        (Y, X), or (C, Y, X).
    source
        Its file, or "array".
    digest
        sha256 of its values as float32.
    """

    array: Any
    source: str
    digest: str

    @classmethod
    def of(cls, name: str, given: Any, layout: Layout) -> PixelMap:
        """Open and check a map.

        Parameters
        ----------
        name
            "sigma_map", "dark" or "gain_map".
        given
            An array, or the path of an image.
        layout
            Of the stack that it belongs to.

        Raises
        ------
        ValueError
            Its shape is not that of the frames, or a value cannot be used (files: `FileError`
            where they cannot be read).
        """
        if isinstance(given, (str, PathLike)):
            source, array = str(given), _planes_of(given)
            label = f"{name} {source!r}"
        else:
            source, array, label = "array", np.asarray(given), name
        _check_shape(array, label, layout)
        found = sha256()
        for first, band in _bands(array):
            _check_values(band, first, label, _POSITIVE.get(name))
            found.update(band.astype(np.float32).tobytes())
        return cls(array, source, found.hexdigest())

    def window(self, channel: int, where: Window) -> Float32Array:
        """Read (Y, X) of a window, for one channel of the stack."""
        plane = self.array if self.array.ndim == 2 else self.array[channel]
        return np.asarray(plane[where]).astype(np.float32)

    def values(self, channel: int) -> Iterator[Float32Array]:
        """Yield all values for one channel, some rows at a time."""
        plane = self.array if self.array.ndim == 2 else self.array[channel]
        for _, band in _bands(plane):
            yield band.astype(np.float32)


@dataclass(frozen=True)
class PixelMaps:
    """What is given for one channel of a stack.

    Parameters
    ----------
    sigma
        Standard deviation of the noise at each pixel, in the data's units.
    dark
        What each pixel shows without light: subtracted first, and added to the result.
    gain
        What each pixel is divided by afterwards, and its result multiplied by.
    channel
        Position along C.
    """

    sigma: PixelMap | None = None
    dark: PixelMap | None = None
    gain: PixelMap | None = None
    channel: int = 0

    @property
    def calibrates(self) -> bool:
        """Whether pixels are brought to one scale before they are denoised."""
        return self.dark is not None or self.gain is not None

    def calibrated(self, planes: NDArray[Any], where: Window) -> NDArray[Any]:
        """Take offset and gain out of (..., Y, X) of a window; float32 unless nothing is given."""
        if not self.calibrates:
            return planes
        out = planes.astype(np.float32)
        if self.dark is not None:
            out -= self.dark.window(self.channel, where)
        if self.gain is not None:
            out /= self.gain.window(self.channel, where)
        return out

    def restored(self, planes: Float32Array, where: Window) -> Float32Array:
        """Bring (..., Y, X) of a window back to the data's units."""
        if self.gain is not None:
            planes = planes * self.gain.window(self.channel, where)
        if self.dark is not None:
            planes = planes + self.dark.window(self.channel, where)
        return planes

    def noise(self, where: Window) -> Float32Array:
        """(Y, X) standard deviations of a window, after offset and gain were taken out."""
        assert self.sigma is not None  # noqa: S101 - who asks knows that there is one
        sigma = self.sigma.window(self.channel, where)
        return sigma if self.gain is None else sigma / self.gain.window(self.channel, where)

    def noise_levels(self) -> tuple[float, float, float]:
        """Return root mean square, a high percentile and maximum of the standard deviations."""
        assert self.sigma is not None  # noqa: S101
        power, most, sampled, first = 0.0, 0.0, [], 0
        rows, columns = self.sigma.array.shape[-2:]
        for band in self.sigma.values(self.channel):
            where = slice(first, first + len(band)), slice(0, columns)
            noise, first = self.noise(where), first + len(band)
            power += float(np.square(noise, dtype=np.float64).sum())
            most = max(most, float(noise.max()))
            sampled.append(noise.ravel()[:: max(1, rows * columns // _BAND)])
        common = float(np.percentile(np.concatenate(sampled), _COMMON))
        return float(np.sqrt(power / (rows * columns))), common, most

    def stack(self, array: Any, layout: Layout) -> Any:
        """Return the stack as it is measured: itself, or with offset and gain taken out."""
        return Calibrated(array, layout, self) if self.calibrates else array

    def to_json(self) -> dict[str, dict[str, str]]:
        """Return source and hash of each map for the provenance."""
        given = {"sigma_map": self.sigma, "dark": self.dark, "gain_map": self.gain}
        return {
            name: {"source": one.source, "sha256": one.digest}
            for name, one in given.items()
            if one is not None
        }


NO_MAPS = PixelMaps()


class Calibrated:
    """Looks like a stack without offset and gain of its pixels; computes what is asked for."""

    def __init__(self, array: Any, layout: Layout, maps: PixelMaps) -> None:
        self._array, self._layout, self._maps = array, layout, maps
        self.shape, self.dtype = tuple(array.shape), np.dtype(np.float32)

    def __getitem__(self, index: Index) -> Float32Array:
        """Read a frame, or a window of one, in the data's own order of axes."""
        planes = np.asarray(self._array[index])
        asked = dict(zip(self._layout.axes, index, strict=True))
        rows, columns = (_whole(asked[letter], self._layout.size(letter)) for letter in "YX")
        turned = self._layout.frame_axes == "XY"
        made = self._maps.calibrated(planes.T if turned else planes, (rows, columns))
        return made.T if turned else made


def open_maps(given: Mapping[str, Any], layout: Layout) -> tuple[PixelMaps, ...]:
    """Open the maps of every channel of a stack; none where none are given.

    Parameters
    ----------
    given
        Arrays or paths, by the name of the setting; None counts as not given.
    layout
        Of the stack.

    Raises
    ------
    ValueError
        A map does not fit the stack, see `PixelMap.of`, or the stack has colour.
    """
    wanted = {name: given[name] for name in MAPS if given.get(name) is not None}
    if not wanted:
        return ()
    if "S" in layout.axes and (colour := sorted({"dark", "gain_map"} & set(wanted))):
        raise ValueError(
            f"{' and '.join(colour)}: offset and gain of single pixels are for gray frames of a "
            "camera, and the data has colour: take them out before it is made"
        )
    maps = {name: PixelMap.of(name, value, layout) for name, value in wanted.items()}
    sigma, dark, gain = (maps.get(name) for name in MAPS)
    return tuple(PixelMaps(sigma, dark, gain, number) for number in range(layout.size("C")))


def _planes_of(path: str | PathLike[str]) -> Any:
    """Read an image as (Y, X) or (C, Y, X); axes of length 1 are dropped."""
    from napari_denoise.io.read import read  # every format's library, and training needs none

    array, meta = read(str(path), sequence=False)
    keep = [n for n, letter in enumerate(meta.axes) if letter in "YX" or array.shape[n] > 1]
    letters = "".join(meta.axes[n] for n in keep)
    array = array[tuple(slice(None) if n in keep else 0 for n in range(len(array.shape)))]
    return array.T if letters == "XY" else array


def _check_shape(array: Any, label: str, layout: Layout) -> None:
    frame = layout.size("Y"), layout.size("X")
    channels = layout.size("C")
    shapes = [frame, (channels, *frame)] if channels > 1 else [frame]
    if np.dtype(array.dtype).kind not in "iuf":
        raise ValueError(f"{label} is of {array.dtype}: expected numbers")
    if tuple(array.shape) not in shapes:
        raise ValueError(
            f"{label} has shape {tuple(array.shape)}: expected {' or '.join(map(str, shapes))}, "
            "rows and columns of a frame; crop and bin it as the frames are"
        )


def _check_values(band: NDArray[Any], first: int, label: str, positive: str | None) -> None:
    bad, what, why = ~np.isfinite(band), "NaN or infinite", ""
    if not bad.any() and positive is not None:
        bad, what, why = band <= 0, "0 or less", f"; {positive}"
    if count := int(bad.sum()):
        row, column = np.argwhere(bad.any(axis=0) if bad.ndim == 3 else bad)[0]
        several = count > 1
        raise ValueError(
            f"{label}: {count} {'values are' if several else 'value is'} {what}, first in row "
            f"{first + row}, column {column}{why}: give {'each' if several else 'it'} a value, "
            "such as the median of its neighbours"
        )


def _bands(array: Any) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield rows of a map, not too many at once, each with the number of the first."""
    rows, columns = array.shape[-2:]
    step = max(1, _BAND // columns)
    for first in range(0, rows, step):
        yield first, np.asarray(array[..., first : first + step, :])


def _whole(entry: int | slice, length: int) -> slice:
    assert isinstance(entry, slice)  # noqa: S101 - a frame spans rows and columns
    return slice(*entry.indices(length)[:2])
