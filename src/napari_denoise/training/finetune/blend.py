"""How far to go from the base to what was learnt.

Weights learnt from a few pairs know these pairs too well. Those on the way back to the base keep
nearly all of what was won and err less elsewhere (Wortsman et al. 2022, Robust fine-tuning of
zero-shot models, arXiv 2109.01903).
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from napari_denoise.models.architectures.grow import StateDict

SHARES = (0.25, 0.5, 0.75, 1.0)
"""Of what is trusted of the change of every weight, from the base to what was learnt."""
ENOUGH = 0.9
"""Part of the largest gain that is enough, where the weights are for other images too."""
_HALF_TRUSTED = 120_000
"""Pixels of views from which on more than half of what was learnt from them is trusted."""


def trusted_of_views(pixels: int) -> float:
    """How far at most to go to what was learnt from so many pixels of path-traced views.

    What is held out of a view shows the patterns and the light that were learnt in the rest of
    it, and flatters: unlike micrographs, views do not look alike everywhere. The fewer pixels
    there are, the more of what was learnt from them is about them alone.
    """
    return pixels / (pixels + _HALF_TRUSTED)


def blended(base: StateDict, learnt: StateDict, share: float) -> dict[str, Tensor]:
    """Return weights between two of one network; a share of 1 gives those that were learnt."""
    if share == 1:
        return dict(learnt)
    return {name: base[name].float().lerp(value.float(), share) for name, value in learnt.items()}


def choose_share(
    base: float, psnr: Callable[[float], float], trusted: float = 1.0, enough: float = ENOUGH
) -> tuple[float, float]:
    """Take the least share of the change that gains nearly as much as any.

    Parameters
    ----------
    base
        PSNR of the base on what was held out.
    psnr
        Measures a share there.
    trusted
        The largest share to consider.
    enough
        Part of the largest gain that is enough.

    Returns
    -------
    One of `SHARES` of what is trusted, and the largest gain of any. Where none gains, all that is
    trusted and what that loses, so that the figures show what was learnt.
    """
    gains = {trusted * share: psnr(trusted * share) - base for share in SHARES}
    most = max(gains.values())
    if not most > 0:
        return trusted, gains[trusted]
    return min(share for share, gain in gains.items() if gain >= enough * most), most
