"""Which albedo and normal layers go with a colour layer: tied to it, or chosen by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Image

from napari_denoise.plugin.layers.source import (
    GUIDES,
    Guide,
    Source,
    bare,
    group_of,
    is_helper,
    levels_of,
)

AUTO, NONE = "auto", "none"
"""Choices besides the id of a layer."""


@dataclass(frozen=True)
class GuideOffer:
    """What there is to choose for some selected layers.

    Parameters
    ----------
    choices
        Per role: label and value.
    values
        Per role: the choice in force.
    found
        Whether any layer is tied to the colour, or was chosen.
    used
        Whether any goes to the network.
    faults
        Why layers are left out, for people.
    """

    choices: Mapping[str, Sequence[tuple[str, str]]]
    values: Mapping[str, str]
    found: bool
    used: bool
    faults: str


def takes_guides(source: Source) -> bool:
    """Whether it is colour in floating point, as renders are, and no guide itself."""
    colour = "S" in source.axes and np.dtype(source.array.dtype).kind == "f"
    return colour and group_of(source.layer)[1] not in GUIDES


def fault_of(layer: Image, source: Source) -> str:
    """Say why a layer cannot be the albedo or normal of a source; nothing where it can."""
    array = levels_of(layer)[0]
    wanted = (*source.array.shape[:-1], 3)
    if tuple(array.shape) != wanted:
        return f"has shape {tuple(array.shape)}, expected {wanted} as the colour has"
    if np.dtype(array.dtype).kind != "f":  # 8 bit albedo would be taken for white
        return f"holds {array.dtype}, expected floating point"
    return ""


class Guiding:
    """Finds the guides of colour layers, and remembers what was chosen for each.

    Parameters
    ----------
    layers
        The viewer's.
    """

    def __init__(self, layers: Any) -> None:
        self._layers = layers
        self._chosen: WeakKeyDictionary[Image, dict[str, str]] = WeakKeyDictionary()

    def choose(self, layer: Image, role: str, choice: str) -> None:
        """Note `AUTO`, `NONE` or the id of a layer, in force while `layer` alone is selected."""
        self._chosen.setdefault(layer, {})[role] = choice

    def attach(self, sources: Sequence[Source]) -> list[Source]:
        """Return the sources with the guides that go with them now."""
        alone = len(sources) == 1
        return [replace(s, guides=self._guides(s, alone)) for s in sources]

    def watched(self, sources: Sequence[Source]) -> list[Image]:
        """Layers whose new data may change the sources or what can be chosen."""
        if any(takes_guides(source) for source in sources):
            return self._images()
        return [source.layer for source in sources]

    def offer(self, sources: Sequence[Source]) -> GuideOffer | None:
        """Say what can be chosen; None where no source is a render."""
        renders = [source for source in sources if takes_guides(source)]
        if not renders:
            return None
        alone = len(sources) == 1
        choices, values = {}, {}
        for role in GUIDES:
            choices[role] = [(_auto_label([self._tied(s, role) for s in renders]), AUTO)]
            values[role] = self._choice(renders[0], role) if alone else AUTO
            if alone:
                choices[role] += [("None", NONE)]
                choices[role] += [(x.name, str(x.unique_id)) for x in self._fitting(renders[0])]
        tied = any(self._candidates(source, role) for source in renders for role in GUIDES)
        return GuideOffer(
            choices,
            values,
            found=tied or any(value != AUTO for value in values.values()),
            used=any(source.guides for source in sources),
            faults="\n".join(dict.fromkeys(f for s in renders for f in self._faults(s, values))),
        )

    def _guides(self, source: Source, alone: bool) -> tuple[Guide, ...]:
        if not takes_guides(source):
            return ()
        chosen = {r: self._choice(source, r) if alone else AUTO for r in GUIDES}
        found = {r: self._layer(source, r, choice) for r, choice in chosen.items()}
        return tuple(Guide(r, x, levels_of(x)[0]) for r, x in found.items() if x is not None)

    def _choice(self, source: Source, role: str) -> str:
        """Return what was chosen, where that is still possible."""
        choice = self._chosen.get(source.layer, {}).get(role, AUTO)
        possible = {AUTO, NONE, *(str(x.unique_id) for x in self._fitting(source))}
        return choice if choice in possible else AUTO

    def _layer(self, source: Source, role: str, choice: str) -> Image | None:
        if choice == AUTO:
            return self._tied(source, role)
        return next((x for x in self._fitting(source) if str(x.unique_id) == choice), None)

    def _tied(self, source: Source, role: str) -> Image | None:
        """Return the topmost layer of the same render in a role that fits."""
        fitting = [x for x in self._candidates(source, role) if not fault_of(x, source)]
        return fitting[-1] if fitting else None

    def _candidates(self, source: Source, role: str) -> list[Image]:
        group, _ = group_of(source.layer)
        return [x for x in self._images() if group and group_of(x) == (group, role)]

    def _fitting(self, source: Source) -> list[Image]:
        others = [x for x in self._images() if x is not source.layer]
        return [x for x in others if not fault_of(x, source)]

    def _faults(self, source: Source, values: Mapping[str, str]) -> list[str]:
        """Name the tied or chosen layers that would be taken, did they fit."""
        faults = []
        for role in GUIDES:
            layers = [] if self._tied(source, role) else self._candidates(source, role)
            chosen = self._chosen.get(source.layer, {}).get(role)
            layers += [x for x in self._images() if str(x.unique_id) == chosen]
            if values[role] == AUTO:
                texts = [(x.name, fault_of(x, source)) for x in layers]
                faults += [f"Left out: “{name}” {text}." for name, text in texts if text]
        return faults

    def _images(self) -> list[Image]:
        return [bare(x) for x in self._layers if isinstance(x, Image) and not is_helper(x)]


def _auto_label(found: Sequence[Image | None]) -> str:
    """Say what "Auto" takes for some layers."""
    names = [layer.name for layer in found if layer is not None]
    if not names:
        return "Auto: none found"
    if len(found) == 1:
        return f"Auto: {names[0]}"
    return f"Auto: found for {len(names)} of {len(found)}"
