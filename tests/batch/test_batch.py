"""Files in, denoised files out: planning, streaming, and what happens when one fails."""

from __future__ import annotations

import re
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from _networks import write_tiny_weights
from napari_denoise.batch import (
    BatchTask,
    Done,
    Failed,
    check_outputs,
    denoise_all,
    denoise_file,
    plan,
    plan_folder,
    with_maps,
)
from napari_denoise.batch.stream import DenoisedArray, Parts
from napari_denoise.inference.denoiser import Denoiser
from napari_denoise.inference.steps import Step
from napari_denoise.io.errors import FileError, FileExists
from napari_denoise.io.formats import loaded
from napari_denoise.io.meta import ImageMeta
from napari_denoise.io.read import read
from napari_denoise.io.write import write
from napari_denoise.settings.denoise import DenoiseSettings

# Frames of mere noise show nothing in common, which is said.
pytestmark = pytest.mark.filterwarnings("ignore:frames along")


@pytest.fixture(scope="module")
def gray(tmp_path_factory: pytest.TempPathFactory) -> Denoiser:
    folder = tmp_path_factory.mktemp("weights")
    return Denoiser.load(str(write_tiny_weights(folder / "tiny.safetensors")), "cpu", "float32")


@pytest.fixture(scope="module")
def colour(tmp_path_factory: pytest.TempPathFactory) -> Denoiser:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    return Denoiser.load(str(write_tiny_weights(path, channels=3)), "cpu", "float32")


def photons(*shape: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (100 + 4 * rng.poisson(30, shape)).astype(np.uint16)


def save(path: Path, array: np.ndarray, axes: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    scale = tuple(0.1 if a in "YX" else 1.0 for a in axes)
    units = tuple("micrometer" if a in "YX" else None for a in axes)
    write(path, array, ImageMeta(axes, scale=scale, units=units))
    return path


def names(tasks: list[BatchTask], root: Path) -> list[str]:
    return [str(task.target.relative_to(root)) for task in tasks]


def touch(folder: Path, *files: str) -> None:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4)).save(folder / file)


# Planning


