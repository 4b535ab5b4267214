"""The report of a batch, `batch.html`: what became of each input, what failed first."""

from __future__ import annotations

import base64
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import napari_denoise
from napari_denoise.batch import journal
from napari_denoise.batch.adapt import Adaptation
from napari_denoise.batch.history import History
from napari_denoise.image.axes import Layout
from napari_denoise.image.frames import is_large
from napari_denoise.image.planes import color_samples
from napari_denoise.io.atomic import replacing
from napari_denoise.io.errors import FileError, listening
from napari_denoise.io.formats.loaded import lazily
from napari_denoise.io.inputs import expand
from napari_denoise.io.read import read

PICTURES = 100
"""Inputs that are shown, failures and those with warnings first; more would make the page heavy."""
_SIDE = 160
_WINDOW = 2048
"""Pixels of a plane that is too large to be held, in the middle."""


@dataclass(frozen=True)
class Row:
    """What became of one input."""

    name: str
    source: str
    outcome: str
    target: str
    error: str = ""
    frames: str = ""
    seconds: str = ""
    weights: str = ""
    noise: str = ""
    warnings: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether there is no result."""
        return self.outcome != "done"


def write_report(folder: Path) -> Path | None:
    """Make the report of a folder's journal anew; None if it has none.

    Raises
    ------
    NotWritten
        The folder cannot be written.
    """
    last: dict[str, Mapping[str, Any]] = {}
    refused: dict[str, Mapping[str, Any]] = {}
    for event in journal.read(folder):
        if event["event"] == "batch":
            refused.clear()  # what was refused once may be done by now
        elif event["event"] == "refused":
            refused[event["target"]] = event
        elif event["event"] in ("started", *journal.OUTCOMES):
            last[event["target"]] = event
    events = sorted([*refused.values(), *last.values()], key=_urgency)
    if not events:
        return None
    target = folder / journal.REPORT
    adapted = History.of(folder).adapted
    text = _page(folder, events, adapted)
    with replacing([target], overwrite=True) as (temporary,):
        temporary.write_text(text, encoding="utf-8")
    return target


def _urgency(event: Mapping[str, Any]) -> tuple[int, str]:
    kinds = ("failed", "refused", "started", "done")
    rank = kinds.index(event["event"]) + (event["event"] == "done" and not event.get("warnings"))
    return rank, event["name"]


def _page(
    folder: Path, events: Sequence[Mapping[str, Any]], adapted: Mapping[str, Adaptation]
) -> str:
    from jinja2 import Environment

    template = Path(__file__).with_name("report.html").read_text(encoding="utf-8")
    done = [event for event in events if event["event"] == "done"]
    shown = done[:PICTURES]
    sources = [Path(event["source"]).parent for event in events]
    root = Path(os.path.commonpath(sources)) if sources else folder
    rows = [_row(folder, root, event, pictures=event in shown) for event in events]
    failed = sum(row.failed for row in rows)
    counts = f"{len(rows)} inputs: {len(rows) - failed} denoised, {failed} failed"
    return (
        Environment(autoescape=True)
        .from_string(template)
        .render(
            folder=str(folder.absolute()),
            counts=counts,
            version=napari_denoise.__version__,
            time=datetime.now().astimezone().isoformat(sep=" ", timespec="seconds"),
            warnings=_common(rows),
            rows=rows,
            adapted=adapted,
            shown=len(shown),
            left_out=len(done) - len(shown),
        )
    )


def _row(folder: Path, root: Path, event: Mapping[str, Any], *, pictures: bool) -> Row:
    frames, seconds = event.get("frames"), event.get("seconds")
    outcome = "cut off" if event["event"] == "started" else event["event"]
    return Row(
        name=str(Path(event["source"]).parent.relative_to(root) / event["name"]),
        source=event["source"],
        outcome=outcome,
        target=event["target"],
        error=event.get("error", ""),
        frames="" if frames is None else str(frames),
        seconds="" if seconds is None else f"{seconds:.1f}",
        weights=event.get("weights", ""),
        noise="; ".join(dict.fromkeys(event.get("noise", ())))
        + (f"; {used}" if (used := event.get("frames_used")) else ""),
        warnings=tuple(event.get("warnings", ())),
        pictures=_pictures(folder, event) if pictures else (),
    )


def _common(rows: Iterable[Row]) -> list[tuple[str, list[str]]]:
    """Gather what was warned of, each text once with the inputs that it is of."""
    found: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        for text in row.warnings:
            found[text.removeprefix(f"{row.source}: ")].append(row.name)
    return sorted(found.items(), key=lambda entry: -len(entry[1]))


def _pictures(folder: Path, event: Mapping[str, Any]) -> tuple[str, ...]:
    """Show the frame in the middle before and after; nothing where a file is gone."""
    try:
        noisy = _middle(Path(event["source"]), event.get("series"), event.get("axes"))
        clean = _middle(folder / event["target"], None, event.get("axes"))
    except (FileError, OSError, ValueError):
        return ()
    values = np.concatenate([noisy.ravel(), clean.ravel()])
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, [0.5, 99.5]) if finite.size else (0.0, 1.0)
    return tuple(_encoded(image, float(low), float(high)) for image in (noisy, clean))


def _middle(path: Path, series: int | None, axes: str | None) -> NDArray[Any]:
    """Return (C, Y, X) of the middle frame of an image, thinned out; of a large one a window."""
    with listening(), lazily(0):
        files = expand(path) if "#" in path.name else [path]
        files = files if path.exists() or "#" in path.name else _numbered(path)
        array, meta = read(files, sequence=len(files) > 1, series=series)
        letters = axes if axes and len(axes) == array.ndim else meta.axes
        layout = Layout(letters, tuple(array.shape))
        large = is_large(array, letters)
        sizes = {a: min(layout.size(a), _WINDOW if large else layout.size(a)) for a in "YX"}
        step = max(1, -(-max(sizes.values()) // _SIDE))
        index = list(layout.frames[len(layout.frames) // 2])
        for place, letter in enumerate(layout.axes):
            if letter in "YX":
                start = (layout.size(letter) - sizes[letter]) // 2
                index[place] = slice(start, start + sizes[letter], step)
        frame = np.asarray(array[tuple(index)])
    planar = Layout(layout.frame_axes, frame.shape)
    planes, _ = color_samples(frame, planar)
    return planes.astype(np.float32)


def _numbered(path: Path) -> list[Path]:
    return expand(path.with_name(f"{path.stem}_####{path.suffix}"))


def _encoded(planes: NDArray[Any], low: float, high: float) -> str:
    shown = np.clip((planes - low) / max(high - low, 1e-12), 0, 1)
    codes = (np.nan_to_num(shown) * 255).astype(np.uint8)
    image = codes[0] if len(codes) != 3 else np.ascontiguousarray(codes.transpose(1, 2, 0))
    stream = BytesIO()
    Image.fromarray(image).save(stream, "PNG", compress_level=1)
    return base64.b64encode(stream.getvalue()).decode()
