"""Training data packed into a few files, to be carried to a machine that has nothing else."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from napari_denoise.io.atomic import replacing
from napari_denoise.io.errors import FileError
from napari_denoise.training.data.pairs import SUFFIXES, files_below

MIB = 2**20
SHARD = ".tar"
KEPT = (*SUFFIXES, ".npz", ".npy", ".exr")
"""Endings of files that training reads."""
_BLOCK = 512
"""Bytes that everything in a tar file is a multiple of."""


@dataclass(frozen=True)
class Packed:
    """What `pack` wrote."""

    shards: tuple[Path, ...]
    files: int
    left_out: int
    """Files that would not have fitted, spread over all folders alike."""

    @property
    def size(self) -> int:
        """Bytes of all shards."""
        return sum(shard.stat().st_size for shard in self.shards)


def pack(
    folders: Sequence[Path], target: Path, *, most: int = 60 * MIB, each: int = 16 * MIB
) -> Packed:
    """Copy training data as they are into shards of a limited size.

    Parameters
    ----------
    folders
        Searched recursively. Each becomes a folder of its name, but a single one, whose
        sub-folders may have a meaning (``noisy``, ``clean``), is packed without it.
    target
        A new or empty folder, for ``000.tar`` and so on.
    most
        Bytes of all shards. Where the files are more, as many as needed are left out, evenly.
    each
        Bytes of a shard.

    Raises
    ------
    FileNotFoundError
        There is nothing to train on.
    FileError
        A shard is there already, a file is larger than a shard, or two have one name.
    """
    found = [(path, name) for folder in folders for path, name in _named(folder, len(folders) > 1)]
    if not found:
        raise FileNotFoundError(f"{folders[0]}: nothing to pack; expected {', '.join(KEPT)}")
    if len({name for _, name in found}) < len(found):
        rule = "two of the folders have one name, so that files would replace each other"
        raise FileError(folders[0], rule, "name a folder that holds both")
    if any(target.glob(f"*{SHARD}")):
        raise FileError(target, "it holds shards already", "name another folder")
    fitting = _evenly(found, most)
    target.mkdir(parents=True, exist_ok=True)
    shards = []
    for number, part in enumerate(_parts(fitting, each)):
        shards.append(target / f"{number:03}{SHARD}")
        with replacing([shards[-1]], overwrite=False) as (new,), tarfile.open(new, "w") as shard:
            for path, name in part:
                shard.add(path.resolve(), name, filter=_plain)
    return Packed(tuple(shards), len(fitting), len(found) - len(fitting))


@contextmanager
def unpacked(data: Path) -> Iterator[Path]:
    """Give a folder of training data; one of shards is unpacked for as long as it is needed.

    Raises
    ------
    FileError
        A shard is not whole.
    """
    shards = sorted(data.glob(f"*{SHARD}"))
    if not shards:
        yield data
        return
    with TemporaryDirectory(prefix="napari-denoise-") as folder:
        for shard in shards:
            try:
                with tarfile.open(shard) as opened:
                    opened.extractall(folder, filter="data")
            except (tarfile.TarError, EOFError) as error:
                rule = f"it is not a whole shard ({error})"
                raise FileError(shard, rule, "pack the data anew, or copy it again") from error
        yield Path(folder)


def _named(folder: Path, several: bool) -> list[tuple[Path, str]]:
    """Return files with their names in a shard."""
    place = folder.resolve()
    start = place.parent if several else place
    paths = files_below(place, KEPT)
    return [(path, path.relative_to(start).as_posix()) for path in paths]


def _evenly(found: list[tuple[Path, str]], most: int) -> list[tuple[Path, str]]:
    """Leave out as many files as needed, at even distances, so that each folder keeps its share."""
    total = sum(_size(path) for path, _ in found)
    kept, before, taken = [], 0, 0
    for path, name in found:
        before += (size := _size(path))
        if taken + size <= min(most, before * most / total):
            kept.append((path, name))
            taken += size
    return kept


def _parts(files: list[tuple[Path, str]], each: int) -> Iterator[list[tuple[Path, str]]]:
    part: list[tuple[Path, str]] = []
    room = each - tarfile.RECORDSIZE  # the end of a tar file
    left = room
    for path, name in files:
        size = _size(path)
        if size > room:
            rule = f"it has {size / MIB:.1f} MiB, and a shard has {each / MIB:g}"
            raise FileError(path, rule, "allow larger shards, or cut it into parts")
        if size > left:
            yield part
            part, left = [], room
        part.append((path, name))
        left -= size
    yield part


def _size(path: Path) -> int:
    """Bytes in a tar file, with the header and room for a long name."""
    return 4 * _BLOCK + -(-path.stat().st_size // _BLOCK) * _BLOCK


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave out whose it was and when: the same data give the same shards."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    member.mode = 0o644
    return member
