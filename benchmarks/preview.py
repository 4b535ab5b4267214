"""Seconds from the click on Preview to its first pixels, in napari: python -m benchmarks.preview.

Needs a display (xvfb-run without one) and an idle machine: what a user waits for is wall time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import napari
import numpy as np
from qtpy.QtWidgets import QApplication

from benchmarks.tables import Table, environment, limit_verdict, show
from benchmarks.tiling import simulate

PATIENCE = 120.0
HALF = 500_000
LIMIT = 1.0
"""Seconds that the first pixels, and half a megapixel, may take on two cores."""


class Wait(NamedTuple):
    """From one click: seconds to the first pixels, to half a megapixel, and to all of them."""

    first: float
    first_pixels: int
    half: float
    whole: float
    whole_pixels: int


def until(condition: Callable[[], bool]) -> float:
    """Let napari work until something is so; return the seconds."""
    start = time.perf_counter()
    while not condition():
        if time.perf_counter() - start > PATIENCE:
            raise TimeoutError(f"nothing after {PATIENCE:g} s")
        QApplication.processEvents()
        time.sleep(0.005)
    return time.perf_counter() - start


def rest(seconds: float) -> None:
    """Let the window come to rest, as nobody clicks while it is still being laid out."""
    end = time.perf_counter() + seconds
    until(lambda: time.perf_counter() > end)


def click(widget: Any) -> Wait:
    """Switch the preview on, wait until it is complete, switch it off."""
    pieces: list[tuple[float, int]] = []

    def note(_kind: str, text: str) -> None:
        if text.startswith("Preview"):
            shown = sum(int(overlay.known.sum()) for overlay in widget.preview.overlays)
            pieces.append((time.perf_counter() - start, shown))

    widget.preview.said.connect(note)
    start = time.perf_counter()
    widget.actions.preview.native.setChecked(True)
    until(lambda: bool(pieces) and not widget.preview.busy)
    widget.preview.said.disconnect(note)
    widget.actions.preview.native.setChecked(False)
    until(lambda: not widget.preview.overlays)
    half = next(seconds for seconds, shown in pieces if shown >= HALF)
    return Wait(*pieces[0], half, *pieces[-1])


def waits(data: np.ndarray, rgb: bool, rounds: int) -> list[Wait]:
    """Measure one layer in a fresh viewer; the first click is the one that loads PyTorch."""
    viewer = napari.Viewer(show=True)
    try:
        _, widget = viewer.window.add_plugin_dock_widget("napari-denoise", "Denoise")
        viewer.add_image(data, rgb=rgb)
        viewer.reset_view()
        until(lambda: widget.form.noise_known)
        rest(1.0)
        return [click(widget) for _ in range(rounds)]
    finally:
        viewer.close()


def first_previews(rounds: int) -> Iterator[Table]:
    """Time the preview of a 16-bit frame and of a photograph, both of 2048 x 2048 pixels."""
    gray = simulate((2048, 2048)).astype(np.uint16)
    colour = np.clip(np.stack([gray // 8] * 3, axis=-1), 0, 255).astype(np.uint8)
    rows, verdicts = [], []
    for name, data in (("microscopy, uint16", gray), ("photo, RGB", colour)):
        opening, *warm = waits(data, data.ndim == 3, rounds + 1)
        first, half = (_typical([getattr(w, part) for w in warm]) for part in ("first", "half"))
        sizes = (f"{pixels / 1e6:.2f} MP" for pixels in (warm[-1].first_pixels, HALF))
        whole = f"{median(w.whole for w in warm):.2f} for {warm[-1].whole_pixels / 1e6:.2f} MP"
        rows.append((name, f"{opening.first:.2f}", first, half, whole))
        for part, size in zip(("first", "half"), sizes, strict=True):
            seconds = median(getattr(w, part) for w in warm)
            verdicts.append(limit_verdict(f"{name}, {size}", seconds, LIMIT, "s"))
    header = (
        "2048 x 2048",
        "first click, s",
        "first pixels, s",
        "half a megapixel, s",
        "whole view, s",
    )
    about = (
        f"Wall seconds from the click to the pixels in napari's canvas; {rounds} later clicks, "
        "median and range."
    )
    yield Table("preview", header, tuple(rows), (about, " ".join(verdicts), environment()))


def _typical(seconds: list[float]) -> str:
    return f"{median(seconds):.2f} ({min(seconds):.2f}-{max(seconds):.2f})"


def main(argv: list[str] | None = None) -> None:
    """Print the table, and fill a document with it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--markdown", type=Path, help="document whose table to replace")
    chosen = parser.parse_args(argv)
    show(first_previews(chosen.rounds), chosen.markdown)


if __name__ == "__main__":
    main()
