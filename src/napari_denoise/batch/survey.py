"""A look at every input before the night starts: what it is, and whether it can be denoised."""

from __future__ import annotations

import math
import shutil
import time
from collections import defaultdict
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_denoise.batch.adapt import Adaptation, check_adaptable, group_of
from napari_denoise.batch.choice import read_image
from napari_denoise.batch.guessed import axes_wanted, few_numbered, guess_note, is_guess
from napari_denoise.batch.history import Decision, History, Marks, Resume
from napari_denoise.batch.layers import check_layers
from napari_denoise.batch.marks import mark_of, settings_mark
from napari_denoise.batch.plan import BatchTask, collisions
from napari_denoise.io.errors import FileError, listening
from napari_denoise.io.formats.loaded import lazily
from napari_denoise.io.meta import ImageMeta
from napari_denoise.io.write import check_output
from napari_denoise.settings.denoise import DenoiseSettings
from napari_denoise.settings.noise import NoiseModel
from napari_denoise.weights.catalogue import find_weights

if TYPE_CHECKING:
    from napari_denoise.inference.described import Described

LAZY_FROM = 2**26
"""Bytes from which a batch reads an input frame by frame."""
_NEIGHBOURS_COST = 2.5
"""Time with neighbours over time without, on a CPU."""


@dataclass(frozen=True)
class PlanRow:
    """One input of a batch: what it is, and what will be done with it."""

    task: BatchTask
    shape: tuple[int, ...] = ()
    axes: str = ""
    dtype: str = ""
    bytes: int = 0
    """Of its pixels."""
    result_bytes: int = 0
    """Of the result, uncompressed."""
    weights: str = ""
    noise: str = ""
    neighbors: str = ""
    seconds: float | None = None
    """Expected; None where nothing tells."""
    marks: Marks | None = None
    decision: Decision = field(default_factory=lambda: Decision("denoise"))
    error: Exception | None = None
    """Why it cannot be denoised."""
    notes: tuple[str, ...] = ()
    """What was guessed or left out, such as axes."""
    experiment: str = ""
    """Inputs with one noise model share it; empty where each is measured."""
    guessed: bool = False
    """Whether nothing but the shape tells the axes."""
    adapts: str = ""
    """Inputs whose weights are adapted together share it; empty for none."""

    @property
    def act(self) -> str:
        """What will be done: denoise, skip, failed (before), refuse."""
        return "refuse" if self.error is not None else self.decision.act

    @property
    def wants_axes(self) -> bool:
        """Whether it waits for somebody to say its axes."""
        return self.guessed and self.error is not None

    @property
    def problem(self) -> str:
        """Why it will not be denoised, in a sentence; empty where it will."""
        if self.error is not None:
            return str(self.error)
        return self.decision.why if self.decision.act in ("failed", "refuse") else ""


@dataclass(frozen=True)
class BatchPlan:
    """All that a batch is to do; `run` does it.

    Parameters
    ----------
    rows
        The inputs.
    settings, axes
        For all tasks that have none of their own.
    folder
        Of the journal and the report.
    resume
        What to do about results that are there.
    one_noise
        Whether inputs of one experiment share a noise model.
    guess_axes
        Whether axes that are a guess are taken as they are.
    adapt
        Minutes in which weights are adapted to the stacks of an experiment before those are
        denoised, and used where that surely helps; 0 for none.
    """

    rows: tuple[PlanRow, ...]
    settings: DenoiseSettings
    folder: Path
    axes: str | None = None
    resume: Resume = field(default_factory=Resume)
    one_noise: bool = False
    guess_axes: bool = False
    adapt: float = 0.0

    def settings_of(self, task: BatchTask) -> DenoiseSettings:
        """Return how a task is denoised."""
        return task.settings or self.settings

    @property
    def waiting(self) -> tuple[PlanRow, ...]:
        """Return the rows that will be denoised."""
        return tuple(row for row in self.rows if row.act == "denoise")

    @property
    def seconds(self) -> float | None:
        """Expected for all of them; None where nothing tells."""
        known = [row.seconds for row in self.waiting if row.seconds is not None]
        groups = {row.adapts for row in self.waiting} - {""} - {*History.of(self.folder).adapted}
        adapting = 60 * self.adapt * len(groups)
        return sum(known) + adapting if known and len(known) == len(self.waiting) else None

    def check_space(self) -> None:
        """Refuse at once what would fail in the night.

        Raises
        ------
        FileError
            A disk has too little space for all results.
        """
        needed: dict[int, int] = defaultdict(int)
        place: dict[int, Path] = {}
        for row in self.waiting:
            folder = _existing(row.task.target)
            device = folder.stat().st_dev
            place.setdefault(device, folder)
            needed[device] += row.result_bytes
        for device, folder in place.items():
            free = shutil.disk_usage(folder).free
            if needed[device] > free:
                raise FileError(
                    folder,
                    f"the results need up to {_size(needed[device])} but {_size(free)} are free",
                    "free some space, choose another folder, or denoise fewer inputs at a time",
                    value=needed[device],
                )


