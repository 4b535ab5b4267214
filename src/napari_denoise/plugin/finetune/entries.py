"""Pairs for fine-tuning: from layers, files and folders, checked off the GUI thread."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from napari.layers import Image

from napari_denoise.plugin.layers.guides import Guiding
from napari_denoise.plugin.layers.source import (
    Source,
    bare,
    group_of,
    is_helper,
    levels_of,
    provenance,
)
from napari_denoise.training.data.pair_checks import Verdict, check_pair
from napari_denoise.training.data.real_pairs import (
    Pair,
    open_folder,
    open_pair,
    open_stack,
    pair_of,
    pair_of_stack,
    unlike,
)
from napari_denoise.training.data.repeats import open_frames, pair_of_frames

Kind = Literal["clean", "second", "repeats", "stack"]
"""What a noisy image is paired with: a clean one, a second noisy shot, or its own frames: as shots
of one scene, or whatever moves in them."""
_CLEAN = re.compile(r"truth|clean|average|reference|(?<![a-z])(gt|ref)(?![a-z])")
Maker = Callable[[], Sequence[Pair]]
_ALONE: Mapping[Kind, tuple[Callable[..., Pair], Callable[..., Pair]]] = {
    "repeats": (pair_of_frames, open_frames),
    "stack": (pair_of_stack, open_stack),
}
"""What makes a pair of an array, and of a file, where nothing goes with it."""


@dataclass(frozen=True, eq=False)
class PairEntry:
    """A pair in the table, and what is said of it.

    Parameters
    ----------
    pair
        What is trained on.
    verdict
        Of its check.
    layer
        The noisy layer that it comes from; it may leave the viewer, the pair stays.
    other
        What the layer that goes with it is called; empty where it came from files.
    """

    pair: Pair
    verdict: Verdict
    layer: Image | None = None
    other: str = ""

    @property
    def usable(self) -> bool:
        """Whether it can be trained on."""
        return self.verdict.usable

    @property
    def apart(self) -> bool:
        """Whether its images lie apart from each other."""
        return any(finding.code == "shift" for finding in self.verdict.findings)

    @property
    def says(self) -> tuple[str, str]:
        """The kind of message, as in `parts.STRIPES`, and the text for its row."""
        findings = self.verdict.findings
        if not findings:
            return "good", "fits"
        kind = {"error": "error", "warning": "warning", "info": "good"}[findings[0].severity]
        return kind, "; ".join(str(finding) for finding in findings)

    @property
    def partner(self) -> str:
        """Say in words what goes with the noisy image."""
        if self.pair.stack:
            return "alone: its frames teach each other"
        other = self.other or (*self.pair.sources, "", "")[1]
        if not other:
            return "with its own repeated frames"
        kind = "second noisy shot" if self.pair.noisy_target else "clean image"
        return f"with the {kind} “{other}”"

    @cached_property
    def scenes(self) -> tuple[str, ...]:
        """Scene of every frame; hashes the target, so not for the GUI thread."""
        return tuple(self.pair.scene(n) for n in range(len(self.pair.layout.frames)))


@dataclass(frozen=True)
class Unreadable:
    """What could not become a pair, and why."""

    name: str
    text: str


def images_of(layers: Any) -> list[Image]:
    """Layers that a pair can be made of."""
    images = [bare(x) for x in layers if isinstance(x, Image) and not is_helper(x)]
    return [x for x in images if group_of(x)[1] not in ("albedo", "normal")]


def likely_clean(layers: Sequence[Image], noisy: Image) -> Image | None:
    """Guess which layer is the clean image of a noisy one: of its shape, and called so."""
    shape = tuple(levels_of(noisy)[0].shape)
    same = [x for x in layers if x is not noisy and tuple(levels_of(x)[0].shape) == shape]
    return next(iter([x for x in same if is_called_clean(x)] or same), None)


def is_called_clean(layer: Image) -> bool:
    """Whether its name says that it holds no noise."""
    return _CLEAN.search(layer.name.lower()) is not None


def of_layers(layers: Any, noisy: Image, other: Image | None, kind: Kind) -> Maker:
    """Prepare a pair of layers: reads them on the GUI thread, makes the pair elsewhere.

    Raises
    ------
    ValueError
        The layers cannot be an image that is denoised.
    """
    (source,) = Guiding(layers).attach([Source.of(noisy)])
    denoised = provenance(noisy) is not None
    if kind in _ALONE:
        make = _ALONE[kind][0]
        return partial(_alone, make, noisy.name, source.array, denoised=denoised, meta=source.meta)
    if other is None or other is noisy:
        raise ValueError(f"“{noisy.name}”: choose another layer to go with it")
    return partial(
        _alone,
        pair_of,
        noisy.name,
        source.array,
        levels_of(other)[0],
        noisy_target=kind == "second",
        denoised=denoised,
        meta=source.meta,
    )


def of_files(files: Sequence[str], kind: Kind) -> Maker:
    """Prepare a pair of files."""
    if kind in _ALONE:
        return partial(_alone, _ALONE[kind][1], files[0])
    return partial(_alone, open_pair, files[0], files[1], noisy_target=kind == "second")


def of_folder(folder: str) -> Maker:
    """Prepare the pairs of a folder with noisy/ and clean/ (or noisy2/)."""
    return partial(open_folder, Path(folder))


def checked(
    maker: Maker, name: str, there: Sequence[Pair], layer: Image | None = None, other: str = ""
) -> Iterator[PairEntry | Unreadable]:
    """Make pairs, give them names of their own, and check each; none comes twice."""
    known = list(there)
    try:
        pairs = maker()
    except (ValueError, OSError) as error:
        yield Unreadable(name, str(error))
        return
    for pair in pairs:
        twin = next((old for old in known if _is_same(old, pair)), None)
        if twin is not None:
            called = "" if twin.name == pair.name else f", as “{twin.name}”"
            text = f"this pair is in the table already{called}; it is not added again"
            yield Unreadable(pair.name, text)
            continue
        single = replace(pair, name=unlike(pair.name, [old.name for old in known]))
        known.append(single)
        # Of many repeats some are taken: the layer's frames are not the pair's then.
        same = layer is not None and tuple(levels_of(layer)[0].shape) == tuple(pair.noisy.shape)
        yield PairEntry(single, check_pair(single), layer if same else None, other)


def entry_again(pair: Pair, layers: Any) -> PairEntry:
    """Find the layer of a pair that was checked before, by name and shape."""
    found = [
        layer
        for layer in images_of(layers)
        if layer.name == pair.name and tuple(levels_of(layer)[0].shape) == tuple(pair.noisy.shape)
    ]
    return PairEntry(pair, Verdict(pair.name, ()), next(iter(found), None))


def _alone(make: Callable[..., Pair], *args: Any, **options: Any) -> list[Pair]:
    return [make(*args, **options)]


def _is_same(one: Pair, other: Pair) -> bool:
    """Whether two pairs hold the same pixels, and are told the same of them."""
    told = [(pair.noisy_target, pair.denoised, pair.stack) for pair in (one, other)]
    if told[0] != told[1]:
        return False
    return _equal(one.noisy, other.noisy) and _equal(one.target, other.target)


def _equal(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if (one.shape, one.dtype) != (other.shape, other.dtype):
        return False
    # Plane by plane: most differ in the first, and stacks may lie on the disk.
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
