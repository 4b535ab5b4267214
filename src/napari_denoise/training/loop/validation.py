"""How good the network is by now: figures and a picture of images kept from training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from napari_denoise.image.metrics import psnr, ssim
from napari_denoise.io.atomic import replacing
from napari_denoise.models.network import Network
from napari_denoise.models.registry import build
from napari_denoise.settings.recipe import TrainSettings
from napari_denoise.training.loop.report import Image3, Validation
from napari_denoise.training.loop.state import TrainingState

SIGMA = 25 / 255
"""Noise of the validation images, where the recipe's range allows it."""
_SIZE, _SHOWN, _ZOOM = 256, 4, 2
_CAPTION = 22


class Validator:
    """Fixed noisy crops of pictures that are not trained on.

    Parameters
    ----------
    images
        (Y, X, C) uint8.
    settings
        The recipe.
    """

    def __init__(self, images: Sequence[NDArray[np.uint8]], settings: TrainSettings) -> None:
        low, high = settings.noise.sigma
        self.sigma = min(max(SIGMA, low), high)
        self.clean = [_centre(image) for image in images]
        self.noisy = [
            image
            + np.float32(self.sigma)
            * np.random.default_rng([settings.seed, n]).standard_normal(image.shape, np.float32)
            for n, image in enumerate(self.clean)
        ]

    def __call__(self, state: TrainingState) -> Validation:
        """Denoise the crops with the averaged weights, and with the faithful ones if kept."""
        ends = {"realistic" if state.faithful else "faithful": state.average}
        if state.faithful is not None:
            faithful = build(state.settings.architecture, state.settings.config)
            faithful.load_state_dict(state.faithful)
            ends = {"faithful": faithful.to(state.fabric.device), **ends}
        columns: dict[str, list[Image3]] = {"noisy": self.noisy}
        columns |= {name: self._denoised(network) for name, network in ends.items()}
        figures = {}
        for name, images in columns.items():
            pairs = list(zip(self.clean, images, strict=True))
            figures[f"psnr_{name}"] = float(np.mean([_psnr(c, i) for c, i in pairs]))
            figures[f"ssim_{name}"] = float(np.mean([_ssim(c, i) for c, i in pairs]))
        return Validation(figures, {**columns, "clean": self.clean})

    def _denoised(self, network: Network) -> list[Image3]:
        device = next(network.parameters()).device
        done = []
        for image in self.noisy:
            with torch.inference_mode():
                noisy = torch.from_numpy(image)[None].to(device)
                sigma = torch.full_like(noisy[:, :1], self.sigma)
                mean, _ = network.split(network(noisy, sigma))
            done.append(mean[0].float().cpu().numpy())
        return done


def regularly(
    validator: Validator | None, every: int
) -> Callable[[TrainingState], Validation | None] | None:
    """Measure after every so many steps and after the last; None where nobody measures."""
    if validator is None:
        return None

    def after_step(state: TrainingState) -> Validation | None:
        due = state.step % every == 0 or state.step == state.settings.steps
        return validator(state) if due else None

    return after_step


def save_figure(validation: Validation, path: Path) -> None:
    """Draw the columns side by side, a row per image, enlarged without smoothing."""
    names = list(validation.columns)
    rows = list(zip(*(validation.columns[name][:_SHOWN] for name in names), strict=True))
    height = sum(row[0].shape[1] * _ZOOM for row in rows)
    width = max(row[0].shape[2] for row in rows) * _ZOOM
    page = Image.new("RGB", (width * len(names), height + _CAPTION), "#14161b")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(15)
    for column, name in enumerate(names):
        figure = validation.figures.get(f"psnr_{name}")
        text = name if figure is None else f"{name}  {figure:.2f} dB"
        draw.text((column * width + 4, 2), text, "#f2f3f5", font)
    top = _CAPTION
    for row in rows:
        for column, image in enumerate(row):
            page.paste(_picture(image), (column * width, top))
        top += row[0].shape[1] * _ZOOM
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing([path], overwrite=True) as (temporary,), temporary.open("wb") as file:
        page.save(file, "PNG")


def _picture(image: Image3) -> Image.Image:
    codes = np.round(np.clip(np.moveaxis(image, 0, -1), 0, 1) * 255).astype(np.uint8)
    picture = Image.fromarray(codes[..., 0] if codes.shape[-1] == 1 else codes).convert("RGB")
    return picture.resize((picture.width * _ZOOM, picture.height * _ZOOM), Image.Resampling.NEAREST)


def _centre(image: NDArray[np.uint8]) -> Image3:
    """Cut the middle to (C, Y, X) float32 in [0, 1], sides multiples of 4."""
    sides = [min(_SIZE, length // 4 * 4) for length in image.shape[:2]]
    y, x = ((n - side) // 2 for n, side in zip(image.shape[:2], sides, strict=True))
    crop = image[y : y + sides[0], x : x + sides[1]]
    return np.ascontiguousarray(np.moveaxis(crop, -1, 0), np.float32) / np.float32(255)


def _psnr(clean: Image3, image: Image3) -> float:
    return psnr(clean, np.clip(image, 0, 1), data_range=1.0)


def _ssim(clean: Image3, image: Image3) -> float:
    pairs = zip(clean, np.clip(image, 0, 1), strict=True)
    return float(np.mean([ssim(c, i, data_range=1.0) for c, i in pairs]))
