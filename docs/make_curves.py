"""Draw the figures of docs/training.md: curves from the logs beside the recipes, and pictures.

    python docs/make_curves.py [RUN/thomas2017.safetensors RUN/iteapoy2018.safetensors]

Needs matplotlib. With the weights of the two older systems it also shows what they make of two
of scikit-image's pictures (public domain: NASA; CC0: Stefan van der Walt).
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray
from skimage import data

from napari_denoise import Denoiser
from napari_denoise.image.metrics import psnr

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
CHANCE = np.log(2)
Column = NDArray[np.float64]


def column(name: str, key: str) -> tuple[Column, Column]:
    """Read the steps and values of one column of a recipe's log, where it has a value."""
    with (ROOT / "recipes" / f"{name}.log.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row.get(key)]
    return (
        np.array([float(row["step"]) for row in rows]),
        np.array([float(row[key]) for row in rows]),
    )


def smooth(values: Column, width: int = 15) -> Column:
    """Take a moving mean that keeps the length; it is over fewer values at both ends."""
    weights = np.convolve(np.ones(len(values)), np.ones(width), "same")
    return np.asarray(np.convolve(values, np.ones(width), "same") / weights)


def bundled(axes: Any) -> None:
    """Pixel loss of the two long runs; its unit changes where the loss does."""
    for axis, name in zip(axes, ("photo", "microscopy"), strict=True):
        steps, loss = column(name, "pixel")
        axis.semilogy(steps, loss, color="0.8", linewidth=0.6)
        axis.semilogy(steps, smooth(loss), linewidth=1.2)
        axis.set(title=name, xlabel="step", ylabel="pixel term")


def seeds(axes: Any) -> None:
    """PSNR on held-out pictures and the discriminator's loss of the two older systems."""
    for name in ("thomas2017", "iteapoy2018"):
        for end, style in (("faithful", "-"), ("realistic", "--")):
            steps, psnr = column(name, f"psnr_{end}")
            axes[0].plot(steps, psnr, style, marker=".", label=f"{name}, {end}")
        steps, score = column(name, "discriminator")
        label = "loss less chance" if name == "thomas2017" else "critic's loss, chance is 0"
        axes[1].plot(
            steps, score - (CHANCE if name == "thomas2017" else 0), label=f"{name}: {label}"
        )
    axes[0].axhline(column("thomas2017", "psnr_noisy")[1][0], color="0.5", label="noisy")
    axes[0].set(title="8 held-out pictures, sigma 25", xlabel="step", ylabel="PSNR, dB")
    axes[1].axhline(0, color="0.5")
    axes[1].set(title="discriminator", xlabel="step", ylabel="below 0: it tells them apart")
    for axis in axes:
        axis.legend(fontsize=7)


def draw(target: str, fill: Callable[[Any], None]) -> None:
    """Save one figure of two panels."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    fill(axes)
    figure.savefig(IMAGES / target, dpi=110)
    plt.close(figure)


CROPS = (("astronaut", 10, 120), ("chelsea", 40, 80))
SIDE, SIGMA = 180, 25.0


def pictures(weights: list[str]) -> None:
    """Show noisy, faithful, realistic and clean, one row per system and picture."""
    figure, axes = plt.subplots(
        len(weights) * len(CROPS), 4, figsize=(9, 4.6 * len(weights)), layout="constrained"
    )
    rows = [(path, *crop) for path in weights for crop in CROPS]
    for row, (path, name, y, x) in zip(axes, rows, strict=True):
        clean = getattr(data, name)()[y : y + SIDE, x : x + SIDE]
        noise = SIGMA * np.random.default_rng(0).standard_normal(clean.shape)
        noisy = (clean + noise).astype(np.float32)
        shown = {"noisy": noisy}
        for end, realism in (("faithful", 0.0), ("realistic", 1.0)):
            denoiser = Denoiser.load(path)
            shown[end] = denoiser(noisy, "YXS", noise=SIGMA, realism=realism)
        shown["clean"] = clean
        for axis, (label, image) in zip(row, shown.items(), strict=True):
            bytes_ = np.clip(np.rint(image), 0, 255).astype(np.uint8)
            axis.imshow(bytes_, interpolation="nearest")
            figure_of = "" if label == "clean" else f", {psnr(clean, image, 255):.1f} dB"
            axis.set_title(f"{label}{figure_of}", fontsize=8)
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(Path(path).stem, fontsize=8)
    figure.savefig(IMAGES / "seeds.jpg", dpi=100, pil_kwargs={"quality": 88})
    plt.close(figure)


if __name__ == "__main__":
    plt.switch_backend("agg")
    draw("curves_bundled.png", bundled)
    draw("curves_seeds.png", seeds)
    if sys.argv[1:]:
        pictures(sys.argv[1:])
