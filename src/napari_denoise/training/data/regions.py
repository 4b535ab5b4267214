"""Regions of an image to train on and to validate on: drawn, read from JSON, or made up."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass as plain_dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from napari_denoise.io.atomic import replacing
from napari_denoise.settings.base import STRICT, Settings
from napari_denoise.settings.files import read_json

Mask = NDArray[np.bool_]
Point = tuple[float, float]
_VERSION = 1
_HELD_OUT = 0.25
"""Share of the longer side that is held out where nobody drew anything."""
_LEAST = 16
"""Least width of what is held out, pixels."""


@dataclass(frozen=True, config=STRICT)
class Region(Settings):
    """A rectangle, a polygon, or all of a frame.

    Rows and columns are counted from the upper left corner of the image: the centre of its
    first pixel is (0.5, 0.5), and a rectangle (0, 0, 64, 32) holds 64 rows and 32 columns.
    """

    kind: Literal["train", "validate"]
    rectangle: tuple[float, float, float, float] | None = None
    """First row, first column, end of rows, end of columns."""
    polygon: tuple[Point, ...] | None = None
    """Corners (row, column), at least three."""
    frame: Annotated[int, Field(ge=0)] | None = None
    """Number of the frame of a stack; None for every frame."""
    pair: str | None = None
    """Name of the pair; None for every pair."""

    @model_validator(mode="after")
    def _one_shape(self) -> Self:
        if self.rectangle is not None and self.polygon is not None:
            raise ValueError("a region has a rectangle or a polygon, not both")
        if self.rectangle is not None:
            top, left, bottom, right = self.rectangle
            if not (top < bottom and left < right):
                raise ValueError(
                    f"rectangle {self.rectangle}: expected first row, first column, end of rows, "
                    "end of columns"
                )
        if self.polygon is not None and len(self.polygon) < 3:
            raise ValueError(f"polygon {self.polygon}: expected at least 3 corners")
        return self

    def applies_to(self, pair: str, frame: int) -> bool:
        """Whether it was drawn on a frame of a pair."""
        return self.pair in (None, pair) and self.frame in (None, frame)

    def mask(self, shape: tuple[int, int]) -> Mask:
        """Mark the pixels whose centre lies in it."""
        if self.rectangle is not None:
            top, left, bottom, right = self.rectangle
            rows, columns = (np.arange(length) + 0.5 for length in shape)
            inside = (rows >= top) & (rows < bottom)
            return np.asarray(inside[:, None] & ((columns >= left) & (columns < right)))
        if self.polygon is not None:
            from skimage.draw import polygon2mask

            return np.asarray(polygon2mask(shape, np.array(self.polygon) - 0.5), bool)
        return np.ones(shape, bool)


@dataclass(frozen=True, config=STRICT)
class Regions(Settings):
    """All regions of a fine-tuning."""

    _nested: ClassVar[bool] = True

    regions: tuple[Region, ...] = ()
    napari_denoise_regions: int = _VERSION


def read_regions(path: Path) -> Regions:
    """Read regions from JSON.

    Raises
    ------
    ValueError
        It is not JSON, or no regions; names the field.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: there is no such file; save regions from the widget first"
        )
    values = read_json(path, "save the regions again")
    if not isinstance(values, dict) or "regions" not in values:
        raise ValueError(f'{path}: no regions; expected {{"regions": [{{"kind": "train", ...}}]}}')
    try:
        return Regions.parse(values)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def write_regions(path: Path, regions: Regions, *, overwrite: bool = True) -> None:
    """Write regions as JSON, whole or not at all."""
    values = regions.to_json()
    values["regions"] = [{k: v for k, v in r.items() if v is not None} for r in values["regions"]]
    with replacing([path], overwrite=overwrite) as (new,):
        new.write_text(json.dumps(values, indent=2), encoding="utf-8")


@plain_dataclass(frozen=True)
class Place:
    """A frame, as regions know it.

    Parameters
    ----------
    pair, frame
        Name of the pair, and number of the frame in it.
    shape
        Rows and columns.
    scene
        Frames of one scene have the same content but for noise: what is held out of one is
        held out of all.
    whole
        Where no region to validate on is drawn: whether all of it is held out; None for a part.
    """

    pair: str
    frame: int
    shape: tuple[int, int]
    scene: str
    whole: bool | None = None


@plain_dataclass(frozen=True)
class Split:
    """Pixels of a frame to train on and to validate on; none is both.

    Parameters
    ----------
    train, validate
        What they say.
    closed
        Held out here or in another frame of the same scene: nothing may be learnt of it.
    trimmed
        Pixels drawn as training that were left out because they are closed.
    """

    train: Mask
    validate: Mask
    closed: Mask
    trimmed: int = 0


