"""What the user chose for denoising."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import DTypeLike
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from napari_denoise.settings.base import STRICT, Settings
from napari_denoise.settings.noise import LARGEST, NoiseModel

ChannelNoise = Literal["auto"] | Annotated[float, Field(ge=0, le=LARGEST)] | NoiseModel
"""Estimate it, a Gaussian sigma in the data's own units, or a full model; of linear HDR what it is
at the intensity that the logarithm takes to 1/2."""


MAPS = ("sigma_map", "dark", "gain_map")
"""Settings that name an image with a value for every pixel."""
REALISM_NOTE = "Part of the fine texture is made up: measure on the faithful result (realism 0)."
"""What more realism means for measurements."""


@dataclass(frozen=True, config=STRICT)
class DenoiseSettings(Settings):
    """How to denoise; the widget, the command line and Python all build this."""

    weights: str = "auto"
    """A name in the catalogue, a path to a .safetensors file, or "auto"."""
    noise: ChannelNoise | tuple[ChannelNoise, ...] = "auto"
    """For every channel, or one per channel."""
    noise_from: str | None = None
    """Instead: a file that `info --save-noise` wrote, or an image to measure it on."""
    sigma_map: str | None = None
    """Instead: an image of a frame's shape, the standard deviation of the noise at each pixel in
    the data's units. From Python an array, too; so are the next two."""
    dark: str | None = None
    """An image of a frame's shape, what each pixel shows without light. It is subtracted before
    anything else, and added to the result; noise and ranges are those of what is left."""
    gain_map: str | None = None
    """An image of a frame's shape that frames are divided by after that, results multiplied by."""
    strength: Annotated[float, Field(ge=0, le=1)] = 1.0
    """out = noisy + strength * (denoised - noisy), in data space."""
    realism: Annotated[float, Field(ge=0, le=1)] = 0.0
    """0 is faithful. More needs weights that carry a second, realistic end."""
    neighbors: Literal["auto"] | Annotated[int, Field(ge=0, le=4)] = "auto"
    """Frames on each side that make a frame better where they show the same; 0 takes each by
    itself. "auto" takes 2 in time or 1 in depth, or none where they do not agree."""
    along: Literal["auto", "T", "Z"] = "auto"
    """The axis that neighbours lie along; "auto" is T, else Z."""
    tile: Literal["auto"] | Annotated[int, Field(ge=16)] = "auto"
    """Pixels written per window; the result does not depend on it."""
    mapping: Literal["auto", "affine", "anscombe", "log"] = "auto"
    intensity_range: tuple[float, float] | None = None
    """Lowest and highest intensity in the data's units; None measures them."""
    outliers: Literal["auto", "replace", "keep"] = "auto"
    """What the result holds where a pixel is an isolated outlier (hot, dead, cosmic, firefly):
    "auto" replaces it in renders and keeps it elsewhere. Its neighbours are unharmed either way."""
    line_noise: Literal["auto", "keep"] = "auto"
    """Noise that whole rows or columns share: "auto" takes it out, "keep" leaves it."""
    alpha: Literal["auto", "keep"] = "auto"
    """Of a render with alpha: "auto" denoises it with its colour, "keep" leaves it as it is."""
    engine: Literal["torch"] = "torch"
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = "auto"
    """"auto", "cpu", "cuda", "cuda:1", "mps"."""
    dtype: Literal["same", "float32"] = "same"
    """Of the result: the data's own, or float32, which keeps what integers near zero round away."""

    @classmethod
    def of_result(cls, provenance: Mapping[str, Any]) -> Self:
        """Return the settings that make a result again.

        Parameters
        ----------
        provenance
            What stands with it. Version 0.1 knew no neighbours, so that each frame was by itself,
            and left alpha and line noise as they were.
        """
        before = {"neighbors": 0, "alpha": "keep", "line_noise": "keep"}
        return cls.parse({**before, **provenance["settings"]})

    def result_dtype(self, dtype: DTypeLike) -> np.dtype[Any]:
        """Return the dtype of the result for data of this one."""
        return np.dtype(dtype if self.dtype == "same" else np.float32)

    @model_validator(mode="after")
    def _noise_comes_from_one_place(self) -> Self:
        given = {"noise_from": self.noise_from, "sigma_map": self.sigma_map}
        stated = [name for name, value in given.items() if value is not None]
        if self.noise != "auto":
            stated.insert(0, "noise")
        if len(stated) > 1:
            raise ValueError(f"{' and '.join(stated)} both state the noise: give one of them")
        return self

    @model_validator(mode="after")
    def _range_is_ordered(self) -> Self:
        if self.intensity_range is not None:
            low, high = self.intensity_range
            if not (np.isfinite([low, high]).all() and low < high):
                raise ValueError(f"intensity_range {low, high}: expected finite low < high")
        return self
