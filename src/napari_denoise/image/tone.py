"""Linear light as a monitor shows it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

GAMMA = 1 / 2.2
"""For display: linear light looks much too dark on a monitor."""
TONE_MAPPED = "tone-mapped: clip(x, 0, 1) ^ (1 / 2.2)"
"""How figures of linear light say what they are of."""


def tone_mapped(linear: Any) -> NDArray[np.float32]:
    """Bring linear light to display values, float32: ``clip(x, 0, 1) ** GAMMA``."""
    display = np.clip(np.asarray(linear, np.float32), 0, 1) ** np.float32(GAMMA)
    return np.asarray(display, np.float32)