def survey(
    tasks: Sequence[BatchTask],
    settings: DenoiseSettings,
    folder: Path,
    *,
    axes: str | None = None,
    resume: Resume | None = None,
    one_noise: bool = False,
    guess_axes: bool = False,
    adapt: float = 0.0,
    look: bool = False,
) -> Generator[PlanRow, None, BatchPlan]:
    """Look at each input, yielding its row; returns the plan.

    Parameters
    ----------
    tasks
        From `plan_folder`.
    settings, axes, resume, one_noise, guess_axes, adapt
        As in `BatchPlan`. Axes that are a guess are a problem of the row where they are not told
        and guesses are not taken.
    folder
        For the journal.
    look
        Look into the pixels too, for the weights and the time; else only headers are read.

    Raises
    ------
    ValueError
        Weights cannot be adapted for these settings.
    """
    if adapt:
        check_adaptable(settings)
    resume = resume or Resume()
    history, clashes = History.of(folder), collisions(tasks)
    inputs = {file.resolve() for task in tasks for file in task.source.files}
    paces: dict[str, float] = {}
    rows = []
    for task in tasks:
        own = task.settings or settings
        row = PlanRow(task, noise=noise_text(own))
        try:
            if task in clashes:
                raise ValueError(clashes[task])
            _check_apart(task, inputs)
            if adapt:
                check_adaptable(own)
            row = _looked_at(row, own, task.axes or axes, one_noise, adapt, look)
            row = decided(row, own, task.axes or axes, history, resume)
            if row.guessed and row.act == "denoise" and not guess_axes:
                raise axes_wanted(row)
            row = replace(row, seconds=_expected(row, own, history, paces, look))
        except (ValueError, OSError) as error:
            row = replace(row, error=error)
        rows.append(row)
        yield row
    return BatchPlan(tuple(rows), settings, folder, axes, resume, one_noise, guess_axes, adapt)


def decided(
    row: PlanRow, settings: DenoiseSettings, axes: str | None, history: History, resume: Resume
) -> PlanRow:
    """Say what is to be done with an input as it is now, and as the journal is now.

    Raises
    ------
    FileError
        The input is gone.
    """
    models = history.noise.get(row.experiment)
    marks = marks_of(row, settings, axes, models, history.adapted.get(row.adapts))
    return replace(row, marks=marks, decision=history.decide(row.task, marks, resume))


def marks_of(
    row: PlanRow,
    settings: DenoiseSettings,
    axes: str | None,
    models: Any,
    adapted: Adaptation | None = None,
) -> Marks:
    """Mark an input, what is asked for, and what was measured and adapted for it.

    Raises
    ------
    FileError
        The input is gone.
    """
    source = row.task.source
    try:
        mark = mark_of(source.files)
    except OSError as error:
        raise FileError(
            source.pattern, f"it cannot be read ({error.strerror})", "look where it went"
        ) from error
    weights = "" if settings.weights == "auto" else find_weights(settings.weights).sha256
    more = {"experiment": row.experiment, "noise": models} if row.experiment else {}
    if row.adapts:
        more |= {"adapts": row.adapts, "adapted": None if adapted is None else adapted.sha256}
    if source.series is not None:
        more["series"] = source.series
    if row.task.frames_used is not None:
        more["frames_used"] = row.task.frames_used.name
    if choice := row.task.choice:
        more["layers"] = choice.to_json() | {"beside": mark_of(choice.files)}
    return Marks(mark, settings_mark(settings, axes, weights, more))


def noise_text(settings: DenoiseSettings) -> str:
    """Say in few words where the noise comes from."""
    for name in ("noise_from", "sigma_map"):
        if given := getattr(settings, name):
            return f"{'from' if name == 'noise_from' else 'map'} {Path(given).name}"
    entries = settings.noise if isinstance(settings.noise, tuple) else (settings.noise,)
    if set(entries) == {"auto"}:
        return "measured"
    texts = [e.describe() if isinstance(e, NoiseModel) else str(e) for e in entries]
    return "; ".join(texts)


