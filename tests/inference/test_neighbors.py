"""What neighbouring frames add, and when they are left out."""

import numpy as np
import pytest
from _films import OFFSET, READ_NOISE, clean_film, psnr, record, scene
from scipy.ndimage import gaussian_filter

from napari_denoise import Denoiser, DenoiseWarning, NoiseModel
from napari_denoise.settings.denoise import DenoiseSettings

CAMERA = NoiseModel(gain=1.0, offset=OFFSET, read_noise=READ_NOISE)


@pytest.fixture(scope="module")
def microscopy():
    return Denoiser.load("microscopy", "cpu", "float32")


def prepared(denoiser, film, neighbors=2, axes="TYX", **more):
    return denoiser.prepare(film, axes, noise=CAMERA, neighbors=neighbors, **more)


def results(job, which=None):
    """Denoise some frames, and say of how many frames each is made."""
    frames, used = {}, {}
    for step in job.tiles(which):
        if step.pixels is not None:
            number = step.place[0]
            out = frames.setdefault(number, np.zeros(job.size, job.dtype))
            out[step.window] = step.pixels
            if step.frames_used is not None:
                used.setdefault(number, np.ones(job.size))[step.window] = step.frames_used
    return frames, used


@pytest.mark.parametrize(("motion", "least"), [((0, 0), 2.0), ((1.2, -0.7), 1.0), ((-6, 4), 1.0)])
def test_neighbours_make_every_frame_better(microscopy, motion, least):
    clean = clean_film(motion=motion)
    film = record(clean)
    alone = microscopy(film, "TYX", noise=CAMERA, neighbors=0)
    fused = microscopy(film, "TYX", noise=CAMERA, neighbors=2)
    gains = [psnr(b, c) - psnr(a, c) for a, b, c in zip(alone, fused, clean, strict=True)]
    assert gains[2] > least
    assert min(gains) > 0.3  # those at the ends have fewer neighbours
    assert (fused.shape, fused.dtype) == (film.shape, film.dtype)


def test_tiles_regions_and_the_order_of_frames_change_nothing(microscopy):
    film = record(clean_film((131, 117), 4, (2.3, -1.6))).astype(np.float32)
    fixed = {"intensity_range": (100.0, 160.0)}
    whole, _ = results(prepared(microscopy, film, tile=1024, **fixed))
    for tile in (64, 256):
        parts, _ = results(prepared(microscopy, film, tile=tile, **fixed), which=[2, 0, 3, 1])
        for number, frame in whole.items():
            assert np.abs(parts[number] - frame).max() <= 1e-5 * 60
    job = prepared(microscopy, film, tile=64, **fixed)
    region = job.region(3, slice(37, 90), slice(11, 64))
    assert np.abs(region - whole[3][37:90, 11:64]).max() <= 1e-5 * 60


def test_cells_of_the_first_pass_do_not_show(microscopy, monkeypatch):
    from napari_denoise.inference import first_pass

    film = record(clean_film((100, 90), 2, (1.5, 3))).astype(np.float32)
    fixed = {"neighbors": 1, "intensity_range": (100.0, 160.0)}
    whole, _ = results(prepared(microscopy, film, **fixed))
    monkeypatch.setattr(first_pass, "CELL", 64)
    monkeypatch.setattr(first_pass, "KEPT_BYTES", 2**17)  # less than a frame: cells come again
    monkeypatch.setattr(first_pass, "free_memory", lambda device: 0)
    cells, _ = results(prepared(microscopy, film, **fixed))
    for number, frame in whole.items():
        assert np.abs(cells[number] - frame).max() <= 1e-4 * 60


def test_frames_too_large_to_be_held_get_the_same_pixels(microscopy, monkeypatch):
    film = record(clean_film((140, 120), 3, (1.5, 3))).astype(np.float32)
    fixed = {"intensity_range": (100.0, 160.0), "tile": 64}
    held, _ = results(prepared(microscopy, film, **fixed))
    monkeypatch.setattr("napari_denoise.image.frames.LARGE_BYTES", 100)
    parts, _ = results(prepared(microscopy, film, **fixed))
    for number, frame in held.items():
        assert np.abs(parts[number] - frame).max() <= 1e-5 * 60


def test_flat_noise_is_taken_from_the_same_place_and_its_map_is_true(microscopy):
    flat = np.full((5, 128, 128), 20.0)
    job = prepared(microscopy, record(flat), intensity_range=(100.0, 160.0))
    everywhere = slice(0, 128), slice(0, 128)
    for _ in job.neighbors.steps(2, everywhere):
        pass
    fused = job.neighbors.fused(2, everywhere)
    sigma = job.channels[0].scale.sigma * job.channels[0].scale.factor
    assert 0.95 < fused.values.std() / (sigma * fused.noise.mean()) < 1.05
    assert fused.frames.mean() > 4.5
    # Noise from elsewhere would be as good a match: the plain mean of the frames is the proof.
    mean = np.stack([job.channels[0].to_network(f[None]).to_float32()[0] for f in job.array])
    same = np.abs(fused.values[0] - mean.mean(axis=0)) < 0.5 * sigma
    assert same.mean() > 0.95


