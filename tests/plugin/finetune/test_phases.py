"""A fine-tuning as its thread goes through it: phases, stopping, and what stays on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from _bench import noisy
from _tuning import clean_image, kept_folders

from napari_denoise.plugin.finetune import kept as finetune_kept
from napari_denoise.plugin.finetune.run_events import (
    Asked,
    Control,
    Ended,
    GivenUp,
    Happening,
    Known,
    Stepped,
    TuningPhase,
    estimate,
    finetuning,
)
from napari_denoise.settings.finetune import FineTuneSettings
from napari_denoise.training.data.real_pairs import pair_of
from napari_denoise.training.loop.checkpoints import load_checkpoint
from napari_denoise.weights import catalogue

SHARE_A_VIEWER = True

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Three steps on a small pair."""
    monkeypatch.setattr(catalogue, "user_folder", lambda: tmp_path / "home" / "weights")
    pair = pair_of("cells", noisy((64, 96)), clean_image(), "YX")
    settings = FineTuneSettings(steps=3, patch=16, batch=2, device="cpu")
    return Asked((pair,), settings, finetune_kept.new_folder())


def again(asked: Asked) -> Asked:
    return Asked(asked.pairs, asked.settings, asked.folder, resume=True)


def stopped_at(asked: Asked, last: Callable[[Happening], bool]) -> list[Happening]:
    """All events where Stop is pressed as one of them arrives."""
    control, events = Control(), []
    for event in finetuning(asked, control):
        events.append(event)
        if last(event):
            control.stopped.set()
    return events


def texts(events: list[Happening]) -> list[str]:
    return [event.text for event in events if isinstance(event, TuningPhase)]


def test_every_part_of_the_wait_is_named_once_and_in_order(asked: Asked):
    events = list(finetuning(asked, Control()))
    assert texts(events) == [
        "Loading PyTorch …",
        "Reading the pairs …",
        "Checking the pair cells …",
        "Measuring the noise of cells, and preparing its frames …",
        "Reading the validation set …",
        "Measuring the weights to start from on the validation set …",
        "Timing the first steps …",
        "Keeping a copy of cells, to resume from after an interruption …",
        "Choosing how far to go from the base weights …",
        "Measuring the base weights on the validation set (1 of 2) …",
        "Measuring the fine-tuned weights on the validation set (2 of 2) …",
    ]
    assert isinstance(events[-1], Ended) and events[-1].error is None
    assert events[-1].result.best_step is not None


def test_an_estimate_names_its_parts_and_writes_nothing(asked: Asked):
    *phases, _planned = estimate(asked)
    assert texts(phases)[-1] == "Timing the first steps …"
    assert not asked.folder.exists()


@pytest.mark.parametrize("word", ["PyTorch", "Checking", "Timing", "copy of"])
def test_stop_is_heeded_between_any_two_parts_and_leaves_nothing(asked: Asked, word: str):
    events = stopped_at(asked, lambda event: isinstance(event, TuningPhase) and word in event.text)
    assert isinstance(events[-1], GivenUp)
    after = texts(events)[next(n for n, text in enumerate(texts(events)) if word in text) :]
    assert len(after) == 1
    assert not asked.folder.exists() and not finetune_kept.at_work


def test_stopped_after_a_step_it_is_kept_and_goes_on_with_the_next(asked: Asked):
    events = stopped_at(asked, lambda event: isinstance(event, Stepped))
    assert isinstance(events[-1], Ended) and events[-1].result is not None
    assert load_checkpoint(asked.folder / "checkpoint.pt")["step"] == 1
    assert kept_folders(finetune_kept.home()) == [asked.folder]
    steps = [e.report.step for e in finetuning(again(asked), Control()) if isinstance(e, Stepped)]
    assert steps[0] == 2


def test_the_lines_to_compare_with_are_known_before_the_first_step(asked: Asked):
    events = list(finetuning(asked, Control()))
    known = next(n for n, event in enumerate(events) if isinstance(event, Known))
    assert known < next(n for n, event in enumerate(events) if isinstance(event, Stepped))
    ((step, terms, figures),) = events[known].points
    assert (step, terms) == (0, {})
    assert set(figures) == {"psnr_noisy", "psnr_base", "ssim_noisy", "ssim_base"}
    assert figures["psnr_base"] == next(
        e.report.figures["psnr_base"] for e in events if isinstance(e, Stepped) and e.report.figures
    )


def test_a_run_that_goes_on_brings_the_curves_of_its_earlier_steps(asked: Asked):
    first = stopped_at(asked, lambda event: isinstance(event, Stepped))
    with (asked.folder / "log.csv").open("a") as log:
        log.write("3,distortion,1e-4,2.0,0.5\n")  # lost with the step it tells of
    _, logged = [e for e in finetuning(again(asked), Control()) if isinstance(e, Known)]
    ((step, terms, figures),) = logged.points
    (before,) = [e.report for e in first if isinstance(e, Stepped)]
    assert step == 1 and terms["pixel"] == pytest.approx(before.terms["pixel"], rel=1e-5)
    assert figures["psnr_faithful"] == pytest.approx(before.figures["psnr_faithful"], rel=1e-5)


def test_left_after_a_step_as_by_a_closed_window_it_is_kept(asked: Asked):
    work = finetuning(asked, Control())
    for event in work:
        if isinstance(event, Stepped):
            break
    work.close()
    assert load_checkpoint(asked.folder / "checkpoint.pt")["step"] == 1
    assert [kept.folder for kept in finetune_kept.unfinished()] == [asked.folder]


def test_stopped_before_it_goes_on_nothing_of_it_is_lost(asked: Asked):
    stopped_at(asked, lambda event: isinstance(event, Stepped))
    before = {path.name: path.read_bytes() for path in asked.folder.glob("*.pt")}
    events = stopped_at(again(asked), lambda event: isinstance(event, TuningPhase))
    assert isinstance(events[-1], GivenUp)
    assert {path.name: path.read_bytes() for path in asked.folder.glob("*.pt")} == before
    (kept,) = finetune_kept.unfinished()
    assert np.array_equal(kept.pairs()[0].noisy, asked.pairs[0].noisy)


@pytest.mark.parametrize(
    "text", ["null", "[]", "5", '{"owner": 5}', "{", '{"owner": {"pid": "x"}}']
)
def test_a_note_that_cannot_be_read_is_no_offer(asked: Asked, text: str):
    stopped_at(asked, lambda event: isinstance(event, Stepped))
    strange = finetune_kept.home() / "strange"
    strange.mkdir()
    (strange / finetune_kept.NOTE).write_text(text)
    assert [kept.folder for kept in finetune_kept.unfinished()] == [asked.folder]


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((64, 96), ""),
        ((96, 1200), "The curves are of one part of it, 256 px wide and high at most"),
    ],
)
def test_it_is_said_where_the_curves_are_of_less_than_the_table(
    asked: Asked, shape: tuple[int, int], said: str
):
    pair = pair_of("cells", noisy(shape), clean_image(shape), "YX")
    *_, ended = finetuning(replace(asked, pairs=(pair,)), Control())
    assert ended.curves == said
