from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from _networks import write_tiny_weights


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a tiny network for gray images."""
    return write_tiny_weights(tmp_path_factory.mktemp("weights") / "tiny.safetensors")


@pytest.fixture(scope="session")
def scheduler() -> Iterator[str]:
    """Two workers of this machine, for all tests; one that is killed comes again."""
    from napari_denoise.batch.distributed import local_cluster

    with local_cluster(2) as address:
        yield address
