"""Figures and records as a person reads them."""

# ruff: noqa: RUF001, RUF002 - a multiplication sign is meant

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from napari_denoise.settings.noise import NoiseModel
from napari_denoise.settings.option import Option
from napari_denoise.settings.problems import SettingsError
from napari_denoise.settings.text import shown
from napari_denoise.weights.catalogue import WeightsInfo


def size_text(nbytes: float) -> str:
    """Bytes: "1.2 GB".

    >>> size_text(1_234_567)
    '1.2 MB'
    """
    for unit in ("B", "kB", "MB", "GB"):
        if nbytes < 1000:
            return f"{nbytes:.0f} {unit}" if nbytes >= 10 or unit == "B" else f"{nbytes:.1f} {unit}"
        nbytes /= 1000
    return f"{nbytes:.1f} TB"


def unbroken(text: str) -> str:
    """Keep numbers and their units on one line.

    >>> [len(line) for line in unbroken("64 px in 4 min").split(" ")]
    [5, 2, 5]
    """
    return re.sub(r"(?<=\d) (?=[^\W\d])", "\N{NO-BREAK SPACE}", text).replace(
        "/s", "/\N{WORD JOINER}s"
    )


def time_text(seconds: float) -> str:
    """Say a duration as exactly as an estimate deserves.

    >>> time_text(75)
    '1 min 15 s'
    """
    seconds = max(1, round(seconds))
    if seconds < 60:
        return f"{seconds} s"
    minutes, rest = divmod(seconds, 60)
    if minutes < 10:
        return f"{minutes} min {rest} s"
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def neighbors_text(letter: str, each_side: int) -> str:
    """Say which neighbours will be looked at.

    >>> neighbors_text("T", 2)
    '2 frames on each side along time, where they agree.'
    """
    axis = {"T": "time", "Z": "depth"}[letter]
    count = "1 frame" if each_side == 1 else f"{each_side} frames"
    return f"{count} on each side along {axis}, where they agree."


def alone_text(why: str) -> str:
    """Say why each frame is denoised by itself, in the words of the widget.

    >>> alone_text("frames differ; neighbors = 1 to 4 takes them nevertheless")
    'Frames differ; 1 to 4 under Neighbors takes them nevertheless.'
    """
    why = (why or "each frame is denoised by itself").replace(
        "neighbors = 1 to 4", "1 to 4 under Neighbors"
    )
    return f"{why[0].upper()}{why[1:]}."


def frames_used_text(used: float, most: int) -> str:
    """Say how many frames a result is made of.

    >>> frames_used_text(3.94, 5)
    '3.9 of 5 frames used on average.'
    """
    return f"{used:.1f} of {most} frames used on average."


def noise_lines(models: Sequence[NoiseModel]) -> str:
    """Say the noise of all channels, one line each; once where they agree."""
    lines = [m.describe() for m in models]
    if len(set(lines)) == 1:
        return lines[0]
    return "\n".join(f"channel {i}: {line}" for i, line in enumerate(lines))


def layers_noise(how: str, known: Sequence[tuple[str, str]], total: int, limit: int = 3) -> str:
    """Say the noise of layers by their names, and of how many it is known.

    >>> print(layers_noise("Estimated: ", [("GFP", "gain 2"), ("RFP", "gain 3")], 3))
    Estimated, for 2 of 3 layers:
    “GFP”: gain 2
    “RFP”: gain 3
    """
    if total <= 1:
        return how + "".join(text for _, text in known)
    count = f"{len(known)} of {total}" if len(known) < total else f"all {total}"
    lines = [f"“{name}”: {text}" for name, text in known[:limit]]
    if len(known) > limit:
        lines.append(f"and {len(known) - limit} more")
    return "\n".join([f"{how.removesuffix(': ')}, for {count} layers:", *lines])


def progress_text(done: int, total: int, fraction: float, seconds: float) -> str:
    """Frames done and the time left, once it can be told."""
    frames = f"{done} of {total} frames" if total > 1 else f"{100 * fraction:.0f} %"
    if fraction < 0.02 or seconds < 1:
        return frames
    return f"{frames} · {time_text(seconds * (1 - fraction) / fraction)} left"


def as_labels(error: SettingsError, options: Mapping[str, Option]) -> str:
    """Say what is wrong with settings in terms of the rows of a form."""
    labels = {name: option.label for name, option in options.items()}
    return error.said(lambda wrong: wrong.said(lambda n: labels.get(n, n), " ", shown))


def shape_text(shape: Sequence[int], axes: str, dtype: object) -> str:
    """Shape as named counts: "40 T · 5 Z · 512 × 512 · uint16"."""
    words = {"T": "time points", "Z": "planes", "C": "channels"}
    size = dict(zip(axes, shape, strict=True))
    parts = [f"{size[a]} {words[a]}" for a in axes if a in words]
    parts.append(f"{size['X']} × {size['Y']}")
    if "S" in size:
        parts[-1] += " RGB" if size["S"] == 3 else f" × {size['S']} samples"
    return " · ".join([*parts, str(dtype)])


def names_text(names: Sequence[str], limit: int = 3) -> str:
    """Several names in a line: "GFP, RFP and 4 more"."""
    if len(names) <= limit:
        return ", ".join(names)
    return ", ".join(names[:limit]) + f" and {len(names) - limit} more"


def card_summary(info: WeightsInfo) -> str:
    """One sentence about weights."""
    return info.card.description or info.card.title


def card_text(info: WeightsInfo) -> str:
    """Everything that a user may want to know about weights, as small rich text."""
    card = info.card
    data = ", ".join(f"{d.name} ({d.licence})" for d in card.training_data)
    figures = "<br>".join(f"{name}: {value:g}" for name, value in card.figures.items())
    rows = (
        ("", escape(card.description)),
        ("Realism", "faithful and realistic, and all between" if info.realistic else ""),
        ("For", f"{card.domain}, {card.channels} channel{'s' * (card.channels != 1)}"),
        ("Neighbours", "denoised by a second pass of their own" if card.second_pass else ""),
        ("Trained on", escape(data)),
        ("Figures", figures),
        ("File", f"{escape(info.path.name)}, sha256 {info.sha256[:12]}"),
    )
    return "<br>".join(f"<b>{k}:</b> {v}" if k else v for k, v in rows if v)


def provenance_text(note: Mapping[str, Any]) -> str:
    """Say what was done to a layer."""
    when = str(note.get("time", ""))[:16].replace("T", " ")
    frames = note.get("frames")
    which = f"{len(frames)} frame{'s' * (len(frames) != 1)} " if frames else ""
    verb = f"{which}denoised" if which else "Denoised"
    share = note.get("settings", {}).get("realism", 0)
    realism = f", realism {share:.0%}" if share else ""
    return f"{verb} with {note.get('weights', 'unknown weights')}{realism}, {when} UTC"


def cost_text(tile: object, nbytes: int, factor: float, result: int) -> str:
    """Memory and extra work of a run."""
    overlap = round(100 * (factor - 1))
    extra = f"their overlap adds {overlap} % of work" if overlap else "no work is done twice"
    return (
        f"Tiles of {tile} × {tile} px: {size_text(nbytes)} of memory while it runs; {extra}. "
        f"The result takes {size_text(result)}."
    )
