import dask.array as da
import numpy as np
import pytest
import torch
import zarr

from _networks import write_tiny_weights
from napari_denoise import Denoiser, DenoiseWarning, NoiseModel
from napari_denoise.engines.torch import TorchEngine
from napari_denoise.image.axes import Layout
from napari_denoise.inference import stack as stack_module
from napari_denoise.measure import sampled as samples_module
from napari_denoise.weights.catalogue import choose_weights, find_weights

# Frames of mere noise show nothing in common, which is said.
pytestmark = pytest.mark.filterwarnings("ignore:frames along")

NOISE = NoiseModel(gain=0.5, offset=10, read_noise=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("weights")


@pytest.fixture(scope="module")
def gray(folder):
    return Denoiser.load(write_tiny_weights(folder / "gray.safetensors"), "cpu", "float32")


@pytest.fixture(scope="module")
def color(folder):
    return Denoiser.load(write_tiny_weights(folder / "color.safetensors", 3), "cpu", "float32")


def noisy(shape, dtype=np.uint16, seed=0):
    return np.random.default_rng(seed).integers(50, 250, shape).astype(dtype)


@pytest.mark.parametrize("shape", [(501, 397), (37, 500), (9, 9), (3, 700), (1, 1)])
@pytest.mark.parametrize("mapping", ["anscombe", "affine"])
def test_the_tile_size_does_not_change_the_result(gray, shape, mapping):
    image = noisy(shape, np.float32)
    whole, *tiled = (
        gray(image, noise=NOISE, tile=tile, mapping=mapping, intensity_range=(50, 250))
        for tile in (1024, 64, 256, 16 if max(shape) < 100 else 128)
    )
    assert np.abs(whole - image).max() > 1  # the network did something
    for result in tiled:
        assert np.abs(result - whole).max() <= 1e-5 * 200


def test_more_threads_do_not_change_the_result(gray):
    image, before = noisy((150, 170), np.float32), torch.get_num_threads()
    results = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        results.append(gray(image, noise=NOISE, intensity_range=(50, 250)))
    torch.set_num_threads(before)
    assert np.abs(results[0] - results[1]).max() <= 1e-5 * 200


@pytest.mark.parametrize(
    ("axes", "shape"),
    [("YX", (24, 30)), ("TYX", (3, 24, 30)), ("TZCYX", (2, 2, 2, 12, 16)), ("YXC", (24, 30, 2))],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float16, np.float64, ">u2"])
def test_shape_and_dtype_are_kept(gray, axes, shape, dtype):
    image = noisy(shape, dtype)
    before = image.copy()
    result = gray(image, axes=axes, noise=5.0)
    assert (result.shape, result.dtype) == (image.shape, image.dtype)
    assert not np.array_equal(result, image)
    assert np.array_equal(image, before)


def test_a_frame_of_a_stack_comes_out_as_it_would_alone(gray):
    image = noisy((3, 2, 40, 50), np.float32)
    fixed = {"noise": NOISE, "intensity_range": (50, 250)}
    result = gray(image, axes="TCYX", **fixed)
    assert np.array_equal(result[1, 1], gray(image[1, 1], **fixed))


def test_axes_in_any_order_give_the_same_pixels(gray):
    image = noisy((2, 40, 50), np.float32)
    fixed = {"noise": NOISE, "intensity_range": (50, 250)}
    expected = gray(image, axes="TYX", **fixed)
    moved = gray(np.moveaxis(image, 0, -1), axes="YXT", **fixed)
    assert np.array_equal(np.moveaxis(moved, -1, 0), expected)


def test_color_goes_through_color_weights_at_once_and_alpha_passes_through(color):
    image = noisy((40, 50, 4), np.uint8)
    result = color(image, axes="YXS", noise=20.0)
    assert np.array_equal(result[..., 3], image[..., 3])
    assert not np.array_equal(result[..., :3], image[..., :3])
    assert np.array_equal(color(image[..., :3], axes="YXS", noise=20.0), result[..., :3])


