"""Long work is a generator: it yields often, so that it can be left between two steps."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

_Value = TypeVar("_Value")
InParts = Generator[str, None, _Value]
"""Yields what comes next, in a few words; returns what comes out."""


def finished(work: Generator[Any, None, _Value]) -> _Value:
    """Run work to its end and return its value."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            value: _Value = end.value
            return value
