"""The weights at hand, bundled and the user's own; reads headers only, without PyTorch."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import platformdirs
from safetensors import SafetensorError, safe_open

from napari_denoise.image.axes import Layout
from napari_denoise.io.atomic import check_absent, replacing
from napari_denoise.io.errors import FileExists
from napari_denoise.io.names import is_device
from napari_denoise.settings.text import shortened
from napari_denoise.weights.card import WeightsCard

CARD_KEY = "napari_denoise_card"
BUNDLED = Path(__file__).parent / "bundled"
SUFFIX = ".safetensors"
FAITHFUL, REALISTIC = "faithful.", "realistic."
"""Before the names of the tensors of each end of the realism slider."""
SECOND_PASS = "second_pass."  # noqa: S105 - a name, no word to pass by
"""Before those of the network for averages of neighbours, if the card has one."""
_NAME = re.compile(r"[^\W_][\w .()-]*(?<![ .])")
_LONGEST = 180
"""Bytes of a name; file systems take 255, with the ending and what temporary files add."""


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

    @property
    def realistic(self) -> bool:
        """Whether the file carries a realistic end beside the faithful one."""
        with safe_open(self.path, "np") as file:
            return any(name.startswith(REALISTIC) for name in file.keys())


def user_folder() -> Path:
    """Where the user's own weights live; it need not exist."""
    return Path(platformdirs.user_data_path("napari-denoise", appauthor=False)) / "weights"


def user_path(name: str) -> Path:
    """Where weights of a name go; the file need not exist.

    Raises
    ------
    WeightsError
        The name is that of bundled weights, or cannot be a file's.
    """
    if not _NAME.fullmatch(name):
        raise WeightsError(
            f"name {name!r}: use letters, digits, blanks and . _ - ( ), beginning with a letter or "
            "digit"
        )
    if (length := len(name.encode())) > _LONGEST:
        raise WeightsError(
            f"name {name[:20] + '…'!r} is {length} bytes long: use at most {_LONGEST}; a letter "
            "beyond ASCII takes 2 to 4"
        )
    check_portable(name)
    if name.lower().endswith(SUFFIX):
        raise WeightsError(
            f"name {name!r}: a name has no ending, that is a file's; use "
            f"{name[: -len(SUFFIX)] or 'another'!r}"
        )
    if (BUNDLED / f"{name}{SUFFIX}").is_file() or name == "auto":
        raise WeightsError(f"name {name!r} is that of bundled weights: choose another")
    return user_folder() / f"{name}{SUFFIX}"


def check_portable(stem: str) -> None:
    """Refuse to save weights under a name that Windows keeps for a device.

    Raises
    ------
    WeightsError
        Such as aux or NUL, with any ending.
    """
    if is_device(stem):
        raise WeightsError(
            f"name {stem!r}: Windows keeps it for a device, so that nobody could open the weights "
            f"there; use another, such as {'weights ' + stem!r}"
        )


def free_name(wanted: str) -> str:
    """Make of a title a name that no weights have: "cells fine-tuned 2"."""
    stem = re.sub(r"^[\W_]+|[^\w .()-]", "", wanted).rstrip(" .") or "weights"
    stem = f"weights {stem}" if is_device(stem) else stem
    number, name = 1, stem
    while any((folder / f"{name}{SUFFIX}").exists() for folder in (BUNDLED, user_folder())):
        number += 1
        name = f"{stem} {number}"
    return name


def check_free(path: Path) -> None:
    """Refuse to write where weights are; those with a name are said by it.

    Raises
    ------
    FileExists
        Something is there.
    """
    if path.exists() and path.parent == user_folder():
        remedy = f"choose another name, such as {free_name(path.stem)!r}"
        raise FileExists(f"weights {path.stem!r}", "they exist already", remedy)
    check_absent([path])


def import_weights(file: Path, name: str | None = None, *, overwrite: bool = False) -> WeightsInfo:
    """Copy a weights file into the user's folder, from where it is found by name.

    Raises
    ------
    WeightsError
        It is not weights of this project, or the name cannot be used.
    FileExists
        The name is taken.
    """
    info = read_info(file)
    target = user_path(name or info.name)
    _copy(info.path, target, overwrite)
    return read_info(target)


def export_weights(name: str, target: Path, *, overwrite: bool = False) -> Path:
    """Copy weights to a file elsewhere, or into a folder under their own name.

    Raises
    ------
    WeightsError
        Unknown weights, or a target of another ending.
    FileExists
        The target exists.
    """
    info = find_weights(name)
    path = target / info.path.name if target.is_dir() else target
    if path.suffix != SUFFIX:
        raise WeightsError(f"{path}: a weights file must end in {SUFFIX}")
    check_portable(path.stem)
    if path.resolve().parent == BUNDLED.resolve():
        raise WeightsError(f"{path}: bundled weights are never replaced; choose another place")
    _copy(info.path, path, overwrite)
    return path


def remove_weights(name: str) -> Path:
    """Delete weights of the user's by name; say where they were.

    Raises
    ------
    WeightsError
        Bundled or unknown ones.
    """
    path = _own(name)
    path.unlink()
    return path


def rename_weights(name: str, new: str) -> WeightsInfo:
    """Give weights of the user's another name.

    Raises
    ------
    WeightsError
        Bundled or unknown ones, or a name that cannot be used.
    FileExists
        The new name is taken.
    """
    path, target = _own(name), user_path(new)
    if target.exists():
        raise FileExists(target, "it exists already", "choose another name, or remove it first")
    path.rename(target)
    return read_info(target)


def _own(name: str) -> Path:
    # What an earlier version let be called as a device is can be renamed and removed.
    path = user_folder() / f"{name}{SUFFIX}" if is_device(name) else user_path(name)
    if not path.is_file():
        own = ", ".join(sorted(p.stem for p in user_folder().glob(f"*{SUFFIX}"))) or "none"
        raise WeightsError(f"no weights of your own are called {name!r}; yours: {own}")
    return path


def _copy(source: Path, target: Path, overwrite: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing([target], overwrite=overwrite) as (new,):
        new.write_bytes(source.read_bytes())


def list_weights() -> list[WeightsInfo]:
    """Return every usable weights file, bundled ones first; broken files are left out."""
    found = []
    for path in _files():
        try:
            found.append(read_info(path))
        except WeightsError:
            continue  # `find_weights` names the fault to whoever asks for this file
    return found


def check_there(info: WeightsInfo | None) -> None:
    """Refuse weights of an earlier list whose file is no longer there; None names none.

    Raises
    ------
    WeightsError
        It is gone.
    """
    if info is not None and not info.path.is_file():
        raise WeightsError(gone(info.name))


def gone(name: str) -> str:
    """Say that weights are there no longer."""
    return f"weights {name!r} are gone (renamed or removed since): choose others"


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


def choose_weights(array: Any, layout: Layout, *, linear: bool = False) -> str:
    """Name the bundled weights that fit data: they are called as its kind is.

    Parameters
    ----------
    array, layout
        The data; S among its axes means colour.
    linear
        The file says that its colour is linear HDR.
    """
    from napari_denoise.measure.kind import kind_of  # loads SciPy, which a list does not need

    return kind_of(array, layout, linear=linear)


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
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(
            f"{path}: not a whole safetensors file ({shortened(str(error), 200)}); copy or "
            "download it again"
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
