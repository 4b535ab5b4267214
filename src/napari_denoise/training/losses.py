"""Loss terms, each a pure function of tensors."""

from __future__ import annotations

from torch import Tensor


def l1(output: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error, a scalar."""
    return (output - target).abs().mean()
