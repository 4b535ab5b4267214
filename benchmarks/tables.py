"""Tables of figures: as Markdown on the terminal, and into their places in a document."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import torch

import napari_denoise

Section = TypeVar("Section", bound=Callable[..., Iterable["Table"]])


@dataclass(frozen=True)
class Table:
    """Measured figures under a name that a document can refer to.

    Parameters
    ----------
    name
        The document marks the table's place with ``<!-- table NAME -->`` and ``<!-- end NAME -->``.
    header, rows
        Cells as text.
    notes
        Lines below: verdicts, and what was measured where.
    """

    name: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def markdown(self) -> str:
        """Return the table and its notes."""
        for row in self.rows:
            if len(row) != len(self.header):
                raise ValueError(f"table {self.name}: row {row} does not fit {self.header}")
        lines = [self.header, ("---",) * len(self.header), *self.rows]
        table = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
        return "\n\n".join([table, *self.notes]) + "\n"


def fill(document: Path, tables: Iterable[Table]) -> None:
    """Put tables into their marked places; all other text stays as it is.

    Raises
    ------
    ValueError
        The document has no place for a table; nothing is written then.
    """
    text = document.read_text(encoding="utf-8")
    for table in tables:
        begin, end = f"<!-- table {table.name} -->\n", f"<!-- end {table.name} -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise ValueError(
                f"{document}: no place for table {table.name!r}; mark it with the lines "
                f"{begin.strip()!r} and {end!r}"
            )
        text = before + begin + table.markdown() + end + after
    document.write_text(text, encoding="utf-8")


def show(tables: Iterable[Table], document: Path | None) -> None:
    """Print tables one by one as they are measured, then fill the document, if any."""
    done = []
    for table in tables:
        print(f"\n### {table.name}\n\n{table.markdown()}", flush=True)
        done.append(table)
    if document is not None:
        fill(document, done)


def add_options(parser: argparse.ArgumentParser, sections: Mapping[str, object]) -> None:
    """Let the command pick sections, and fill a document with their tables."""
    parser.add_argument("--only", default=",".join(sections), help="of " + ",".join(sections))
    parser.add_argument("--markdown", type=Path, help="document whose tables to replace")


def pick(
    parser: argparse.ArgumentParser, only: str, sections: Mapping[str, Section]
) -> list[Section]:
    """Return the sections of `--only`, or end with what there is to choose from."""
    names = only.split(",")
    if unknown := set(names) - sections.keys():
        parser.error(f"--only {','.join(sorted(unknown))}: choose from {','.join(sections)}")
    return [sections[name] for name in names]


def verdict(what: str, value: float, bar: float, unit: str = "dB") -> str:
    """Say whether a figure, the larger the better, is above its bar, and by how much."""
    word = "met" if value >= bar else "**missed**"
    return f"{what}: {value:.2f} against {bar:.2f} {unit}, {word} by {abs(value - bar):.2f}."


def limit_verdict(what: str, value: float, most: float, unit: str) -> str:
    """Say whether a figure keeps within its limit."""
    word = "kept" if value <= most else "**broken**"
    return f"{what}: {value:.3g} {unit}, limit {most:g} {unit}, {word}."


def environment(weights: Sequence[str] = ()) -> str:
    """Name what the figures depend on: versions, processor, threads, weights."""
    processor = _processor()
    parts = [
        f"napari-denoise {napari_denoise.__version__}",
        f"PyTorch {version('torch')}",
        f"{processor}, threads: {torch.get_num_threads()}",
        *weights,
    ]
    return "Measured with " + "; ".join(parts) + "."


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
