"""Warnings for who calls from Python: what the command line and the widget show as texts."""

from __future__ import annotations

import warnings
from collections.abc import Iterable


class DenoiseWarning(UserWarning):
    """The data were denoised, but something about the result should be known."""


def warn_of(texts: Iterable[str]) -> None:
    """Show each text once, at the line that called the function that calls this."""
    for text in texts:
        warnings.warn(text, DenoiseWarning, stacklevel=3)
