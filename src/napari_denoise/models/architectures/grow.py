"""Weights of a smaller network as the start of a larger one of the same architecture."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

StateDict = Mapping[str, Tensor]


_PLANES = {
    "head.weight": 1,
    "tail.weight": 0,
    "tail.bias": 0,
    "error.2.weight": 0,
    "error.2.bias": 0,
}
"""The dimension of these tensors that counts planes in or out."""


def grow_into(network: nn.Module, state: StateDict) -> None:
    """Load weights of the same architecture, with at most as many planes in and out and blocks.

    Planes that the network has beyond them start at zero and residual blocks as the identity, so
    that it gives the same images; the layers that state its error, if only they are new, keep
    their random start.

    Raises
    ------
    ValueError
        The weights are of another network.
    """
    started = network.state_dict()
    if not any(name.startswith("error.") for name in state):
        state = {**state, **{n: v for n, v in started.items() if n.startswith("error.")}}
    state = {**_added_blocks(started, state), **state}
    own = {name: torch.zeros_like(value) for name, value in started.items()}
    foreign = [name for name in state if name not in own and not name.startswith("error.")]
    wrong = [n for n in own if n not in state or not _fits(n, state[n].shape, own[n].shape)]
    for name in (*wrong, *foreign):
        given, wanted = (tuple(s[name].shape) if name in s else "missing" for s in (state, own))
        raise ValueError(
            f"weights to start from: {name!r} is {given}, in the recipe's network it is {wanted}; "
            "take weights of the same architecture, widths and blocks"
        )
    image, grown = (len(s["tail.weight"]) for s in (state, own))
    for name, value in own.items():
        if name == "head.weight":  # the noise level and features come after all of the image
            planes = torch.arange(state[name].shape[1])
            planes[image:] += grown - image
            value[:, planes] = state[name].to(value)
        else:
            value[: len(state[name])] = state[name].to(value)
    network.load_state_dict(own)


_BLOCK = re.compile(r"(?P<block>(?:before|middle|after)\.\d+)\.conv(?P<layer>[12])\.\w+")
"""Names of the weights of a residual block."""


def _added_blocks(started: StateDict, state: StateDict) -> dict[str, Tensor]:
    """Return random first layers, and second ones of zeros, for blocks that only the first has."""
    known = {found["block"] for name in state if (found := _BLOCK.fullmatch(name))}
    return {
        name: value if found["layer"] == "1" else torch.zeros_like(value)
        for name, value in started.items()
        if (found := _BLOCK.fullmatch(name)) and found["block"] not in known
    }


def _fits(name: str, given: torch.Size, wanted: torch.Size) -> bool:
    """Tell whether shapes are equal, or smaller in the number of planes alone."""
    if len(given) != len(wanted):
        return False
    pairs = enumerate(zip(given, wanted, strict=True))
    return all(g == w or (g < w and _PLANES.get(name) == n) for n, (g, w) in pairs)