def test_one_input_goes_to_the_named_file(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    (task,) = plan([tmp_path / "a.png"], tmp_path / "clean.ome.tif")
    assert task.target == tmp_path / "clean.ome.tif"


def test_in_a_folder_results_keep_name_number_and_format(tmp_path: Path) -> None:
    touch(tmp_path, "raw/f_001.png", "raw/f_002.png", "raw/other.png", "raw/photo.jpg")
    tasks = plan([tmp_path / "raw"], tmp_path / "out")
    assert sorted(names(tasks, tmp_path)) == ["out/f_###.png", "out/other.png", "out/photo.png"]


def test_the_suffix_stands_before_the_frame_number(tmp_path: Path) -> None:
    touch(tmp_path, "f_001.png", "f_002.png")
    (task,) = plan([tmp_path / "f_*.png"], tmp_path / "out", suffix="_denoised")
    assert task.outputs == [tmp_path / f"out/f_denoised_00{n}.png" for n in (1, 2)]


def test_a_result_keeps_its_place_when_files_are_added(tmp_path: Path) -> None:
    def places() -> dict[str, str]:
        tasks, _ = plan_folder([tmp_path / "raw"], tmp_path / "out", recursive=True)
        return {t.name: str(t.target.relative_to(tmp_path / "out")) for t in tasks}

    save(tmp_path / "raw/day1/a.tif", photons(8, 8), "YX")
    assert places() == {"a.tif": "day1/a.tif"}
    save(tmp_path / "raw/day2/b.tif", photons(8, 8), "YX")
    assert places() == {"a.tif": "day1/a.tif", "b.tif": "day2/b.tif"}
    (alone,), _ = plan_folder([tmp_path / "raw/day1/a.tif"], tmp_path / "out")
    assert alone.target == tmp_path / "out/a.tif"
    found, _ = plan_folder([tmp_path / "raw/*/a.tif"], tmp_path / "out")
    assert [t.target for t in found] == [tmp_path / "out/day1/a.tif"]


def test_results_of_several_folders_keep_their_subfolders(tmp_path: Path) -> None:
    touch(tmp_path, "day1/a.png", "day2/a.png")
    tasks = plan([f"{tmp_path}/day*/a.png"], tmp_path / "out")
    assert names(tasks, tmp_path) == ["out/day1/a.png", "out/day2/a.png"]


def test_separate_makes_every_frame_an_input(tmp_path: Path) -> None:
    touch(tmp_path, "f_001.png", "f_002.png")
    tasks = plan([tmp_path], tmp_path / "out", sequence=False)
    assert names(tasks, tmp_path) == ["out/f_001.png", "out/f_002.png"]


def test_sequence_makes_one_stack_of_files_with_other_names(tmp_path: Path) -> None:
    touch(tmp_path, "first.png", "second.png")
    files = [tmp_path / "first.png", tmp_path / "second.png"]
    (task,) = plan(files, tmp_path / "out.ome.tif", sequence=True)
    assert task.source.files == tuple(files)


def test_another_format_makes_one_file_of_a_sequence(tmp_path: Path) -> None:
    touch(tmp_path, "f_001.png", "f_002.png")
    (task,) = plan([tmp_path], tmp_path / "out", file_format="ome.tif")
    assert task.target == tmp_path / "out/f.ome.tif"


def test_several_inputs_are_not_forced_into_one_file(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "b.png")
    with pytest.raises(ValueError, match=r"2 inputs.*'a.png' and 'b.png'.*name a folder"):
        plan([tmp_path], tmp_path / "out.ome.tif")


def test_an_unknown_format_is_not_taken_for_a_folder(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    with pytest.raises(FileError, match=r"'.gif' is not written; use one of .ome.tif"):
        plan([tmp_path / "a.png"], tmp_path / "out.gif")
    (task,) = plan([tmp_path / "a.png"], tmp_path / "results.v2")
    assert task.target == tmp_path / "results.v2/a.png"


@pytest.mark.parametrize("suffix", ["/../x", "a/b"])
def test_a_suffix_cannot_lead_out_of_the_folder(tmp_path: Path, suffix: str) -> None:
    touch(tmp_path, "a.tif", "b.tif")
    with pytest.raises(ValueError, match="names a folder"):
        plan([tmp_path], tmp_path / "out", suffix=suffix)


def test_an_empty_output_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a.tif")
    with pytest.raises(ValueError, match="the output is empty"):
        plan([tmp_path], "")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, gray: Denoiser) -> None:
    source = save(tmp_path / "a.tif", photons(24, 30), "YX")
    (task,) = plan([source], source / "inside.ome.tif")
    with pytest.raises(FileError, match="its folder cannot be made"):
        denoise_file(task, gray, DenoiseSettings())


def test_two_results_of_one_name_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "a.jpg")
    with pytest.raises(ValueError, match=r"'a.jpg' and 'a.png' would both be written there"):
        plan([tmp_path], tmp_path / "out")


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_map_is_never_written_over_a_result_or_another_map(
    tmp_path: Path, overwrite: bool
) -> None:
    touch(tmp_path, "raw/1/a.png", "raw/2/a.png")
    (one,) = with_maps(plan([tmp_path / "raw/1"], tmp_path / "a.tif"), tmp_path / "a.tif")
    with pytest.raises(ValueError, match=r"a.tif: a map .* over a result"):
        check_outputs([one], overwrite=overwrite)
    two = with_maps(
        plan([tmp_path / "raw/1", tmp_path / "raw/2"], tmp_path / "out"), tmp_path / "maps"
    )
    with pytest.raises(ValueError, match=r"a_frames_used.ome.tif: a map .* another map"):
        check_outputs(two, overwrite=overwrite)


def test_existing_results_are_refused_and_counted(tmp_path: Path) -> None:
    touch(tmp_path, "raw/a.png", "raw/b.png", "out/a.png", "out/b.png")
    tasks = plan([tmp_path / "raw"], tmp_path / "out")
    with pytest.raises(FileExists, match=r"a.png: it exists already, as does 1 other; .*=True"):
        check_outputs(tasks, overwrite=False)
    check_outputs(tasks, overwrite=True)


