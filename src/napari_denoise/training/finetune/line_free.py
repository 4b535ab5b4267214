"""A noisy stack without row and column noise: as it is when it is denoised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np

from napari_denoise.image.long_work import InParts
from napari_denoise.measure.channels import Channel
from napari_denoise.measure.line_noise import NO_LINES
from napari_denoise.training.data.real_pairs import Pair

MOST_BYTES = 2**31
"""Of the copy."""


def line_free(
    pair: Pair, channels: Sequence[Channel]
) -> InParts[tuple[Pair, tuple[Channel, ...], str]]:
    """Take line noise out of a stack, so that its frames teach nothing of it.

    Denoising takes it out before the network, and so what a network learnt of it would be of no
    use, and an estimate of the gain would count what nobody gains.

    Parameters
    ----------
    pair
        A noisy stack.
    channels
        As measured, with their line noise.

    Returns
    -------
    The stack as float32 and its channels, both without line noise; and what was done, for people.
    """
    layout = pair.layout
    rest = tuple(replace(channel, lines=NO_LINES) for channel in channels)
    if not any(channel.lines for channel in channels):
        return pair, rest, ""
    if 4 * prod(layout.shape) > MOST_BYTES:
        return pair, rest, f"{pair.name}: row or column noise is kept, as the stack is so large"
    yield f"removing row or column noise from {pair.name}"
    made = np.empty(layout.shape, np.float32)
    for number, index in enumerate(layout.frames):
        frame = np.asarray(pair.noisy[index])
        lines = channels[layout.channel_of(number)].lines
        made[index] = lines.without(frame) if lines else frame
    found = "; ".join(dict.fromkeys(c.lines.describe("is removed") for c in channels if c.lines))
    return replace(pair, noisy=made, target=made), rest, f"{pair.name}: {found}"
