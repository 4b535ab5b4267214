"""Pictures of a fine-tuning at work: held-out windows as the weights show them by now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_denoise.image.axes import Layout
    from napari_denoise.models.network import Network
    from napari_denoise.training.finetune.fine_tuning import FineTuning
    from napari_denoise.training.finetune.held_out import HeldOutSet

_LARGEST = 256
"""Side of the window that is denoised anew at each validation."""


@dataclass(frozen=True)
class LookedAt:
    """Where the user looks: a frame of a pair, rows and columns."""

    pair: str
    frame: int
    rows: slice
    columns: slice


@dataclass(frozen=True, eq=False)
class Look:
    """Pixels of a window, (Y, X) or (Y, X, S), by what made them."""

    view: LookedAt
    images: dict[str, Any]
    place: str = ""
    """Which frame of a stack, for people; empty where there is one only."""


def ends(tuning: FineTuning) -> dict[str, Network]:
    """Return the weights so far by name, as they would be saved."""
    faithful, realistic = tuning.ends()
    found = {"fine-tuned": faithful}
    return found if realistic is None else {**found, "realistic": realistic}


def preview(tuning: FineTuning, wanted: LookedAt | None) -> Look | None:
    """Denoise what is held out where the user looks; elsewhere, the first held-out window."""
    view = _window(tuning.views, wanted)
    if view is None:
        return None
    found = ends(tuning)
    name, network = list(found.items())[-1]
    return Look(view, {name: _denoised(tuning.views, view, network, found["fine-tuned"])})


def side_by_side(tuning: FineTuning, wanted: LookedAt | None) -> Look | None:
    """Return a held-out window: noisy, base, fine-tuned, and clean where there is one."""
    from napari_denoise.weights.files import load_network

    views = tuning.views
    view = _window(views, wanted)
    if view is None:
        return None
    pair = next(pair for pair in views.pairs if pair.name == view.pair)
    images = {"noisy": _cut(pair.noisy, pair.layout, view)}
    images["base"] = _denoised(views, view, load_network(tuning.base))
    found = ends(tuning)
    for name, network in found.items():
        images[name] = _denoised(views, view, network, found["fine-tuned"])
    if not pair.stack:
        last = "second shot" if pair.noisy_target else "clean"
        images[last] = _cut(pair.target, pair.layout, view)
    return Look(view, images, _place(pair.layout, view.frame))


def _window(views: HeldOutSet, wanted: LookedAt | None) -> LookedAt | None:
    """Choose a held-out window, the middle of what is seen of it."""
    if not views.whole:
        return None
    names = [pair.name for pair in views.pairs]
    seen = [
        view
        for view in views.whole
        if wanted is not None and (names[view.job], view.frame) == (wanted.pair, wanted.frame)
    ]
    chosen = (seen or views.whole)[0]
    rows, columns = chosen.window
    if seen and wanted is not None:
        rows, columns = _common(rows, wanted.rows), _common(columns, wanted.columns)
    return LookedAt(names[chosen.job], chosen.frame, _middle(rows), _middle(columns))


def _common(one: slice, other: slice) -> slice:
    start, stop = max(one.start, other.start), min(one.stop, other.stop)
    return slice(start, stop) if stop > start else one


def _middle(part: slice) -> slice:
    length = min(part.stop - part.start, _LARGEST)
    start = part.start + (part.stop - part.start - length) // 2
    return slice(start, start + length)


def _place(layout: Layout, frame: int) -> str:
    """Name a frame as the sliders of the viewer do, which count from 0."""
    if len(layout.frames) == 1:
        return ""
    index = zip(layout.axes, layout.frames[frame], strict=True)
    return ", ".join(f"{letter} {place}" for letter, place in index if isinstance(place, int))


def _denoised(
    views: HeldOutSet, view: LookedAt, network: Network, faithful: Network | None = None
) -> Any:
    number = [pair.name for pair in views.pairs].index(view.pair)
    return views.job(number, network, faithful).region(view.frame, view.rows, view.columns)


def _cut(array: Any, layout: Any, view: LookedAt) -> Any:
    import numpy as np

    ranges = {"Y": view.rows, "X": view.columns}
    frame = np.asarray(array[layout.frames[view.frame]])
    cut = frame[tuple(ranges.get(letter, slice(None)) for letter in layout.frame_axes)]
    order = ["YXS".index(letter) for letter in layout.frame_axes]
    return cut.transpose(np.argsort(order))
