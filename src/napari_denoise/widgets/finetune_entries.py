"""Pairs for fine-tuning: from layers, files and folders, checked off the GUI thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

from napari.layers import Image

from napari_denoise.training.pair_checks import Verdict, check_pair
from napari_denoise.training.real_pairs import (
    Pair,
    open_folder,
    open_pair,
    open_repeats,
    pair_of,
    pair_of_repeats,
)
from napari_denoise.widgets.guides import Guiding
from napari_denoise.widgets.layers import Source, bare, group_of, is_helper, levels_of, provenance

Kind = Literal["clean", "second", "repeats"]
"""What a noisy image is paired with: a clean one, a second noisy shot, or its own frames."""
_CLEAN_WORDS = ("truth", "clean", "average", "reference", "gt")
Maker = Callable[[], Sequence[Pair]]


@dataclass(frozen=True, eq=False)
class Entry:
    """A pair in the table, and what is said of it.

    Parameters
    ----------
    pair
        What is trained on.
    verdict
        Of its check.
    layer
        The noisy layer that it comes from; it may leave the viewer, the pair stays.
    """

    pair: Pair
    verdict: Verdict
    layer: Image | None = None

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
    return any(word in layer.name.lower() for word in _CLEAN_WORDS)


def of_layers(layers: Any, noisy: Image, other: Image | None, kind: Kind) -> Maker:
    """Prepare a pair of layers: reads them on the GUI thread, makes the pair elsewhere.

    Raises
    ------
    ValueError
        The layers cannot be an image that is denoised.
    """
    (source,) = Guiding(layers).attach([Source.of(noisy)])
    denoised = provenance(noisy) is not None
    if kind == "repeats":
        return partial(
            _alone, pair_of_repeats, noisy.name, source.array, source.axes, denoised=denoised
        )
    if other is None or other is noisy:
        raise ValueError(f"“{noisy.name}”: choose another layer to go with it")
    return partial(
        _alone,
        pair_of,
        noisy.name,
        source.array,
        levels_of(other)[0],
        source.axes,
        noisy_target=kind == "second",
        features=source.features,
        denoised=denoised,
    )


def of_files(files: Sequence[str], kind: Kind) -> Maker:
    """Prepare a pair of files."""
    if kind == "repeats":
        return partial(_alone, open_repeats, files[0])
    return partial(_alone, open_pair, files[0], files[1], noisy_target=kind == "second")


def of_folder(folder: str) -> Maker:
    """Prepare the pairs of a folder with noisy/ and clean/ (or noisy2/)."""
    return partial(open_folder, Path(folder))


def checked(
    maker: Maker, name: str, taken: Sequence[str], layer: Image | None = None
) -> Iterator[Entry | Unreadable]:
    """Make pairs, give them names of their own, and check each."""
    names = set(taken)
    try:
        pairs = maker()
    except (ValueError, OSError) as error:
        yield Unreadable(name, str(error))
        return
    for pair in pairs:
        single = replace(pair, name=_unlike(pair.name, names))
        names.add(single.name)
        # Of many repeats some are taken: the layer's frames are not the pair's then.
        same = layer is not None and tuple(levels_of(layer)[0].shape) == tuple(pair.noisy.shape)
        yield Entry(single, check_pair(single), layer if same else None)


def entry_again(pair: Pair, layers: Any) -> Entry:
    """Find the layer of a pair that was checked before, by name and shape."""
    found = [
        layer
        for layer in images_of(layers)
        if layer.name == pair.name and tuple(levels_of(layer)[0].shape) == tuple(pair.noisy.shape)
    ]
    return Entry(pair, Verdict(pair.name, ()), next(iter(found), None))


def _alone(make: Callable[..., Pair], *args: Any, **options: Any) -> list[Pair]:
    return [make(*args, **options)]


def _unlike(name: str, taken: Iterable[str]) -> str:
    """Make a name unlike those that are taken, so that regions can tell pairs apart."""
    number, wanted = 1, name
    while wanted in taken:
        number += 1
        wanted = f"{name} ({number})"
    return wanted
