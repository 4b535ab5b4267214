"""Averages of neighbours go to the network that was made for them, where the weights have one."""

from dataclasses import replace

import numpy as np
import pytest
from _films import clean_film, record

from _networks import write_tiny_weights
from napari_denoise import Denoiser, NoiseModel
from napari_denoise.inference import neighbors

WHITE = NoiseModel(gain=1.0, offset=100.0, read_noise=2.0)
FIXED = {"noise": WHITE, "neighbors": 1}
RANGE = {"intensity_range": (100.0, 160.0)}


@pytest.fixture(scope="module")
def film():
    return record(clean_film((75, 61), 3, (1.3, -0.6))).astype(np.float32)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "both.safetensors"
    write_tiny_weights(path, spread=True, realistic=True, second_pass=True)
    return Denoiser.load(path, "cpu", "float32")


@pytest.fixture
def always(monkeypatch):
    """Averages of white noise go to it, too, since tiny networks see no neighbours in another."""
    monkeypatch.setattr(neighbors, "_CORRELATED", 0.0)


def result(job, which=1):
    *_, last = job.steps([which])
    return last.result


def test_it_gets_the_frame_by_itself_beside_the_average(both, film, always):
    job = both.prepare(film, "TYX", **FIXED, **RANGE)
    own = result(job)
    seen = []
    run = job.neighbors.second.run

    def watched(image, sigma, features=None, keep=None):
        seen.append((image.to_float32(), features))
        return run(image, sigma, features, keep)

    job.neighbors.second.run = watched
    try:
        result(job)
    finally:
        del job.neighbors.second.run
    ((average, beside),) = seen
    noisy = job.channels[0].to_network(film[1][None]).to_float32()
    assert beside.shape == (2, 75, 61)
    assert np.allclose(beside[:1], noisy, atol=1e-6)
    assert np.abs(beside[1:] - noisy).max() > 0.01
    assert np.abs(average - noisy).max() > 0.01
    job.neighbors.second = None
    assert np.abs(result(job) - own).max() > 0.1


def test_white_noise_goes_to_the_network_of_single_frames(both, film):
    job = both.prepare(film, "TYX", **FIXED, **RANGE)
    (channel,) = job.channels
    assert job.neighbors.second is not None and job.neighbors.second_of(channel) is None
    blurred = replace(WHITE, correlation_y=(0.4, 0.1), correlation_x=(0.4, 0.1))
    assert job.neighbors.second_of(replace(channel, noise=blurred)) is job.neighbors.second
    own = result(job)
    job.neighbors.second = None
    assert np.array_equal(result(job), own)


def test_tiles_change_nothing(both, film, always):
    whole = result(both.prepare(film, "TYX", tile=1024, **FIXED, **RANGE))
    tiled = result(both.prepare(film, "TYX", tile=32, **FIXED, **RANGE))
    assert np.abs(whole - tiled).max() <= 1e-5 * 60


def test_a_realistic_result_and_frames_by_themselves_do_without(both, film):
    assert both.prepare(film, "TYX", realism=0.5, **FIXED, **RANGE).neighbors.second is None
    plain = {**FIXED, "neighbors": 0}
    assert both.prepare(film, "TYX", **plain, **RANGE).neighbors is None


def test_colours_one_by_one_do_without(both, film, always):
    colour = np.stack([film, film[:, ::-1], film[:, :, ::-1]], axis=-1)
    job = both.prepare(colour, "TYXS", **FIXED, **RANGE)
    assert job.neighbors is not None
    *_, last = job.steps([1])
    assert last.result.shape == (75, 61, 3)
    assert np.isfinite(last.result).all()
