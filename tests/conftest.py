"""For all tests: a Qt binding, and no file of the user's read or written."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before any import of napari, Qt or platformdirs by a test.
_HOME = Path(tempfile.mkdtemp(prefix="napari-denoise-tests-"))
for _name in ("DATA", "CONFIG", "CACHE", "STATE"):
    os.environ[f"XDG_{_name}_HOME"] = str(_HOME / _name.lower())
os.environ["NAPARI_CONFIG"] = str(_HOME / "napari" / "settings.yaml")
os.environ.setdefault("QT_API", "pyside6")

# Networks this small spend more time waiting for a second thread than computing, here and in the
# processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell starts a job in its background deaf to Ctrl+C, and what that starts inherits it.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Spare what was imported from every later collection: napari asks for one per viewer."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove what the tests left in the user's folders."""
    shutil.rmtree(_HOME, ignore_errors=True)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """PyTorch on one thread: results repeat bit for bit, and tiny networks are quicker."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
