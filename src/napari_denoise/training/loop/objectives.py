"""What discriminator and generator play for; scores are raw logits, one per place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log

from torch import Tensor
from torch.nn.functional import softplus

Loss = Callable[[Tensor, Tensor], Tensor]
"""Takes scores of real and of generated patches, both (N, 1, Y, X)."""


@dataclass(frozen=True)
class Objective:
    """The losses of one game.

    Parameters
    ----------
    discriminator, generator
        What each of them lowers.
    compares
        The generator's loss looks at the scores of real patches too.
    chance
        Loss of a discriminator that cannot tell real from generated.
    """

    discriminator: Loss
    generator: Loss
    compares: bool
    chance: float


def _against_the_mean(high: Tensor, low: Tensor) -> Tensor:
    return 0.5 * (softplus(low.mean() - high).mean() + softplus(low - high.mean()).mean())


def _place_by_place(high: Tensor, low: Tensor) -> Tensor:
    return softplus(low - high).mean()


OBJECTIVES: Mapping[str, Objective] = {
    # Goodfellow et al. 2014, arXiv 1406.2661
    "non-saturating": Objective(
        lambda real, fake: 0.5 * (softplus(-real).mean() + softplus(fake).mean()),
        lambda _, fake: softplus(-fake).mean(),
        compares=False,
        chance=log(2),
    ),
    # Scores against the mean of the others (Jolicoeur-Martineau 2018, arXiv 1807.00734)
    "relativistic": Objective(
        _against_the_mean,
        lambda real, fake: _against_the_mean(fake, real),
        compares=True,
        chance=log(2),
    ),
    # The two scores of each place, so that what the place shows cancels (ibid., without the mean):
    # real and generated patches must be of the same scene.
    "paired": Objective(
        _place_by_place,
        lambda real, fake: _place_by_place(fake, real),
        compares=True,
        chance=log(2),
    ),
    # Arjovsky et al. 2017, arXiv 1701.07875
    "wasserstein": Objective(
        lambda real, fake: fake.mean() - real.mean(),
        lambda _, fake: -fake.mean(),
        compares=False,
        chance=0.0,
    ),
}
