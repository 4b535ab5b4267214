"""Which channels of an OpenEXR file are colour, albedo and normal, by their usual names."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# In order of preference: what a renderer made for denoising comes first.
ALBEDO = (
    "denoisingalbedo",
    "denoisealbedo",
    "albedo",
    "alb",
    "diffcol",
    "diffusealbedo",
    "diffusecolor",
    "diffusefilter",
    "vraydiffusefilter",
    "basecolor",
)
NORMAL = (
    "denoisingnormal",
    "denoisenormal",
    "normal",
    "normals",
    "nrm",
    "n",
    "nn",
    "shnormal",
    "shadingnormal",
    "worldnormal",
    "vraynormals",
)
COLOR = ("", "combined", "beauty", "rgba", "rgb", "color", "colour", "image", "noisyimage")
_OTHER = re.compile(
    r"crypto|denoising|position|depth|motion|vector|velocity|variance|shadow|mist|^(p|z|uv|id)$"
)
_LONG = {"red": "R", "green": "G", "blue": "B", "alpha": "A"}


@dataclass(frozen=True)
class Layer:
    """Channels of one part that belong together.

    Parameters
    ----------
    part
        Number of the part in the file.
    name
        With the part's name and view-layer prefixes, "" at the root.
    channels
        Full channel names in the order R G B A or X Y Z; one for gray.
    """

    part: int
    name: str
    channels: tuple[str, ...]

    @property
    def key(self) -> str:
        """The last part of the name, as the tables of this module spell it."""
        return _spelled(self._whole.rpartition(".")[2])

    @property
    def prefix(self) -> str:
        """The view layer or part that the layer belongs to."""
        return self._whole.rpartition(".")[0]

    @property
    def _whole(self) -> str:
        """The name without what Mitsuba adds to it: ``albedo.RGB``, ``normal.XYZ``."""
        before, _, last = self.name.rpartition(".")
        added = last.lower() in ("rgb", "rgba", "xyz")
        guides = _spelled(before.rpartition(".")[2]) in {*ALBEDO, *NORMAL}
        return before if added and guides else self.name


def find_layers(parts: Iterable[tuple[str, Sequence[str]]]) -> list[Layer]:
    """List the colour, vector and gray layers of a file.

    Parameters
    ----------
    parts
        Name and channel names of each part.
    """
    layers: list[Layer] = []
    for number, (part, channels) in enumerate(parts):
        groups: dict[str, dict[str, str]] = defaultdict(dict)
        for channel in channels:
            layer, _, component = channel.rpartition(".")
            component = _LONG.get(component.lower(), component.upper())
            groups[layer][component] = channel
        for layer, group in groups.items():
            chosen = _ordered(group)
            if chosen:
                layers.append(Layer(number, _full_name(part, layer), chosen))
    return layers


def choose_color(layers: Sequence[Layer]) -> Layer | None:
    """Pick the image among the layers: the root, else the usual names, else the first."""
    named = {*ALBEDO, *NORMAL}
    images = [layer for layer in layers if layer.key not in named and not _OTHER.search(layer.key)]
    images = [layer for layer in images if not _is_vector(layer)]
    ranks = {name: rank for rank, name in enumerate(COLOR)}
    # Colour before gray: a luminance channel may accompany an image.
    return min(
        images,
        key=lambda layer: (len(layer.channels) < 3, ranks.get(layer.key, len(ranks))),
        default=None,
    )


def choose_feature(layers: Sequence[Layer], names: Sequence[str], color: Layer) -> Layer | None:
    """Pick the albedo or the normal, preferably of the view layer of the colour."""
    found = [layer for layer in layers if layer.key in names and len(layer.channels) >= 3]
    return min(
        found,
        key=lambda layer: (layer.prefix != color.prefix, names.index(layer.key)),
        default=None,
    )


def _spelled(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _ordered(group: dict[str, str]) -> tuple[str, ...]:
    for wanted in ("RGB", "XYZ"):
        if set(wanted) <= set(group):
            alpha = ["A"] if wanted == "RGB" and "A" in group else []
            return tuple(group[component] for component in [*wanted, *alpha])
    return (group["Y"],) if "Y" in group and not {"RY", "BY", "X"} & set(group) else ()


def _is_vector(layer: Layer) -> bool:
    return layer.channels[0].rpartition(".")[2].upper() == "X"


def _full_name(part: str, layer: str) -> str:
    if not layer or not part:
        return layer or part
    if layer.lower() == part.lower() or layer.lower().startswith(f"{part.lower()}."):
        return layer
    return f"{part}.{layer}"
