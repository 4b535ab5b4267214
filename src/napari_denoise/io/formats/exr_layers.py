"""Which channels of an OpenEXR file are colour, albedo and normal, by their usual names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from napari_denoise.io.formats.exr_names import (
    ALBEDO,
    COLOR,
    COMPOSITE,
    DENOISED,
    NOISY,
    NORMAL,
    color_of_light,
    is_image,
    is_light_pass,
    spelled,
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
        Full channel names in the order R G B A or X Y Z; Y, RY, BY (and A) of luminance and
        chroma; one for gray.
    view
        The view of a stereo file that it belongs to; "" where the file has but one.
    """

    part: int
    name: str
    channels: tuple[str, ...]
    view: str = ""

    @property
    def key(self) -> str:
        """The last part of the name, as the tables of `exr_names` spell it."""
        return spelled(self._whole.rpartition(".")[2])

    @property
    def prefix(self) -> str:
        """The view layer or part that the layer belongs to."""
        return self._whole.rpartition(".")[0]

    @property
    def letters(self) -> tuple[str, ...]:
        """The last part of each channel's name: R, G, B ..."""
        lasts = (name.rpartition(".")[2] for name in self.channels)
        return tuple(_LONG.get(last.lower(), last.upper()) for last in lasts)

    @property
    def label(self) -> str:
        """The name that it is asked for by: where it has none, its view or its channels."""
        return self.name or self.view or "".join(self.letters)

    @property
    def is_chroma(self) -> bool:
        """Whether it holds luminance and chroma instead of RGB."""
        return self.letters[:3] == ("Y", "RY", "BY")

    @property
    def is_vector(self) -> bool:
        """Whether it holds X, Y and Z."""
        return self.letters[0] == "X"

    @property
    def _whole(self) -> str:
        """The name without its view and what Mitsuba adds to it: ``albedo.RGB``, ``normal.XYZ``."""
        name = _without_view(self.name, self.view)
        before, _, last = name.rpartition(".")
        added = last.lower() in ("rgb", "rgba", "xyz")
        guides = spelled(before.rpartition(".")[2]) in {*ALBEDO, *NORMAL}
        return before if added and guides else name


def find_layers(
    parts: Iterable[tuple[str, Sequence[str]]], views: Sequence[str] = (), own: Sequence[str] = ()
) -> list[Layer]:
    """List the colour, vector and gray layers of a file.

    Parameters
    ----------
    parts
        Name and channel names of each part.
    views
        Of a stereo file whose views share a part, the default first.
    own
        The view of each part of a stereo file that has a part for each; "" for none.
    """
    layers: list[Layer] = []
    for number, (part, channels) in enumerate(parts):
        groups: dict[str, dict[str, str]] = defaultdict(dict)
        for channel in channels:
            layer, _, component = channel.rpartition(".")
            component = _LONG.get(component.lower(), component.upper())
            groups[layer][component] = channel
        for layer, group in groups.items():
            view = own[number] if number < len(own) else ""
            if views and not view:
                last = layer.rpartition(".")[2]
                view = last if last in views else views[0]
            chosen = _ordered(group)
            if chosen:
                layers.append(Layer(number, _full_name(part, layer), chosen, view))
    return layers


def choose_color(layers: Sequence[Layer]) -> Layer | None:
    """Pick the image among the layers.

    Colour before gray, the default view before others; then the root, the usual names in the order
    of `COLOR`, and any other; of equal names what no compositor made, what has albedo or normal
    beside it, and the first in the file.
    """
    images = [layer for layer in layers if is_image(layer.key) and not layer.is_vector]
    ranks = {name: rank for rank, name in enumerate(COLOR)}
    views = list(dict.fromkeys(layer.view for layer in layers))

    def rank(layer: Layer) -> tuple[object, ...]:
        guided = any(choose_feature(layers, names, layer) for names in (ALBEDO, NORMAL))
        composed = COMPOSITE in layer.prefix.lower().split(".")
        gray = len(layer.channels) < 3
        known = ranks.get(layer.key, len(ranks) + is_light_pass(layer.key))
        return gray, views.index(layer.view), known, composed, not guided

    # Colour before gray: a luminance channel may accompany an image.
    return min(images, key=rank, default=None)


