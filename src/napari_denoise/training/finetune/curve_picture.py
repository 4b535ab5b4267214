"""The curve of a fine-tuning as a picture: PSNR on what is held out, and the training loss."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from napari_denoise.io.atomic import replacing

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 900, 320, 70, 34, 30
_BACK, _FRAME, _TEXT = "#14161b", "#3a3f4b", "#f2f3f5"
_COLORS = {"noisy": "#8a8f9c", "base": "#f0b429", "faithful": "#4cc38a", "realistic": "#e5484d"}
Points = Sequence[tuple[float, float]]


def draw_curve(log: Path, target: Path) -> None:
    """Draw a log that `training.logs.RunLog` wrote.

    Raises
    ------
    FileError
        The picture cannot be written.
    """
    with log.open(newline="") as file:
        rows = list(csv.DictReader(file))
    ends = {name: _column(rows, f"psnr_{name}") for name in _COLORS}
    panels = [
        ("PSNR on the validation set, dB", {k: v for k, v in ends.items() if v}),
        ("training loss (pixel term)", {"faithful": _column(rows, "pixel")}),
    ]
    page = Image.new("RGB", (_WIDTH, _HEIGHT * len(panels)), _BACK)
    draw = ImageDraw.Draw(page)
    for number, (title, lines) in enumerate(panels):
        _panel(draw, number * _HEIGHT, title, lines, legend=number == 0)
    with replacing([target], overwrite=True) as (new,), new.open("wb") as file:
        page.save(file, "PNG")


def _column(rows: Sequence[Mapping[str, str]], name: str) -> list[tuple[float, float]]:
    return [(float(row["step"]), float(row[name])) for row in rows if row.get(name)]


def _panel(
    draw: ImageDraw.ImageDraw, top: int, title: str, lines: Mapping[str, Points], *, legend: bool
) -> None:
    """Draw axes and lines, scaled to what there is."""
    font = ImageFont.load_default(14)
    box = (_LEFT, top + _TOP, _WIDTH - 20, top + _HEIGHT - _BOTTOM)
    draw.text((_LEFT, top + 8), title, _TEXT, font)
    draw.rectangle(box, outline=_FRAME)
    points = [point for line in lines.values() for point in line]
    if not points:
        return
    last = max(x for x, _ in points)
    low, high = min(y for _, y in points), max(y for _, y in points)
    margin = 0.06 * (high - low) or 0.5
    low, high = low - margin, high + margin

    def place(x: float, y: float) -> tuple[float, float]:
        across = box[0] + (box[2] - box[0]) * x / max(last, 1)
        return across, box[3] - (box[3] - box[1]) * (y - low) / (high - low)

    for share in (0.0, 0.5, 1.0):
        value = low + share * (high - low)
        draw.text((6, place(0, value)[1] - 8), f"{value:.4g}", _TEXT, font)
    draw.text((box[0], box[3] + 6), "0", _TEXT, font)
    draw.text((box[2] - 90, box[3] + 6), f"step {last:.0f}", _TEXT, font)
    for number, (name, line) in enumerate(lines.items()):
        flat = name in ("noisy", "base")
        shown = [(0.0, line[0][1]), (last, line[0][1])] if flat else line
        draw.line([place(x, y) for x, y in shown], _COLORS[name], 1 if flat else 2)
        if legend:
            text = f"{name} {line[-1][1]:.2f}"
            draw.text((_WIDTH - 560 + 140 * number, top + 8), text, _COLORS[name], font)