@pytest.mark.parametrize("target", ["clean_####.png", "clean.png"])
def test_existing_frames_of_a_stack_are_refused_before_reading(tmp_path: Path, target: str) -> None:
    source = save(tmp_path / "raw.ome.tif", photons(3, 24, 40), "TYX")
    touch(tmp_path, "clean_0001.png", "clean_0002.png")
    tasks = plan([source], tmp_path / target)
    with pytest.raises(FileExists, match=r"clean_0001.png: it exists already, as does 1 other"):
        check_outputs(tasks, overwrite=False)
    check_outputs(tasks, overwrite=True)


def test_frames_of_another_name_are_in_nobodys_way(tmp_path: Path) -> None:
    touch(tmp_path, "raw.png", "out/clean_0001.png")
    check_outputs(plan([tmp_path / "raw.png"], tmp_path / "out/clean.png"), overwrite=False)


def test_an_input_is_never_replaced_even_with_overwrite(tmp_path: Path) -> None:
    touch(tmp_path, "f_001.png", "f_002.png")
    tasks = plan([tmp_path], tmp_path)
    with pytest.raises(ValueError, match="would replace an input"):
        check_outputs(tasks, overwrite=True)


# Streaming


@pytest.mark.parametrize("axes", ["TYX", "YXT", "CZYX", "YX", "TXY"])
def test_the_streamed_array_equals_the_denoised_one(gray: Denoiser, axes: str) -> None:
    sizes = {"T": 3, "C": 2, "Z": 2, "Y": 21, "X": 34}
    noisy = photons(*(sizes[a] for a in axes))
    job = gray.prepare(noisy, axes, tile=16)
    whole = gray(noisy, axes, tile=16)
    streamed = DenoisedArray(job, Parts(job))
    order = sorted(range(len(axes)), key=lambda i: (axes[i] in "YX", axes[i] == "X"))
    permuted, expected = streamed.transpose(order), whole.transpose(order)
    assert permuted.shape == expected.shape
    for index in np.ndindex(*expected.shape[:-2]):
        np.testing.assert_array_equal(permuted[index], expected[index])


def test_progress_counts_all_frames_from_start_to_end(gray: Denoiser) -> None:
    job = gray.prepare(photons(3, 20, 40), "TYX", tile=16)
    steps: list[Step] = []
    streamed = DenoisedArray(job, Parts(job, steps.append))
    for number in range(3):
        streamed[number]
    fractions = [step.fraction for step in steps]
    assert len(steps) == 3 * steps[0].tiles
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_a_frame_that_cannot_be_read_is_told_from_a_failed_write(gray: Denoiser) -> None:
    class Fading:
        """Readable for the measurement, then its disk goes."""

        shape, dtype, gone = (20, 30), np.dtype(np.uint16), False

        def __getitem__(self, index: object) -> np.ndarray:
            if self.gone:
                raise OSError("device not ready")
            return photons(20, 30)

    noisy = Fading()
    job = gray.prepare(noisy, "YX")
    streamed = DenoisedArray(job, Parts(job, source=Path("cells.tif")))
    noisy.gone = True
    with pytest.raises(FileError, match=r"cells.tif: frame 0 cannot be read \(device not ready"):
        streamed[()]


# Files


def test_a_file_comes_back_as_python_would_denoise_it(tmp_path: Path, gray: Denoiser) -> None:
    source = save(tmp_path / "raw.ome.tif", photons(3, 24, 40), "TYX")
    (task,) = plan([source], tmp_path / "out" / "clean.ome.tif")
    done = denoise_file(task, gray, DenoiseSettings())
    noisy, before = read(source)
    result, after = read(task.target)
    np.testing.assert_array_equal(result, gray(noisy, "TYX"))
    assert not np.array_equal(result, noisy)
    assert (result.dtype, after.axes) == (noisy.dtype, before.axes)
    assert (after.scale, after.units) == (before.scale, before.units)
    assert done.frames == 3
    assert set(done.files) >= {task.target}


