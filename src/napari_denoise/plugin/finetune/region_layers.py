"""Regions to train and to validate on: drawn as shapes, one layer per pair."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from napari.layers import Image, Labels, Shapes
from napari.utils.colormaps import DirectLabelColormap

from napari_denoise.image.axes import Layout
from napari_denoise.plugin.finetune.entries import PairEntry
from napari_denoise.plugin.layers.source import HELPER
from napari_denoise.training.data.real_pairs import Pair
from napari_denoise.training.data.regions import Place, Region, Regions, split

Kind = Literal["train", "validate"]
COLORS = {"train": "#4cc38a", "validate": "#f0b429", "trimmed": "#e5484d"}
EDGE = 0.5
"""From the centre of the first pixel, where layers count from, to the edge of the image."""
_CORNERS = 32
PARTS = "parts"


@dataclass(frozen=True, eq=False)
class Parts:
    """What a frame is used for: 1 train, 2 validate, 3 drawn to train but held out.

    Parameters
    ----------
    entry
        The pair.
    labels
        Of the pixels of the frame.
    text
        The same in figures.
    drawn
        Whether any region is drawn, on this frame or another.
    """

    entry: PairEntry
    labels: Any
    text: str
    drawn: bool


def make_layer(viewer: Any, entry: PairEntry, base: Image) -> Shapes:
    """Add the layer that regions of a pair are drawn in."""
    layer = Shapes(
        ndim=base.ndim,
        name=f"Regions of {entry.pair.name}",
        scale=base.scale,
        rotate=base.rotate,
        shear=base.shear,
        translate=base.translate,
        affine=base.affine.affine_matrix,
        units=base.units,
        axis_labels=base.axis_labels,
        edge_width=2,
        features={"kind": np.array([], object), "frames": np.array([], object)},
        feature_defaults={"kind": "train", "frames": "this"},
        metadata={HELPER: "regions"},
        opacity=0.9,
    )
    viewer.add_layer(layer)
    return layer


def draw(layer: Shapes, kind: Kind, *, every_frame: bool, polygon: bool) -> None:
    """Let the next shapes be of a kind; those that are there stay as they are."""
    layer.selected_data = set()  # first: what is selected would take on the new colours
    frames = "every" if every_frame else "this"
    layer.current_properties = {
        "kind": np.array([kind], object),
        "frames": np.array([frames], object),
    }
    layer.current_edge_color = COLORS[kind]
    layer.current_face_color = COLORS[kind] + "30"
    layer.mode = "add_polygon" if polygon else "add_rectangle"


def drawn_in(layer: Shapes) -> Kind | None:
    """Return the kind that the next shape will be of; None while nothing can be drawn."""
    if not str(layer.mode).startswith("add_"):
        return None
    return "validate" if layer.current_properties["kind"][0] == "validate" else "train"


def clear(layer: Shapes) -> None:
    """Take away all that is drawn."""
    layer.remove(list(range(len(layer.data))))


def regions_of(layer: Shapes, pair: Pair) -> tuple[list[Region], list[str]]:
    """Read what is drawn, and say what cannot be used; a shape under the mouse waits."""
    regions, notes = [], []
    kinds, frames = (list(layer.features[name]) for name in ("kind", "frames"))
    shapes = list(zip(layer.data, layer.shape_type, strict=True))
    for number, (corners, form) in enumerate(shapes[: -1 if layer._is_creating else None]):
        kind: Kind = "validate" if kinds[number] == "validate" else "train"
        if form in ("line", "path"):
            notes.append(f"A {form} holds no pixels: draw rectangles and polygons.")
            continue
        corners = np.asarray(corners, float)
        if np.ptp(corners, axis=0).max() < 1:
            continue  # a mere click, which leaves nothing to be seen or deleted
        every = frames[number] == "every"
        region = _region(_rounded(corners) if form == "ellipse" else corners, pair, kind, every)
        if region is None:
            notes.append(
                "A region outside of the image, or drawn edgewise, is left out: delete it in its "
                "layer."
            )
        else:
            regions.append(region)
    return regions, notes


def show_regions(layer: Shapes, pair: Pair, regions: Iterable[Region], at: int = 0) -> None:
    """Draw regions that come from a file; those of every frame are shown on one."""
    layout = pair.layout
    for region in regions:
        frame = at if region.frame is None else region.frame
        corners = np.asarray(_corners(region, layout)) - EDGE
        shapes = np.zeros((len(corners), layer.ndim))
        for axis, (letter, place) in enumerate(zip(layout.axes, layout.frames[frame], strict=True)):
            if letter in "YX":
                shapes[:, axis] = corners[:, "YX".index(letter)]
            elif letter != "S":
                shapes[:, axis] = place
        draw(layer, region.kind, every_frame=region.frame is None, polygon=False)
        form = "polygon" if region.polygon is not None else "rectangle"
        layer.add([shapes], shape_type=form)
    layer.mode = "select"
    layer.selected_data = set()


def parts_of(
    entries: Sequence[PairEntry], regions: Regions, shown: PairEntry, frame: int
) -> Iterator[Parts]:
    """Say what each pixel of a frame is used for, as training will.

    Raises
    ------
    ValueError
        Regions that name or hold nothing.
    """
    places: list[Place] = []
    number = 0
    for entry in entries:
        layout = entry.pair.layout
        if entry is shown:
            number = len(places) + frame
        size = layout.size("Y"), layout.size("X")
        places += [
            Place(entry.pair.name, n, size, scene, entry.pair.held_out_whole(n))
            for n, scene in enumerate(entry.scenes)
        ]
    parts = split(places, regions)
    part, place = parts[number], places[number]
    labels = part.train.astype(np.uint8) + 2 * part.validate.astype(np.uint8)
    drawn = np.zeros(place.shape, bool)
    for region in regions.regions:
        if region.kind == "train" and region.applies_to(place.pair, place.frame):
            drawn |= region.mask(place.shape)
    trimmed = drawn & part.closed
    if any(region.kind == "validate" for region in regions.regions):
        labels[trimmed] = 3
    yield Parts(shown, labels, _shares(labels), bool(regions.regions))


def _shares(labels: Any) -> str:
    """Say how the pixels of a frame are shared out."""
    train, validate, trimmed = (int((labels == n).sum()) for n in (1, 2, 3))
    text = (
        f"On this frame: {train} pixels in the training set, {validate + trimmed} in the "
        "validation set"
    )
    if trimmed:
        text += f"; {trimmed} drawn as both are in the validation set"
    return text + "."


class PartsLayer:
    """The coloured layer that shows what a frame is used for.

    Parameters
    ----------
    viewer
        Gets the layer while there is something to show.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self.layer: Labels | None = None

    def show(self, labels: Any, base: Image) -> None:
        """Show the parts of a frame over its layer."""
        if self.layer is not None and self.layer not in self._viewer.layers:
            self.layer = None
        if self.layer is None:
            chosen, colors = self._viewer.layers.selection, {None: "transparent", 0: "transparent"}
            kept = set(chosen), chosen.active
            colors |= dict(enumerate(COLORS.values(), start=1))
            self.layer = Labels(
                labels,
                name="Training and validation set",
                opacity=0.25,
                colormap=DirectLabelColormap(color_dict=colors),
                units=base.units[-2:],
                metadata={HELPER: PARTS},
            )
            self._viewer.add_layer(self.layer)
            chosen.clear()
            chosen.update(kept[0])
            chosen.active = kept[1]
        else:
            self.layer.data = labels
        self.layer.scale, self.layer.translate = base.scale[-2:], base.translate[-2:]

    def remove(self) -> None:
        """Take it away."""
        if self.layer is not None and self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)
        self.layer = None


