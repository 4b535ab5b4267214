"""Temporary stores lie on a disk, and go with the process that made them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import platformdirs
import psutil
import pytest

from napari_denoise.plugin.layers import storage
from napari_denoise.plugin.layers.storage import stores_folder, temporary_store

MAKE = """
import sys, numpy as np
from napari_denoise.plugin.layers.storage import temporary_store
store = temporary_store((2, 3, 4), np.uint16, "TYX")
print(store.store.root, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of its own, on what passes for a disk."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    mounts(monkeypatch)
    return Path(platformdirs.user_cache_path("napari-denoise", appauthor=False))


def mounts(monkeypatch: pytest.MonkeyPatch, *memory: Path) -> None:
    """Have some folders in memory, and all others on a disk."""
    found = [SimpleNamespace(mountpoint=str(m), fstype="tmpfs") for m in memory]
    root = SimpleNamespace(mountpoint="/", fstype="ext4")
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: [root, *found])


def other() -> subprocess.Popen[str]:
    """Start another process with a store of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", MAKE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def make() -> tuple[object, Path]:
    store = temporary_store((2, 3, 4), np.uint16, "TYX")
    return store, Path(store.store.root)


def test_a_store_lies_in_the_cache_folder_of_the_user(cache: Path) -> None:
    _store, folder = make()
    assert folder.parent == cache / "stores"
    assert f"-{os.getpid()}-" in folder.name


def test_a_cache_folder_that_is_memory_is_not_used(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    mounts(monkeypatch, tmp_path / "cache")
    assert stores_folder() == tmp_path / "data" / "napari-denoise" / "stores"
    mounts(monkeypatch, Path("/"))  # nothing else: better there than not at all
    assert stores_folder() == cache / "stores"


def test_the_store_of_a_killed_process_is_swept_and_that_of_a_living_one_stays() -> None:
    with other() as killed, other() as living:
        assert killed.stdout is not None and living.stdout is not None
        left, used = (Path(p.stdout.readline().strip()) for p in (killed, living))
        killed.kill()
        killed.wait()
        assert left.is_dir() and used.is_dir()
        _store, own = make()
        assert not left.exists()
        assert used.is_dir() and own.is_dir()
        living.communicate("")
    assert not used.exists()


def test_a_process_number_that_was_given_away_again_does_not_keep_a_store(cache: Path) -> None:
    home = cache / "stores"
    started = int(psutil.Process().create_time())
    earlier = home / f"{storage._HOST}-{os.getpid()}-{started - 86_400}-abc"
    elsewhere = home / f"another-{storage._HOST}-1-0-abc"
    for folder in (earlier, elsewhere):
        folder.mkdir(parents=True)
    make()
    assert not earlier.exists()
    assert elsewhere.is_dir()
