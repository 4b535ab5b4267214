"""Files in, denoised files out: plan what goes where, then do one after the other."""

from __future__ import annotations

from napari_denoise.batch.layers import LayerChoice, denoise_layers
from napari_denoise.batch.plan import (
    BatchTask,
    check_outputs,
    find_inputs,
    plan,
    with_maps,
    with_version,
)
from napari_denoise.batch.work import Done, Failed, denoise_all, denoise_file

__all__ = [
    "BatchTask",
    "Done",
    "Failed",
    "LayerChoice",
    "check_outputs",
    "denoise_all",
    "denoise_file",
    "denoise_layers",
    "find_inputs",
    "plan",
    "with_maps",
    "with_version",
]
