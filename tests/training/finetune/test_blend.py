"""How far fine-tuned weights go from their base."""

from __future__ import annotations

import pytest
import torch

from napari_denoise.training.finetune.blend import SHARES, blended, choose_share, trusted_of_views


def measured(values):
    return dict(zip((0.0, *SHARES), values, strict=True)).__getitem__


@pytest.mark.parametrize(
    ("psnrs", "share"),
    [
        ((30, 31, 32, 33, 34), 1.0),  # every step on the way gains as much
        ((30, 31, 31.9, 32, 32), 0.5),  # the second half brings a twentieth
        ((30, 31, 30.5, 30, 29), 0.25),  # it was gone too far
        ((30, 29.95, 30.02, 30.05, 30), 0.75),  # a loss on the way does not matter
        ((30, 29.9, 29.5, 29, 28), 1.0),  # nothing was gained: show what was learnt
        ((30, 30, 30, 30, 30), 1.0),
    ],
)
def test_the_least_share_of_the_change_that_gains_enough_is_taken(psnrs, share):
    most = max(psnrs[1:]) if max(psnrs[1:]) > psnrs[0] else psnrs[-1]
    assert choose_share(psnrs[0], measured(psnrs)) == (share, pytest.approx(most - psnrs[0]))


def test_no_more_is_taken_than_is_trusted():
    asked = []

    def flattered(share):
        asked.append(share)
        return 30 + share

    assert choose_share(30, flattered, 0.4) == (0.4, pytest.approx(0.4))
    assert max(asked) == 0.4
    assert choose_share(30, lambda share: 30 - share, 0.4) == (0.4, pytest.approx(-0.4))
    assert choose_share(30, lambda share: 30.5 - abs(share - 0.2), 0.4)[0] == pytest.approx(0.2)


def test_what_is_learnt_from_more_pixels_of_views_is_trusted_more():
    assert trusted_of_views(0) == 0
    shares = [trusted_of_views(side**2) for side in (128, 256, 1024, 8192)]
    assert shares == sorted(shares)
    assert shares[0] < 0.2 and shares[-1] > 0.99


def test_weights_on_the_way_lie_between_the_ends():
    base, learnt = {"a": torch.tensor([1.0, 2.0])}, {"a": torch.tensor([3.0, 2.0])}
    assert blended(base, learnt, 0.25)["a"].tolist() == [1.5, 2.0]
    assert blended(base, learnt, 1)["a"] is learnt["a"]
