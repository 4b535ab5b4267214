"""What the user chose on the Denoise page of napari's Preferences."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

PLUGIN = "napari-denoise"


@dataclass(frozen=True)
class Preferences:
    """The page, as it was read last; its defaults are those of the manifest.

    Parameters
    ----------
    strength
        Percent, where nothing is remembered.
    neighbors
        As in `DenoiseSettings`, where nothing is remembered.
    output
        "in_place" or "new", where nothing is remembered.
    device
        As in `DenoiseSettings`.
    remember
        Whether the settings of the last run come back, for data of the same kind.
    undo_share
        Percent of the memory that earlier data may take.
    threads
        Of the processor, for PyTorch; 0 leaves them as they are.
    temporary_folder
        Where temporary data go; None for the user's cache folder.
    """

    strength: int = 100
    neighbors: Any = "auto"
    output: str = "in_place"
    device: str = "auto"
    remember: bool = True
    undo_share: int = 25
    threads: int = 0
    temporary_folder: Path | None = None


_current = Preferences()


def current() -> Preferences:
    """Return what was read last, from any thread."""
    return _current


def refresh() -> Preferences:
    """Read the page anew, on the GUI thread; without one, as in a script, defaults hold."""
    global _current
    _current = _read()
    return _current


def _read() -> Preferences:
    from napari.settings import get_plugin_settings

    try:
        page = get_plugin_settings(PLUGIN)
    except KeyError:  # the plugin is not registered
        return Preferences()
    begin, machine = page.begin, page.machine
    neighbors = {"auto": "auto", "off": 0}.get(begin.neighbors)
    folder = machine.temporary_folder.strip()
    return Preferences(
        begin.strength,
        int(begin.neighbors) if neighbors is None else neighbors,
        "new" if begin.output == "new layer" else "in_place",
        begin.device.strip() or "auto",
        begin.remember,
        machine.undo_memory,
        machine.threads,
        Path(folder).expanduser() if folder else None,
    )


def use_threads() -> None:
    """Let PyTorch use as many threads as was chosen, in a worker that has loaded it.

    It is a number of the whole process, as the page says; 0 leaves it alone.
    """
    import torch

    wanted = _current.threads
    if wanted and torch.get_num_threads() != wanted:
        torch.set_num_threads(wanted)
