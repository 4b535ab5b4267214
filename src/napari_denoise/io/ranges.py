"""Numbers in words."""

from __future__ import annotations

from collections.abc import Sequence


def ranges_text(numbers: Sequence[int], step: int = 1) -> str:
    """Name numbers by their ranges, the last after "and".

    Examples
    --------
    >>> ranges_text([4, 5, 6, 9])
    '4-6 and 9'
    """
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + step:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    texts = [str(a) if a == b else f"{a}-{b}" for a, b in runs]
    if len(texts) > 8:
        texts = [*texts[:7], f"{len(texts) - 7} more ranges"]
    return " and ".join(filter(None, (", ".join(texts[:-1]), texts[-1]))) if texts else ""
