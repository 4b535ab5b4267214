"""Add Gaussian noise to a photograph of scikit-image (coffee.png, CC0, Rachel Michetti).

The picture is reduced from 600 x 400 to 420 x 280 pixels, which also takes out what noise
and compression artefacts it had. Model: rint(clip(truth + N(0, 25), 0, 255)).

    pip install scikit-image pillow
    python make_photo.py
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

SEED = 25
SIGMA = 25.0
SIZE = (420, 280)


def main() -> None:
    """Write photo_truth.png and photo.png."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1])
    out = parser.parse_args().out
    truth = Image.fromarray(skimage.data.coffee()).resize(SIZE, Image.Resampling.LANCZOS)
    noise = np.random.default_rng(SEED).normal(0, SIGMA, (*SIZE[::-1], 3))
    noisy = np.rint(np.clip(np.asarray(truth) + noise, 0, 255)).astype(np.uint8)
    truth.save(out / "photo_truth.png", optimize=True)
    Image.fromarray(noisy).save(out / "photo.png", optimize=True)


if __name__ == "__main__":
    main()
