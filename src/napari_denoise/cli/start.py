"""Where the process begins: Ctrl+C while the commands are still being loaded ends it in a line."""

from __future__ import annotations

import sys

INTERRUPTED = 130


def main() -> None:
    """Load the commands and run the one that was asked for."""
    try:
        from napari_denoise.cli.commands import app

        app(prog_name="napari-denoise")
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted; nothing was done\n")
        sys.exit(INTERRUPTED)
