"""Training state on disk, written so that a crash leaves the previous one whole."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from napari_denoise.engines.device import is_out_of_memory
from napari_denoise.io.atomic import replacing
from napari_denoise.io.errors import FileError


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write the state under a temporary name, then rename it.

    Raises
    ------
    FileError
        The disk is full or the folder cannot be written; an older file stays whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = BytesIO()  # on a full disk torch.save itself would fail without naming the cause
    torch.save(state, buffer)
    with replacing([path], overwrite=True) as (temporary,):
        temporary.write_bytes(buffer.getbuffer())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a state written by `save_checkpoint`; nothing in it is executed.

    Raises
    ------
    FileError
        It is not whole, or something else.
    """
    buffer = BytesIO(path.read_bytes())
    try:
        state = torch.load(buffer, map_location="cpu", weights_only=True)
    except Exception as error:
        if is_out_of_memory(error):
            raise
        state = None
    if not isinstance(state, dict):
        raise FileError(
            path, "it is not a whole checkpoint", "bring back a copy of it, or begin the run anew"
        )
    return state
