"""Axes that are a guess wait for an answer; the rest of the batch does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from _small import journal, outcomes, photons, planned, save

from napari_denoise.batch import Done, Failed, plan_folder, run, survey
from napari_denoise.image.long_work import finished
from napari_denoise.settings.denoise import DenoiseSettings

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("one_thread")]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    stack = photons(3, 24, 30)
    save(tmp_path / "raw/told.ome.tif", stack, "TYX")
    np.save(tmp_path / "raw/flat.npy", stack[0])
    np.save(tmp_path / "raw/mute.npy", stack)
    tifffile.imwrite(tmp_path / "raw/pages.tif", stack, photometric="minisblack")
    return tmp_path / "raw"


def test_a_guess_is_a_problem_before_the_night_and_the_rest_is_done(
    raw: Path, tiny: Path, tmp_path: Path
) -> None:
    plan = planned([raw], tmp_path / "out", tiny)
    rows = {row.task.name: row for row in plan.rows}
    asked = {name for name, row in rows.items() if row.wants_axes}
    assert asked == {"mute.npy", "pages.tif"}
    assert {rows[name].act for name in asked} == {"refuse"}
    assert rows["mute.npy"].shape == (3, 24, 30)
    assert "TYX of shape (3, 24, 30) is a guess; state its axes" in rows["mute.npy"].problem
    events = list(run(plan))
    failed = [event for event in events if isinstance(event, Failed)]
    assert {event.task.name for event in failed} == asked
    assert all(event.unusable for event in failed)
    assert sum(isinstance(event, Done) for event in events) == 2
    # Once it is answered, they are done, and nothing else is.
    again = planned([raw], tmp_path / "out", tiny, guess_axes=True)
    assert {row.task.name for row in again.waiting} == asked
    assert "is a guess" in next(r for r in again.rows if r.task.name == "mute.npy").notes[0]
    list(run(again))
    assert sorted(name for name, what in outcomes(tmp_path / "out") if what == "done") == sorted(
        rows
    )
    assert [e["guess_axes"] for e in journal(tmp_path / "out") if e["event"] == "batch"] == [
        False,
        True,
    ]
    # What is finished asks nothing any more.
    assert {row.act for row in planned([raw], tmp_path / "out", tiny).rows} == {"skip"}


def test_axes_of_one_input_or_of_all_answer(raw: Path, tiny: Path, tmp_path: Path) -> None:
    tasks, _ = plan_folder([raw / "mute.npy", raw / "pages.tif"], tmp_path / "out")
    own = [replace(tasks[0], axes="ZYX"), tasks[1]]
    settings = DenoiseSettings(weights=str(tiny))
    one = finished(survey(own, settings, tmp_path / "out"))
    assert [row.wants_axes for row in one.rows] == [False, True]
    assert one.rows[0].axes == "ZYX"
    every = finished(survey(tasks, settings, tmp_path / "out", axes="ZYX"))
    assert [row.act for row in every.rows] == ["denoise"] * 2
