"""One picture that shows what denoising does: before, after and truth, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter, uniform_filter

Picture = NDArray[np.float32]
"""(Y, X) or (Y, X, 3), as displayed, in [0, 1]."""
Window = tuple[slice, slice]

CELL = (400, 300)
"""Width and height of a crop on the page, pixels."""
OVERVIEW = 232
"""Width of the column of whole frames."""
MARGIN, GAP, CAPTION, TITLE = 36, 14, 34, 40
BACKGROUND, INK, QUIET, ACCENT = "#14161b", "#f2f3f5", "#9aa0ab", "#35c4b5"


@dataclass(frozen=True)
class Row:
    """One sample: how it looks before, after and in truth, with a caption for each."""

    title: str
    note: str
    pictures: tuple[Picture, Picture, Picture]
    captions: tuple[str, str, str]
    zoom: int = 3


def compose(rows: Sequence[Row], heading: str, note: str) -> Image.Image:
    """Draw the page: per row the whole frame with the crop marked, and three crops.

    Parameters
    ----------
    rows
        From top to bottom.
    heading, note
        Above them.
    """
    width = 2 * MARGIN + OVERVIEW + 3 * (GAP + CELL[0])
    row_height = TITLE + CELL[1] + CAPTION + GAP
    top = 104
    page = Image.new("RGB", (width, top + len(rows) * row_height + MARGIN - GAP), BACKGROUND)
    draw = ImageDraw.Draw(page)
    draw.text((MARGIN, 28), heading, INK, _font(34))
    draw.text((MARGIN, 70), note, QUIET, _font(17))
    for number, row in enumerate(rows):
        _draw_row(page, draw, row, top + number * row_height)
    return page


def choose_crop(before: Picture, after: Picture, truth: Picture, size: tuple[int, int]) -> Window:
    """Find the window where most noise went and most structure stands.

    Parameters
    ----------
    before, after, truth
        As displayed.
    size
        Height and width, cut to those of the pictures.
    """
    height, width = (min(n, m) for n, m in zip(size, truth.shape[:2], strict=True))
    gain = _gray(np.abs(before - truth)) - _gray(np.abs(after - truth))
    gray = _gray(truth)
    detail = np.abs(gray - gaussian_filter(gray, 3))
    score = _share(gain, height, width) * _share(detail, height, width)
    # A window is named by its centre; only those that lie inside count.
    inside = np.zeros(gray.shape, bool)
    inside[height // 2 : gray.shape[0] - (height - 1) // 2] = True
    inside[:, : width // 2] = inside[:, gray.shape[1] - (width - 1) // 2 :] = False
    y, x = np.unravel_index(np.argmax(np.where(inside, score, -1)), gray.shape)
    y0, x0 = int(y) - height // 2, int(x) - width // 2
    return slice(y0, y0 + height), slice(x0, x0 + width)


def _share(values: Picture, height: int, width: int) -> NDArray[np.float64]:
    """Mean over windows, relative to the best window."""
    means = np.maximum(uniform_filter(values.astype(np.float64), (height, width)), 0)
    return np.asarray(means / max(float(means.max()), 1e-12))


def _draw_row(page: Image.Image, draw: ImageDraw.ImageDraw, row: Row, top: int) -> None:
    size = CELL[1] // row.zoom, CELL[0] // row.zoom
    window = choose_crop(*row.pictures, size)
    draw.text((MARGIN, top + 6), row.title, INK, _font(20))
    offset = MARGIN + draw.textlength(row.title, _font(20)) + 14
    draw.text((offset, top + 10), row.note, QUIET, _font(15))
    top += TITLE
    _draw_overview(page, draw, row.pictures[0], window, (MARGIN, top))
    labels = ("before", "after", "truth")
    for number, picture in enumerate(row.pictures):
        left = MARGIN + OVERVIEW + GAP + number * (CELL[0] + GAP)
        page.paste(_enlarged(picture[window], row.zoom), (left, top))
        color = ACCENT if number == 1 else INK
        draw.text((left, top + CELL[1] + 8), labels[number], color, _font(17))
        indent = left + draw.textlength(labels[number], _font(17)) + 10
        draw.text((indent, top + CELL[1] + 9), row.captions[number], QUIET, _font(16))


def _draw_overview(
    page: Image.Image,
    draw: ImageDraw.ImageDraw,
    picture: Picture,
    window: Window,
    corner: tuple[int, int],
) -> None:
    """Draw the whole noisy frame, with the crop outlined."""
    height, width = picture.shape[:2]
    scale = min(OVERVIEW / width, CELL[1] / height)
    shape = max(1, round(width * scale)), max(1, round(height * scale))
    page.paste(_image(picture).resize(shape, Image.Resampling.BOX), corner)
    left, upper = (round(corner[i] + window[1 - i].start * scale) for i in (0, 1))
    right, lower = (round(corner[i] + window[1 - i].stop * scale) - 1 for i in (0, 1))
    draw.rectangle((left, upper, right, lower), outline=ACCENT, width=2)
    draw.text((corner[0], corner[1] + shape[1] + 8), "whole frame", QUIET, _font(16))


def _enlarged(picture: Picture, zoom: int) -> Image.Image:
    """Whole multiples without smoothing: the pixels are what is judged."""
    height, width = picture.shape[:2]
    image = _image(picture).resize((width * zoom, height * zoom), Image.Resampling.NEAREST)
    cell = Image.new("RGB", CELL, BACKGROUND)
    cell.paste(image, ((CELL[0] - image.width) // 2, (CELL[1] - image.height) // 2))
    return cell


def _image(picture: Picture) -> Image.Image:
    codes = np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    return Image.fromarray(codes).convert("RGB")


def _gray(picture: Picture) -> Picture:
    return picture.mean(axis=-1) if picture.ndim == 3 else picture


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
