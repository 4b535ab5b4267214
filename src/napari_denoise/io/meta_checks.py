"""Whether what a file says of its image can be true; what cannot is dropped, and that is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields as fields_of
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Base64Bytes, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from napari_denoise.io.errors import ReadWarning, say
from napari_denoise.io.meta import SIGNIFICANT_BITS, ImageMeta
from napari_denoise.settings.problems import rule_of
from napari_denoise.settings.text import printable, shown

_LONGEST_NAME, _LONGEST_UNIT = 1000, 64


def _seen(text: str) -> str:
    if printable(text) != text:
        raise ValueError("expected no control characters")
    return text


def _rising(limits: tuple[float, float]) -> tuple[float, float]:
    if not limits[0] < limits[1]:
        raise ValueError("expected the lower limit below the upper one")
    return limits


Size = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Unit = Annotated[
    str, Field(strict=True, min_length=1, max_length=_LONGEST_UNIT), AfterValidator(_seen)
]
Name = Annotated[str, Field(strict=True, max_length=_LONGEST_NAME), AfterValidator(_seen)]
Color = Annotated[str, Field(strict=True, pattern="^#[0-9a-fA-F]{6}$")]
Limits = Annotated[tuple[Finite, Finite], AfterValidator(_rising)]


@dataclass(frozen=True, config=ConfigDict(extra="ignore"))
class Stated:
    """Fields of `ImageMeta` that a file may state, as they have to be."""

    scale: tuple[Size, ...] = ()
    units: tuple[Unit | None, ...] = ()
    channel_names: tuple[Name, ...] = ()
    channel_colors: tuple[Color, ...] = ()
    contrast_limits: tuple[Limits, ...] = ()
    gamma: Size = 1.0


@dataclass(frozen=True, config=ConfigDict(extra="ignore"))
class _Look:
    """How a picture is shown, as `formats.look` has it."""

    icc_profile: Base64Bytes = b""
    png: dict[str, Base64Bytes] = Field(default_factory=dict)
    resolution: tuple[Size, Size, str] | None = None
    alpha: str = ""
    palette: bool = False


_LOOK = TypeAdapter(_Look)
STATED = tuple(field.name for field in fields_of(Stated))
_CHECKED = TypeAdapter(Stated)
_PER_AXIS = ("scale", "units")


def sound(
    values: Mapping[str, Any], axes: str, shape: Sequence[int]
) -> tuple[dict[str, Any], list[str]]:
    """Split what is stated of an array into what can be true, and what is wrong with the rest.

    Parameters
    ----------
    values
        By name, some of `STATED`, as they were read; others are left out.
    axes, shape
        Of the array.

    Returns
    -------
    values
        With tuples for lists.
    problems
        One per field that is dropped: its name, its value, the rule.
    """
    kept = {name: value for name, value in values.items() if name in STATED}
    problems = []
    try:
        stated = _CHECKED.validate_python(kept)
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            name = str(problem["loc"][0])
            if name in kept:  # one word for all that is wrong with a field
                problems.append(f"{name} = {shown(kept.pop(name))}: {rule_of(problem)}")
        stated = _CHECKED.validate_python(kept)
    found = {name: getattr(stated, name) for name in kept}
    channels = shape[axes.index("C")] if "C" in axes else 1
    for name in set(found) - {"gamma"}:
        wanted = len(axes) if name in _PER_AXIS else channels
        if found[name] and len(found[name]) != wanted:
            value = shown(found.pop(name))
            problems.append(f"{name} = {value}: expected one for each {_of(name)}, {wanted}")
    return found, problems


def checked(meta: ImageMeta, shape: Sequence[int], bytes_each: int) -> ImageMeta:
    """Drop what a reader found in a file and what cannot be true of the array, and say so.

    Parameters
    ----------
    meta
        As the reader gave it. A step along an axis that cannot be is left out by itself.
    shape, bytes_each
        Of the array, and of a pixel.
    """
    meta, problems = _steps(meta)
    stated = {name: getattr(meta, name) for name in STATED}
    found, more = sound(stated, meta.axes, shape)
    problems += more
    empty = {name: 1.0 if name == "gamma" else () for name in STATED}
    extra = dict(meta.extra)
    bits = extra.get(SIGNIFICANT_BITS)
    if bits is not None and (type(bits) is not int or not 0 < bits <= 8 * bytes_each):
        del extra[SIGNIFICANT_BITS]
        problems.append(f"{SIGNIFICANT_BITS} = {shown(bits)}: expected 1 to {8 * bytes_each}")
    if "look" in extra:
        try:
            _LOOK.validate_python(extra["look"])
        except ValidationError as error:
            problem = error.errors(include_url=False, include_context=False)[0]
            where = ".".join(map(str, ("look", *problem["loc"])))
            problems.append(f"{where} = {shown(problem['input'])}")
            del extra["look"]
    mention(meta.source[0], problems)
    name = printable(meta.name)
    return replace(meta, name=name, extra=extra, **{**empty, **found})


def mention(place: Path, problems: Sequence[str]) -> None:
    """Say what of the metadata was dropped."""
    if problems:
        say(f"{place}: left out of its metadata: {'; '.join(problems)}", ReadWarning, stacklevel=4)


def _steps(meta: ImageMeta) -> tuple[ImageMeta, list[str]]:
    """Replace single steps that are not positive and finite; one axis is not to cost the others."""
    if not isinstance(meta.scale, tuple) or len(meta.scale) != len(meta.axes):
        return meta, []
    size, problems = TypeAdapter(Size), []
    scale, units = list(meta.scale), list(meta.units or (None,) * len(meta.axes))
    for place, step in enumerate(scale):
        try:
            scale[place] = size.validate_python(step)
        except ValidationError:
            problems.append(f"the step along {meta.axes[place]} = {shown(step)}")
            scale[place], units[place : place + 1] = 1.0, [None]
    return replace(meta, scale=tuple(scale), units=tuple(units)), problems


def _of(name: str) -> str:
    return "axis" if name in _PER_AXIS else "channel"
