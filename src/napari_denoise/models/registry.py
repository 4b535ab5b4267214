"""The architectures a weights file may name: an explicit table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

from napari_denoise.models.generator import Generator, GeneratorConfig
from napari_denoise.models.network import Network


@dataclass(frozen=True)
class Architecture:
    """How to build one kind of network from its configuration."""

    network: Callable[[Any], Network]
    config: type[Any]


ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {"two-scale": Architecture(Generator, GeneratorConfig)}
)


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
