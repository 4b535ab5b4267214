"""What a batch tells of itself while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_denoise.batch.plan import BatchTask

if TYPE_CHECKING:
    from napari_denoise.inference.steps import Step


@dataclass(frozen=True)
class Started:
    """Work on an input began."""

    task: BatchTask


@dataclass(frozen=True)
class Progress:
    """A tile more of an input is done; or something is measured, and `step` is None."""

    task: BatchTask
    step: Step | None = None
    overall: float = 0.0
    """Share of the whole batch that is done, 0 to 1."""
    seconds_left: float | None = None
    """Of the whole batch; None while nothing tells. Time that nobody asks for events is not
    counted: a pause takes none of it."""
    what: str = ""
    """What is done where there is no step, for people."""


@dataclass(frozen=True)
class Done:
    """A file that was denoised."""

    task: BatchTask
    files: tuple[Path, ...]
    """Written, with the sidecar."""
    frames: int
    seconds: float
    noise: tuple[str, ...]
    """Per channel, for people."""
    weights: str
    frames_used: str = ""
    """Of how many frames the pixels are made, for people; empty for frames by themselves."""
    warnings: tuple[str, ...] = ()
    weights_sha256: str = ""
    pixels: int = 0
    """In the stack."""
    kept: str = ""
    """How much of it an earlier run had done, for people."""


@dataclass(frozen=True)
class Failed:
    """A file that could not be denoised; nothing was written for it."""

    task: BatchTask
    error: Exception
    unusable: bool
    """True if the input, the settings or the target were refused before any computing."""


@dataclass(frozen=True)
class Adapted:
    """Weights were adapted to an experiment, or it was tried."""

    task: BatchTask
    """The first input of it."""
    used: bool
    """Whether they surely gain, and so are used."""
    text: str
    """What they gain, or why they are not used, for people."""


@dataclass(frozen=True)
class Skipped:
    """An input that needs nothing: its result is there."""

    task: BatchTask
    why: str
    failed: bool = False
    """It failed before and was not tried again."""


@dataclass(frozen=True)
class Waiting:
    """Nothing to do at present: a watched folder holds no new file that is whole."""

    growing: int = 0
    """Files that are still being written."""


@dataclass(frozen=True)
class Connected:
    """Processes are there to work."""

    dashboard: str
    """Where a browser shows what they do."""
    workers: int


@dataclass(frozen=True)
class Ended:
    """The batch is through."""

    done: int
    failed: int
    skipped: int
    seconds: float
    report: Path | None = None
    """`batch.html`."""


Event = Adapted | Started | Progress | Done | Failed | Skipped | Waiting | Connected | Ended
