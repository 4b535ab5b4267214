"""What a fine-tuning keeps on disk, and whether it can be gone on with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from napari_denoise.io.atomic import remedy_for, replacing
from napari_denoise.io.errors import FileError, FileExists, NotWritten
from napari_denoise.settings.finetune import FineTuneSettings
from napari_denoise.settings.recipe import TrainSettings

_WRITTEN = ("log.csv", "curve.png", "validation", "tensorboard")
"""What a run tells of itself on its way."""


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

    @property
    def begun(self) -> bool:
        """Whether it holds a fine-tuning."""
        return any(path.is_file() for path in (self._note, self.checkpoint, self.best))

    def check_empty(self) -> None:
        """Refuse to begin where another fine-tuning was begun.

        Raises
        ------
        FileExists
            One was.
        """
        if self.begun:
            raise FileExists(
                self.path,
                "it holds a fine-tuning",
                "pass resume=True to resume it, overwrite=True to begin anew, or choose "
                "another name",
                replaceable=True,
            )

    def resumed(self, asked: FineTuneSettings) -> FineTuneSettings:
        """Return the settings that it was begun with, on the device that is asked for now.

        What is asked for by a default is not asked for; of the base `check_same` knows more.

        Raises
        ------
        ValueError
            Something else is asked for.
        """
        noted = self._read(self._note).get("settings")
        if noted is None:
            return asked
        with self._telling(self._note):
            before = FineTuneSettings.parse(noted)
        usual = FineTuneSettings()
        for name in (field.name for field in fields(FineTuneSettings)):
            now, then = getattr(asked, name), getattr(before, name)
            if name not in ("device", "base") and now not in (then, getattr(usual, name)):
                raise ValueError(
                    f"{self.path}: its fine-tuning was begun with {name} = {then!r}, not {now!r}: "
                    "leave that out to resume it, or begin anew under another name"
                )
        base = before.base if asked.base == usual.base else asked.base
        return replace(before, device=asked.device, base=base)

    def check_same(self, identity: Mapping[str, Any]) -> None:
        """Go on only with what was begun with the same pairs, regions and base.

        Raises
        ------
        ValueError
            Names what is different.
        """
        before = self._read(self._note)
        for key in ("pairs", "regions", "base_sha256"):
            if before and before.get(key) != identity[key]:
                raise ValueError(
                    f"{self.path}: its fine-tuning was begun with other {key}: give the same "
                    "again, or begin anew under another name"
                )

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep other processes from working here; a process that dies lets go.

        Raises
        ------
        BlockingIOError
            Another one is at work.
        NotWritten
            The disk is full, or the folder cannot be written.
        """
        lock = FileLock(self._lock, timeout=0, thread_local=False)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout as error:
            raise BlockingIOError(
                f"{self.path}: another fine-tuning is at work there: wait for it, or choose "
                "another name"
            ) from error
        except OSError as error:
            raise NotWritten(
                self.path,
                f"it could not be written ({error})",
                remedy_for(error),
            ) from error
        try:
            yield
        finally:
            lock.release()

    def clear(self) -> None:
        """Delete the run that it holds, nothing else; to be called `in_use`."""
        own = (self._note, self._recipe, self.checkpoint, self.best)
        for entry in (*own, *(self.path / name for name in _WRITTEN)):
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink(missing_ok=True)

    def plan(self) -> TrainSettings | None:
        """Return the plan it goes by; None if it was not begun."""
        started = self._read(self._recipe)
        if not started:
            return None
        with self._telling(self._recipe):
            return TrainSettings.parse(started["settings"])

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
        return _loaded(self.checkpoint) or {}

    def best_kept(self) -> dict[str, Any] | None:
        """Read the best weights, their step and PSNR; None if there are none."""
        return _loaded(self.best)

    @property
    def _note(self) -> Path:
        return self.path / "finetune.json"

    @property
    def _recipe(self) -> Path:
        return self.path / "recipe.json"

    @property
    def _lock(self) -> Path:
        return self.path / "in_use.lock"

    def _read(self, path: Path) -> dict[str, Any]:
        if not path.is_file():
            return {}
        with self._telling(path):
            found = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(found, dict):
                raise TypeError(f"expected an object, found {type(found).__name__}")
            return found

    @contextmanager
    def _telling(self, path: Path) -> Iterator[None]:
        """Name the file that is damaged."""
        try:
            yield
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise FileError(
                path,
                f"it is not what a fine-tuning wrote there ({error})",
                "bring back a copy of it, or begin the run anew",
            ) from error


def _loaded(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    from napari_denoise.training.loop.checkpoints import load_checkpoint  # PyTorch; notes need none

    return load_checkpoint(path)
