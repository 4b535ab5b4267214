"""What the user chose, as frozen values that go to JSON and back."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import ErrorDetails

from napari_denoise.core.noise import LARGEST, NoiseModel

_STRICT = ConfigDict(extra="forbid")

ChannelNoise = Literal["auto"] | Annotated[float, Field(ge=0, le=LARGEST)] | NoiseModel
"""Estimate it, a Gaussian sigma in the data's own units, or a full model."""

_CONTAINERS = ("dataclass_type", "tuple_type")
"""Complaints that hardly anybody can act on, where a plain value was given."""


class _Settings:
    """JSON both ways, and one readable error for everything that is wrong."""

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Self:
        """Build from plain values, as read from JSON or TOML.

        Raises
        ------
        ValueError
            One line per wrong field: its name, its value, the rule.
        """
        try:
            return TypeAdapter(cls).validate_python(values)
        except ValidationError as error:
            raise ValueError(describe(error)) from error

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `parse` turns into an equal object."""
        values: dict[str, Any] = TypeAdapter(type(self)).dump_python(self, mode="json")
        return values


def describe(error: ValidationError) -> str:
    """Say each problem of a validation error in one line."""
    fields: dict[Any, list[ErrorDetails]] = {}
    for problem in error.errors():
        fields.setdefault((*problem["loc"], None)[0], []).append(problem)
    return "\n".join(_describe_field(problems) for problems in fields.values())


def _describe_field(problems: list[ErrorDetails]) -> str:
    """Say what is wrong with one field: where it may be of several kinds, the nearest one."""
    own = [problem for problem in problems if problem["type"] == "value_error"]
    if own:
        rule = own[0]["msg"].removeprefix("Value error, ")
        return ": ".join([*map(str, own[0]["loc"][:1]), rule])
    plain = [problem for problem in problems if problem["type"] not in _CONTAINERS] or problems
    deepest = max(len(problem["loc"]) for problem in plain)
    chosen = [problem for problem in plain if len(problem["loc"]) == deepest]
    rules = [chosen[0]["msg"]]
    rules += [problem["msg"].removeprefix("Input should be ") for problem in chosen[1:]]
    return f"{_name(chosen)} = {chosen[0]['input']!r}: {', or '.join(rules)}"


def _name(problems: list[ErrorDetails]) -> str:
    """Name a field and its part; between them stand only the kinds that were tried."""
    place = problems[0]["loc"]
    if not place:
        return "settings"
    part = place[-1] if len(problems) == 1 and len(place) > 1 else None
    return str(place[0]) if part is None else f"{place[0]}.{part}"


@dataclass(frozen=True, config=_STRICT)
class DenoiseSettings(_Settings):
    """How to denoise; the widget, the command line and Python all build this."""

    weights: str = "auto"
    """A name in the catalogue, a path to a .safetensors file, or "auto"."""
    noise: ChannelNoise | tuple[ChannelNoise, ...] = "auto"
    """For every channel, or one per channel."""
    strength: Annotated[float, Field(ge=0, le=1)] = 1.0
    """out = noisy + strength * (denoised - noisy), in data space."""
    realism: Annotated[float, Field(ge=0, le=1)] = 0.0
    """0 is faithful. More needs weights that carry a second, realistic end."""
    tile: Literal["auto"] | Annotated[int, Field(ge=16)] = "auto"
    """Pixels written per window; the result does not depend on it."""
    mapping: Literal["auto", "affine", "anscombe", "log"] = "auto"
    intensity_range: tuple[float, float] | None = None
    """Lowest and highest intensity in the data's units; None measures them."""
    engine: Literal["torch"] = "torch"
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = "auto"
    """"auto", "cpu", "cuda", "cuda:1", "mps"."""

    @model_validator(mode="after")
    def _range_is_ordered(self) -> Self:
        if self.intensity_range is not None:
            low, high = self.intensity_range
            if not (np.isfinite([low, high]).all() and low < high):
                raise ValueError(f"intensity_range {low, high}: expected finite low < high")
        return self


@dataclass(frozen=True, config=_STRICT)
class DataSource:
    """A set of training images and the terms it came under."""

    name: str
    licence: str


@dataclass(frozen=True, config=_STRICT)
class TrainSettings(_Settings):
    """A training recipe. Sigmas are in units of the [0, 1] image range."""

    name: str
    domain: Literal["photo", "microscopy"]
    architecture: str
    config: dict[str, Any]
    steps: Annotated[int, Field(gt=0)]
    batch: Annotated[int, Field(gt=0)] = 8
    patch: Annotated[int, Field(gt=0, multiple_of=4)] = 64
    sigma: tuple[float, float] = (0.0, 0.22)
    intensity_augmentation: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of patches whose gamma, contrast and level are changed."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    warmup: Annotated[int, Field(ge=0)] = 200
    decay: Annotated[int, Field(ge=0)] = 0
    """Steps at the end over which the learning rate falls to zero."""
    clip: Annotated[float, Field(gt=0)] = 1.0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.999
    bf16: bool = False
    seed: int = 0
    save_every: Annotated[int, Field(gt=0)] = 250
    title: str = ""
    """For the card of the weights, as are the next two; a name for people."""
    description: str = ""
    training_data: tuple[DataSource, ...] = ()

    @model_validator(mode="after")
    def _sigma_is_a_range(self) -> Self:
        low, high = self.sigma
        if not 0 <= low <= high:
            raise ValueError(f"sigma {self.sigma}: expected 0 <= low <= high")
        return self
