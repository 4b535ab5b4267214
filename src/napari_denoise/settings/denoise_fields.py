"""What one may ask of denoising: each field with its type, its default and its words.

Nothing here is checked, so that a command lists its options without loading what checks them;
for the same haste annotations are evaluated with the class, once.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from napari_denoise.settings.noise import LARGEST, NoiseModel
from napari_denoise.settings.option import Option, Within

ChannelNoise = Literal["auto"] | Annotated[float, Within(ge=0, le=LARGEST)] | NoiseModel
"""Estimate it, a Gaussian sigma in the data's own units, or a full model; of linear HDR what it is
at the intensity that the logarithm takes to 1/2."""

HOW, DATA, FILES, RENDERS = "How to denoise", "What the data is", "Files", "Renders"
Share = Annotated[float, Within(ge=0, le=1)]

DEVICE = Option(
    "Device",
    "What computes: the processor or a graphics card.",
    values={
        "auto": "the fastest there is",
        "cpu": "",
        "cuda": "the first NVIDIA graphics card",
        "mps": "the graphics processor of a Mac",
    },
    expects="auto (the fastest there is), cpu, cuda, cuda:1 or mps",
    metavar="NAME",
)
NOISE_RULE = (
    "auto, a standard deviation (sigma) in the data's own units, or the camera's values "
    "gain=2,offset=100,read_noise=3; one per channel: 3,5,auto (camera's values apart by ;)"
)


@dataclass(frozen=True)
class DenoiseFields:
    """Fields of `DenoiseSettings`."""

    weights: Annotated[
        str,
        Option(
            "Weights",
            "The trained network, by default chosen by the image: one for colour photographs, one "
            "for single channels such as microscopy, one for renders.",
            expects="auto, a name of napari-denoise weights list, or a .safetensors file",
            metavar="NAME|FILE",
        ),
    ] = "auto"
    noise: Annotated[
        ChannelNoise | tuple[ChannelNoise, ...],
        Option(
            "Noise",
            "How strong the noise is, measured by default.",
            expects=NOISE_RULE,
            metavar="NOISE",
            page="noise.md#noise-that-is-given",
        ),
    ] = "auto"
    noise_from: Annotated[
        str | None,
        Option(
            "Camera",
            "Take the noise of another file: one that info --save-noise wrote, or an image of the "
            "same camera to measure it on.",
            metavar="FILE",
            group=HOW,
            page="noise.md#noise-from-a-file-and-maps-of-pixels",
        ),
    ] = None
    sigma_map: Annotated[
        str | None,
        Option(
            "Noise map",
            "An image of a frame's shape: the noise's standard deviation at each pixel, in the "
            "data's units.",
            metavar="FILE",
            group=DATA,
            page="noise.md#noise-from-a-file-and-maps-of-pixels",
        ),
    ] = None
    dark: Annotated[
        str | None,
        Option(
            "Dark image",
            "An image of what each pixel shows without light: subtracted before anything else, "
            "added again to the result.",
            metavar="FILE",
            group=DATA,
            page="noise.md#noise-from-a-file-and-maps-of-pixels",
        ),
    ] = None
    gain_map: Annotated[
        str | None,
        Option(
            "Gain map",
            "An image of each pixel's gain: frames are divided by it, results multiplied.",
            metavar="FILE",
            group=DATA,
            page="noise.md#noise-from-a-file-and-maps-of-pixels",
        ),
    ] = None
    strength: Annotated[
        Share,
        Option(
            "Strength",
            "How much of the noise to take out: all gives the network's result, less mixes the "
            "noisy pixels back in.",
            expects="a number from 0 (changes nothing) to 1 (denoises fully)",
            group=HOW,
        ),
    ] = 1.0
    realism: Annotated[
        Share,
        Option(
            "Realism",
            "0 is faithful: what the data say, for every measurement. More looks sharper and more "
            "natural, with texture that is likely but was not measured.",
            expects="a number from 0 (faithful, for measurements) to 1 (crisp)",
            group=HOW,
        ),
    ] = 0.0
    neighbors: Annotated[
        Literal["auto"] | Annotated[int, Within(ge=0, le=4)],
        Option(
            "Neighbors",
            "Frames before and after make a frame better where they show the same: by default 2 "
            "on each side in time or 1 in depth, none where frames do not agree. Take none to "
            "measure kinetics, and for single events near the noise.",
            values={"auto": "", "0": "", "1": "", "2": "", "3": "", "4": ""},
            expects="auto, or a whole number of frames on each side, 0 (each by itself) to 4",
            metavar="FRAMES",
            group=HOW,
            page="stacks.md#when-to-switch-it-off",
        ),
    ] = "auto"
    along: Annotated[
        Literal["auto", "T", "Z"],
        Option(
            "Along",
            "The axis that neighbours lie along.",
            values={"auto": "time, else depth", "T": "time", "Z": "depth"},
            metavar="AXIS",
            group=HOW,
        ),
    ] = "auto"
    tile: Annotated[
        Literal["auto"] | Annotated[int, Within(ge=16)],
        Option(
            "Tile",
            "Size of the parts, in pixels, that are denoised one after the other. Small ones need "
            "less memory and more time; the result is the same.",
            expects="auto, or a whole number of pixels, 16 or more",
            metavar="PIXELS",
            group=HOW,
        ),
    ] = "auto"
    mapping: Annotated[
        Literal["auto", "affine", "anscombe", "log"],
        Option(
            "Mapping",
            "How intensities are brought to what the network knows.",
            values={
                "auto": "by the data",
                "affine": "noise equal everywhere",
                "anscombe": "photon noise",
                "log": "linear HDR",
            },
            metavar="NAME",
            group=HOW,
        ),
    ] = "auto"
    intensity_range: Annotated[
        tuple[float, float] | None,
        Option(
            "Intensity range",
            "Lowest and highest intensity in the data's units, measured by default.",
            expects="two numbers, LOW below HIGH",
            metavar="LOW HIGH",
            group=DATA,
        ),
    ] = None
    outliers: Annotated[
        Literal["auto", "replace", "keep"],
        Option(
            "Outliers",
            "What the result shows at isolated outliers: hot, dead or cosmic pixels and fireflies. "
            "Their neighbours are denoised as if they were not there.",
            values={
                "auto": "replaced in renders, kept in all other data",
                "replace": "as their surroundings",
                "keep": "as they are",
            },
            metavar="WHAT",
            group=HOW,
        ),
    ] = "auto"
    line_noise: Annotated[
        Literal["auto", "keep"],
        Option(
            "Row and column noise",
            "Noise that whole rows or columns share, as some cameras and scanners add.",
            values={"auto": "removed where it is recognised", "keep": "as it is"},
            metavar="WHAT",
            group=HOW,
            page="noise.md#noise-of-whole-rows-and-columns",
        ),
    ] = "auto"
    alpha: Annotated[
        Literal["auto", "keep"],
        Option(
            "Alpha",
            "What becomes of the alpha of a render.",
            values={"auto": "denoised with its colour", "keep": "as it is"},
            metavar="WHAT",
            group=RENDERS,
            page="formats.md#alpha",
        ),
    ] = "auto"
    engine: Annotated[
        Literal["torch"],
        Option(
            "Engine",
            "What runs the network.",
            values={"torch": "PyTorch"},
            metavar="NAME",
            group=HOW,
        ),
    ] = "torch"
    precision: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"],
        Option(
            "Precision",
            "Half precision changes the result by less than 5 % of the noise; below that float32 "
            "is used, and said.",
            values={
                "auto": "by device and noise",
                "float32": "the most exact",
                "bfloat16": "half the memory",
                "float16": "half the memory",
            },
            metavar="NAME",
            group=HOW,
        ),
    ] = "auto"
    device: Annotated[str, DEVICE] = "auto"
    dtype: Annotated[
        Literal["same", "float32"],
        Option(
            "Data type",
            "How the pixels of the result are held. Whole numbers round what lies between them: "
            "for images of a photon or less per pixel take float32. Colour keeps its type.",
            values={"same": "as the data", "float32": ""},
            metavar="NAME",
            group=FILES,
        ),
    ] = "same"
