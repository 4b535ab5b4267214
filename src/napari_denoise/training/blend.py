"""How far to go from the base to what was learnt.

Weights learnt from a few pairs know these pairs too well. Those on the way back to the base keep
nearly all of what was won and err less elsewhere (Wortsman et al. 2022, Robust fine-tuning of
zero-shot models, arXiv 2109.01903).
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from napari_denoise.training.state import StateDict

SHARES = (0.25, 0.5, 0.75, 1.0)
"""Of the change of every weight, from the base to what was learnt."""
ENOUGH, ENOUGH_OF_A_VIEW = 0.9, 0.5
"""Part of the largest gain that is enough: on images that look alike everywhere, as micrographs do,
and on views of a scene. What is held out of a view by itself shows the patterns and the light that
were learnt in the rest of it, and flatters more."""


def blended(base: StateDict, learnt: StateDict, share: float) -> dict[str, Tensor]:
    """Return weights between two of one network; a share of 1 gives those that were learnt."""
    if share == 1:
        return dict(learnt)
    return {name: base[name].float().lerp(value.float(), share) for name, value in learnt.items()}


def choose_share(
    base: float, psnr: Callable[[float], float], enough: float = ENOUGH
) -> tuple[float, float]:
    """Take the least share of the change that gains enough.

    Parameters
    ----------
    base
        PSNR of the base on what was held out.
    psnr
        Measures a share there.
    enough
        Part of the largest gain.

    Returns
    -------
    One of `SHARES`, and the largest gain of any. Where none gains, 1 and what that loses, so that
    the figures show what was learnt.
    """
    gains = {share: psnr(share) - base for share in SHARES}
    most = max(gains.values())
    if not most > 0:
        return 1.0, gains[1.0]
    return min(share for share, gain in gains.items() if gain >= enough * most), most