def test_gray_weights_take_color_sample_by_sample(gray):
    image = noisy((24, 30, 3), np.float32)
    fixed = {"noise": 5.0, "intensity_range": (0, 255)}
    result = gray(image, axes="YXS", **fixed)
    for sample in range(3):
        single = gray(image[..., sample], **fixed)
        # a batch of three may be added up in another order than one image
        assert result[..., sample] == pytest.approx(single, abs=255e-5)


def test_color_weights_on_gray_data_work_and_say_what_is_better(color):
    job = color.prepare(noisy((24, 30)), noise=5.0)
    assert "gray data" in job.warnings[0]
    assert next(iter(job.steps())).result.shape == (24, 30)


def test_a_region_holds_the_pixels_of_the_full_run(gray):
    image = noisy((3, 120, 150), np.float32)
    job = gray.prepare(image, axes="TYX", noise=NOISE, tile=64, intensity_range=(50, 250))
    frames = [step.result for step in job.steps() if step.result is not None]
    for y, x in [((10, 70), (20, 150)), ((0, 120), (0, 150)), ((119, 120), (3, 4))]:
        part = job.region(1, slice(*y), slice(*x))
        assert part == pytest.approx(frames[1][slice(*y), slice(*x)], abs=200e-5)


def test_a_region_of_color_keeps_its_axes_and_alpha(color):
    image = noisy((60, 80, 4), np.uint8)
    job = color.prepare(image, axes="YXS", noise=20.0)
    part = job.region(0, slice(8, 30), slice(5, 25))
    assert part.shape == (22, 20, 4)
    assert np.array_equal(part[..., 3], image[8:30, 5:25, 3])


@pytest.mark.parametrize("y", [slice(5, 5), slice(50, 60), slice(9, 3)])
def test_an_empty_region_is_refused(gray, y):
    with pytest.raises(ValueError, match="holds no pixel"):
        gray.prepare(noisy((24, 30)), noise=5.0).region(0, y, slice(0, 9))


def test_steps_count_tiles_and_frames_up_to_one(gray):
    job = gray.prepare(noisy((2, 100, 70)), axes="TYX", noise=5.0, tile=64)
    steps = list(job.steps())
    assert [(s.frame, s.tile, s.tiles) for s in steps] == [
        (f, t, 4) for f in (0, 1) for t in (1, 2, 3, 4)
    ]
    assert [s.result is not None for s in steps] == [False, False, False, True] * 2
    fractions = [s.fraction for s in steps]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1


def test_chosen_frames_are_denoised_like_in_the_whole_stack(gray):
    image = noisy((4, 24, 30), np.float32)
    job = gray.prepare(image, axes="TYX", noise=NOISE)
    results = {step.index[0]: step.result for step in job.steps() if step.index}
    only = [step for step in job.steps([2]) if step.index]
    assert [step.index[0] for step in only] == [2]
    assert np.array_equal(only[0].result, results[2])


def test_work_stops_between_two_tiles(gray, monkeypatch):
    calls = []
    run = TorchEngine.run
    monkeypatch.setattr(TorchEngine, "run", lambda *a: calls.append(1) or run(*a))
    steps = gray.prepare(noisy((200, 200)), noise=5.0, tile=64).steps()
    next(steps)
    steps.close()
    assert len(calls) == 1


@pytest.mark.parametrize("kind", ["dask", "zarr", "memmap"])
def test_lazy_arrays_give_the_result_of_memory(gray, kind, tmp_path):
    image = noisy((3, 24, 30))
    if kind == "dask":
        lazy = da.from_array(image, chunks=(1, 24, 30))
    elif kind == "zarr":
        lazy = zarr.create_array(tmp_path / "a.zarr", data=image)
    else:
        lazy = np.memmap(tmp_path / "a.raw", image.dtype, "w+", shape=image.shape)
        lazy[:] = image
    assert np.array_equal(gray(lazy, axes="TYX", noise=NOISE), gray(image, axes="TYX", noise=NOISE))


