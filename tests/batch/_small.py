"""Small stacks and a tiny network for tests of batches."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_denoise.batch import BatchPlan, Resume, plan_folder, survey
from napari_denoise.image.long_work import finished
from napari_denoise.io.meta import ImageMeta
from napari_denoise.io.read import read
from napari_denoise.io.write import write
from napari_denoise.io.zarr_folders import is_store
from napari_denoise.settings.denoise import DenoiseSettings


def photons(*shape: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (100 + 4 * rng.poisson(30, shape)).astype(np.uint16)


def save(path: Path, array: np.ndarray, axes: str = "YX") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, array, ImageMeta(axes))
    return path


def planned(
    inputs: list[Path], folder: Path, weights: Path, resume: Resume | None = None, **more: Any
) -> BatchPlan:
    """Plan and look at everything; `more` holds what is for either of them, or for settings."""
    looking = {
        key: more.pop(key)
        for key in ("one_noise", "axes", "look", "guess_axes", "adapt")
        if key in more
    }
    where = ("name", "file_format", "recursive", "sequence")
    planning = {key: more.pop(key) for key in where if key in more}
    tasks, _ = plan_folder(inputs, folder, **planning)
    settings = DenoiseSettings(weights=str(weights), device="cpu", precision="float32", **more)
    return finished(survey(tasks, settings, folder, resume=resume, **looking))


def journal(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "batch.jsonl").read_text().splitlines()]


def outcomes(folder: Path) -> list[tuple[str, str]]:
    """What became of each input, in order."""
    kinds = ("done", "failed", "refused")
    return [(e["name"], e["event"]) for e in journal(folder) if e["event"] in kinds]


def contents(folder: Path) -> dict[str, Any]:
    """Pixels and metadata of all results of a folder, without times; other files by name."""
    found: dict[str, Any] = {}
    for file in sorted(_files(folder)):
        if file.name in ("batch.jsonl", "batch.html", ".batch.lock"):
            continue
        name = str(file.relative_to(folder))
        found[name] = None
        if file.suffix != ".json":
            array, meta = read(file, sequence=False)
            note = dict(meta.extra["napari_denoise"])
            assert note.pop("time")
            extra = {**meta.extra, "napari_denoise": note}
            features = {name: np.asarray(f).tolist() for name, f in meta.features.items()}
            known = replace(meta, source=(), extra=extra, features=features)
            found[name] = np.asarray(array).tolist(), known
    return found


def _files(folder: Path) -> Iterator[Path]:
    """Go through all files below a folder; a store counts as one."""
    for entry in folder.iterdir():
        if entry.is_dir() and not is_store(entry):
            yield from _files(entry)
        else:
            yield entry
