"""Weights that are adapted to an experiment: used where they gain, kept, and gone on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _small import journal, planned, save

from napari_denoise.batch import Adapted, Done, Progress, Resume, run
from napari_denoise.batch.adapt import FOLDER
from napari_denoise.io.errors import FileError
from napari_denoise.io.read import read
from napari_denoise.training.finetune import held_out, stack_material
from napari_denoise.training.finetune.gain import Gain

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("one_thread")]

MINUTES = 0.002


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two stacks of one camera and an image by itself."""
    folder = tmp_path_factory.mktemp("experiment")
    y, x = np.mgrid[:64, :96]
    light = 60 + 40 * np.sin(x / 9) * np.cos(y / 7)
    for number, name in enumerate("ab"):
        rng = np.random.default_rng(number)
        save(
            folder / f"{name}.ome.tif", np.uint16(100 + 2 * rng.poisson(light, (4, 64, 96))), "TYX"
        )
    save(folder / "c.ome.tif", np.uint16(100 + 2 * np.random.default_rng(3).poisson(light)))
    return folder


def gaining(monkeypatch: pytest.MonkeyPatch, low: float) -> None:
    monkeypatch.setattr(held_out, "gain_of", lambda *_: Gain(0.5, low, 0.9))


def told(events: list[Any]) -> list[bool]:
    return [event.used for event in events if isinstance(event, Adapted)]


def provenance(file: Path) -> dict[str, Any]:
    note: dict[str, Any] = read(file)[1].extra["napari_denoise"]
    return note


def test_weights_that_gain_are_used_kept_and_used_again(
    raw: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gaining(monkeypatch, 0.1)
    out = tmp_path / "out"
    plan = planned([raw], out, tiny, adapt=MINUTES)
    assert [bool(row.adapts) for row in plan.rows] == [True, True, False]
    assert plan.rows[0].adapts == plan.rows[1].adapts
    assert "no weights are adapted to it" in plan.rows[2].notes[-1]
    events = list(run(plan))
    assert told(events) == [True]
    assert sum(isinstance(event, Done) for event in events) == 3
    (line,) = [event for event in journal(out) if event["event"] == "adapted"]
    assert (line["used"], line["learnt_on"]) == (True, ["a.ome.tif", "b.ome.tif"])
    assert line["gain"] == {"value": 0.5, "low": 0.1, "high": 0.9}
    (weights,) = (out / FOLDER).iterdir()  # no checkpoint is left
    for name in "ab":
        note = provenance(out / f"{name}.ome.tif")
        assert note["weights_sha256"] == line["sha256"]
        assert note["adapted"]["base"] == "tiny" and "+0.50 dB" in note["adapted"]["verdict"]
    assert provenance(out / "c.ome.tif")["weights"] == "tiny"
    assert "+0.50 dB (90 % interval +0.10 to +0.90)" in (out / "batch.html").read_text()
    # The next run finds all finished; what it has to do again it does with the same weights.
    assert {row.act for row in planned([raw], out, tiny, adapt=MINUTES).rows} == {"skip"}
    (out / "b.ome.tif").unlink()
    again = list(run(planned([raw], out, tiny, adapt=MINUTES)))
    assert told(again) == []
    assert provenance(out / "b.ome.tif")["weights_sha256"] == line["sha256"]
    assert planned([raw], out, tiny).rows[0].act == "refuse"  # made with other weights
    weights.unlink()
    (out / "b.ome.tif").unlink()
    (failed,) = [e for e in run(planned([raw], out, tiny, adapt=MINUTES)) if hasattr(e, "error")]
    assert isinstance(failed.error, FileError) and "gone or changed" in str(failed.error)


def test_weights_that_do_not_surely_gain_are_not_used(
    raw: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gaining(monkeypatch, -0.1)
    out, usual = tmp_path / "out", tmp_path / "usual"
    assert told(list(run(planned([raw / "a.ome.tif"], out, tiny, adapt=MINUTES)))) == [False]
    list(run(planned([raw / "a.ome.tif"], usual, tiny)))
    note = provenance(out / "a.ome.tif")
    assert note["weights"] == "tiny"
    assert "not surely better than the base" in note["adapted"]["verdict"]
    np.testing.assert_array_equal(read(out / "a.ome.tif")[0], read(usual / "a.ome.tif")[0])
    again = planned([raw / "a.ome.tif"], out, tiny, Resume(), adapt=MINUTES)
    assert again.rows[0].act == "skip"


def test_an_adaptation_that_was_left_goes_on(
    raw: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gaining(monkeypatch, 0.1)
    out = tmp_path / "out"
    events = run(planned([raw], out, tiny, adapt=5 * MINUTES))
    while not (isinstance(event := next(events), Progress) and "step 2 of" in event.what):
        pass
    events.close()
    assert not [event for event in journal(out) if event["event"] == "adapted"]
    assert not list(out.glob("*.tif"))
    resumed = list(run(planned([raw], out, tiny, adapt=5 * MINUTES)))
    steps = [e.what for e in resumed if isinstance(e, Progress) and "step " in e.what]
    assert steps[0].startswith("adapting: step 3 of")
    assert told(resumed) == [True]


def test_what_cannot_be_followed_is_refused(raw: Path, tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"--adapt does not go with --realism 0\.5"):
        planned([raw], tmp_path / "out", tiny, adapt=1.0, realism=0.5)


def test_stacks_that_cannot_teach_are_denoised_as_usual(
    raw: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack_material, "_AGREE", 2.0)  # no frames agree as much
    events = list(run(planned([raw / "a.ome.tif"], tmp_path / "out", tiny, adapt=MINUTES)))
    (adapted,) = [event for event in events if isinstance(event, Adapted)]
    assert not adapted.used
    assert adapted.text.startswith("not adapted: a.ome.tif: its frames do not show the same")
    assert isinstance(events[-2], Done)