def spot(size, place, sd=1.6):
    y, x = np.ogrid[: size[0], : size[1]]
    return np.exp(-((y - place[0]) ** 2 + (x - place[1]) ** 2) / (2 * sd**2))


def test_an_event_of_one_frame_stays_and_leaves_no_ghost(microscopy):
    clean = clean_film()
    places = [(24, 24), (24, 70), (70, 24), (70, 70), (47, 47)]
    shape = sum(spot(clean.shape[1:], place) for place in places)
    clean[2] += 30 * shape  # some five standard deviations of the noise a pixel
    film = record(clean)
    heights = {}
    for neighbors in (0, 2):
        with_spots = microscopy(film, "TYX", noise=CAMERA, neighbors=neighbors) - OFFSET
        without = clean - np.array([0, 0, 30, 0, 0])[:, None, None] * shape
        heights[neighbors] = [
            float(((frame - base) * shape).sum() / (30 * np.square(shape).sum()))
            for frame, base in zip(with_spots, without, strict=True)
        ]
    assert heights[2][2] > heights[0][2] - 0.03
    assert abs(heights[2][3] - heights[0][3]) < 0.04
    assert abs(heights[2][1] - heights[0][1]) < 0.04


def test_frames_that_dim_keep_their_brightness(microscopy):
    clean = clean_film() * (0.88 ** np.arange(5))[:, None, None]
    film = record(clean)
    alone = microscopy(film, "TYX", noise=CAMERA, neighbors=0)
    fused = microscopy(film, "TYX", noise=CAMERA, neighbors=2, dtype="float32")
    for one, noisy in zip(fused, film, strict=True):
        assert one.mean() - OFFSET == pytest.approx(noisy.mean() - OFFSET, rel=0.0075)
    assert psnr(fused[2], clean[2]) > psnr(alone[2], clean[2]) + 1


@pytest.fixture
def bad_frames():
    """Name what is wrong with frame 2 of a film, and give the film."""
    clean = clean_film()

    def film(kind):
        noisy = record(clean)
        match kind:
            case "repeats":
                noisy[2] = noisy[1]
            case "is blank":
                noisy[2] = 100
            case "flashes":
                noisy[2] = record(clean[2:3] * 12, seed=1)[0]
            case "shows something else":
                noisy[2] = record(60 - scene(seed=9, margin=0) * 1.3)
            case "was denoised":
                noisy[2] = np.round(clean[2] + OFFSET).astype(np.uint16)
            case "is saturated":
                noisy[2] = 65535
                noisy[2, ::7, ::5] = 65534
        return noisy

    return film


@pytest.mark.parametrize(
    "kind",
    ["repeats", "is blank", "flashes", "shows something else", "was denoised", "is saturated"],
)
def test_a_frame_that_says_nothing_harms_none(microscopy, bad_frames, kind):
    clean = clean_film()
    fixed = {"intensity_range": (100.0, 160.0)}
    bad = bad_frames(kind)
    frames, used = results(prepared(microscopy, bad, 1, **fixed), which=[1, 3])
    alone, _ = results(prepared(microscopy, bad, 0, **fixed), which=[1, 3])
    for number in (1, 3):
        assert psnr(frames[number], clean[number]) > psnr(alone[number], clean[number]) - 0.05
        limit = 3 if (kind, number) == ("repeats", 3) else 2.4  # two of three frames are good
        assert used[number].mean() < limit


def test_running_means_are_no_independent_frames(microscopy):
    noisy = record(clean_film(frames=9)).astype(np.float32)
    means = np.stack([noisy[t : t + 4].mean(axis=0) for t in range(6)])
    quarter = NoiseModel(gain=0.25, offset=OFFSET, read_noise=READ_NOISE / 2)
    job = microscopy.prepare(means, "TYX", noise=quarter, neighbors=2)
    *_, last = job.steps([2])
    alone = microscopy(means, "TYX", noise=quarter, neighbors=0)
    assert np.array_equal(last.result, alone[2])


def test_hot_pixels_of_a_neighbour_do_not_travel(microscopy):
    clean = clean_film(motion=(3, 2))
    noisy, hot = record(clean), record(clean)
    places = [(20, 20), (40, 61), (75, 33), (60, 80)]
    for place in places:
        hot[(slice(None), *place)] = 4000  # fixed on the sensor, while the scene moves
    fixed = {"intensity_range": (100.0, 160.0)}
    good, _ = results(prepared(microscopy, noisy, **fixed), which=[2])
    bad, _ = results(prepared(microscopy, hot, **fixed), which=[2])
    away = np.ones(clean.shape[1:], bool)
    for y, x in places:
        away[y - 3 : y + 4, x - 3 : x + 4] = False
    assert psnr(bad[2][away], clean[2][away]) > psnr(good[2][away], clean[2][away]) - 0.2
    assert bad[2][away].max() < 200


