from __future__ import annotations

from pathlib import Path

import pytest

from _networks import write_tiny_weights


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a tiny network for gray images."""
    return write_tiny_weights(tmp_path_factory.mktemp("weights") / "tiny.safetensors")