def test_a_lazy_stack_is_read_frame_by_frame(gray):
    alive, most = 0, 0

    def make(block_info):
        nonlocal most
        place = block_info[None]["array-location"]
        most = max(most, place[0][1] - place[0][0])
        return noisy((1, 24, 30), seed=place[0][0])

    lazy = da.map_blocks(make, chunks=((1,) * 40, 24, 30), dtype=np.uint16)
    reads = []
    for index, frame in gray.frames(lazy, axes="TYX", noise=NOISE, intensity_range=(0, 255)):
        reads.append(index[0])
        assert frame.shape == (24, 30)
    assert reads == list(range(40))
    assert (alive, most) == (0, 1)


def test_nan_and_infinity_do_not_spread_and_are_reported(gray):
    image = noisy((80, 80), np.float32)
    bad = image.copy()
    bad[40, 40], bad[10, 70] = np.nan, np.inf
    fixed = {"noise": NOISE, "intensity_range": (50, 250)}
    job = gray.prepare(bad, **fixed)
    (result,) = [step.result for step in job.steps()]
    assert np.isfinite(result).all()
    assert "2 pixels" in job.warnings[0]
    assert np.array_equal(result[:, :8], gray(image, **fixed)[:, :8])


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_frame_without_any_value_stays_as_it_is_and_is_counted(gray, value):
    image = noisy((4, 40, 50), np.float32)
    bad = image.copy()
    bad[1:3], bad[3, 5, 6] = value, np.nan
    fixed = {"axes": "TYX", "noise": NOISE, "intensity_range": (50, 250), "neighbors": 0}
    job = gray.prepare(bad, **fixed)
    for _ in range(2):  # a second run counts nothing twice
        result = np.stack([step.result for step in job.steps() if step.result is not None])
    np.testing.assert_array_equal(result[1:3], bad[1:3])
    np.testing.assert_array_equal(result[0], gray(image[0], **{**fixed, "axes": "YX"}))
    assert np.isfinite(result[3]).all()
    pixels, frames = job.warnings
    assert pixels.startswith("1 pixel was NaN or infinite: replaced by the median")
    assert frames == "2 of 4 frames held no finite pixel: left as they are"
    part = job.region(1, slice(3, 9), slice(2, 4))
    np.testing.assert_array_equal(part, np.full((6, 2), value, np.float32))
    assert not np.shares_memory(part, bad)


def test_colour_without_any_value_stays_with_its_alpha(color):
    image = noisy((40, 50, 4), np.float32)
    image[..., :3] = np.nan
    stack = np.stack([noisy((40, 50, 4), np.float32), image])
    job = color.prepare(stack, axes="TYXS", noise=20.0, intensity_range=(50, 250), neighbors=0)
    np.testing.assert_array_equal(list(job.steps([1]))[-1].result, image)
    assert job.warnings == ("1 of 2 frames held no finite pixel: left as it is",)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_data_without_any_finite_value_is_refused(gray, value):
    with pytest.raises(ValueError, match="only NaN or infinity"):
        gray(np.full((2, 24, 30), value, np.float32))


def test_data_too_large_to_compute_with_is_refused_and_its_limit_said(gray):
    image = noisy((24, 30), np.float64)
    assert np.isfinite(gray(image * 1e25)).all()
    with pytest.raises(ValueError, match=r"beyond 1e\+30: set fill values"):
        gray(image * 1e100)


@pytest.mark.parametrize("wanted", [(1e6, 2e6), (-9.0, 0.0), (-1e30, 1e30)])
def test_an_intensity_range_far_from_the_data_is_refused(gray, wanted):
    with pytest.raises(ValueError, match=r"does not fit data from 50 to 249"):
        gray(noisy((24, 30)), intensity_range=wanted)
    with pytest.warns(DenoiseWarning, match="no noise was found"):
        assert gray(np.full((24, 30), 7.0), intensity_range=wanted).mean() == 7


