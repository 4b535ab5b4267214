"""Open many damaged files, and count what comes of them.

``python tests/io/_fuzz.py SECONDS [SEED] [COUNT] [FOLDER] [KIND ...]``: mutants of every kind in
turn, until the time or their number is over; those that went wrong are left in FOLDER. It ends
with 1 where there were any. ``make fuzz`` runs it.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from _mutants import SEEDS, TRAINING, Files, mutant  # type: ignore[import-not-found]

SLOWEST = 20.0
"""Seconds after which a mutant hangs."""
MEMORY = 2**30
"""Bytes that a process may take beyond what it has after its imports."""
OPENED = Path(__file__).with_name("_opened.py")
NOISE = 5
"""Lines that libraries may print of a file."""
GOOD = ("ok", "error")
"""Classes of outcomes that a user may meet."""


class Opener:
    """A process that opens files; a new one is started when it hangs or dies."""

    def __init__(self, folder: Path, kinds: Sequence[str]) -> None:
        self._folder, self._process = folder, None
        self._training = "training" if set(kinds) & set(TRAINING) else ""

    def __call__(self, files: Sequence[Path]) -> tuple[str, float, int]:
        """Return class and words, seconds, and lines that libraries printed."""
        if self._process is None:
            self._start()
        before = self._lines()
        self._process.stdin.write((json.dumps([str(file) for file in files]) + "\n").encode())
        self._process.stdin.flush()
        answer = self._answer(SLOWEST)
        if answer is None:
            code = self._process.poll()
            self.close()
            return ("hang:" if code is None else f"died: {code}"), SLOWEST, 0
        outcome, seconds = json.loads(answer)
        lines = self._lines() - before
        return outcome, seconds, lines

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            os.close(self._pipe)
            self._process.stdin.close()
            self._process = None

    def _start(self) -> None:
        self._pipe, theirs = os.pipe()
        self._printed = self._folder / "printed.txt"
        with self._printed.open("wb") as printed:
            self._process = subprocess.Popen(
                [sys.executable, str(OPENED), str(theirs), str(MEMORY), self._training],
                stdin=subprocess.PIPE,
                stdout=printed,
                stderr=printed,
                pass_fds=[theirs],
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )
        os.close(theirs)
        if self._answer(120) is None:
            raise RuntimeError(self._printed.read_text(errors="replace"))

    def _answer(self, seconds: float) -> bytes | None:
        """Read a line of its answers; None if it hangs or has died."""
        text, end = b"", time.monotonic() + seconds
        while not text.endswith(b"\n"):
            ready, _, _ = select.select([self._pipe], [], [], max(0, end - time.monotonic()))
            part = os.read(self._pipe, 65536) if ready else b""
            if not part:
                return None
            text += part
        return text

    def _lines(self) -> int:
        return self._printed.read_bytes().count(b"\n")


def outcomes(
    kinds: Sequence[str], seed: int, start: int = 0, keep: Path | None = None
) -> Iterator[tuple[str, int, str, float, int]]:
    """Yield kind, number, outcome, seconds and lines of noise of one mutant after the other."""
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        seeds: dict[str, Files] = {}
        for kind in kinds:
            (place / "seed" / kind).mkdir(parents=True)
            seeds[kind] = SEEDS[kind](place / "seed" / kind)
        opener = Opener(place, kinds)
        try:
            number = start
            while True:
                for kind in kinds:
                    folder = place / f"{kind}-{seed}-{number}"
                    folder.mkdir()
                    files = mutant(kind, seeds[kind], seed, number)
                    for name, data in files.items():
                        (folder / name).write_bytes(data)
                    outcome, seconds, lines = opener([folder / name for name in files])
                    if lines > NOISE:
                        outcome = f"noise: {lines} lines, {outcome}"
                    elif seconds > SLOWEST / 4 and outcome.split(":")[0] in GOOD:
                        outcome = f"slow: {seconds:.1f} s, {outcome}"
                    if keep and outcome.split(":")[0] not in GOOD:
                        shutil.move(folder, keep / folder.name)
                    else:
                        shutil.rmtree(folder)
                    yield kind, number, outcome, seconds, lines
                number += 1
        finally:
            opener.close()


def _tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(
    seconds: float, seed: int = 0, count: int = 10**9, keep: str = "", *kinds: str
) -> dict[str, int]:
    """Run until the time or the number is over; print what went wrong and the counts."""
    if keep:
        Path(keep).mkdir(parents=True, exist_ok=True)
    end, found = time.monotonic() + seconds, Counter[str]()
    slowest, done = 0.0, 0
    by_kind: dict[str, Counter[str]] = {}
    for kind, number, outcome, took, _ in outcomes(
        kinds or tuple(SEEDS), seed, keep=Path(keep) if keep else None
    ):
        name = outcome.split(":")[0]
        found[name] += 1
        by_kind.setdefault(kind, Counter())[name] += 1
        slowest, done = max(slowest, took), done + 1
        if name not in GOOD:
            _tell(f"{kind} {seed} {number}: {outcome!r:.300}")
        if time.monotonic() > end or done >= count:
            break
    for kind, counts in by_kind.items():
        _tell(f"{kind:16} {dict(counts)}")
    _tell(f"{done} mutants of seed {seed}: {dict(found)}; slowest {slowest:.1f} s")
    return found


if __name__ == "__main__":
    seconds, *more = sys.argv[1:]
    numbers, words = [int(text) for text in more[:2]], more[2:]
    result = main(float(seconds), *numbers, *words)
    sys.exit(any(name not in GOOD for name in result))
