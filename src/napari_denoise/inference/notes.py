"""What people should know about the channels of a stack, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from napari_denoise.measure.channels import Channel
from napari_denoise.settings.denoise import DenoiseSettings
from napari_denoise.settings.noise import NoiseModel


def found_notes(channels: tuple[Channel, ...]) -> list[str]:
    """Say what was found in the channels; once, where all say the same."""
    if len({channel.notes for channel in channels}) == 1:
        return list(channels[0].notes)
    return [f"channel {n}: {text}" for n, c in enumerate(channels) for text in c.notes]


def unnoisy_notes(channels: tuple[Channel, ...], settings: DenoiseSettings) -> list[str]:
    """Name the channels that stay unchanged although their noise was looked for, or given."""
    wanted = settings.noise if isinstance(settings.noise, tuple) else (settings.noise,)
    asked = [wanted[number % len(wanted)] for number in range(len(channels))]
    left = [number for number, channel in enumerate(channels) if channel.scale.sigma == 0]
    looked = [number for number in left if asked[number] == "auto"]
    given = [number for number in left if asked[number] not in ("auto", 0, NoiseModel())]
    said = []
    if looked:
        said.append(
            f"no noise was found in {_places(looked, channels)}: {_stay(looked)}; if it is "
            "noisy, set the noise yourself (noise = its standard deviation, in the data's units)"
        )
    if given:
        said.append(
            f"the noise that was given is none at the intensities of {_places(given, channels)}: "
            f"{_stay(given)}; look at its offset"
        )
    return said


def _places(numbers: Sequence[int], channels: Sequence[Channel]) -> str:
    if len(channels) == 1:
        return "the data"
    several = "s" if numbers[1:] else ""
    return f"channel{several} {', '.join(map(str, numbers))} of {len(channels)}, counted from 0"


def _stay(numbers: Sequence[int]) -> str:
    it = "they are" if numbers[1:] else "it is"
    return f"{it} returned as {it}"
