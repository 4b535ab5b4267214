"""What a bioimage.io package tells its readers: the network's own units, and its origin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from sys import maxsize
from textwrap import shorten

from torch import Tensor

from napari_denoise.weights.catalogue import WeightsInfo

MAPPINGS = {
    "affine": """\
`y = (x - low) / (high - low)`, with `low` and `high` the 0.1 and 99.9 percentiles of the means
over 4x4 pixels. The way back is `x = low + (high - low) y`.""",
    "anscombe": """\
The generalised Anscombe transform, for Poisson-Gaussian noise of known gain, offset and read
noise: with `d = x - offset` and `k = read_noise^2 + 3/8 gain^2`,
`t(x) = 2 d / (sqrt(k + gain max(d, 0)) + sqrt(k))`. Then
`y = (t(x) - t(low)) / (t(high) - t(low))`, with `low` and `high` the 0.1 and 99.9 percentiles of
the means over 4x4 pixels. Noise has standard deviation `1 / (t(high) - t(low))` in `y`. The way
back is the exact unbiased inverse (Makitalo and Foi, IEEE TIP 22, 2013), not the algebraic one,
which is too dark. Without a gain the mapping is affine: `y = (x - low) / (high - low)`.""",
    "log": """\
`y = sign(x) log(1 + |x| / level) / log(129)`, with `level` a quarter of the mean radiance. The way
back is `x = sign(y) level (129^|y| - 1)`.""",
}
"""In words, what `core.intensity` computes, by the card's mapping."""

UNITS = "in mapped units, see README.md"


@dataclass(frozen=True)
class Part:
    """One tensor of the package: its name, meaning, channels and test values."""

    name: str
    meaning: str
    channels: Sequence[str]
    test: Tensor


@dataclass(frozen=True)
class Size:
    """Pixels: smallest height and width, what they are multiples of, and the halo."""

    smallest: int
    multiple: int
    halo: int


def describe(info: WeightsInfo, longest: int = 1024) -> str:
    """Say what the weights are for and what the network expects, in the letters there are."""
    card = info.card
    expects = (
        f". Takes images after the {card.mapping} mapping of README.md and the noise level of each "
        "pixel, not raw intensities: no pre-processing is part of the package."
    )
    purpose = card.description.strip().rstrip(".") or f"Denoising ({card.domain})"
    return shorten(purpose, longest - len(expects), placeholder=" ...") + expects


def readme(
    info: WeightsInfo, realism: float, parts: Sequence[Part], size: Size, *, blind: bool
) -> str:
    """Write the package's documentation.

    Parameters
    ----------
    info, realism
        The weights, and between which ends they were taken.
    parts
        The inputs and outputs.
    size
        What the network takes.
    blind
        Whether it does not look at the noise level.
    """
    tensors = {part.name: part for part in parts}
    paragraphs = [
        f"# {info.card.title}\n\n{describe(info, maxsize)}",
        _inputs(info, tensors, size, blind),
        _outputs(info, tensors),
        _mapping(info),
        _origin(info, realism),
        _validation(info),
    ]
    return "\n\n".join(paragraphs) + "\n"


def _inputs(info: WeightsInfo, tensors: Mapping[str, Part], size: Size, blind: bool) -> str:
    low, high = info.card.noise_range
    rows = [
        "## Inputs\n",
        "All are float32, (batch, channel, y, x), and of one size: height and width are multiples "
        f"of {size.multiple}, each at least {size.smallest}. The outer {size.halo} pixels of a "
        "tile are to be cropped.\n",
        f"- `image`: {info.card.channels} channel(s), mapped to about [0, 1] as below.",
        "- `noise`: one plane, the standard deviation of the noise of each pixel in mapped units; "
        "constant where the mapping has made the noise even."
        + (" This network does not look at it." if blind else ""),
    ]
    if "features" in tensors:
        names = tensors["features"].channels
        rows.append(
            f"- `features`: {len(names)} planes ({', '.join(names)}), clipped to [-1, 1]. The last "
            "two are 1 where a renderer gave albedo or normal; all are 0 where there is none. "
            "Denoise the albedo by this network first, as a render without these planes."
        )
    rows.append(
        f"\nThe network has seen noise of {low:g} to {high:g}. For a stronger one squeeze the "
        f"image with `f = {high:g} / noise`: pass `0.5 + f (image - 0.5)` and `f noise`, and undo "
        "it on the output: divide `denoised - 0.5` by `f`, a variance by `f^2`."
    )
    return "\n".join(rows)


def _outputs(info: WeightsInfo, tensors: Mapping[str, Part]) -> str:
    rows = [
        "## Outputs\n",
        f"- `denoised`: {info.card.channels} channel(s) in mapped units, not clipped.",
    ]
    if "variance" in tensors:
        rows.append(
            "- `variance`: what the network states as the variance of its own error, in mapped "
            "units squared. The mean of the inverse mapping at `denoised + sqrt(variance)` and "
            "`denoised - sqrt(variance)` is free of the bias that a bent mapping brings."
        )
    return "\n".join(rows)


def _mapping(info: WeightsInfo) -> str:
    return (
        f"## The {info.card.mapping} mapping\n\n{MAPPINGS[info.card.mapping]}\n\n"
        "It is fixed once per stack and channel. napari-denoise estimates the noise, maps, tiles "
        "and maps back by itself; it uses its own weights file, of which this is an export."
    )


def _origin(info: WeightsInfo, realism: float) -> str:
    card = info.card
    data = [f"- {entry.name}: {entry.licence}" for entry in card.training_data]
    rows = [
        "## Origin\n",
        f"- weights: `{info.name}`, sha256 {info.sha256}",
        f"- trained from: {'random numbers' if card.parent is None else f'sha256 {card.parent}'}",
        f"- realism: {realism:g}, where 0 is the faithful and 1 the realistic end",
        f"- network: {card.architecture}",
        "\nTraining data and their licences, complete in `card.json`:\n",
        *(data or ["- not stated"]),
    ]
    return "\n".join(rows)


def _validation(info: WeightsInfo) -> str:
    figures = [f"- {name}: {value:g}" for name, value in info.card.figures.items()]
    return "\n".join(
        [
            "## Validation\n",
            "On pairs of your own, a noisy image and a clean one that no training has seen: "
            "`napari-denoise denoise NOISY -o OUT --weights FILE`, then "
            "`napari-denoise metrics CLEAN OUT`. Figures of the card:\n",
            *(figures or ["- none"]),
        ]
    )
