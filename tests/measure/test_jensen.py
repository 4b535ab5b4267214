from __future__ import annotations

import numpy as np

from napari_denoise.measure.jensen import _poisson


def test_probabilities_are_those_of_scipy_to_the_last_bit() -> None:
    from scipy.stats import poisson

    means = np.concatenate([[0.0, 1e-300, 1.0], np.geomspace(1e-6, 120, 500)])[:, None]
    counts = np.arange(251)
    np.testing.assert_array_equal(_poisson(counts, means), poisson.pmf(counts, means))
