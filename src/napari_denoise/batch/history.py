"""What an earlier run did, and so what is to be done now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from napari_denoise.batch import journal
from napari_denoise.batch.adapt import Adaptation
from napari_denoise.batch.marks import mark_of
from napari_denoise.batch.plan import BatchTask
from napari_denoise.io.errors import FileError, FileExists, listening
from napari_denoise.io.formats.loaded import lazily
from napari_denoise.io.read import read
from napari_denoise.io.write import frame_pattern

Act = Literal["denoise", "skip", "failed", "refuse"]
EVIDENCE = "batch"
"""Key of the provenance that says which input and settings a result is of."""


@dataclass(frozen=True)
class Marks:
    """Which input a result is of, and which settings."""

    input: str
    settings: str

    def to_json(self) -> dict[str, str]:
        """Return plain values."""
        return {"input": self.input, "settings": self.settings}


@dataclass(frozen=True)
class Resume:
    """What to do about results that are there.

    Parameters
    ----------
    skip_existing
        Leave inputs out whose result is there, whoever made it.
    retry_failed
        Try inputs again that failed before.
    force
        Do all again, and replace what is there.
    """

    skip_existing: bool = False
    retry_failed: bool = False
    force: bool = False


@dataclass(frozen=True)
class Decision:
    """What to do with an input, and why."""

    act: Act
    why: str = ""
    overwrite: bool = False
    adopt: bool = False
    """The result is whole, and its line in the journal is missing."""
    error: Exception | None = None
    """Of a refusal."""


@dataclass(frozen=True)
class History:
    """The journal of a folder, by result.

    Parameters
    ----------
    folder
        Of the journal.
    last
        The last event of each result.
    noise
        Of each experiment, as it was measured.
    adapted
        Weights of each group, or why there are none.
    """

    folder: Path
    last: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    noise: Mapping[str, Any] = field(default_factory=dict)
    seconds_per_byte: float | None = None
    adapted: Mapping[str, Adaptation] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path) -> History:
        """Read the journal of a folder; empty if it has none."""
        last: dict[str, Mapping[str, Any]] = {}
        noise: dict[str, Any] = {}
        adapted: dict[str, Adaptation] = {}
        spent = size = 0.0
        for event in journal.read(folder):
            if event["event"] == "noise":
                noise[event["experiment"]] = event["models"]
            if event["event"] == "adapted":
                adapted[event["group"]] = Adaptation.parse(event)
            if event["event"] in ("started", *journal.OUTCOMES):
                last[event["target"]] = event
            if event["event"] == "done" and event.get("bytes"):
                spent, size = spent + event["seconds"], size + event["bytes"]
        pace = spent / size if size else None
        return cls(folder.absolute(), last, noise, pace, adapted)

    @property
    def results(self) -> tuple[Path, ...]:
        """All files that were written."""
        done = [event for event in self.last.values() if event["event"] == "done"]
        return tuple(self.folder / name for event in done for name in event["files"])

    def decide(self, task: BatchTask, marks: Marks, resume: Resume) -> Decision:
        """Say what is to be done with an input."""
        if resume.force:
            return Decision("denoise", overwrite=True)
        event = self.last.get(journal.name_in(self.folder, task.target))
        if event is None or event["event"] == "started":
            return self._unfinished(task, marks, resume, begun=event is not None)
        before = Marks(event.get("input", ""), event.get("settings", ""))
        if event["event"] == "failed":
            if before == marks and not resume.retry_failed:
                return Decision("failed", event["error"])
            return self._unfinished(task, marks, resume, begun=False)
        files = [self.folder / name for name in event["files"]]
        if not all(file.exists() for file in files):
            return Decision("denoise", "its result is no longer whole", overwrite=True)
        if mark_of(files, times=False) != event["result"]:
            return _taken(task, resume, "it was changed after it had been written")
        return _made_before(task, before, marks, resume)

    def _unfinished(
        self, task: BatchTask, marks: Marks, resume: Resume, *, begun: bool
    ) -> Decision:
        taken = task.taken
        if not taken:
            return Decision("denoise", overwrite=begun)
        made = evidence(task)
        if made is not None:
            decided = _made_before(task, made, marks, resume)
            return decided if decided.act != "skip" else Decision("skip", decided.why, adopt=True)
        if begun:  # a run was killed between the files of one result
            return Decision("denoise", "an earlier run was cut off", overwrite=True)
        return _taken(task, resume, "it exists already")


def evidence(task: BatchTask) -> Marks | None:
    """Return which input and settings a result says it is of; None if it is not whole.

    What says so is written last: where it stands, all of the result does.
    """
    if task.frames_used is not None and not task.frames_used.exists():
        return None
    for place in (task.outputs or task.target, frame_pattern(task.target)):
        try:
            with listening(), lazily(0):
                _, meta = read(place)
            break
        except (FileError, OSError):
            continue
    else:
        return None
    note = meta.extra.get("napari_denoise")
    made = note.get(EVIDENCE) if isinstance(note, dict) else None
    if not isinstance(made, dict) or set(made) != {"input", "settings"}:
        return None
    return Marks(made["input"], made["settings"])


def _made_before(task: BatchTask, before: Marks, now: Marks, resume: Resume) -> Decision:
    if before == now:
        return Decision("skip", "finished before")
    if before.settings != now.settings:
        return _taken(task, resume, "it was made with other settings or weights")
    return Decision("denoise", "its input has changed", overwrite=True)


def _taken(task: BatchTask, resume: Resume, rule: str) -> Decision:
    if resume.skip_existing:
        return Decision("skip", "its result is there")
    remedy = (
        "keep it with --skip-existing (skip_existing=True), make it anew with --force "
        "(force=True), or name another folder"
    )
    error = FileExists(task.target, rule, remedy, replaceable=True)
    return Decision("refuse", str(error), error=error)
