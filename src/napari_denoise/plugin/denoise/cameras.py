"""Noise models that the user saved by the name of a camera."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import platformdirs

from napari_denoise.settings.noise import NoiseModel

_SUFFIX = ".json"
_FORBIDDEN = '/\\:*?"<>|'


def folder() -> Path:
    """Where they lie; it need not exist."""
    return Path(platformdirs.user_data_path("napari-denoise", appauthor=False)) / "noise"


def names() -> list[str]:
    """List the saved ones."""
    return sorted(path.stem for path in folder().glob(f"*{_SUFFIX}"))


def path_of(name: str) -> Path:
    """Return the file of a name.

    Raises
    ------
    ValueError
        It cannot be a file's name.
    """
    name = name.strip()
    wrong = any(c in _FORBIDDEN or not c.isprintable() for c in name)
    if not name or name.startswith(".") or wrong:
        raise ValueError(
            f"{name!r} cannot be the name of a camera: give letters and digits, without any of "
            f"{' '.join(_FORBIDDEN)}"
        )
    return folder() / f"{name}{_SUFFIX}"


def saving(path: Path, models: Sequence[NoiseModel], source: str) -> Iterator[str]:
    """Write noise models off the GUI thread; yields the name.

    Raises
    ------
    FileError
        It is there already or cannot be written.
    """
    from napari_denoise.inference.noise_files import save_noise

    path.parent.mkdir(parents=True, exist_ok=True)
    save_noise(path, models, source)
    yield path.stem