@pytest.mark.parametrize("axes", ["YXT", "YTX", "TXY", "YXCT"])
@pytest.mark.parametrize("ending", [".npy", ".ome.tif"])
def test_results_keep_an_unusual_order_of_axes(
    tmp_path: Path, gray: Denoiser, axes: str, ending: str
) -> None:
    noisy = photons(*({"T": 3, "C": 2, "Y": 21, "X": 34}[a] for a in axes))
    np.save(tmp_path / "raw.npy", noisy)
    (task,) = plan([tmp_path / "raw.npy"], tmp_path / f"clean{ending}")
    denoise_file(task, gray, DenoiseSettings(), axes=axes)
    result, meta = read(task.target)
    assert meta.axes == axes
    np.testing.assert_array_equal(result, gray(noisy, axes))


def test_the_result_says_how_it_was_made(tmp_path: Path, gray: Denoiser) -> None:
    source = save(tmp_path / "raw.ome.tif", photons(24, 40), "YX")
    (task,) = plan([source], tmp_path / "clean.ome.tif")
    denoise_file(task, gray, DenoiseSettings(noise=9.0, strength=0.5))
    provenance = read(task.target)[1].extra["napari_denoise"]
    assert provenance["weights"] == "tiny"
    assert provenance["settings"]["strength"] == 0.5
    assert provenance["channels"][0]["noise"]["read_noise"] == 9.0


def test_denoising_a_result_again_is_warned_about(tmp_path: Path, gray: Denoiser) -> None:
    source = save(tmp_path / "raw.ome.tif", photons(24, 40), "YX")
    (first,) = plan([source], tmp_path / "once.ome.tif")
    assert denoise_file(first, gray, DenoiseSettings()).warnings == ()
    (second,) = plan([first.target], tmp_path / "twice.ome.tif")
    (text,) = denoise_file(second, gray, DenoiseSettings()).warnings
    assert "once.ome.tif: it was denoised before" in text


def test_numbered_frames_keep_numbers_and_type(tmp_path: Path, colour: Denoiser) -> None:
    rng = np.random.default_rng(1)
    for number in (7, 8):
        codes = rng.integers(0, 255, (20, 24, 3)).astype(np.uint8)
        Image.fromarray(codes).save(tmp_path / f"shot_{number:04d}.png")
    (task,) = plan([f"{tmp_path}/shot_####.png"], tmp_path / "out")
    denoise_file(task, colour, DenoiseSettings())
    for number in (7, 8):
        with Image.open(tmp_path / f"out/shot_{number:04d}.png") as picture:
            assert (picture.mode, picture.size) == ("RGB", (24, 20))


def test_linear_exr_goes_through_the_logarithm(tmp_path: Path, colour: Denoiser) -> None:
    # Dark enough that the values alone would not tell it from a photograph in floats.
    rng = np.random.default_rng(2)
    light = (0.2 * rng.random((24, 24, 3))).astype(np.float32)
    write(tmp_path / "render.exr", light, ImageMeta("YXS"))
    (task,) = plan([tmp_path / "render.exr"], tmp_path / "clean.exr")
    denoise_file(task, colour, DenoiseSettings())
    provenance = read(task.target)[1].extra["napari_denoise"]
    assert provenance["channels"][0]["mapping"]["kind"] == "log"


