"""Lightning Fabric, which prints its choices unless it is told not to."""

from __future__ import annotations

import logging

from lightning_fabric import Fabric
from lightning_fabric.utilities import rank_zero_only

__all__ = ["Fabric", "rank_zero_only"]

logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
