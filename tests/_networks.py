"""Tiny generators with random weights, for tests that need a network but not quality."""

from pathlib import Path
from typing import Any

import torch

from napari_denoise.models.registry import build
from napari_denoise.weights.card import WeightsCard
from napari_denoise.weights.files import save_weights


def write_tiny_weights(
    path: Path,
    channels: int = 1,
    seed: int = 0,
    *,
    spread: bool = False,
    features: int = 0,
    realistic: bool = False,
    second_pass: bool = False,
) -> Path:
    """Write weights that change an image visibly and depend on every input pixel in reach.

    With `features` (8: albedo and normal) they are weights for renders; `realistic` adds the
    other end of the slider, and `second_pass` a network for averages of neighbours.
    """
    config: dict[str, Any] = {"channels": channels, "widths": [8, 8], "blocks": [1, 1, 1]}
    config |= {"spread": spread, "features": features}
    torch.manual_seed(seed)
    network = build("two-scale", config)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(3)
    card = WeightsCard(
        title="Tiny",
        description="Random weights for tests",
        architecture="two-scale",
        config=config,
        domain="render" if features else "microscopy" if channels == 1 else "photo",
        channels=channels,
        mapping="log" if features else "anscombe" if channels == 1 else "affine",
        noise_range=(0.0, 0.35),
        second_pass={**config, "features": 2 * channels} if second_pass else None,
    )
    far = {key: 0.5 * value for key, value in network.state_dict().items()} if realistic else None
    second = build("two-scale", card.second_pass).state_dict() if card.second_pass else None
    save_weights(path, card, network.state_dict(), far, second)
    return path