def test_what_stands_in_for_a_missing_value_goes_to_no_other_frame(microscopy):
    clean = clean_film()
    film = record(clean).astype(np.float32)
    film[1, 30:60, 30:60] = np.nan
    fixed = {"intensity_range": (100.0, 160.0)}
    _, used = results(prepared(microscopy, film, 1, **fixed), which=[2])
    assert used[2][32:58, 32:58].max() <= 2  # of itself and frame 3
    assert used[2][:20].mean() > 2.7


def test_a_blot_of_light_goes_to_no_other_frame():
    rng = np.random.default_rng(0)
    light = np.exp(gaussian_filter(rng.standard_normal((64, 64, 3)), (5, 5, 0)) * 8)
    film = (light * rng.gamma(2, 0.5, (3, *light.shape))).astype(np.float32)
    film[1, 30:32, 30:32] = 1e6
    denoiser = Denoiser.load("render", "cpu", "float32")
    fused = denoiser(film, "TYXS", neighbors=1, noise=0.5)
    alone = denoiser(film, "TYXS", neighbors=0, noise=0.5)
    for frame in (0, 2):
        assert fused[frame].max() < 2 * alone[frame].max()


def test_unrelated_frames_are_taken_one_by_one_and_it_is_said(microscopy):
    film = np.stack([record(scene(seed=seed, margin=0) * 1.5, seed) for seed in range(5)])
    with pytest.warns(DenoiseWarning, match="do not show the same"):
        result = microscopy(film, "TYX", noise=CAMERA)
    assert np.array_equal(result, microscopy(film, "TYX", noise=CAMERA, neighbors=0))


def test_neighbours_lie_along_time_else_depth_and_never_in_another_channel(microscopy):
    film = record(clean_film(frames=4))
    stack = np.stack([film, film[::-1]], axis=1)  # T, C
    job = prepared(microscopy, stack, "auto", "TCYX")
    assert (job.neighbors.letter, job.neighbors.radius) == ("T", 2)
    *_, last = job.steps([2])  # T = 1, C = 0
    *_, same = prepared(microscopy, film, "auto").steps([1])
    assert np.array_equal(last.result, same.result)
    assert prepared(microscopy, film, "auto", "ZYX").neighbors.radius == 1
    volumes = np.stack([film, film])
    assert prepared(microscopy, volumes, "auto", "TZYX", along="Z").neighbors.letter == "Z"
    assert prepared(microscopy, film[:1], "auto").neighbors is None


def test_neighbours_that_are_not_there_are_missed(microscopy):
    job = prepared(microscopy, record(clean_film(frames=2)), 3, "TYX", along="Z")
    assert any("no neighbours along z" in note for note in job.warnings)


@pytest.mark.parametrize("neighbors", [-1, 5, 1.5, "two"])
def test_other_numbers_of_neighbours_are_refused(neighbors):
    with pytest.raises(ValueError, match="neighbors"):
        DenoiseSettings.parse({"neighbors": neighbors})


def test_a_result_says_what_it_is_made_of(microscopy):
    job = prepared(microscopy, record(clean_film()), 2)
    assert "frames_used" not in job.provenance()["neighbors"]
    for _ in job.steps():
        pass
    said = job.provenance()["neighbors"]
    assert (said["along"], said["each_side"]) == ("T", 2)
    assert 3 < said["frames_used"] <= 4.2  # two of the five frames have two neighbours, two three
    assert said["frames_used"] == pytest.approx(job.frames_used, abs=1e-3)


def test_a_job_with_neighbours_can_be_left_within_a_cell(microscopy):
    work = prepared(microscopy, record(clean_film()), 2).steps()
    first = next(work)
    assert first.index is None
    assert 0 < first.fraction < 0.1


def test_renders_keep_their_light():
    rng = np.random.default_rng(0)
    light = np.exp(gaussian_filter(rng.standard_normal((5, 64, 64, 3)), (0, 5, 5, 0)) * 12)
    light = np.repeat(light[:1], 5, axis=0)
    film = (light * rng.gamma(2, 0.5, light.shape)).astype(np.float32)
    denoiser = Denoiser.load("render", "cpu", "float32")
    alone = denoiser(film, "TYXS", neighbors=0)
    fused = denoiser(film, "TYXS", neighbors=2)
    assert np.square(np.log(fused[2] / light[2])).mean() < (
        0.7 * np.square(np.log(alone[2] / light[2])).mean()
    )
    assert abs(fused.mean() / light.mean() - 1) < abs(alone.mean() / light.mean() - 1)
