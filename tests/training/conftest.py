"""For training tests: small discriminators, and one thread, on which results repeat bit for bit."""

from __future__ import annotations

import pytest
from _tiny import DISCRIMINATORS

from napari_denoise.models import registry


@pytest.fixture(autouse=True)
def repeatable(one_thread: None) -> None:
    """Every test here runs on one thread."""


@pytest.fixture(autouse=True)
def small_discriminators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "DISCRIMINATORS", DISCRIMINATORS)
