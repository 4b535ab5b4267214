"""What a fine-tuning keeps on disk: who may go on with it, begin it anew, or must wait."""

from __future__ import annotations

import json
from collections import deque

import pytest
from _real import camera_pair, chosen, drawn, tuning, validate

import napari_denoise
from napari_denoise.io.errors import FileError, FileExists, NotWritten
from napari_denoise.training.finetune.fine_tuning import FineTuning
from napari_denoise.training.loop.checkpoints import load_checkpoint
from napari_denoise.weights.catalogue import read_info


def begun(folder, steps=3, **options):
    """Train some steps of a plan and leave it."""
    run = tuning(folder, [camera_pair()], **options)
    reports = run.steps()
    for _ in range(steps):
        next(reports)
    reports.close()
    return run


def test_it_goes_on_by_the_settings_that_it_was_begun_with(tmp_path):
    begun(tmp_path, recipe="realistic", learning_rate=1e-4)
    again = FineTuning(
        [camera_pair()], chosen(tmp_path), tmp_path / "run", resume=True
    )  # whose recipe and rate are the usual ones
    assert (again.asked.recipe, again.asked.learning_rate) == ("realistic", 1e-4)
    assert again.recipe.adversarial is not None


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"learning_rate": 1e-3}, "learning_rate = None, not 0.001"),
        ({"recipe": "realistic"}, "recipe = 'faithful', not 'realistic'"),
        ({"steps": 9}, "steps = 6, not 9"),
        ({"seed": 4}, "seed = 0, not 4"),
        ({"noise": 12.0}, "noise = 'auto', not 12.0"),
    ],
)
def test_settings_that_were_not_those_are_refused(tmp_path, changed, said):
    begun(tmp_path)
    with pytest.raises(ValueError, match=f"begun with {said}: leave that out"):
        tuning(tmp_path, [camera_pair()], resume=True, **changed)


def test_other_pairs_are_refused_though_nothing_was_trained_yet(tmp_path):
    begun(tmp_path)
    for name in ("checkpoint.pt", "best.pt"):  # as after a kill within the first seconds
        (tmp_path / "run" / name).unlink()
    with pytest.raises(ValueError, match="begun with other pairs"):
        tuning(tmp_path, [camera_pair(seed=5)], resume=True)


def test_what_is_to_be_replaced_stays_until_the_first_step(tmp_path):
    begun(tmp_path)
    folder = tmp_path / "run"
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    with pytest.raises(ValueError, match="every frame is in the validation set"):
        FineTuning([camera_pair()], chosen(tmp_path), folder, drawn(validate()), overwrite=True)
    anew = FineTuning([camera_pair(seed=5)], chosen(tmp_path, steps=2), folder, overwrite=True)
    anew.plan()
    assert {path: path.read_bytes() for path in before} == before
    deque(anew.steps(), maxlen=0)
    assert load_checkpoint(folder / "checkpoint.pt")["step"] == 2
    pairs = json.loads((folder / "finetune.json").read_text())["pairs"]
    assert pairs[0]["sha256"] == camera_pair(seed=5).sha256


def test_figures_of_a_run_that_is_replaced_are_forgotten(tmp_path):
    begun(tmp_path)
    best = load_checkpoint(tmp_path / "run" / "best.pt")
    folder = tmp_path / "run"
    anew = FineTuning([camera_pair()], chosen(tmp_path), folder, overwrite=True)
    assert best["step"] and anew.validator.best_step is None


def test_weights_of_a_name_can_be_made_again_and_again(tmp_path):
    target = tmp_path / "w.safetensors"
    for seed in (0, 1):
        reports = napari_denoise.finetune(
            camera_pair(seed=seed), chosen(tmp_path, steps=2), save_as=target, overwrite=seed > 0
        )
        deque(reports, maxlen=0)
        pair = read_info(target).card.recipe["finetune"]["pairs"][0]
        assert pair["sha256"] == camera_pair(seed=seed).sha256
    with pytest.raises(FileExists, match="choose another name"):
        next(napari_denoise.finetune(camera_pair(), chosen(tmp_path), save_as=target))