def _looked_at(
    row: PlanRow,
    settings: DenoiseSettings,
    axes: str | None,
    one_noise: bool,
    adapt: float,
    look: bool,
) -> PlanRow:
    from napari_denoise.inference.described import described

    source = row.task.source
    with listening() as heard, lazily(LAZY_FROM if look else 0):
        array, meta = read_image(source, axes, row.task.choice)
        stack = described(array, meta=meta)
    dtype = settings.result_dtype(array.dtype)
    result = np.broadcast_to(np.zeros((), dtype), array.shape)
    check_layers(row.task, 1 + row.task.choice.every_view)
    check_output(row.task.target, result, meta, overwrite=True)
    if "napari_denoise" in meta.extra:
        heard.append(f"{source.pattern}: it was denoised before, and is now once more")
    pixels = math.prod(array.shape)
    mapped = pixels // stack.layout.size("S") * 4 if row.task.frames_used else 0
    experiment = _experiment(source.files[0], array, meta)
    row = replace(
        row,
        shape=tuple(array.shape),
        axes=meta.axes,
        dtype=str(array.dtype),
        bytes=pixels * array.dtype.itemsize,
        result_bytes=pixels * dtype.itemsize + mapped,
        weights=_weights(stack, settings, look),
        neighbors=_neighbors(stack, settings),
        experiment=experiment if one_noise else "",
        adapts=group_of(experiment, stack, settings, adapt) if adapt else "",
        guessed=axes is None and is_guess(meta),
    )
    heard += [guess_note(row)] if row.guessed else []
    heard += [text] if (text := few_numbered(source)) else []
    if adapt and not row.adapts:
        heard.append(f"{source.pattern}: no weights are adapted to it: that takes a noisy stack")
    return replace(row, notes=tuple(dict.fromkeys(heard)))


def _weights(stack: Described, settings: DenoiseSettings, look: bool) -> str:
    if settings.weights != "auto":
        return find_weights(settings.weights).name
    return stack.weights(settings.mapping) if look else "auto"


def _neighbors(stack: Described, settings: DenoiseSettings) -> str:
    letter = settings.along
    if letter == "auto":
        letter = "T" if stack.layout.size("T") > 1 else "Z"
    size = stack.layout.size(letter)
    usual = {"T": 2, "Z": 1}[letter]
    wanted = usual if settings.neighbors == "auto" else settings.neighbors
    if size == 1 or not wanted:
        return "none"
    return f"{min(wanted, size - 1)} along {letter}"


def _experiment(file: Path, array: Any, meta: ImageMeta) -> str:
    """Name what inputs of one camera with one setting have in common."""
    bits = meta.extra.get("significant_bits")
    sizes = dict(zip(meta.axes, array.shape, strict=True))
    scale = dict(zip(meta.axes, meta.scale, strict=True))
    parts = [str(file.parent.name), str(array.dtype) + (f" {bits} bit" if bits else "")]
    parts += [f"{sizes[a]} {a}" for a in "CS" if a in sizes]
    parts += [f"{scale[a]:.6g} {a}" for a in "YX"]
    return ", ".join([*parts, *meta.channel_names])


def _expected(
    row: PlanRow,
    settings: DenoiseSettings,
    history: History,
    paces: dict[str, float],
    look: bool,
) -> float | None:
    if history.seconds_per_byte is not None:
        return history.seconds_per_byte * row.bytes
    if not look or row.act != "denoise":
        return None
    name = f"{row.weights} {settings.device} {settings.precision}"
    if name not in paces:
        weights = row.weights if settings.weights == "auto" else settings.weights
        paces[name] = _pace(weights, settings)
    sizes: Mapping[str, int] = dict(zip(row.axes, row.shape, strict=True))
    pixels = math.prod(n for a, n in sizes.items() if a != "S")
    return pixels * paces[name] * (1 if row.neighbors == "none" else _NEIGHBOURS_COST)


def _pace(weights: str, settings: DenoiseSettings) -> float:
    """Time a network on a window: seconds per pixel."""
    from napari_denoise.engines.torch import load_engine
    from napari_denoise.inference.denoiser import Denoiser
    from napari_denoise.measure.mappings import Mapped

    denoiser = Denoiser.load(weights, settings.device, settings.precision)
    assert denoiser.info is not None  # noqa: S101 - it was asked for by name
    engine = load_engine(denoiser.info, settings.realism, denoiser.device, denoiser.precision)
    side = 256
    window = np.full((engine.channels, side, side), 0.5, np.float32)
    sigma = np.broadcast_to(np.float32(0.1), (1, side, side))
    guides = np.zeros((engine.features, side, side), np.float32) if engine.features else None
    seconds = []
    for _ in range(2):  # the first one loads
        start = time.perf_counter()
        engine.run(Mapped(window), sigma, guides)
        seconds.append(time.perf_counter() - start)
    return seconds[-1] / side**2


def _check_apart(task: BatchTask, inputs: set[Path]) -> None:
    for file in task.outputs or [task.target]:
        if file.resolve() in inputs:
            raise ValueError(
                f"{file}: the result would replace an input; choose another folder, or other "
                "names (--name '{stem}_denoised')"
            )


def _existing(path: Path) -> Path:
    """Return the nearest folder above a path that is there."""
    folder = path.absolute().parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def _size(count: float) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"
