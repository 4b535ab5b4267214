"""The architectures a weights file may name: an explicit table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Any

from napari_denoise.models.architectures.discriminator import (
    DiscriminatorConfig,
    PatchDiscriminator,
)
from napari_denoise.models.architectures.iteapoy2018 import Iteapoy2018, Iteapoy2018Config
from napari_denoise.models.architectures.thomas2017 import Thomas2017, Thomas2017Config
from napari_denoise.models.architectures.two_scale import Generator, GeneratorConfig
from napari_denoise.models.network import Network


@dataclass(frozen=True)
class Architecture:
    """How to build one kind of network from its configuration."""

    network: Callable[[Any], Network]
    config: type[Any]


ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        "two-scale": Architecture(Generator, GeneratorConfig),
        "thomas2017": Architecture(Thomas2017, Thomas2017Config),
        "iteapoy2018": Architecture(Iteapoy2018, Iteapoy2018Config),
    }
)

DISCRIMINATORS: Mapping[str, DiscriminatorConfig] = MappingProxyType(
    {
        # Full resolution first: what a denoiser leaves out is fine. It learns to tell denoised
        # photographs in 600 steps what one with strides from the start never does; with
        # spectral norm they stay at chance.
        "patch": DiscriminatorConfig(
            widths=(48, 48, 96, 96, 1), strides=(1, 2, 1, 2, 1), kernel=3, spectral_norm=False
        ),
        "patch-log": DiscriminatorConfig(
            widths=(48, 48, 96, 96, 1),
            strides=(1, 2, 1, 2, 1),
            kernel=3,
            spectral_norm=False,
            contrast=10.0,
        ),
        "thomas2017": DiscriminatorConfig(
            widths=(48, 96, 192, 384, 1),
            strides=(2, 2, 2, 1, 1),
            spectral_norm=False,
        ),
        "iteapoy2018": DiscriminatorConfig(
            widths=(64, 64, 128, 128, 256, 256, 1),
            strides=(1, 2, 1, 2, 1, 2, 1),
            kernel=3,
            spectral_norm=False,  # its gradient penalty bounds the slope
        ),
    }
)
"""Needed in training alone; weights files hold none."""


def build(architecture: str, config: Mapping[str, Any]) -> Network:
    """Build a network by name.

    Raises
    ------
    ValueError
        Unknown architecture or configuration field.
    """
    if architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ValueError(
            f"architecture {architecture!r} is not known here; known: {known}. "
            "Weights of a newer napari-denoise need that version."
        )
    entry = ARCHITECTURES[architecture]
    known_fields = {field.name for field in fields(entry.config)}
    unknown = set(config) - known_fields
    if unknown:
        raise ValueError(
            f"architecture {architecture!r} has no setting {sorted(unknown)}; "
            f"it has {sorted(known_fields)}"
        )
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}
    return entry.network(entry.config(**values))


def build_discriminator(name: str, channels: int) -> PatchDiscriminator:
    """Build a discriminator by name.

    Raises
    ------
    ValueError
        Unknown name.
    """
    if name not in DISCRIMINATORS:
        raise ValueError(
            f"discriminator {name!r} is not known here; choose one of {', '.join(DISCRIMINATORS)}"
        )
    return PatchDiscriminator(replace(DISCRIMINATORS[name], channels=channels))
