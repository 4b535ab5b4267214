"""What a weights file says about itself."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from napari_denoise.settings.base import describe

_IGNORE_UNKNOWN = ConfigDict(extra="ignore")  # a newer version may say more


@dataclass(frozen=True, config=_IGNORE_UNKNOWN)
class TrainingData:
    """A data set and the terms it came under."""

    name: str
    licence: str


@dataclass(frozen=True, config=_IGNORE_UNKNOWN)
class WeightsCard:
    """Architecture, domain and provenance of a set of weights.

    Parameters
    ----------
    title, description
        For people.
    architecture, config
        Entry of `models.registry` and its configuration.
    domain
        What the weights were made for.
    channels
        Image channels that the network takes.
    mapping
        Intensity mapping they expect.
    noise_range
        Noise sd seen in training, in units of the mapped [0, 1] range.
    training_data
        With licences.
    figures
        What was measured, name -> value in the unit that the name says.
    recipe
        The settings of the training, complete.
    parent
        Hash of the weights that training started from, or None.
    libraries
        Versions that made the file.
    second_pass
        Configuration of a further network, for averages of neighbouring frames, that the file
        holds beside; None where the first one does that too.
    """

    title: str
    architecture: str
    config: dict[str, Any]
    domain: Literal["photo", "microscopy", "render"]
    channels: int
    mapping: Literal["affine", "anscombe", "log"]
    noise_range: tuple[float, float]
    description: str = ""
    training_data: tuple[TrainingData, ...] = ()
    figures: dict[str, float] = Field(default_factory=dict)
    recipe: dict[str, Any] = Field(default_factory=dict)
    parent: str | None = None
    libraries: dict[str, str] = Field(default_factory=dict)
    second_pass: dict[str, Any] | None = None

    def to_json(self) -> str:
        """Return the card as JSON text."""
        return TypeAdapter(WeightsCard).dump_json(self).decode()

    @classmethod
    def from_json(cls, text: str) -> WeightsCard:
        """Read the text of `to_json`.

        Raises
        ------
        ValueError
            One line per field that is missing or wrong.
        """
        try:
            return TypeAdapter(cls).validate_json(text)
        except ValidationError as error:
            raise ValueError(describe(error)) from error
