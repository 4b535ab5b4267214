"""Draw the pictures of docs/stacks.md, and the moving one of the README, from the bundled samples.

    python docs/make_stack_pictures.py [FOLDER]

Needs matplotlib.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from napari_denoise import Denoiser, read
from napari_denoise.image.tone import tone_mapped
from napari_denoise.plugin.samples import SAMPLES, sample_path

IMAGES = Path(__file__).parent / "images"
TITLES = "noisy", "frame by frame", "with neighbours", "frames used"
ZOOM, CAPTION, GAP = 2, 30, 6
SECONDS_A_FRAME = 0.25

Array = NDArray[Any]
Window = tuple[slice, slice]
Shown = Callable[[Array], Array]
"""Takes values to what a monitor shows, 0 to 1."""


def three_ways(name: str) -> tuple[Array, Array, Array, Array]:
    """Return a sample noisy, frame by frame and with neighbours, and its map of frames used."""
    noisy, meta = read(sample_path(SAMPLES[name].noisy))
    job = Denoiser.load("auto", "cpu", "float32").prepare(noisy, meta=meta)
    alone = [step.result for step in job.alone().steps() if step.result is not None]
    steps = [step for step in job.steps() if step.result is not None]
    fused, used = ([getattr(step, key) for step in steps] for key in ("result", "frames_used"))
    print(f"{name}: {job.frames_used:.2f} frames used on average")
    return np.asarray(noisy), np.stack(alone), np.stack(fused), np.stack(used)


def grayscale(truth: Array) -> Shown:
    """Show values between the darkest and the brightest of the clean image."""
    low, high = np.percentile(truth, (0.5, 99.8))
    return lambda values: np.clip((values.astype(np.float32) - low) / (high - low), 0, 1)


def draw(stacks: tuple[Array, ...], frame: int, window: Window, shown: Shown, target: Path) -> None:
    """Draw one frame three ways, and beside it how many frames its pixels are made of."""
    rows, columns = (part.stop - part.start for part in window)
    figure, axes = plt.subplots(2, 2, figsize=(9.5, 8.9 * rows / columns + 0.6), dpi=100)
    places = axes[0, 0], axes[1, 0], axes[1, 1], axes[0, 1]  # what is compared stands in one row
    for axis, title, stack in zip(places, TITLES, stacks, strict=True):
        part = stack[frame][window]
        if title == "frames used":
            axis.imshow(part, cmap="viridis", vmin=1, vmax=5, interpolation="nearest")
        else:
            axis.imshow(shown(part), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axis.set_title(title, fontsize=12)
        axis.axis("off")
    figure.subplots_adjust(0.005, 0.005, 0.945, 0.955, wspace=0.015, hspace=0.09)
    place = axes[0, 1].get_position()
    bar = figure.add_axes((place.x1 + 0.008, place.y0, 0.014, place.height))
    figure.colorbar(ScalarMappable(Normalize(1, 5), "viridis"), cax=bar, ticks=range(1, 6))
    figure.savefig(target, pil_kwargs={"optimize": True})
    plt.close(figure)


def animate(stacks: tuple[Array, ...], window: Window, shown: Shown, target: Path) -> None:
    """Show the same crop of all frames three ways, side by side."""
    rows, columns = (ZOOM * (part.stop - part.start) for part in window)
    font = ImageFont.load_default(18)
    frames = []
    for planes in zip(*stacks, strict=True):
        page = Image.new("L", (3 * columns + 2 * GAP, rows + CAPTION), 20)
        pen = ImageDraw.Draw(page)
        for number, (title, plane) in enumerate(zip(TITLES, planes, strict=False)):
            left = number * (columns + GAP)
            pen.text((left + columns / 2, CAPTION / 2), title, 240, font, anchor="mm")
            part = Image.fromarray(np.round(255 * shown(plane[window])).astype(np.uint8))
            page.paste(part.resize((columns, rows), Image.Resampling.NEAREST), (left, CAPTION))
        frames.append(page)
    pace = round(1000 * SECONDS_A_FRAME)
    frames[0].save(target, save_all=True, append_images=frames[1:], duration=pace, loop=0)
    print(f"{target}: {target.stat().st_size / 1e6:.2f} MB")


def main() -> None:
    """Draw all of them."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES
    folder.mkdir(parents=True, exist_ok=True)
    truth, _ = read(sample_path(SAMPLES["fluorescence"].truth))
    stacks, shown = three_ways("fluorescence"), grayscale(np.asarray(truth))
    draw(stacks, 6, (slice(66, 174), slice(18, 162)), shown, folder / "stack_fluorescence.png")
    animate(stacks[:3], (slice(56, 184), slice(22, 150)), shown, folder / "stack.gif")
    exposed = np.percentile(read(sample_path(SAMPLES["render"].truth))[0], 98)
    whole = slice(0, 192), slice(0, 256)
    draw(
        three_ways("render"),
        2,
        whole,
        lambda light: tone_mapped(light / exposed),
        folder / "stack_render.png",
    )


if __name__ == "__main__":
    main()
