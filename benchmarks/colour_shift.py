"""Colour shift of two older systems, even with perfect networks: python -m benchmarks.colour_shift.

Each system is given the best network it could have: one whose output is the closest to the
clean picture that its output stage can reach. What is then still wrong is the fault of what
stands around the network. docs/seed_systems.md explains the faults and takes the table.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage import data

from benchmarks.protocol import Image, add_noise, channel_errors, to_bytes
from benchmarks.tables import Table, environment, show
from napari_denoise import NoiseModel, read
from napari_denoise.image.metrics import psnr
from napari_denoise.measure.mappings import fit_mapping
from napari_denoise.measure.sampled import robust_range

Bytes = NDArray[np.uint8]
Picture = tuple[str, Bytes]

BUNDLED = ("astronaut", "chelsea", "coffee", "rocket")
"""Come with scikit-image; public domain or CC0, as its documentation says."""
SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff"}


@dataclass(frozen=True)
class Result:
    """A picture as a system with a perfect network gives it back.

    Parameters
    ----------
    image
        As saved, 8 bit.
    out_of_reach
        Share of the target's values that the output stage cannot give.
    """

    image: Bytes
    out_of_reach: float = 0.0

    def cells(self, clean: Bytes) -> tuple[str, str]:
        """Return PSNR, and the mean error of each channel, in units of 1/255."""
        score = psnr(clean, self.image, 255)
        shifts = channel_errors(clean, self.image)
        shown = "exact" if np.isinf(score) else f"{score:.2f}"
        return shown, " / ".join(f"{shift:+.1f}" for shift in shifts)


def standardise(image: Any) -> Image:
    """Subtract the mean of a picture and divide by its standard deviation (z-score)."""
    values = np.asarray(image, np.float64)
    spread: float = max(values.std(), values.size**-0.5)  # as TensorFlow does
    scores: Image = (values - values.mean()) / spread
    return scores


def stretch(image: Image) -> Bytes:
    """Save with the least value as 0 and the largest as 255, as SciPy's imsave did."""
    low, high = image.min(), image.max()
    return to_bytes((image - low) * (255 / max(high - low, 1e-12)))


def thomas2017(clean: Bytes, noisy: Image) -> Result:
    """ImageDenoisingGAN: ``(z + tanh(...) + 1) / 2`` has to meet the z-score of the target.

    So with the input's z-score z the output lies in [z/2, z/2 + 1].
    """
    z, target = standardise(noisy), standardise(clean)
    reached = np.clip(target, z / 2, z / 2 + 1)
    return Result(stretch(reached), float(np.mean(reached != target)))


def iteapoy2018(clean: Bytes, _noisy: Image) -> Result:
    """GANDenoising: z-scores and the stretch as well, but an output without bounds."""
    return Result(stretch(standardise(clean)))


def corrected(clean: Bytes, noisy: Image, sigma: float) -> Result:
    """Map both pictures alike, fitted to the noisy one, and invert the mapping: as done here."""
    noise = NoiseModel(read_noise=sigma)
    mapping = fit_mapping("affine", noise, *robust_range([noisy]))
    return Result(to_bytes(mapping.inverse(mapping.forward(clean))))


def bundled() -> Iterator[Picture]:
    """Yield the pictures that come with scikit-image."""
    for name in BUNDLED:
        yield name, np.asarray(getattr(data, name)(), np.uint8)


def pictures(folder: Path) -> Iterator[Picture]:
    """Yield the 8-bit pictures of a folder, without alpha.

    Raises
    ------
    SystemExit
        There is none, or one is not 8 bit.
    """
    found = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise SystemExit(f"{folder}: no picture there; its files should end in {SUFFIXES}")
    for path in found:
        image = np.asarray(read(path, sequence=False)[0])
        if image.dtype != np.uint8:
            raise SystemExit(f"{path}: {image.dtype}; 8-bit pictures are compared here")
        yield path.stem, image[..., :3] if image.ndim == 3 else image


def colour_shift(images: Iterable[Picture], sigma: float) -> Table:
    """Compare the systems on clean pictures with added noise."""
    rows = []
    for name, clean in images:
        noisy = add_noise(clean, sigma)
        first = thomas2017(clean, noisy)
        others = (iteapoy2018(clean, noisy), corrected(clean, noisy, sigma))
        cells = (cell for result in (first, *others) for cell in result.cells(clean))
        rows.append((name, f"{100 * first.out_of_reach:.0f} %", *cells))
    header: tuple[str, ...] = ("picture", "out of reach")
    for system in ("ImageDenoisingGAN", "GANDenoising", "**here**"):
        header += (f"{system}, dB", "shift R / G / B")
    about = (
        f"Perfect networks, noise of sigma {sigma:g}, seeded anew for each picture, not clipped; "
        "shifts in 1/255, mean over the picture; out of reach of ImageDenoisingGAN."
    )
    return Table("colour-shift", header, tuple(rows), (about, environment()))


def main(argv: list[str] | None = None) -> None:
    """Print the table, and fill a document with it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of pictures; else those of scikit-image")
    parser.add_argument("--sigma", type=float, default=25.0, help="noise, of 255")
    parser.add_argument("--markdown", type=Path, help="document whose table to replace")
    chosen = parser.parse_args(argv)
    images = bundled() if chosen.data is None else pictures(chosen.data)
    show([colour_shift(images, chosen.sigma)], chosen.markdown)


if __name__ == "__main__":
    main()
