"""Numbers in names of files: which count time, planes, channels, and which positions or wells.

``exp_z03_ch01``, ``plate_A01_s1_w2``, ``img_channel000_position002_time000000007_z000``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

RUNNING, WELL = "#", "W"
"""A number at the end that no word explains; a well of a plate."""

_WORDS = {
    "C": "channel chan ch wavelength wave color colour",
    "Z": "zstack zstep slice plane depth z",
    "T": "timepoint time frame cycle tp sk t",
    "P": "position pos stagepos stage xy field site view angle scene tile well camera cam s p",
}
_LETTERS = {"c": "C", "w": "C", "z": "Z", "t": "T", "s": "P", "p": "P"}
_IN_COMPANY = {
    "f": "P",
    "m": "P",
    "r": "P",
    "x": "P",
    "y": "P",
    "series": "P",
    "row": "P",
    "col": "P",
}
"""Words that count positions beside other counters, and may count frames alone."""
_KINDS = {word: kind for kind, words in _WORDS.items() for word in words.split() if len(word) > 1}
_LONG = "|".join(sorted((*_KINDS, "series", "row", "col"), key=len, reverse=True))
_WORD = re.compile(
    r"(?:(?<![A-Za-z])|(?<=[a-z])(?=[A-Z]))"
    rf"(?:(?P<long>(?i:{_LONG}))[ _-]?|(?P<letter>[a-zA-Z]))(?P<digits>[0-9]+)"
    r"(?=$|[^A-Za-z0-9]|[A-Za-z]{1,3}[0-9])"
)
_NAMED = re.compile(r"(?<![A-Za-z0-9])[wW](?P<value>[0-9](?P<name>[^_0-9][^_]*))(?=_|$)")
_PLATE = re.compile(
    r"(?<![A-Za-z0-9])(?P<well>(?P<row>[A-P])(?P<gap>[-_]?)(?P<column>[0-9]{1,2}))(?![A-Za-z0-9])"
)
_OPERA = re.compile(r"(?<![A-Za-z])r(\d+)c(\d+)f(\d+)p(\d+)(?![0-9])")
_IMAGES = re.compile(r"img_(\d{9})_(.+)_(\d{3})")


@dataclass(frozen=True)
class Counter:
    """A number in a name, or a name that counts.

    Parameters
    ----------
    kind
        "T", "Z" or "C"; "P" a position, `WELL`, or `RUNNING`.
    begin, start, stop
        Where its word begins, and what varies from file to file.
    value
        To sort by.
    label
        A name of the channel; "" for a number alone.
    """

    kind: str
    begin: int
    start: int
    stop: int
    value: int | str
    label: str = ""


def counters(stem: str) -> tuple[Counter, ...]:
    """Find the counters in the name of a file without its suffix, from left to right."""
    images = _IMAGES.fullmatch(stem)
    if images:
        kinds = zip("TCZ", range(1, 4), strict=True)
        return tuple(_of_group(images, kind, group) for kind, group in kinds)
    found: list[Counter] = []
    opera = _OPERA.search(stem)
    if opera:
        found += [_of_group(opera, kind, n) for kind, n in zip("PPPZ", range(1, 5), strict=True)]
    for match in _NAMED.finditer(stem):
        start, stop = match.span("value")
        value = int(match["value"][0])
        found.append(Counter("C", match.start(), start, stop, value, match["name"].strip(" -")))
    words = [m for m in _WORD.finditer(stem) if not _overlaps(found, *m.span())]
    split = re.match(r"[Cc]([0-9])(?=-)", stem)  # ImageJ's split channels
    alone = [m for m in words if _kind(m) and (m["long"] or m.start() or m["letter"] in "tTzZcCwW")]
    company = bool(found) or len([m for m in words if _kind(m, company=True)]) > 1
    for match in words:
        kind = _kind(match, company=company and bool(alone or len(words) > 1))
        first_letter = match.start() == 0 and not match["long"]
        if kind and not (first_letter and not company and match not in alone):
            found.append(_counter(kind, match))
    if split and not _overlaps(found, 0, split.end()):
        found.append(Counter("C", 0, 1, 2, int(split[1])))
    found += _wells(stem, found)
    final = re.search(r"(?:(?<=[_. ])-)?[0-9]+$", stem)  # a dash after a separator is a sign
    if final and not _overlaps(found, *final.span()):
        found.append(Counter(RUNNING, final.start(), *final.span(), int(final.group())))
    return tuple(sorted(found, key=lambda counter: counter.start))


def template(stem: str, found: Sequence[Counter]) -> str:
    """Return the name with its counters by their kinds: alike for files that count alike."""
    parts, end = [], 0
    for counter in found:
        parts += [stem[end : counter.start], f"<{counter.kind}>"]
        end = counter.stop
    return "".join([*parts, stem[end:]])


def is_dense(numbers: Sequence[int]) -> bool:
    """Whether numbers in order may count frames, some of which are missing.

    Every tenth frame is as good as every one. But two pictures whose numbers are moments of a
    day, or a counter that went on for years, are no stack.
    """
    if len(numbers) < 2:
        return True
    step = step_of(numbers)
    missing = (numbers[-1] - numbers[0]) // step + 1 - len(numbers)
    return missing <= 10 + 3 * len(numbers)


def step_of(numbers: Sequence[int]) -> int:
    """Return the distance that all neighbours keep where there are three or more, else 1."""
    steps = {after - before for before, after in pairwise(numbers)}
    return steps.pop() if len(numbers) > 2 and len(steps) == 1 else 1


def missing_numbers(numbers: Sequence[int]) -> tuple[int, ...]:
    """Numbers between the first and the last that are not there."""
    if len(numbers) < 2:
        return ()
    step, there = step_of(numbers), set(numbers)
    return tuple(n for n in range(numbers[0], numbers[-1], step) if n not in there)


def _kind(match: re.Match[str], company: bool = False) -> str:
    word = (match["long"] or match["letter"]).lower()
    known = _KINDS.get(word) or _LETTERS.get(word, "")
    return known or (_IN_COMPANY.get(word, "") if company else "")


def _counter(kind: str, match: re.Match[str]) -> Counter:
    start, stop = match.span("digits")
    return Counter(kind, match.start(), start, stop, int(match["digits"]))


def _of_group(match: re.Match[str], kind: str, group: int) -> Counter:
    start, stop = match.span(group)
    text = match.group(group)
    if text.isdigit():
        return Counter(kind, max(0, start - 1), start, stop, int(text))
    return Counter(kind, start, start, stop, text, text)


def _wells(stem: str, found: list[Counter]) -> list[Counter]:
    wells = []
    for match in _PLATE.finditer(stem):
        strict = match["gap"] or match.start() == 0
        if _overlaps(found, *match.span()):
            same = next(c for c in found if c.start < match.end() and c.stop > match.start())
            if same.kind != "C" or len(match["column"]) != 2 or match["row"] != "C":
                continue
            found.remove(same)  # C01: a channel, or the first well of row C: its neighbours tell
        elif strict and len(match["column"]) != 2:
            continue
        start, stop = match.span("well")
        wells.append(Counter(WELL, start, start, stop, match["well"]))
    return wells


def _overlaps(found: Sequence[Counter], start: int, stop: int) -> bool:
    return any(counter.start < stop and start < counter.stop for counter in found)
