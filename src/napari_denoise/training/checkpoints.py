"""Training state on disk, written so that a crash leaves the previous one whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from napari_denoise.io.atomic import replacing


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write the state under a temporary name, then rename it.

    Raises
    ------
    FileError
        The disk is full or the folder cannot be written; an older file stays whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing([path], overwrite=True) as (temporary,), temporary.open("wb") as file:
        torch.save(state, file)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a state written by `save_checkpoint`; nothing in it is executed."""
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state