def lies_flat(pair: Pair) -> bool:
    """Whether rows and columns are the last axes, as a layer of two dimensions needs."""
    return pair.axes.replace("S", "").endswith("YX")


def _region(corners: Any, pair: Pair, kind: Kind, every: bool) -> Region | None:
    """Turn corners in a layer's dimensions into a region; None where it holds nothing."""
    axes, layout = pair.axes.replace("S", ""), pair.layout
    points = corners[:, [axes.index("Y"), axes.index("X")]] + EDGE
    frame = _frame(corners, axes, layout)
    size = layout.size("Y"), layout.size("X")
    low, high = points.min(axis=0), points.max(axis=0)
    if frame is None or (high <= 0).any() or (low >= size).any() or (high - low < 1).any():
        return None
    place = None if every else frame
    straight = len(points) == 4 and all(
        np.isclose(points[:, axis], low[axis]).sum() == 2
        and np.isclose(points[:, axis], high[axis]).sum() == 2
        for axis in (0, 1)
    )
    if straight:
        box = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
        return Region(kind, rectangle=box, frame=place, pair=pair.name)
    polygon = tuple((float(y), float(x)) for y, x in points)
    return Region(kind, polygon=polygon, frame=place, pair=pair.name)


def _frame(corners: Any, axes: str, layout: Layout) -> int | None:
    where = dict(zip(axes, np.rint(corners.mean(axis=0)).astype(int), strict=True))
    index = tuple(slice(None) if a in "YXS" else int(where[a]) for a in layout.axes)
    return layout.frames.index(index) if index in layout.frames else None


def _rounded(box: Any) -> Any:
    """Approximate the ellipse in a box of four corners by a polygon."""
    centre = box.mean(axis=0)
    one, other = (box[1] - box[0]) / 2, (box[3] - box[0]) / 2
    turn = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)[:, None]
    return centre + np.cos(turn) * one + np.sin(turn) * other


def _corners(region: Region, layout: Layout) -> list[tuple[float, float]]:
    if region.polygon is not None:
        return list(region.polygon)
    whole = (0.0, 0.0, float(layout.size("Y")), float(layout.size("X")))
    top, left, bottom, right = region.rectangle or whole
    return [(top, left), (top, right), (bottom, right), (bottom, left)]