def test_two_cannot_work_in_one_folder(tmp_path):
    first = tuning(tmp_path, [camera_pair()])
    reports = first.steps()
    next(reports)
    for options in ({"resume": True}, {"overwrite": True}):
        second = FineTuning([camera_pair()], chosen(tmp_path), tmp_path / "run", **options)
        with pytest.raises(BlockingIOError, match="another fine-tuning is at work"):
            next(second.steps())
    reports.close()
    second = tuning(tmp_path, [camera_pair()], resume=True)
    assert next(second.steps()).step == 2


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    run = tuning(tmp_path, [camera_pair()])
    (tmp_path / "run").write_text("in the way")
    with pytest.raises(NotWritten, match=r"run: .* a file stands where a folder is needed"):
        next(run.steps())


def test_only_the_run_is_deleted_where_one_is_replaced(tmp_path):
    folder, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    begun(tmp_path)
    (folder / "raw.tif").write_text("mine")
    (folder / "notes").mkdir()
    elsewhere.mkdir()
    (folder / "tensorboard").symlink_to(elsewhere)
    anew = FineTuning([camera_pair()], chosen(tmp_path, steps=2), folder, overwrite=True)
    deque(anew.steps(), maxlen=0)
    assert (folder / "raw.tif").read_text() == "mine" and (folder / "notes").is_dir()
    assert elsewhere.is_dir() and not (folder / "tensorboard").is_symlink()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_run_that_is_left_and_iterated_again_goes_on(tmp_path, overwrite):
    folder = tmp_path / "run"
    run = FineTuning([camera_pair()], chosen(tmp_path), folder, overwrite=overwrite)
    reports = run.steps()
    assert [next(reports).step for _ in range(3)] == [1, 2, 3]
    reports.close()
    assert [report.step for report in run.steps()] == [4, 5, 6, 6]


@pytest.mark.parametrize("kept", [0.01, 0.1, 0.3, 0.5, 0.9])
def test_a_checkpoint_that_was_cut_off_is_named(tmp_path, kept):
    begun(tmp_path)
    path = tmp_path / "run" / "checkpoint.pt"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(FileError, match=r"checkpoint\.pt: it is not a whole checkpoint"):
        load_checkpoint(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"\xff\xfe"])
@pytest.mark.parametrize("name", ["checkpoint.pt", "best.pt", "finetune.json", "recipe.json"])
def test_a_damaged_file_is_named_and_left(tmp_path, name, content):
    begun(tmp_path)
    damaged = tmp_path / "run" / name
    damaged.write_bytes(content)
    with pytest.raises(FileError, match=rf"{name}: .*; bring back a copy of it, or begin"):
        deque(tuning(tmp_path, [camera_pair()], resume=True).steps(), maxlen=0)
    assert damaged.read_bytes() == content


@pytest.mark.parametrize("text", ["null", "[1]", '{"settings": {"steps": "many"}}'])
@pytest.mark.parametrize("name", ["finetune.json", "recipe.json"])
def test_json_of_something_else_is_named(tmp_path, name, text):
    begun(tmp_path)
    (tmp_path / "run" / name).write_text(text)
    with pytest.raises(FileError, match=rf"{name}: it is not what a fine-tuning wrote"):
        deque(tuning(tmp_path, [camera_pair()], resume=True).steps(), maxlen=0)


def test_a_garbled_log_keeps_nobody_from_going_on(tmp_path):
    begun(tmp_path)
    (tmp_path / "run" / "log.csv").write_bytes(b"step,stage\n\xff\xfe\x00,\xb2\n2,distortion\n")
    *_, last = tuning(tmp_path, [camera_pair()], resume=True).steps()
    assert last.result is not None
