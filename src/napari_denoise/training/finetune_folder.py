"""What a fine-tuning keeps on disk, and whether it can be gone on with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_denoise.core.recipe import TrainSettings
from napari_denoise.io.atomic import replacing
from napari_denoise.training.checkpoints import load_checkpoint


@dataclass(frozen=True)
class Folder:
    """Checkpoint, best weights, plan and note of one fine-tuning.

    Parameters
    ----------
    path
        Where they are.
    """

    path: Path

    @property
    def checkpoint(self) -> Path:
        """The state to go on from."""
        return self.path / "checkpoint.pt"

    @property
    def best(self) -> Path:
        """The weights with the best figures so far."""
        return self.path / "best.pt"

    def check(self, identity: Mapping[str, Any], *, resume: bool) -> None:
        """Go on only with what was begun with the same pairs, regions and base.

        Raises
        ------
        ValueError
            Names what is different.
        """
        if not (self.checkpoint.is_file() or self.best.is_file()):
            return
        if not resume:
            raise ValueError(
                f"{self.path}: it holds a fine-tuning: pass --resume to go on with it, "
                "--overwrite to begin anew, or choose another name"
            )
        before = self._read(self._note)
        for key in ("pairs", "regions", "base_sha256"):
            if before and before.get(key) != identity[key]:
                raise ValueError(
                    f"{self.path}: its fine-tuning was begun with other {key}: give the same "
                    "again, or begin anew under another name"
                )

    def plan(self) -> TrainSettings | None:
        """Return the plan it goes by; None if it was not begun."""
        started = self._read(self._recipe)
        return TrainSettings.parse(started["settings"]) if started else None

    def progress(self) -> dict[str, Any]:
        """Return what `write` was told last; nothing if it was not begun."""
        found: dict[str, Any] = self._read(self._note).get("progress", {})
        return found

    def write(self, identity: Mapping[str, Any], progress: Mapping[str, Any]) -> None:
        """Note what it is a fine-tuning of, and how far it came.

        Raises
        ------
        FileError
            The disk is full.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with replacing([self._note], overwrite=True) as (new,):
            new.write_text(json.dumps({**identity, "progress": progress}, indent=2))

    def state(self) -> dict[str, Any]:
        """Read the checkpoint; nothing if there is none."""
        return load_checkpoint(self.checkpoint) if self.checkpoint.is_file() else {}

    def best_kept(self) -> dict[str, Any] | None:
        """Read the best weights, their step and PSNR; None if there are none."""
        return load_checkpoint(self.best) if self.best.is_file() else None

    @property
    def _note(self) -> Path:
        return self.path / "finetune.json"

    @property
    def _recipe(self) -> Path:
        return self.path / "recipe.json"

    def _read(self, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
        return found
