"""The command line: thin commands over the same few functions that Python and napari use.

Nothing here imports PyTorch, napari or a reader before a command needs it, so that
`--help` and `--version` answer at once.
"""

from __future__ import annotations

from napari_denoise.cli.commands import app

__all__ = ["app"]