def split(places: Sequence[Place], regions: Regions) -> list[Split]:
    """Part every frame into pixels to train on, to validate on, and neither.

    Where training regions are drawn, nothing else is trained on. Where no region to validate
    on is drawn, the end of what is trained on is held out, a quarter along the longer side.

    Raises
    ------
    ValueError
        A region names a pair or a frame that there is not, or lies outside of it.
    """
    _check_names(places, regions.regions)
    train = [_union(place, regions.regions, "train") for place in places]
    drawn = any(region.kind == "train" for region in regions.regions)
    if not drawn:
        train = [np.ones(place.shape, bool) for place in places]
    if any(region.kind == "validate" for region in regions.regions):
        validate = [_union(place, regions.regions, "validate") for place in places]
    else:
        validate = [
            held_out(mask) if place.whole is None else mask & place.whole
            for place, mask in zip(places, train, strict=True)
        ]
    scenes: dict[tuple[str, tuple[int, int]], Mask] = {}
    for place, mask in zip(places, validate, strict=True):
        key = place.scene, place.shape
        scenes[key] = scenes[key] | mask if key in scenes else mask
    done = []
    explicit = drawn and any(region.kind == "validate" for region in regions.regions)
    for place, wanted, own in zip(places, train, validate, strict=True):
        kept = scenes[place.scene, place.shape]
        trimmed = int((wanted & kept).sum()) if explicit else 0  # else nobody drew it to train on
        done.append(Split(wanted & ~kept, own, kept, trimmed))
    return done


def held_out(train: Mask) -> Mask:
    """Take the end of a training area, along the longer side of its bounding box."""
    kept = np.zeros_like(train)
    box = bounding_box(train)
    if box is None:
        return kept
    (top, bottom), (left, right) = ((part.start, part.stop) for part in box)
    if right - left >= bottom - top:
        kept[:, right - _width(right - left) : right] = True
    else:
        kept[bottom - _width(bottom - top) : bottom] = True
    return kept & train


def _width(length: int) -> int:
    """In multiples of 4, so that the rest is one as well where the image is."""
    return min(max(int(length * _HELD_OUT) // 4 * 4, _LEAST), length)


def bounding_box(mask: Mask) -> tuple[slice, slice] | None:
    """Rows and columns that hold all of a mask; None if it is empty."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def largest_rectangle(mask: Mask, grid: int = 8) -> tuple[slice, slice] | None:
    """Find the largest rectangle of marked pixels, to within a grid; None if there is none."""
    step = grid if min(mask.shape) >= 4 * grid else 1
    rows, columns = (-(-length // step) for length in mask.shape)
    padded = np.ones((rows * step, columns * step), bool)
    padded[: mask.shape[0], : mask.shape[1]] = mask
    cells: Mask = np.asarray(padded.reshape(rows, step, columns, step).all(axis=(1, 3)))
    best, place = 0, None
    heights = np.zeros(columns, int)
    for row in range(rows):
        heights = np.where(cells[row], heights + 1, 0)
        for height in np.unique(heights[heights > 0]):
            start, length = _longest_run(np.asarray(heights >= height))
            if length * height > best:
                best, place = length * int(height), (row - int(height) + 1, row + 1, start, length)
    if place is None:
        return None
    first, end, start, length = place
    return (
        slice(first * step, min(end * step, mask.shape[0])),
        slice(start * step, min((start + length) * step, mask.shape[1])),
    )


def _longest_run(marked: Mask) -> tuple[int, int]:
    """Start and length of the longest run of True."""
    padded = np.concatenate([[0], marked.astype(np.int8), [0]])
    edges = np.flatnonzero(np.diff(padded)).tolist()  # they come in twos: start and end
    runs = [(end - start, start) for start, end in zip(edges[::2], edges[1::2], strict=True)]
    length, start = max(runs)
    return int(start), int(length)


def _union(place: Place, regions: Iterable[Region], kind: str) -> Mask:
    mask = np.zeros(place.shape, bool)
    for region in regions:
        if region.kind == kind and region.applies_to(place.pair, place.frame):
            mask |= region.mask(place.shape)
    return mask


def _check_names(places: Sequence[Place], regions: Iterable[Region]) -> None:
    for region in regions:
        found = [place for place in places if region.applies_to(place.pair, place.frame)]
        if not found:
            names = ", ".join(sorted({repr(place.pair) for place in places}))
            raise ValueError(
                f"a region to {region.kind} is drawn on pair {region.pair!r}, frame "
                f"{region.frame}: there is none; the pairs are {names}"
            )
        if not any(region.mask(place.shape).any() for place in found):
            raise ValueError(
                f"a region to {region.kind}, {region.rectangle or region.polygon}, holds no pixel "
                f"of the image of {found[0].shape[0]} x {found[0].shape[1]}: draw it inside"
            )
