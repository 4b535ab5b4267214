"""Denoise image stacks with a PyTorch generator, in napari and outside.

Public names resolve on first use, so that importing the package loads neither
PyTorch nor napari.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_denoise.inference.denoiser import Denoiser
    from napari_denoise.inference.warned import DenoiseWarning
    from napari_denoise.io.meta import ImageMeta
    from napari_denoise.io.read import read
    from napari_denoise.io.write import write
    from napari_denoise.settings.denoise import DenoiseSettings
    from napari_denoise.settings.noise import NoiseModel
    from napari_denoise.training.data.real_pairs import (
        Pair,
        open_pair,
        open_stack,
        pair_of,
        pair_of_stack,
    )
    from napari_denoise.training.data.regions import Region, Regions
    from napari_denoise.training.finetune.fine_tuning import finetune

    __version__: str

_HOMES = {
    "Denoiser": "napari_denoise.inference.denoiser",
    "DenoiseWarning": "napari_denoise.inference.warned",
    "DenoiseSettings": "napari_denoise.settings.denoise",
    "ImageMeta": "napari_denoise.io.meta",
    "NoiseModel": "napari_denoise.settings.noise",
    "Pair": "napari_denoise.training.data.real_pairs",
    "Region": "napari_denoise.training.data.regions",
    "Regions": "napari_denoise.training.data.regions",
    "finetune": "napari_denoise.training.finetune.fine_tuning",
    "open_pair": "napari_denoise.training.data.real_pairs",
    "open_stack": "napari_denoise.training.data.real_pairs",
    "pair_of": "napari_denoise.training.data.real_pairs",
    "pair_of_stack": "napari_denoise.training.data.real_pairs",
    "read": "napari_denoise.io.read",
    "write": "napari_denoise.io.write",
}

__all__ = [
    "DenoiseSettings",
    "DenoiseWarning",
    "Denoiser",
    "ImageMeta",
    "NoiseModel",
    "Pair",
    "Region",
    "Regions",
    "finetune",
    "open_pair",
    "open_stack",
    "pair_of",
    "pair_of_stack",
    "read",
    "write",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        globals()[name] = _installed_version()
        return globals()[name]
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, "__version__"})


def _installed_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("napari-denoise")
    except PackageNotFoundError:  # a source tree that was never installed
        return "0.0.0"
