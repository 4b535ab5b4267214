"""Files into stacks by the numbers in their names: a grid of T, Z and C, one for each position."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from napari_denoise.io.numbering import RUNNING, WELL, Counter, counters, is_dense, template

_AXES = "TZC"


@dataclass(frozen=True)
class Stack:
    """Files that make one stack, in the order of its axes, the last fastest.

    Parameters
    ----------
    axes, shape
        Of the files: letters of T, Z and C. Empty for a file that stands alone.
    numbers
        Where one axis is counted; else empty.
    """

    files: tuple[Path, ...]
    axes: str = ""
    shape: tuple[int, ...] = ()
    numbers: tuple[int, ...] = ()


Named = tuple[Path, tuple[Counter, ...]]
Held = Mapping[Path, Hashable]
"""What each file of one plane holds, as far as it was asked."""


def grouped(
    files: Sequence[Path],
    suffix_of: Callable[[Path], str],
    plane_of: Callable[[Path], Hashable],
    *,
    dense: bool = True,
) -> Iterator[Stack]:
    """Group files into stacks, in the order of their first files.

    Parameters
    ----------
    suffix_of
        Gives the suffix of a file.
    plane_of
        What a file of one plane holds (size, data type): channels are joined where they are
        alike. None for others, which stand alone.
    dense
        Whether numbers must be dense enough to count frames.
    """
    groups: dict[Hashable, list[Named]] = defaultdict(list)
    for file in files:
        suffix = suffix_of(file)
        stem = file.name[: len(file.name) - len(suffix)]
        found = counters(stem)
        key = (file.parent, template(stem, found), suffix.lower())
        groups[key if found else file].append((file, found))
    for group in groups.values():
        held = {file: plane_of(file) for file, _ in group} if len(group) > 1 else {}
        planes = [named for named in group if held.get(named[0], ()) is not None]
        yield from _stacks(_settled(planes), held, dense)
        yield from (Stack((file,)) for file, _ in group if held.get(file, ()) is None)


def _settled(group: list[Named]) -> list[Named]:
    """Wells of row C alone are channels: C01, C02."""
    wells = [n for n, counter in enumerate(group[0][1]) if counter.kind == WELL] if group else []
    for place in wells:
        values = [str(found[place].value) for _, found in group]
        if all(value[0] == "C" and value[1:].isdigit() for value in values):
            group = [
                (file, tuple(_as_channel(c) if n == place else c for n, c in enumerate(found)))
                for file, found in group
            ]
    return group


def _as_channel(counter: Counter) -> Counter:
    value = int(str(counter.value)[1:])
    return Counter("C", counter.begin, counter.start + 1, counter.stop, value)


def _stacks(group: list[Named], held: Held, dense: bool) -> Iterator[Stack]:
    if not group:
        return
    axes: dict[str, int] = {}
    apart: list[int] = []
    kinds = [counter.kind for counter in group[0][1]]
    varying = [n for n in range(len(kinds)) if len({found[n].value for _, found in group}) > 1]
    for place in varying:
        kind = kinds[place]
        if kind == RUNNING:
            kind = next((a for a in "TZ" if a not in {kinds[n] for n in varying}), "")
        if kind in _AXES and kind and kind not in axes:
            axes[kind] = place
        else:
            apart.append(place)
    for part in _parted(group, apart):
        yield from _grids(part, {a: axes[a] for a in _AXES if a in axes}, held, dense)


def _grids(group: list[Named], axes: dict[str, int], held: Held, dense: bool) -> Iterator[Stack]:
    values = {a: sorted({f[n].value for _, f in group}, key=_order) for a, n in axes.items()}
    axes = {a: n for a, n in axes.items() if len(values[a]) > 1}
    shape = tuple(len(values[a]) for a in axes)
    counted = [[v for v in values[a] if isinstance(v, int)] for a in axes if a != "C"]
    if len(group) == 1:
        yield Stack((group[0][0],))
    elif "C" in axes and len({held.get(file) for file, _ in group}) > 1:
        rest = {a: n for a, n in axes.items() if a != "C"}
        for part in _parted(group, [axes["C"]]):
            yield from _grids(part, rest, held, dense)
    elif prod(shape) != len(group) or len({_place(n, axes) for n in group}) != len(group):
        if len(axes) < 2:  # the same number twice
            yield from (Stack((file,)) for file, _ in group)
            return
        first = "C" if "C" in axes else next(iter(axes))
        rest = {a: n for a, n in axes.items() if a != first}
        for part in _parted(group, [axes[first]]):
            yield from _grids(part, rest, held, dense)
    elif dense and not all(is_dense(numbers) for numbers in counted):
        yield from (Stack((file,)) for file, _ in group)
    else:
        ordered = sorted(group, key=lambda named: [_order(v) for v in _place(named, axes)])
        numbers = tuple(v for v in next(iter(values.values())) if isinstance(v, int))
        single = len(axes) == 1 and len(numbers) == len(group)
        files = tuple(file for file, _ in ordered)
        yield Stack(files, "".join(axes), shape, numbers if single else ())


def _parted(group: list[Named], places: Sequence[int]) -> list[list[Named]]:
    parts: dict[Hashable, list[Named]] = defaultdict(list)
    for file, found in group:
        parts[tuple(found[n].value for n in places)].append((file, found))
    return list(parts.values())


def _place(named: Named, axes: dict[str, int]) -> tuple[Any, ...]:
    return tuple(named[1][place].value for place in axes.values())


def _order(value: int | str) -> tuple[bool, int, str]:
    return (True, 0, value) if isinstance(value, str) else (False, value, "")
