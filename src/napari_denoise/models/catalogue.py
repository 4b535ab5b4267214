"""The weights at hand, bundled and the user's own; reads headers only, without PyTorch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import platformdirs
from safetensors import SafetensorError, safe_open

from napari_denoise.models.card import WeightsCard

CARD_KEY = "napari_denoise_card"
BUNDLED = Path(__file__).parents[1] / "weights"
SUFFIX = ".safetensors"


class WeightsError(ValueError):
    """A weights file cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class WeightsInfo:
    """A weights file and its card."""

    name: str
    path: Path
    card: WeightsCard
    bundled: bool

    @property
    def sha256(self) -> str:
        """Hash of the file's content."""
        stat = self.path.stat()
        return _hash(self.path, stat.st_mtime_ns, stat.st_size)


def user_folder() -> Path:
    """Where the user's own weights live; it need not exist."""
    return Path(platformdirs.user_data_path("napari-denoise", appauthor=False)) / "weights"


def list_weights() -> list[WeightsInfo]:
    """Return every usable weights file, bundled ones first; broken files are left out."""
    found = []
    for path in _files():
        try:
            found.append(read_info(path))
        except WeightsError:
            continue  # `find_weights` names the fault to whoever asks for this file
    return found


def find_weights(name_or_path: str | Path) -> WeightsInfo:
    """Find weights by name in the catalogue, or by path.

    Raises
    ------
    WeightsError
        Unknown name, missing file, or a file that is not weights of this project.
    """
    text = str(name_or_path)
    if text.endswith(SUFFIX) or os.sep in text or isinstance(name_or_path, Path):
        return read_info(Path(text).expanduser())
    paths = {path.stem: path for path in reversed(list(_files()))}  # bundled names win
    if text in paths:
        return read_info(paths[text])
    near = get_close_matches(text, paths, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    raise WeightsError(
        f"no weights are called {text!r}{hint} Known: {', '.join(sorted(paths)) or 'none'}. "
        f"Pass one of these, or the path of a {SUFFIX} file."
    )


def choose_weights(axes: str, *, radiance: bool = False) -> str:
    """Name the bundled weights that fit data.

    Parameters
    ----------
    axes
        S among them means colour.
    radiance
        The colour is linear HDR, see `core.samples.is_radiance`.
    """
    if "S" not in axes:
        return "microscopy"
    return "render" if radiance else "photo"


def read_info(path: Path) -> WeightsInfo:
    """Read the card of one file.

    Raises
    ------
    WeightsError
        See `find_weights`.
    """
    if not path.is_file():
        raise WeightsError(
            f"{path}: no such weights file; `napari-denoise weights list` names them"
        )
    try:
        with safe_open(path, framework="numpy") as file:
            metadata: dict[str, Any] = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{path}: not a whole safetensors file ({error}); copy or download it again"
        ) from error
    if CARD_KEY not in metadata:
        raise WeightsError(
            f"{path}: a safetensors file without the card of napari-denoise, so its "
            "architecture is unknown; use weights that napari-denoise saved"
        )
    try:
        card = WeightsCard.from_json(metadata[CARD_KEY])
    except ValueError as error:
        raise WeightsError(f"{path}: the card is not valid:\n{error}") from error
    return WeightsInfo(path.stem, path, card, bundled=path.parent == BUNDLED)


def _files() -> Iterator[Path]:
    for folder in (BUNDLED, user_folder()):
        if folder.is_dir():
            yield from sorted(folder.glob(f"*{SUFFIX}"))


@lru_cache(maxsize=64)
def _hash(path: Path, _changed: int, _size: int) -> str:
    return sha256(path.read_bytes()).hexdigest()