def noisy_twin(layers: Sequence[Layer], color: Layer) -> Layer | None:
    """Return the noisy image beside one that the renderer denoised, as Blender stores them."""
    if color.key != DENOISED:
        return None
    place = color.prefix, color.view
    twins = (x for x in layers if x.key == NOISY and (x.prefix, x.view) == place)
    return next((x for x in twins if len(x.channels) >= 3), None)


def choose_feature(layers: Sequence[Layer], names: Sequence[str], color: Layer) -> Layer | None:
    """Pick the albedo or the normal, preferably of the view layer of the colour.

    Those of another view, and of another view layer with a colour of its own, show something else.
    """
    others = {x.prefix for x in layers if x.key == color.key and not x.is_vector} - {color.prefix}
    found = [
        layer
        for layer in layers
        if layer.key in names
        and len(layer.channels) >= 3
        and layer.view == color.view
        and layer.prefix not in others - {""}
        and layer != color
    ]
    return min(
        found,
        key=lambda layer: (layer.prefix != color.prefix, names.index(layer.key)),
        default=None,
    )


def find_named(layers: Sequence[Layer], name: str) -> Layer | None:
    """Return the layer that somebody asks for: by its label, then whatever its case and marks."""
    exact = [layer for layer in layers if name in (layer.label, layer.name)]
    plain = _plain(name)
    close = [layer for layer in layers if plain and _plain(layer.label) == plain]
    views = [layer for layer in layers if layer.view == name and not layer.key]
    return next(iter([*exact, *close, *views]), None)


def alike(layers: Sequence[Layer], color: Layer) -> list[Layer]:
    """Return the other layers of the colour's kind: its name in another view or view layer."""
    return [
        layer
        for layer in layers
        if layer.key == color.key
        and len(layer.channels) >= 3
        and not layer.is_vector
        and layer != color
    ]


def light_passes(layers: Sequence[Layer], color: Layer) -> list[Layer]:
    """Return what may be parts of the colour's light: of its own view and view layer."""
    found = [
        layer
        for layer in layers
        if is_light_pass(layer.key)
        and len(layer.channels) >= 3
        and not layer.is_vector
        and layer.view == color.view
        and layer != color
    ]
    own = [layer for layer in found if layer.prefix == color.prefix]
    return own or found


def colors_of_light(layers: Sequence[Layer], passes: Sequence[Layer]) -> list[Layer]:
    """Return the layers that passes of Cycles have to be multiplied with to be light."""
    named = [(x.prefix, x.view, color_of_light(x.key)) for x in passes]
    wanted = {entry for entry in named if entry[-1]}
    return [x for x in layers if (x.prefix, x.view, x.key) in wanted and len(x.channels) >= 3]


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def _ordered(group: dict[str, str]) -> tuple[str, ...]:
    for wanted in (("R", "G", "B"), ("X", "Y", "Z"), ("Y", "RY", "BY")):
        if set(wanted) <= set(group):
            alpha = ["A"] if "X" not in wanted and "A" in group else []
            return tuple(group[component] for component in [*wanted, *alpha])
    return (group["Y"],) if "Y" in group and not {"RY", "BY", "X"} & set(group) else ()


def _without_view(name: str, view: str) -> str:
    """Take a view out of a name: ``right``, ``diffuse.right`` and ``rgba_right`` have one."""
    if not view:
        return name
    parts = [part for part in name.split(".") if part.lower() != view.lower()]
    ends = tuple(f"{mark}{view.lower()}" for mark in "_- ")
    cut = [part[: -len(view) - 1] if part.lower().endswith(ends) else part for part in parts]
    return ".".join(cut)


def _full_name(part: str, layer: str) -> str:
    if not layer or not part:
        return layer or part
    if layer.lower() == part.lower() or layer.lower().startswith(f"{part.lower()}."):
        return layer
    return f"{part}.{layer}"