def test_a_stack_is_let_go_of_before_the_next_but_one_is_prepared(
    tmp_path: Path, gray: Denoiser, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = []
    preparing = Denoiser.preparing

    def watched(*given: Any, **more: Any) -> Any:
        assert not any(job() for job in jobs[:-1])  # the last one may still be written
        job = yield from preparing(*given, **more)
        assert job.neighbors is not None
        jobs.append(weakref.ref(job.neighbors))
        return job

    monkeypatch.setattr(Denoiser, "preparing", watched)
    for name in "abc":
        save(tmp_path / f"raw/{name}.ome.tif", photons(3, 24, 40), "TYX")
    tasks = plan([tmp_path / "raw"], tmp_path / "out")
    done = list(denoise_all(tasks, gray, DenoiseSettings(neighbors=1)))
    assert [type(one) for one in done] == [Done, Done, Done]
    assert len(jobs) == 3


def test_a_broken_file_does_not_stop_the_others(tmp_path: Path, gray: Denoiser) -> None:
    for name in "abc":
        save(tmp_path / f"raw/{name}.ome.tif", photons(24, 40), "YX")
    broken = tmp_path / "raw/b.ome.tif"
    broken.write_bytes(broken.read_bytes()[:600])
    tasks = plan([tmp_path / "raw"], tmp_path / "out")
    results = list(denoise_all(tasks, gray, DenoiseSettings()))
    assert [type(result) for result in results] == [Done, Failed, Done]
    failed = results[1]
    assert isinstance(failed, Failed)
    assert failed.unusable
    assert "b.ome.tif" in str(failed.error)
    assert sorted(file.name for file in (tmp_path / "out").glob("*.tif")) == [
        "a.ome.tif",
        "c.ome.tif",
    ]


def test_an_input_cut_off_while_it_is_denoised_fails_by_itself(
    tmp_path: Path, gray: Denoiser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded, "LAZY_BYTES", 0)
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", photons(4, 160, 240))

    def cut(task: BatchTask, step: Step) -> None:
        if task.name == "a.npy":
            with task.source.files[0].open("rb+") as file:
                file.truncate(100_000)

    tasks = plan([tmp_path / "a.npy", tmp_path / "b.npy"], tmp_path / "out")
    settings = DenoiseSettings(neighbors=0)
    failed, done = denoise_all(tasks, gray, settings, progress=cut)
    assert isinstance(failed, Failed) and isinstance(done, Done)
    assert isinstance(failed.error, FileError) and not failed.unusable
    # What was read ahead is whole; then its change is what tells.
    assert re.search(r"a\.npy: it (has 100,000 bytes|changed while)", str(failed.error))
    assert [file.name for file in (tmp_path / "out").iterdir() if file.suffix != ".json"] == [
        "b.npy"
    ]
    assert done.warnings == ()


def test_what_is_there_is_refused_before_the_noise_is_measured(
    tmp_path: Path, gray: Denoiser, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "raw.npy"  # tells of its frames only when it is read
    np.save(source, photons(3, 24, 40))
    write(tmp_path / "clean.png", photons(3, 24, 40), ImageMeta("TYX"))
    (task,) = plan([source], tmp_path / "clean.png")
    monkeypatch.setattr(Denoiser, "preparing", None)  # calling it would fail
    with pytest.raises(FileExists, match=r"clean_0000.png: it exists already, as do 2 others"):
        denoise_file(task, gray, DenoiseSettings())
    (float_task,) = plan([source], tmp_path / "clean.exr")
    with pytest.raises(FileError, match="EXR holds linear light"):
        denoise_file(float_task, gray, DenoiseSettings())


def test_a_file_that_appears_during_the_run_is_kept(tmp_path: Path, gray: Denoiser) -> None:
    source = save(tmp_path / "raw.ome.tif", photons(2, 24, 40), "TYX")
    (task,) = plan([source], tmp_path / "clean.ome.tif")
    (result,) = denoise_all(
        [task],
        gray,
        DenoiseSettings(),
        progress=lambda task, step: task.target.write_bytes(b"precious"),
    )
    assert isinstance(result, Failed)
    assert "it appeared while the result was computed" in str(result.error)
    assert task.target.read_bytes() == b"precious"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["clean.ome.tif", "raw.ome.tif"]


def test_no_room_for_the_result_is_said_before_computing(
    tmp_path: Path, gray: Denoiser, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = save(tmp_path / "raw.ome.tif", photons(24, 40), "YX")
    (task,) = plan([source], tmp_path / "clean.ome.tif")
    usage = type("Usage", (), {"free": 100})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    steps: list[Step] = []
    with pytest.raises(FileError, match=r"needs .*B but its folder has"):
        denoise_file(task, gray, DenoiseSettings(), progress=steps.append)
    assert not steps
