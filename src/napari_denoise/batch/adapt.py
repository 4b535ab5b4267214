"""Weights that are adapted to an experiment before its stacks are denoised, where that helps."""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_denoise.batch.choice import read_image
from napari_denoise.batch.plan import BatchTask
from napari_denoise.image.frames import evenly
from napari_denoise.io.errors import FileError, NotWritten, listening
from napari_denoise.io.formats.loaded import lazily
from napari_denoise.settings.denoise import DenoiseSettings
from napari_denoise.weights.catalogue import SUFFIX, find_weights, read_info

if TYPE_CHECKING:
    from napari_denoise.inference.described import Described
    from napari_denoise.training.data.real_pairs import Pair
    from napari_denoise.training.finetune.outcome import FineTuneResult

FOLDER = "adapted"
"""In the folder of results, for the weights."""
MEMBERS = 3
"""Stacks of an experiment that are learnt from."""
_LAZY_FROM = 2**26
_NOT_WITH = ("noise_from", "sigma_map", "dark", "gain_map", "realism")


@dataclass(frozen=True)
class Adaptation:
    """What came out of adapting weights to an experiment; JSON values.

    Parameters
    ----------
    used
        Whether they surely gain, and so are used.
    verdict
        What they gain, or why they are not used, in a sentence.
    gain
        Estimated value and 90 % interval in dB: "value", "low", "high"; None where nothing was
        measured.
    base, base_sha256
        The weights they were before.
    weights, sha256
        Where they are, from the folder of the batch, and their hash; empty where not used.
    learnt_on
        Names of the inputs.
    minutes
        The time there was.
    """

    used: bool
    verdict: str
    gain: Mapping[str, float] | None = None
    base: str = ""
    base_sha256: str = ""
    weights: str = ""
    sha256: str = ""
    learnt_on: tuple[str, ...] = ()
    minutes: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Adaptation:
        """Read what the journal holds; fields of later versions are left out."""
        known = {k: v for k, v in values.items() if k in cls.__dataclass_fields__}
        return cls(**{**known, "learnt_on": tuple(known.get("learnt_on", ()))})

    def place(self, folder: Path) -> Path:
        """Find the weights.

        Raises
        ------
        FileError
            They are gone, or others by now.
        """
        path = folder / self.weights
        if not path.is_file() or read_info(path).sha256 != self.sha256:
            raise FileError(
                path,
                "the weights that were adapted for this batch are gone or changed",
                "bring them back, or do all again (--force, force=True)",
            )
        return path


def check_adaptable(settings: DenoiseSettings) -> None:
    """Refuse settings that adapting cannot follow.

    Raises
    ------
    ValueError
        One of them is given.
    """
    for name in _NOT_WITH:
        if value := getattr(settings, name):
            option = name.replace("_", "-")
            raise ValueError(
                f"--adapt does not go with --{option} {value}: stacks teach each other by the "
                "noise that is measured in them, and the faithful end alone"
            )


def group_of(experiment: str, stack: Described, settings: DenoiseSettings, minutes: float) -> str:
    """Name the inputs that share adapted weights; empty for what cannot teach itself."""
    layout = stack.layout
    if stack.linear or max(layout.size("T"), layout.size("Z")) < 2:
        return ""
    weights = "" if settings.weights == "auto" else find_weights(settings.weights).sha256
    asked = [weights, settings.to_json()["noise"], minutes]
    mark = sha256(json.dumps([experiment, *asked], sort_keys=True).encode()).hexdigest()
    return f"{experiment} ({mark[:8]})"


def adapting(
    group: str,
    tasks: Sequence[BatchTask],
    settings: DenoiseSettings,
    axes: str | None,
    minutes: float,
    folder: Path,
) -> Generator[str, None, Adaptation]:
    """Adapt weights to some stacks of a group, saying in a few words how far it is.

    Left in between, or killed, it goes on from its last checkpoint when it is asked for again.

    Parameters
    ----------
    group
        From `group_of`.
    tasks
        All of the group.
    settings, axes
        As for all of them; noise and weights are those to begin with.
    minutes
        To train for; measuring comes on top.
    folder
        Of the results.

    Raises
    ------
    NotWritten
        The disk is full.
    """
    target = folder / FOLDER / f"{_slug(group)}{SUFFIX}"
    pairs: list[Pair] = []
    names: tuple[str, ...] = ()
    for task in evenly(tasks, MEMBERS):
        yield f"reading {task.name}"
        try:
            pairs.append(_pair(task, axes))
            names += (task.name,)
        except (ValueError, OSError):  # its own turn says what is wrong with it
            continue
    try:
        result, base = yield from _tuned(pairs, settings, minutes, target)
    except NotWritten:
        raise
    except (ValueError, RuntimeError, MemoryError, OSError) as error:
        return Adaptation(False, f"not adapted: {error}", learnt_on=names, minutes=minutes)
    found = Adaptation(
        False,
        result.verdict,
        None if result.gain is None else asdict(result.gain),
        learnt_on=names,
        minutes=minutes,
        base=base[0],
        base_sha256=base[1],
    )
    if not result.offered:
        return found
    weights, sha256 = str(target.relative_to(folder)), read_info(target).sha256
    return replace(found, used=True, weights=weights, sha256=sha256)


def tidy(group: str, folder: Path) -> None:
    """Remove checkpoints of an adaptation that is finished and noted."""
    shutil.rmtree(_run_folder(group, folder), ignore_errors=True)


def _run_folder(group: str, folder: Path) -> Path:
    from napari_denoise.training.finetune.outcome import run_folder

    return run_folder(folder / FOLDER / f"{_slug(group)}{SUFFIX}")


def _slug(group: str) -> str:
    """Make a file's name of a group: that of its folder, and its mark."""
    plain = "".join(c if c.isalnum() or c in "-_" else "_" for c in group.split(",")[0])
    return f"{plain[:60]}-{group[-9:-1]}"


def _tuned(
    pairs: list[Pair], settings: DenoiseSettings, minutes: float, target: Path
) -> Generator[str, None, tuple[FineTuneResult, tuple[str, str]]]:
    from napari_denoise.settings.finetune import FineTuneSettings
    from napari_denoise.training.data.real_pairs import distinct
    from napari_denoise.training.finetune.fine_tuning import FineTuning
    from napari_denoise.training.finetune.outcome import check_target, run_folder

    if not pairs:
        raise ValueError("none of its stacks can be read")
    values = {"base": settings.weights, "noise": settings.noise, "minutes": minutes}
    asked = FineTuneSettings.parse({**values, "device": settings.device})
    check_target(target, overwrite=True)
    pairs = distinct(pairs)
    place = run_folder(target)
    try:
        tuning = yield from FineTuning.preparing(pairs, asked, place, resume=place.is_dir())
    except ValueError:
        if not place.is_dir():
            raise
        # It was begun with other stacks, which have changed or gone meanwhile.
        tuning = yield from FineTuning.preparing(pairs, asked, place, overwrite=True)
    yield from tuning.beginning()
    with closing(tuning.training()) as reports:
        for report in reports:
            yield f"step {report.step} of {report.steps}"
    result = yield from tuning.measuring()
    if result.offered:
        tuning.save(target, result, overwrite=True)
    return result, (tuning.base.name, tuning.base.sha256)


def _pair(task: BatchTask, axes: str | None) -> Pair:
    from napari_denoise.training.data.real_pairs import pair_of_stack

    source = task.source
    with listening(), lazily(_LAZY_FROM):
        array, meta = read_image(source, task.axes or axes, task.choice)
    return pair_of_stack(task.name, array, sources=(source.pattern.name,), meta=meta)
