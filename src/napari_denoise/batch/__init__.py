"""Files in, denoised files out: plan what goes where, look at it, run it, resume it."""

from __future__ import annotations

from napari_denoise.batch.choice import LayerChoice
from napari_denoise.batch.distributed import Processes
from napari_denoise.batch.events import (
    Adapted,
    Connected,
    Done,
    Ended,
    Event,
    Failed,
    Progress,
    Skipped,
    Started,
    Waiting,
)
from napari_denoise.batch.history import Resume
from napari_denoise.batch.plan import (
    BatchTask,
    check_outputs,
    is_there,
    plan,
    plan_folder,
    with_layers,
    with_maps,
    with_version,
)
from napari_denoise.batch.runner import run
from napari_denoise.batch.sources import find_inputs
from napari_denoise.batch.survey import BatchPlan, PlanRow, survey
from napari_denoise.batch.watch import watch
from napari_denoise.batch.work import denoise_all, denoise_file

__all__ = [
    "Adapted",
    "BatchPlan",
    "BatchTask",
    "Connected",
    "Done",
    "Ended",
    "Event",
    "Failed",
    "LayerChoice",
    "PlanRow",
    "Processes",
    "Progress",
    "Resume",
    "Skipped",
    "Started",
    "Waiting",
    "check_outputs",
    "denoise_all",
    "denoise_file",
    "find_inputs",
    "is_there",
    "plan",
    "plan_folder",
    "run",
    "survey",
    "watch",
    "with_layers",
    "with_maps",
    "with_version",
]
