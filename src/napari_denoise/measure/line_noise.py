"""Noise that is the same along a row or a column, as some cameras and scanners add.

It is seen, and not removed: to a denoiser for the noise of pixels it is structure.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_PARTS, _LEAST_SIDE = 8, 64
"""Parts that each row is cut into; rows and columns that tell anything."""
_SEEN = 0.2
"""Sd of the rows, relative to that of the white noise."""
_WHOLE = 0.5
"""What pairs of parts share at least, of what they share usually: structure is in some of them."""
_APART, _PERIODIC, _LAGS = -0.3, 0.5, 16
"""Correlation of adjacent steps from row to row, which is -1/2 where rows are independent; and the
most at other lags, up to which stripes of a specimen show their period."""


def line_noise(frame: NDArray[Any]) -> tuple[float, float]:
    """Measure the sd of rows and of columns, relative to the sd of the white noise; 0 for none.

    Parameters
    ----------
    frame
        (Y, X). With values that are not finite it tells nothing.
    """
    if min(frame.shape) < _LEAST_SIDE:
        return 0.0, 0.0
    image = np.asarray(frame, np.float64)
    if not np.isfinite(image).all():
        return 0.0, 0.0
    return _of_rows(image), _of_rows(image.T)


def describe_lines(rows: float, columns: float) -> str:
    """Say it in a line for people; empty if there is none."""
    found = [("rows", "row", rows), ("columns", "column", columns)]
    said = [
        f"{many} differ by {size:.1f} of the noise: {one} noise is not removed"
        for many, one, size in found
        if size > 0
    ]
    return "; ".join(said)


def _of_rows(image: FloatArray) -> float:
    """Sd of an offset that whole rows share and adjacent ones do not."""
    steps = np.diff(image, axis=0)
    second = np.diff(steps, axis=1)
    white = 1.4826 * float(np.median(np.abs(second - np.median(second)))) / 2
    if white <= 0:
        return 0.0
    width = image.shape[1] // _PARTS
    cut = steps[:, : _PARTS * width].reshape(len(steps), _PARTS, width)
    parts = np.median(cut, axis=2)
    parts -= np.median(parts, axis=0)
    shared = np.cov(parts.T)[~np.eye(_PARTS, dtype=bool)]
    usual = float(np.median(shared))
    if usual <= 2 * (_SEEN * white) ** 2 or np.percentile(shared, 10) < _WHOLE * usual:
        return 0.0
    step = np.median(parts, axis=1)
    step -= step.mean()
    lags = [float((step[lag:] * step[:-lag]).sum() / (step**2).sum()) for lag in range(1, _LAGS)]
    if lags[0] > _APART or max(map(abs, lags[1:])) > _PERIODIC:
        return 0.0
    return float(np.sqrt(usual / 2) / white)
