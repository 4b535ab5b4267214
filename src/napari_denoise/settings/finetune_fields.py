"""What one may ask of fine-tuning: as `denoise_fields` for denoising, without checks."""

from dataclasses import dataclass
from typing import Annotated, Literal

from napari_denoise.settings.denoise_fields import DEVICE, NOISE_RULE, ChannelNoise
from napari_denoise.settings.option import Option, Within

MINUTES = 5.0
"""How long fine-tuning takes where nobody says."""
LEAST_PATCH = 16
"""Side of the smallest patches to fine-tune on, pixels."""
_LAST_SEED = 2**63 - 1
PAIRS, HOW = "Pairs", "How to fine-tune"


@dataclass(frozen=True)
class FineTuneFields:
    """Fields of `FineTuneSettings` but for the loss weights; None leaves one to the recipe."""

    base: Annotated[
        str,
        Option(
            "Start from",
            "Weights to start from, by default those that would denoise the data.",
            expects="auto, a name of napari-denoise weights list, or a .safetensors file",
            metavar="NAME|FILE",
            group=HOW,
        ),
    ] = "auto"
    recipe: Annotated[
        str,
        Option(
            "Recipe",
            "Which losses training makes small.",
            values={
                "faithful": "comes near the clean image, pixel by pixel; for measurements",
                "realistic": "first as faithful, then towards texture that looks real, part of "
                "which is made up; the Realism of Denoise goes from the one to the other",
                "thomas2017": "losses as in manumathewthomas/ImageDenoisingGAN, from the weights "
                "you start from",
                "iteapoy2018": "losses as in iteapoy/GANDenoising, from the weights you start from",
            },
            expects="faithful (for measurements), realistic (part of the texture is made up), "
            "thomas2017, iteapoy2018, or a TOML file",
            metavar="NAME|FILE",
            group=HOW,
            page="finetune.md#the-run",
        ),
    ] = "faithful"
    minutes: Annotated[
        Annotated[float, Within(gt=0, allow_inf_nan=False)] | None,
        Option(
            "How long",
            f"How long to train, {MINUTES:g} minutes by default; it can be stopped early.",
            expects="a finite number of minutes above 0",
            metavar="MINUTES",
            group=HOW,
        ),
    ] = None
    steps: Annotated[
        Annotated[int, Within(gt=0, le=10**9)] | None,
        Option(
            "Steps",
            "How many times the weights are changed a little, in place of a time.",
            expects="a whole number, 1 to 1000000000",
            metavar="STEPS",
            group=HOW,
        ),
    ] = None
    device: Annotated[str, DEVICE] = "auto"
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"
    batch: Annotated[
        Annotated[int, Within(gt=0, le=4096)] | None,
        Option(
            "Batch",
            "Patches per step, by default as in the recipe; fewer need less memory.",
            expects="a whole number, 1 to 4096",
            metavar="PATCHES",
            group=HOW,
        ),
    ] = None
    patch: Annotated[
        Annotated[int, Within(ge=LEAST_PATCH, multiple_of=4)] | None,
        Option(
            "Patch",
            "Side of the squares that are cut from the images to learn from, by default as in the "
            "recipe.",
            expects=f"a whole number of pixels, {LEAST_PATCH} or more, a multiple of 4",
            metavar="PIXELS",
            group=HOW,
        ),
    ] = None
    learning_rate: Annotated[
        Annotated[float, Within(gt=0, allow_inf_nan=False)] | None,
        Option(
            "Learning rate",
            "How far a step of the first stage moves the weights, by default as in the recipe; a "
            "second stage changes in proportion. Less is slower and safer.",
            expects="a number above 0, such as 3e-4",
            metavar="RATE",
            group=HOW,
        ),
    ] = None
    noise: Annotated[
        ChannelNoise | tuple[ChannelNoise, ...],
        Option(
            "Noise",
            "How strong the noise is, as for denoise, measured by default; use the weights with "
            "the same.",
            expects=NOISE_RULE,
            metavar="NOISE",
            group=HOW,
            page="noise.md#noise-that-is-given",
        ),
    ] = "auto"
    match: Annotated[
        Literal["auto", "always", "never"],
        Option(
            "Match",
            "Scale clean images to noisy ones by least squares.",
            values={"auto": "where they clearly differ", "always": "", "never": ""},
            metavar="WHEN",
            group=PAIRS,
        ),
    ] = "auto"
    align: Annotated[
        bool,
        Option(
            "Align", "Shift clean images onto noisy ones by the distance measured.", group=PAIRS
        ),
    ] = False
    seed: Annotated[
        Annotated[int, Within(ge=0, le=_LAST_SEED)],
        Option(
            "Seed",
            "Where random numbers start: the same seed draws the same patches.",
            expects=f"a whole number, 0 to {_LAST_SEED}",
            metavar="NUMBER",
            group=HOW,
        ),
    ] = 0
