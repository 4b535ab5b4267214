import warnings

import numpy as np
import pytest
import torch

from _networks import write_tiny_weights
from napari_denoise.engines.base import Estimate
from napari_denoise.engines.torch import TorchEngine, load_engine
from napari_denoise.measure.channels import Channel, NetworkScale
from napari_denoise.measure.mappings import AffineMapping
from napari_denoise.models.network import Network
from napari_denoise.settings.noise import NoiseModel
from napari_denoise.weights.catalogue import find_weights

MAPPING = AffineMapping(0, 255)
SCALE = NetworkScale(0.1)


def run(engine, window, mapping=MAPPING, scale=SCALE):
    """Run a window of data, as a job does."""
    channel = Channel(NoiseModel(), mapping, scale)
    found = engine.run(channel.to_network(window), channel.sigma_map(*window.shape[1:]))
    return Estimate(*channel.from_network(*found))


@pytest.fixture
def engine(tmp_path):
    info = find_weights(write_tiny_weights(tmp_path / "tiny.safetensors"))
    return load_engine(info, 0.0, "cpu", "float32")


def test_integers_and_floats_of_the_same_value_map_alike(engine):
    codes = np.random.default_rng(0).integers(0, 255, (1, 20, 24), dtype=np.uint8)
    expected = run(engine, codes.astype(np.float32)).mean
    for dtype in (np.uint8, np.uint16, ">u2", np.int32, np.float64):
        assert np.array_equal(run(engine, codes.astype(dtype)).mean, expected)


def test_a_read_only_image_is_taken_without_a_warning(engine):
    codes = np.random.default_rng(0).integers(0, 255, (1, 20, 24), dtype=np.uint8)
    locked = codes.copy()
    locked.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = run(engine, locked).mean
    assert np.array_equal(result, run(engine, codes).mean)


def test_16_bit_values_above_the_signed_range_keep_their_value(engine):
    codes = np.array([[[0, 32767], [32768, 65535]]], np.uint16)
    mapping = AffineMapping(0, 65535)
    expected = run(engine, codes.astype(np.float32), mapping).mean
    assert np.array_equal(run(engine, codes, mapping).mean, expected)


def test_noise_beyond_the_range_of_training_is_squeezed_into_it():
    seen = []

    class Spy(Network):
        radius, multiple, spread = 0, 4, True

        def forward(self, noisy, sigma, features=None):
            seen.append((noisy.std().item(), sigma.max().item()))
            return torch.cat([noisy, sigma.square()], dim=1)

    image = np.random.default_rng(0).normal(128, 50, (1, 16, 16)).astype(np.float32)
    spy = TorchEngine(Spy(), 1, "cpu", "float32")
    plain = run(spy, image, MAPPING, NetworkScale(0.4))
    squeezed = run(spy, image, MAPPING, NetworkScale(0.4, 0.5))
    assert seen[1] == pytest.approx((seen[0][0] / 2, 0.2))
    assert squeezed.mean == pytest.approx(plain.mean, abs=1e-6)
    assert squeezed.variance == pytest.approx(plain.variance, rel=1e-5)


def test_a_tile_switches_nothing_of_the_whole_process(monkeypatch):
    seen = []

    class Spy(Network):
        radius, multiple = 0, 4

        def forward(self, noisy, sigma, features=None):
            seen.append(torch.backends.cudnn.allow_tf32)
            return noisy

    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    run(TorchEngine(Spy(), 1, "cpu", "float32"), np.ones((1, 16, 16), np.float32))
    assert seen == [True]


def test_the_same_network_in_float32_holds_what_another_precision_cannot():
    class Steep(Network):
        radius, multiple = 0, 4

        def __init__(self):
            super().__init__()
            self.slope = torch.nn.Parameter(torch.tensor(300.0))

        def forward(self, noisy, sigma, features=None):
            return noisy.to(self.slope.dtype) * self.slope * self.slope / 9e4

    image = np.full((1, 16, 16), 255, np.float32)
    half = TorchEngine(Steep(), 1, "cpu", "float16")
    full = half.in_float32()
    assert (half.precision, full.precision) == ("float16", "float32")
    assert full.in_float32() is full
    assert not np.isfinite(run(half, image).mean).all()
    assert run(full, image).mean == pytest.approx(np.ones_like(image), rel=1e-5)


def test_the_same_file_is_loaded_once_and_a_changed_one_again(tmp_path):
    path = write_tiny_weights(tmp_path / "w.safetensors", seed=1)
    first = load_engine(find_weights(path), 0.0, "cpu", "float32")
    assert load_engine(find_weights(path), 0.0, "cpu", "float32") is first
    write_tiny_weights(path, seed=2)
    assert load_engine(find_weights(path), 0.0, "cpu", "float32") is not first


def test_bfloat16_stays_within_five_percent_of_the_noise(tmp_path):
    info = find_weights(write_tiny_weights(tmp_path / "tiny.safetensors"))
    rng = np.random.default_rng(0)
    image = rng.normal(128, 25, (1, 64, 64)).astype(np.float32)
    full, half = (
        run(load_engine(info, 0.0, "cpu", p), image, MAPPING, NetworkScale(25 / 255))
        for p in ("float32", "bfloat16")
    )
    error = np.sqrt(np.mean((full.mean - half.mean) ** 2))
    assert 0 < error < 0.05 * 25 / 255


@pytest.mark.parametrize(("weights", "samples"), [(1, 1), (1, 3), (3, 3), (3, 1)])
def test_the_stated_variance_has_the_shape_of_the_image(tmp_path, weights, samples):
    path = write_tiny_weights(tmp_path / "w.safetensors", channels=weights, spread=True)
    engine = load_engine(find_weights(path), 0.0, "cpu", "float32")
    image = np.random.default_rng(0).random((samples, 18, 22), np.float32)
    estimate = run(engine, image, AffineMapping(0, 1))
    assert estimate.mean.shape == estimate.variance.shape == image.shape
    assert estimate.variance.min() > 0


@pytest.mark.gpu
def test_a_gpu_gives_the_result_of_the_cpu(tmp_path):
    if not torch.cuda.is_available():
        pytest.skip("needs CUDA")
    info = find_weights(write_tiny_weights(tmp_path / "tiny.safetensors"))
    image = np.random.default_rng(0).integers(0, 255, (1, 64, 60), dtype=np.uint8)
    cpu, gpu = (run(load_engine(info, 0.0, d, "float32"), image) for d in ("cpu", "cuda:0"))
    assert gpu.mean == pytest.approx(cpu.mean, abs=1e-5)
