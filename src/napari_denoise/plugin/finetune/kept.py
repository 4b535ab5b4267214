"""What a fine-tuning needs to go on after the window or the process is gone, on disk."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from napari_denoise.image.long_work import InParts
from napari_denoise.io.atomic import replacing
from napari_denoise.settings.finetune import FineTuneSettings
from napari_denoise.training.data.real_pairs import Pair
from napari_denoise.training.data.regions import Regions, read_regions, write_regions
from napari_denoise.training.finetune.run_folder import Folder
from napari_denoise.weights import catalogue

UNREADABLE = (
    AttributeError,
    LookupError,
    OSError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What reading a note raises that is of another version, half deleted, or not by this program."""
at_work: set[Path] = set()
"""Folders that a thread of this process works in."""
NOTE, REGIONS, _PAIRS, _SAVED = "widget.json", "regions.json", "pairs", "saved"
_MOST_BYTES = 8 << 30
"""Pairs larger than this together are not copied; the run cannot be gone on with."""


@dataclass(frozen=True)
class Kept:
    """A fine-tuning that was begun in the widget.

    Parameters
    ----------
    folder
        Where it is.
    title
        Names of its pairs.
    began
        When, for people.
    settings
        As it was asked for.
    reached
        How far it got, for people; empty where that is not known.
    """

    folder: Path
    title: str
    began: str
    settings: FineTuneSettings
    reached: str = ""

    @property
    def regions(self) -> Regions:
        """As they were drawn."""
        return read_regions(self.folder / REGIONS)

    def pairs(self) -> list[Pair]:
        """Read the pairs back, without loading their pixels."""
        notes = json.loads((self.folder / NOTE).read_text(encoding="utf-8"))["pairs"]
        return [_read_pair(self.folder / _PAIRS, n, note) for n, note in enumerate(notes)]


def home() -> Path:
    """Folder of all fine-tunings, beside that of the user's weights."""
    return catalogue.user_folder().parent / "finetuning"


def new_folder() -> Path:
    """Name a folder after the time; it does not exist yet."""
    name = f"widget {datetime.now():%Y-%m-%d %H.%M.%S}"
    number, path = 1, home() / name
    while path.exists():
        number += 1
        path = home() / f"{name} ({number})"
    return path


def keep(
    folder: Path, pairs: Sequence[Pair], settings: FineTuneSettings, regions: Regions
) -> InParts[None]:
    """Write down what is about to begin or to go on, pixels and all, pair by pair.

    Raises
    ------
    OSError
        The disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_regions(folder / REGIONS, regions)
    total = sum(a.nbytes for p in pairs for a in (p.noisy, p.target, *p.features.values()))
    if total > _MOST_BYTES:
        return
    (folder / _PAIRS).mkdir(exist_ok=True)
    notes = []
    for number, pair in enumerate(pairs):
        yield f"keeping a copy of {pair.name}, to resume from after an interruption"
        notes.append(_write_pair(folder / _PAIRS, number, pair))
    values = {
        "title": ", ".join(pair.name for pair in pairs),
        "began": f"{datetime.now():%Y-%m-%d %H:%M}",
        "settings": settings.to_json(),
        "pairs": notes,
        "owner": _owner(),
    }
    with replacing([folder / NOTE], overwrite=True) as (new,):
        new.write_text(json.dumps(values, indent=2), encoding="utf-8")


def unfinished() -> list[Kept]:
    """List what was begun and not saved, and nobody works on, the latest first."""
    found = []
    for note in sorted(home().glob(f"*/{NOTE}"), reverse=True):
        try:
            values = json.loads(note.read_text(encoding="utf-8"))
            if note.parent not in at_work and not _elsewhere(values["owner"]):
                settings = FineTuneSettings.parse(values["settings"])
                title, began = values["title"], values["began"]
                found.append(Kept(note.parent, title, began, settings, _reached(note.parent)))
        except UNREADABLE:
            continue
    return found


def close(folder: Path) -> None:
    """Offer what was saved no more; until it is put away the result still shows its weights."""
    (folder / _SAVED).touch()
    (folder / NOTE).unlink(missing_ok=True)
    shutil.rmtree(folder / _PAIRS, ignore_errors=True)


def put_away(folder: Path) -> None:
    """Delete what was saved, or came to nothing that could be gone on with."""
    run = Folder(folder)
    needed = any(path.is_file() for path in (run.checkpoint, run.best, folder / NOTE))
    if (folder / _SAVED).is_file() or not needed:
        discard(folder)


def discard(folder: Path) -> None:
    """Delete all of it."""
    if folder.parent == home():
        shutil.rmtree(folder, ignore_errors=True)


def _reached(folder: Path) -> str:
    """Say which step the checkpoint holds, of how many."""
    run = Folder(folder)
    try:
        plan, progress = run.plan(), run.progress()
        return f"step {int(progress['step'])} of {plan.steps}" if plan is not None else ""
    except UNREADABLE:
        return ""


def _owner() -> dict[str, Any]:
    return {"pid": os.getpid(), "since": psutil.Process().create_time()}


def _elsewhere(owner: dict[str, Any]) -> bool:
    """Whether another process that is alive has it."""
    if owner["pid"] == os.getpid():
        return False
    try:
        return bool(psutil.Process(owner["pid"]).create_time() == owner["since"])
    except psutil.Error:
        return False


def _write_pair(folder: Path, number: int, pair: Pair) -> dict[str, Any]:
    arrays = {"noisy": pair.noisy, "target": pair.target, **pair.features}
    if pair.stack:
        del arrays["target"]  # it is the noisy one
    repeated = pair.one_scene and not np.any(getattr(pair.target, "strides", (1,))[:1])
    if repeated:  # one clean image for all frames
        arrays["target"] = pair.target[0]
    for role, array in arrays.items():
        path = folder / f"{number} {role}.npy"
        if not path.is_file():  # when it goes on, the pair itself lies there
            with replacing([path], overwrite=True) as (new,), new.open("wb") as file:
                np.save(file, np.ascontiguousarray(array))
    return {
        "name": pair.name,
        "axes": pair.axes,
        "noisy_target": pair.noisy_target,
        "one_scene": pair.one_scene,
        "sources": list(pair.sources),
        "features": list(pair.features),
        "linear": pair.linear,
        "bits": pair.bits,
        "repeats": pair.repeats,
        "repeated": repeated,
        "stack": pair.stack,
    }


def _read_pair(folder: Path, number: int, note: dict[str, Any]) -> Pair:
    def load(role: str) -> Any:
        return np.load(folder / f"{number} {role}.npy", mmap_mode="r", allow_pickle=False)

    stack = note.get("stack", False)
    noisy = load("noisy")
    target = noisy if stack else load("target")
    return Pair(
        note["name"],
        noisy,
        np.broadcast_to(target, noisy.shape) if note["repeated"] else target,
        note["axes"],
        note["noisy_target"],
        {role: load(role) for role in note["features"]},
        sources=tuple(note["sources"]),
        one_scene=note["one_scene"],
        linear=note.get("linear", False),
        bits=note.get("bits"),
        stack=stack,
        repeats=note.get("repeats", 0),
    )
