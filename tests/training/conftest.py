"""For training tests: small discriminators, and one thread, on which results repeat bit for bit."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from _tiny import DISCRIMINATORS

from napari_denoise.models import registry


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def small_discriminators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "DISCRIMINATORS", DISCRIMINATORS)
