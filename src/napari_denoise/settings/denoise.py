"""What the user chose for denoising."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike
from pydantic import model_validator
from pydantic.dataclasses import dataclass

from napari_denoise.settings.base import STRICT, Settings
from napari_denoise.settings.denoise_fields import ChannelNoise, DenoiseFields
from napari_denoise.settings.problems import Problem, Wrong

__all__ = ["MAPS", "REALISM_NOTE", "ChannelNoise", "DenoiseSettings"]

MAPS = ("sigma_map", "dark", "gain_map")
"""Settings that name an image with a value for every pixel."""
REALISM_NOTE = "Part of the fine texture is made up: measure on the faithful result (realism 0)."
"""What more realism means for measurements."""


@dataclass(frozen=True, config=STRICT)
class DenoiseSettings(DenoiseFields, Settings):
    """How to denoise; the widget, the command line and Python all build this.

    `DenoiseFields` has its fields with their defaults and what they mean. From Python maps may be
    arrays, too. A result is ``noisy + strength * (denoised - noisy)``, in data space.
    """

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
        stated = [name for name in ("noise_from", "sigma_map") if getattr(self, name) is not None]
        if self.noise != "auto":
            stated.insert(0, "noise")
        if len(stated) > 1:
            raise Wrong(Problem(tuple(stated), "give one of them, for each states the noise"))
        return self

    @model_validator(mode="after")
    def _range_is_ordered(self) -> Self:
        if self.intensity_range is not None:
            low, high = self.intensity_range
            if not (np.isfinite([low, high]).all() and low < high):
                rule = "expected two numbers, LOW below HIGH"
                raise Wrong(Problem(("intensity_range",), rule, (self.intensity_range,)))
        return self