def test_what_is_no_array_or_masks_values_is_refused(gray):
    image = noisy((24, 30), np.float32)
    with pytest.raises(TypeError, match="is a list: expected an array"):
        gray(image.tolist())
    with pytest.raises(ValueError, match="masks"):
        gray(np.ma.masked_greater(image, 200))
    with pytest.raises(TypeError, match="expected DenoiseSettings"):
        gray(image, settings={"strength": 0.5})


@pytest.mark.parametrize("field", ["weights", "device", "precision"])
def test_what_is_fixed_when_weights_are_loaded_is_refused_later(gray, field):
    with pytest.raises(ValueError, match=rf"{field} = 'auto': .*Denoiser\.load"):
        gray(noisy((24, 30)), **{field: "auto"})


def test_color_is_seen_without_being_told(color):
    image = noisy((24, 30, 3), np.float32)
    assert np.array_equal(color(image, noise=5.0), color(image, axes="YXS", noise=5.0))
    assert color.prepare(noisy((5, 24, 30)), noise=5.0).layout.axes == "TYX"
    assert color.prepare(noisy((5, 24, 4)), noise=5.0).layout.axes == "TYX"


def test_a_constant_image_comes_back_unchanged(gray):
    for value in (0, 100, 65535):
        image = np.full((40, 50), value, np.uint16)
        with pytest.warns(DenoiseWarning, match="no noise was found"):
            assert np.array_equal(gray(image), image)


@pytest.mark.parametrize("shape", [(40, 50), (1, 1)])
def test_data_without_noise_is_said_to_be_returned_as_it_is(gray, shape):
    flat = np.full(shape, 7, np.uint16)
    (text,) = gray.prepare(flat).warnings
    assert text.startswith("no noise was found in the data: it is returned as it is; if it is")
    assert not gray.prepare(flat, noise=2.0).warnings
    assert not gray.prepare(flat, noise=0.0).warnings  # nobody looked for it


def test_channels_without_noise_are_numbered(gray):
    stack = noisy((3, 40, 50))
    stack[0] = stack[2] = 7
    (text,) = gray.prepare(stack, axes="CYX").warnings
    assert "in channels 0, 2 of 3, counted from 0: they are returned as they are" in text
    (text,) = gray.prepare(stack, axes="CYX", noise=(3.0, 5.0, "auto")).warnings
    assert "in channel 2 of 3, counted from 0: it is" in text


@pytest.mark.parametrize("shape", [(24, 30), (3, 24, 30)])
def test_gray_data_without_any_value_is_refused_and_not_taken_for_a_render(shape):
    empty = np.full(shape, np.nan, np.float32)
    assert choose_weights(empty, Layout("TYX"[-empty.ndim :], shape)) == "microscopy"
    with pytest.raises(ValueError, match=r"only NaN or infinity .*; look at where it comes from"):
        Denoiser.load("auto", "cpu").prepare(empty)


def test_no_noise_and_no_strength_change_nothing(gray):
    image = noisy((24, 30))
    assert np.array_equal(gray(image, noise=0.0), image)
    assert np.array_equal(gray(image, noise=5.0, strength=0.0), image)


def test_strength_blends_in_the_units_of_the_data(gray):
    image = noisy((24, 30), np.float32)
    full = gray(image, noise=NOISE)
    half = gray(image, noise=NOISE, strength=0.5)
    assert half == pytest.approx((image + full) / 2, rel=1e-5)


def test_strength_and_tile_change_without_measuring_again(gray, monkeypatch):
    image = noisy((100, 70), np.float32)
    job = gray.prepare(image, tile=64)
    monkeypatch.setattr(samples_module, "estimating_noise", None)  # calling it would fail
    half = job.adjusted(strength=0.5, tile=128)
    assert half.noise == job.noise
    assert (half.cost().tile, job.cost().tile) == (128, 64)
    full, less = (list(j.steps())[-1].result for j in (job, half))
    assert less == pytest.approx((image + full) / 2, rel=1e-4)


