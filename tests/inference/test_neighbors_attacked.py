"""Neighbours on films that are hard to come by, and hard on them."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from _films import OFFSET, READ_NOISE, clean_film, record

from napari_denoise import Denoiser, NoiseModel

CAMERA = NoiseModel(gain=1.0, offset=OFFSET, read_noise=READ_NOISE)


@pytest.fixture(scope="module")
def microscopy():
    return Denoiser.load("microscopy", "cpu", "float32")


def walked(job):
    """Denoise all frames; say which came, how many times, and what progress was told."""
    frames, fractions = [], []
    for step in job.steps():
        fractions.append(step.fraction)
        if step.result is not None:
            frames.append(step.index)
    return frames, fractions


@pytest.mark.parametrize(("blank", "large"), [((2,), False), ((1, 2), True), ((0, 1, 3), False)])
def test_every_frame_comes_once_whatever_its_neighbours_are(microscopy, blank, large, monkeypatch):
    film = record(clean_film((40, 90), 4))
    film[list(blank)] = 100
    if large:
        monkeypatch.setattr("napari_denoise.image.frames.LARGE_BYTES", 100)
    monkeypatch.setattr("napari_denoise.inference.first_pass.CELL", 64)
    job = microscopy.prepare(film, "TYX", noise=CAMERA, neighbors=2, tile=64)
    frames, fractions = walked(job)
    assert frames == list(job.frames)
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1


@pytest.mark.parametrize("size", [(1, 64), (48, 1), (5, 7)])
def test_lines_and_points_have_neighbours_too(microscopy, size):
    film = record(clean_film(frames=3)[:, : size[0], : size[1]]).astype(np.float32)
    fused = microscopy(film, "TYX", noise=CAMERA, neighbors=1)
    alone = microscopy(film, "TYX", noise=CAMERA, neighbors=0)
    assert fused.shape == film.shape
    assert fused.mean() == pytest.approx(alone.mean(), rel=0.01)


def test_a_repeated_line_is_no_second_shot(microscopy):
    film = record(clean_film(frames=3)[:, :1])
    film[2] = film[1]
    *_, last = microscopy.prepare(film, "TYX", noise=CAMERA, neighbors=1).steps([2])
    assert last.frames_used is None


def test_black_frames_between_say_nothing_of_whether_the_others_agree(microscopy):
    film = record(clean_film((64, 64), 5))
    film[::2] = 0  # all that are sampled
    job = microscopy.prepare(film, "TYX", noise=CAMERA)
    assert job.neighbors is not None
    assert not job.why_alone
    *_, last = job.steps([1])
    assert last.frames_used.mean() > 1.3


def counted(neighbors):
    """Count how many times each cell is computed from now on."""
    first, times = neighbors._first, {}
    compute = first._compute

    def counting(number, tile):
        key = number, str(tile.write)
        times[key] = times.get(key, 0) + 1
        return compute(number, tile)

    first._compute = counting
    return times


def test_cells_of_large_frames_are_computed_once_where_memory_allows(microscopy, monkeypatch):
    from napari_denoise.inference import first_pass

    monkeypatch.setattr(first_pass, "CELL", 64)
    monkeypatch.setattr(first_pass, "KEPT_BYTES", 2**16)
    film = record(clean_film((100, 120), 6))
    job = microscopy.prepare(film, "TYX", noise=CAMERA, neighbors=1, tile=64)
    times = counted(job.neighbors)
    walked(job)
    assert set(times.values()) == {1}
    cell = next(iter(job.neighbors._first._cells.values())).nbytes
    assert job.neighbors._first._bytes <= (3 * 4 + 1) * 1.3 * cell  # three frames of four cells
    job.neighbors.let_go()
    assert job.neighbors._first._bytes == 0


def test_two_threads_share_a_job(microscopy, monkeypatch):
    from napari_denoise.inference import first_pass

    monkeypatch.setattr(first_pass, "CELL", 64)
    monkeypatch.setattr(first_pass, "KEPT_BYTES", 2**16)
    film = record(clean_film((70, 90), 4, (1.5, -1)))
    job = microscopy.prepare(film, "TYX", noise=CAMERA, neighbors=2, tile=64)
    whole = np.stack([step.result for step in job.steps() if step.result is not None])
    job.neighbors.let_go()
    again = job.adjusted(strength=1.0, tile=64)
    with ThreadPoolExecutor(2) as threads:
        run = threads.submit(lambda: [s.result for s in job.steps() if s.result is not None])
        looks = [
            threads.submit(again.region, number, slice(5, 60), slice(30, 90))
            for number in (3, 0, 2, 1)
        ]
        assert np.array_equal(run.result(), whole)
        for number, look in zip((3, 0, 2, 1), looks, strict=True):
            assert np.array_equal(look.result(), whole[number, 5:60, 30:90])


def test_memory_that_runs_short_in_the_first_pass_changes_no_pixel(microscopy):
    film = record(clean_film((150, 140), 3, (1.5, -1))).astype(np.float32)
    fixed = {"noise": CAMERA, "neighbors": 1, "tile": 64}
    whole = microscopy(film, "TYX", **fixed)
    job = microscopy.prepare(film, "TYX", **fixed)
    engine = job.neighbors._engine

    class Short:
        def __getattr__(self, name):
            return getattr(engine, name)

        def run(self, mapped, *more):
            if max(mapped.to_float32().shape) > 140:
                raise RuntimeError("CUDA out of memory")
            return engine.run(mapped, *more)

    job.neighbors._engine = Short()
    job.neighbors.let_go()
    parts = np.stack([step.result for step in job.steps() if step.result is not None])
    assert job.neighbors._side < 512
    assert np.abs(parts - whole).max() <= 1e-5 * np.ptp(whole)


def test_a_job_that_was_left_can_be_used_again(microscopy):
    film = record(clean_film((64, 64), 3))
    job = microscopy.prepare(film, "TYX", noise=CAMERA, neighbors=1)
    work = job.steps()
    for _ in range(2):
        next(work)
    work.close()
    again = np.stack([step.result for step in job.steps() if step.result is not None])
    assert np.array_equal(again, microscopy(film, "TYX", noise=CAMERA, neighbors=1))


def test_a_call_leaves_no_first_pass_in_memory(microscopy):
    jobs = []
    prepare = Denoiser.prepare

    def kept(*given, **more):
        jobs.append(prepare(*given, **more))
        return jobs[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Denoiser, "prepare", kept)
        film = record(clean_film((64, 64), 3))
        microscopy(film, "TYX", noise=CAMERA, neighbors=1)
        work = microscopy.frames(film, "TYX", noise=CAMERA, neighbors=1)
        next(work)
        assert jobs[1].neighbors._first._bytes > 0
        work.close()
    assert [job.neighbors._first._bytes for job in jobs] == [0, 0]


def test_a_frame_without_neighbours_counts_as_one_frame_used(microscopy):
    film = record(clean_film((40, 40), 4))
    film[1] = 100
    job = microscopy.prepare(film, "TYX", noise=CAMERA, neighbors=1)
    steps = [step for step in job.steps() if step.result is not None]
    assert steps[0].frames_used is None
    both = steps[2].frames_used.mean() + steps[3].frames_used.mean()
    assert job.frames_used == pytest.approx((1 + both) / 3, rel=1e-5)
