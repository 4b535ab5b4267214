"""A folder of real pairs -> pairs in the network's units; apart, as it loads all readers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_denoise.image.values import replace_nonfinite
from napari_denoise.io.read import read
from napari_denoise.measure.channels import measured
from napari_denoise.settings.denoise import DenoiseSettings
from napari_denoise.settings.recipe import TrainSettings
from napari_denoise.training.data.mapped import MappedFrame, common_width, map_frame
from napari_denoise.training.data.pairs import RealPairs
from napari_denoise.training.data.real_pairs import pair_of, partners
from napari_denoise.weights.card import WeightsCard


def load_real(folder: Path, settings: TrainSettings, card: WeightsCard) -> RealPairs:
    """Read ``noisy`` and ``clean`` (or ``noisy2``) of a folder; see `sources.open_pairs`."""
    frames: list[MappedFrame] = []
    second = False
    for path, target, second in partners(folder):
        frames += _mapped(path, target, card, second)
    return RealPairs(
        [frame.noisy for frame in frames],
        [frame.target for frame in frames],
        [frame.sigma for frame in frames],
        settings,
        noisy_target=second,
        log_width=common_width(frames),
    )


def _mapped(path: Path, target: Path, card: WeightsCard, second: bool) -> list[MappedFrame]:
    """Bring every frame of a pair of files to network units, as inference would."""
    (noisy, meta), (clean, _) = read(path), read(target)
    if noisy.shape != clean.shape:
        raise ValueError(
            f"{path} is {noisy.shape} and {target} is {clean.shape}: pairs must have equal shapes"
        )
    pair = pair_of(path.stem, noisy, clean, noisy_target=second, meta=meta)
    asked = pair.described.settings_for(card, DenoiseSettings(line_noise="keep"))
    channels = measured(noisy, pair.layout, card, asked)
    done = []
    for number in range(len(pair.layout.frames)):
        seen = pair.planes(number)
        if len(seen.noisy) != card.channels:
            raise ValueError(
                f"{path}: {len(seen.noisy)} colour samples a pixel, and the recipe's network takes "
                f"{card.channels}: convert the images, or set config.channels"
            )
        one, other = (np.stack([replace_nonfinite(p)[0] for p in side]) for side in seen.sides)
        done.append(map_frame(channels[seen.channel], one, other, noisy_target=second))
    return done