def test_noise_can_be_given_per_channel(gray):
    image = noisy((2, 24, 30), np.float32)
    job = gray.prepare(image, axes="CYX", noise=(3.0, NOISE))
    assert job.noise == (NoiseModel(read_noise=3.0), NOISE)
    with pytest.raises(ValueError, match="3 values but the data has 2 channels"):
        gray.prepare(image, axes="CYX", noise=(1.0, 2.0, 3.0))


def test_linear_hdr_color_is_mapped_by_a_logarithm(color):
    hdr = np.random.default_rng(0).gamma(0.5, 1.0, (40, 50, 3)).astype(np.float32)
    photo = noisy((40, 50, 3), np.float32)
    kinds = [
        color.prepare(image, axes="YXS").channels[0].mapping.kind
        for image in (hdr, photo, photo / 255, photo - 60)
    ]
    assert kinds == ["log", "affine", "affine", "affine"]


def test_exposure_does_not_change_what_is_seen_of_hdr(color):
    hdr = np.random.default_rng(0).gamma(2.0, 1.0, (40, 50, 3)).astype(np.float32)
    one = color(hdr, axes="YXS", mapping="log")
    four = color(hdr * 4, axes="YXS", mapping="log")
    assert np.abs(one - hdr).max() > 1e-3
    assert four == pytest.approx(one * 4, rel=1e-3, abs=1e-3)


class _FailsAbove:
    """Runs out of memory for windows of more pixels than a limit."""

    def __init__(self, limit):
        self.limit, self.run = limit, TorchEngine.run

    def __call__(self, engine, image, *rest):
        if image.values[0].size > self.limit:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")
        return self.run(engine, image, *rest)


def _patched(monkeypatch, limit):
    fails = _FailsAbove(limit)
    monkeypatch.setattr(TorchEngine, "run", lambda *args: fails(*args))


def test_out_of_memory_is_met_with_smaller_tiles_and_the_same_result(gray, monkeypatch):
    image = noisy((2, 300, 310), np.float32)
    expected = gray(image, axes="TYX", noise=NOISE)
    halo = gray.prepare(image, axes="TYX", noise=NOISE).engine.halo
    _patched(monkeypatch, (128 + 2 * halo) ** 2)
    job = gray.prepare(image, axes="TYX", noise=NOISE, tile=1024)
    frames = [step.result for step in job.steps() if step.result is not None]
    assert job.cost().tile < 200
    assert np.abs(np.stack(frames) - expected).max() <= 200e-5


def test_out_of_memory_at_the_smallest_tile_is_a_clear_error(gray, monkeypatch):
    _patched(monkeypatch, 0)
    with pytest.raises(MemoryError, match="a tile of 64 pixels does not fit"):
        gray(noisy((300, 310)), noise=NOISE)


def test_any_other_failure_is_passed_on(gray, monkeypatch):
    def fail(*_):
        raise RuntimeError("something else")

    monkeypatch.setattr(TorchEngine, "run", fail)
    with pytest.raises(RuntimeError, match="something else"):
        gray(noisy((30, 30)), noise=NOISE)


def test_the_automatic_tile_follows_the_free_memory(gray, monkeypatch):
    image = noisy((2000, 2000))
    sizes = []
    for free in (2**34, 2**29, 2**27, 2**10):
        monkeypatch.setattr(stack_module, "free_memory", lambda _, free=free: free)
        cost = gray.prepare(image, noise=5.0).cost()
        sizes.append(cost.tile)
        assert cost.bytes <= free / 2 or cost.tile == stack_module.SMALLEST_TILE
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == stack_module.LARGEST_AUTO_TILE["cpu"]
    assert sizes[-1] == stack_module.SMALLEST_TILE


