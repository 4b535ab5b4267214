"""Long work in parts, each of which is named before it begins."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

_T = TypeVar("_T")
InParts = Generator[str, None, _T]
"""Yields what comes next, in a few words; returns what comes out."""


def finished(parts: InParts[_T]) -> _T:
    """Do all of it without listening."""
    while True:
        try:
            next(parts)
        except StopIteration as end:
            result: _T = end.value
            return result
