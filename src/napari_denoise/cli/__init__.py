"""The command line: thin commands over the same few functions that Python and napari use.

Nothing here imports PyTorch, napari or a reader before a command needs it, so that
`--help` and `--version` answer at once.
"""

from __future__ import annotations

from typing import Any

__all__ = ["app"]


def __getattr__(name: str) -> Any:
    """Load the commands when they are asked for: `start` is there before them."""
    if name == "app":
        from napari_denoise.cli.commands import app

        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