@pytest.mark.parametrize("dtype", [bool, np.complex64, "U3"])
def test_data_that_are_no_intensities_are_refused(gray, dtype):
    with pytest.raises(ValueError, match="expected integers or floating point"):
        gray(np.zeros((8, 8), dtype))


def test_provenance_names_weights_noise_and_settings(gray):
    record = gray.prepare(noisy((24, 30)), noise=NOISE, tile=64).provenance()
    assert record["weights"] == "gray"
    assert record["weights_sha256"] == gray.info.sha256
    assert record["channels"][0]["noise"]["gain"] == 0.5
    assert record["settings"]["tile"] == 64
    assert record["precision"] == "float32"


@pytest.mark.parametrize("automatic", [True, False])
def test_half_precision_is_left_where_the_noise_is_too_fine_for_it(folder, automatic):
    path = write_tiny_weights(folder / "half.safetensors")
    half = Denoiser(find_weights(path), "cpu", "bfloat16", automatic)
    image = noisy((24, 30), np.float32)
    fine, coarse = (half.prepare(image, noise=sigma) for sigma in (1.0, 40.0))
    assert [job.settings.precision for job in (fine, coarse)] == ["float32", "bfloat16"]
    assert fine.provenance()["precision"] == "float32"
    told = "would round by more than 5 %" in " ".join(fine.warnings)
    assert told is not automatic and not coarse.warnings
    assert fine.adjusted(strength=0.5, tile=64).warnings == fine.warnings


def test_progress_is_called_for_every_tile(gray):
    seen = []
    gray(noisy((100, 70)), noise=5.0, tile=64, progress=lambda step: seen.append(step.tile))
    assert seen == [1, 2, 3, 4]


def test_an_estimated_noise_removes_noise_without_being_told(gray):
    rng = np.random.default_rng(0)
    image = rng.poisson(20, (128, 128)).astype(np.uint16) * 3 + 100
    (noise,) = gray.prepare(image).noise
    assert noise.variance(160) == pytest.approx(9 * 20, rel=0.2)


class Overflowing:
    """An engine whose windows that hold a value overflow; in float32 they need not."""

    precision = "float16"

    def __init__(self, engine, above, in_float32):
        self._engine, self._above, self._in_float32 = engine, above, in_float32

    def run(self, image, sigma, features=None, keep=None):
        estimate = self._engine.run(image, sigma, features, keep)
        if image.values.max() < self._above:
            return estimate
        return estimate._replace(mean=np.full_like(estimate.mean, np.inf))

    def in_float32(self):
        return self._in_float32 or self

    def __getattr__(self, name):
        return getattr(self._engine, name)


def test_a_tile_that_overflows_is_computed_once_more_in_float32_and_that_is_said(gray):
    image = noisy((3, 150, 170))
    image[1, 3:6, 5:8] = 60_000  # a lone pixel would not reach the network
    job = gray.prepare(image, "TYX", noise=NOISE, tile=64, intensity_range=(0, 60_000))
    expected = [step.result for step in job.steps() if step.result is not None]
    job.engine = Overflowing(job.engine, 50_000, in_float32=job.engine)
    job.region(1, slice(0, 20), slice(0, 20))
    assert not [text for text in job.warnings if "overflowed" in text]  # a preview counts nothing
    found = [step.result for step in job.steps() if step.result is not None]
    np.testing.assert_array_equal(found, expected)
    (said,) = [text for text in job.warnings if "overflowed" in text]
    assert said.startswith("1 tile overflowed in float16: computed once more in float32")


def test_what_is_not_finite_in_float32_either_is_refused(gray):
    job = gray.prepare(noisy((40, 50)), noise=NOISE)
    job.engine = Overflowing(job.engine, 0, in_float32=None)
    with pytest.raises(ValueError, match="NaN or infinity for these data, in float32 too"):
        list(job.steps())
