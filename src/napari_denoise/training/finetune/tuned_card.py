"""What fine-tuned weights say of themselves: which pairs, which regions, which figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isfinite
from typing import Any

from napari_denoise.settings.finetune import FineTuneSettings
from napari_denoise.training.data.real_pairs import Pair
from napari_denoise.training.data.regions import Regions
from napari_denoise.training.finetune.outcome import FineTuneResult
from napari_denoise.training.loop.run import library_versions
from napari_denoise.weights.card import TrainingData, WeightsCard
from napari_denoise.weights.catalogue import WeightsInfo


def identity(
    pairs: Sequence[Pair], regions: Regions, base: WeightsInfo, asked: FineTuneSettings
) -> dict[str, Any]:
    """Say what it is a fine-tuning of, as JSON values."""
    return {
        "pairs": [
            {
                "name": pair.name,
                "sha256": pair.sha256,
                "files": list(pair.sources),
                "frames": len(pair.layout.frames),
                "noise2noise": pair.noisy_target,
                **({"stack": True} if pair.stack else {}),
            }
            for pair in pairs
        ],
        "regions": regions.to_json()["regions"],
        "base": base.name,
        "base_sha256": base.sha256,
        "settings": asked.to_json(),
    }


def tuned_card(
    base: WeightsInfo,
    title: str,
    what: Mapping[str, Any],
    done: Mapping[str, Any],
    result: FineTuneResult,
) -> WeightsCard:
    """Make the card of fine-tuned weights.

    Parameters
    ----------
    base
        What they were before.
    title
        Of the recipe.
    what
        From `identity`.
    done
        The recipe as it was carried out.
    result
        Its figures.
    """
    figures = {
        f"{kind} {name}": round(value, 4)
        for name, found in result.rows.items()
        for kind in ("psnr", "ssim", "mean_error")
        if isfinite(value := getattr(found, kind))  # no SSIM of what is too small for it
    }
    data = tuple(
        TrainingData(f"{p['name']} ({', '.join(p['files']) or 'in memory'})", "the user's own")
        for p in what["pairs"]
    )
    return replace(
        base.card,
        title=f"{base.name}, fine-tuned ({title})",
        description=f"Fine-tuned on {len(data)} pair{'s' * (len(data) > 1)}. {result.verdict}.",
        training_data=(*base.card.training_data, *data),
        figures=figures,
        recipe={**done, "finetune": dict(what)},
        parent=base.sha256,
        second_pass=None,  # it was made for what the base leaves
        libraries=library_versions(),
    )
