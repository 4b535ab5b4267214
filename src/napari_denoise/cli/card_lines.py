"""The card of some weights, as lines that a person reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from napari_denoise.cli.console import facts

if TYPE_CHECKING:
    from napari_denoise.weights.catalogue import WeightsInfo

_MAPPINGS = {
    "affine": "as it is (affine)",
    "anscombe": "after evening out photon noise (anscombe)",
    "log": "as its logarithm (log)",
}
_CHANNELS = {1: "one channel", 3: "RGB"}
_ELSEWHERE = frozenset(
    "finetune title description training_data architecture config domain name steps_done".split()
)
"""Parts of the recipe that the card has lines of their own for."""


def print_card(info: WeightsInfo) -> None:
    """Print what weights are for, what they were made from, and where they are."""
    card = info.card
    low, high = card.noise_range
    figures = [f"{name.replace('_', ' ')}: {value:g}" for name, value in card.figures.items()]
    data = [f"{entry.name} ({entry.licence})" for entry in card.training_data]
    channels = _CHANNELS.get(card.channels, f"{card.channels} channels")
    ends = "faithful (--realism 0) and realistic (--realism 1)"
    facts(
        f"{info.name}: {card.title}",
        {
            "description": card.description or None,
            "made for": f"{card.domain}, {channels}",
            "noise": f"standard deviation {low:g} to {high:g} of the brightness range",
            "brightness": f"given to the network {_MAPPINGS.get(card.mapping, card.mapping)}",
            "results": ends if info.realistic else "faithful",
            "trained on": "\n".join(data) or None,
            "figures": "\n".join(figures) or None,
            "network": f"{card.architecture}: {_line(card.config)}",
            "neighbours": "a second pass of their own" if card.second_pass else None,
            "training": "\n".join(_recipe(card.recipe)) or None,
            "made from": f"the weights with sha256 {card.parent}" if card.parent else None,
            "made with": _line(card.libraries) or None,
            "file": info.path,
            "origin": "bundled with napari-denoise" if info.bundled else "yours",
            "size": f"{info.path.stat().st_size / 1e6:.1f} MB",
            "sha256": info.sha256,
        },
    )


def _recipe(recipe: Mapping[str, Any]) -> list[str]:
    """One line for the steps, one per section, one for all single values."""
    shown = {k: v for k, v in recipe.items() if k not in _ELSEWHERE}
    done = recipe.get("steps_done")
    lines = [f"{done:,} steps"] if isinstance(done, int) and done else []
    for name, section in shown.items():
        if isinstance(section, Mapping) and section:
            between = " to " if name == "noise" else ", "
            lines.append(f"{name}: {_line(section, between)}")
    single = {k: v for k, v in shown.items() if not isinstance(v, Mapping)}
    return [*lines, *([_line(single)] if single else [])]


def _line(values: Mapping[str, Any], between: str = ", ") -> str:
    """Names and values; what is off, empty or 0 is left out."""
    parts = (f"{k.replace('_', ' ')} {_value(v, between)}" for k, v in values.items() if v)
    return "; ".join(parts)


def _value(value: Any, between: str) -> str:
    if isinstance(value, bool):
        return "yes"
    if isinstance(value, Mapping):
        return f"({_line(value)})"
    if isinstance(value, (list, tuple)):
        return between.join(_value(entry, between) for entry in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
