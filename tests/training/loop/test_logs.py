"""What a run writes down about itself."""

from __future__ import annotations

import csv
import importlib
import math
import sys
from types import ModuleType

import pytest

from napari_denoise.training.loop import logs
from napari_denoise.training.loop.logs import FIRST_COLUMNS, RunLog
from napari_denoise.training.loop.report import StepReport, Validation

COLUMNS = ("pixel", "gradient_norm", "penalty", "psnr_faithful")


def report(step, stage="distortion", validation=None, **terms):
    terms = {"pixel": float(step), "gradient_norm": 1.0} | terms
    told = {"learning_rate": 1e-3, "validation": validation}
    return StepReport(step, 9, stage, terms, 2.0 * step, 0.5, **told)


def rows(folder):
    with (folder / "log.csv").open(newline="") as file:
        reader = csv.DictReader(file)
        return reader.fieldnames, list(reader)


def write(folder, steps, first=0, every=2, last=None):
    with RunLog(folder, COLUMNS, first, every, last) as log:
        for step in steps:
            log.add(report(step))


def test_every_so_many_steps_a_row_of_means_is_written(tmp_path):
    write(tmp_path / "run", range(1, 8), every=3, last=7)
    names, found = rows(tmp_path / "run")
    assert names == [*FIRST_COLUMNS, *COLUMNS]
    assert [(r["step"], r["pixel"], r["seconds"]) for r in found] == [
        ("3", "2", "6.0"),
        ("6", "5", "12.0"),
        ("7", "6", "14.0"),
    ]
    assert {r["stage"] for r in found} == {"distortion"}
    assert {r["learning_rate"] for r in found} == {"1.000e-03"}
    assert {r["penalty"] for r in found} == {""}


def test_means_are_of_one_stage(tmp_path):
    with RunLog(tmp_path, COLUMNS, every=4) as log:
        for step in (1, 2):
            log.add(report(step, pixel=100.0))
        for step in (3, 4):
            log.add(report(step, "adversarial", pixel=1.0))
        assert log.mean("pixel") == 1
    assert [(r["stage"], r["pixel"]) for r in rows(tmp_path)[1]] == [("adversarial", "1")]


def test_a_term_that_not_every_step_has_is_in_every_row_that_saw_it(tmp_path):
    with RunLog(tmp_path, COLUMNS, every=2) as log:
        log.add(report(1, penalty=5.0))
        log.add(report(2))
        log.add(report(3))
        log.add(report(4))
        assert math.isnan(log.mean("penalty"))
    assert [r["penalty"] for r in rows(tmp_path)[1]] == ["5", ""]


def test_rows_are_on_disk_as_soon_as_they_are_written(tmp_path):
    with RunLog(tmp_path, COLUMNS, every=1) as log:
        log.add(report(1))
        assert len(rows(tmp_path)[1]) == 1


def test_a_resumed_run_drops_the_rows_of_steps_that_were_lost(tmp_path):
    write(tmp_path, range(1, 9))
    write(tmp_path, range(6, 9), first=5)
    found = rows(tmp_path)[1]
    assert [r["step"] for r in found] == ["2", "4", "6", "8"]
    assert [r["seconds"] for r in found] == ["4.0", "8.0", "20.0", "24.0"]  # 8 seconds before


def test_a_run_from_the_start_has_a_log_of_its_own(tmp_path):
    write(tmp_path, range(1, 9))
    write(tmp_path, range(1, 3))
    assert [r["step"] for r in rows(tmp_path)[1]] == ["2"]


def test_a_resumed_run_that_is_killed_at_once_has_not_lost_its_log(tmp_path):
    write(tmp_path, range(1, 9))
    log = RunLog(tmp_path, COLUMNS, first=8)
    log.__enter__()  # and nothing more: not even what it wrote is flushed by an exit
    try:
        assert [r["step"] for r in rows(tmp_path)[1]] == ["2", "4", "6", "8"]
    finally:
        log.__exit__(None, None, None)


@pytest.mark.parametrize("torn", ["8", "8,dist", "8,distortion,1e-3", "8,distortion,1e-3,"])
def test_a_row_cut_short_by_a_crash_is_dropped(torn, tmp_path):
    write(tmp_path, range(1, 7))
    with (tmp_path / "log.csv").open("a") as file:
        file.write(torn)
    write(tmp_path, [9, 10], first=8)
    assert [r["step"] for r in rows(tmp_path)[1]] == ["2", "4", "6", "10"]


def test_a_failed_step_leaves_no_row(tmp_path):
    with RunLog(tmp_path, COLUMNS, every=2) as log:
        log.add(report(1))
        log.add(report(2))
        log.add(report(2, pixel=math.nan))
        assert log.mean("pixel") == 1.5
    assert [r["step"] for r in rows(tmp_path)[1]] == ["2"]


def test_a_validation_has_a_row_and_a_figure_at_once(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(logs, "save_figure", lambda validation, path: drawn.append(path))
    validation = Validation({"psnr_faithful": 31.25}, {})
    with RunLog(tmp_path, COLUMNS, every=100) as log:
        log.add(report(7, validation=validation))
    (row,) = rows(tmp_path)[1]
    assert (row["step"], row["psnr_faithful"]) == ("7", "31.25")
    assert drawn == [tmp_path / "validation" / "000007.png"]


class Board:
    """Stands in for TensorBoard's writer, which is not installed for tests."""

    def __init__(self, folder):
        self.folder, self.scalars, self.closed = folder, [], False

    def add_scalar(self, name, value, step):
        self.scalars.append((name, value, step))

    def close(self):
        self.closed = True


def test_tensorboard_is_written_where_it_is_installed(tmp_path, monkeypatch):
    module = ModuleType("torch.utils.tensorboard")
    made = []
    module.SummaryWriter = lambda folder: made.append(Board(folder)) or made[-1]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    monkeypatch.setattr(logs, "find_spec", lambda name: importlib.util.find_spec("json"))
    write(tmp_path, range(1, 5))
    (board,) = made
    assert board.folder == tmp_path / "tensorboard"
    assert board.scalars == [
        ("distortion/pixel", 1.5, 2),
        ("distortion/gradient_norm", 1.0, 2),
        ("distortion/pixel", 3.5, 4),
        ("distortion/gradient_norm", 1.0, 4),
    ]
    assert board.closed


def test_without_tensorboard_there_is_no_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)  # an import would fail
    write(tmp_path, range(1, 5))
    assert [p.name for p in tmp_path.iterdir()] == ["log.csv"]
