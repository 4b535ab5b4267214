"""Ending near the minutes asked for: the pace, a plan changed on the way, and what is kept."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import pairwise

import pytest
from _real import camera_pair, tuning
from _tiny import assert_equal_states, tiny

from napari_denoise.settings.recipe import AdversarialStage, DistortionStage, TrainSettings
from napari_denoise.training.finetune import fine_tuning as finetune
from napari_denoise.training.finetune import prepared as finetune_prepared
from napari_denoise.training.finetune.pace import Pace, stretched
from napari_denoise.training.loop.checkpoints import load_checkpoint
from napari_denoise.training.loop.stages import learning_rate

STAGE = DistortionStage(
    steps=1000, warmup=30, decay=800, settle=100, spread=0.05, learning_rate=3e-4
)
GAN = AdversarialStage(steps=400, warmup=20, decay=200)


def recipe(**fields) -> TrainSettings:
    return replace(tiny(), **{"distortion": STAGE, **fields})


def rates(stage, first: int = 0) -> list[float]:
    return [learning_rate(step, stage) for step in range(first, stage.steps)]


# A changed plan


@pytest.mark.parametrize("done", [1, 10, 60, 300, 895, 940])
@pytest.mark.parametrize("share", [1.8, 0.7, 0.2])
def test_a_changed_plan_goes_on_at_the_rate_reached_and_falls_to_zero(done, share):
    before = STAGE
    after = stretched(recipe(), done, share).distortion
    assert after.steps == done + int(share * (before.steps - done))
    if done >= before.warmup:  # or else it rises faster from here on
        largest = max(abs(b - a) for a, b in pairwise(rates(after, done)))
        assert abs(learning_rate(done, after) - learning_rate(done, before)) <= largest
    assert rates(after)[-1] <= max(rates(before)) * 0.02
    assert len([r for r in rates(after, done) if r]) == after.steps - done


def test_settling_keeps_its_share_of_what_is_left():
    whole = stretched(recipe(), 500, 0.2).distortion
    assert whole.steps == 600 and whole.settle == 20
    inside = stretched(recipe(), 950, 0.5).distortion
    assert inside.steps == 975
    assert inside.steps - inside.settle <= 950  # it is still settling
    assert learning_rate(950, inside) == pytest.approx(learning_rate(950, STAGE), rel=0.05)


def test_no_part_is_left_out_however_little_time_there_is():
    least = stretched(recipe(adversarial=GAN), 500, 0.0)
    assert least.distortion.steps == 502 and least.distortion.settle == 1
    assert least.adversarial.steps == 1
    later = stretched(recipe(adversarial=GAN), 1100, 0.5)
    assert later.distortion == STAGE
    assert later.adversarial.steps == 250 and later.adversarial.decay == 100


# When


def paced(pace: Pace, steps: int, seconds: float) -> Pace:
    for _ in range(steps):
        pace.add(seconds)
    return pace


def test_nothing_changes_at_the_pace_that_was_planned():
    pace = paced(Pace(60.0), 11, 1.0)
    assert pace.share(recipe(distortion=replace(STAGE, steps=64, settle=0)), 11, 100) is None


def test_at_a_third_of_the_pace_there_is_time_for_the_steps_that_fit():
    plan = recipe(distortion=replace(STAGE, steps=60, settle=0))
    pace = paced(Pace(60.0), 2, 3.0)
    assert pace.share(plan, 2, 100) is None  # too early to tell
    paced(pace, 1, 3.0)
    share = pace.share(plan, 3, 100)
    assert 3.0 * 57 * share == pytest.approx(60 - 9)
    assert pace.share(plan, 3, 100) is None  # until it has looked again


@pytest.mark.parametrize("validation", [1.0, 3.0, 6.0, 15.0])
def test_a_plan_that_leaves_time_for_validations_is_not_made_longer(validation):
    count, each = min(max(int(0.06 * 300 / validation), 4), 25), 0.1
    steps = int((300 * 0.95 - count * validation) / each)
    plan = recipe(distortion=replace(STAGE, steps=steps, settle=0))
    every = -(-steps // count)
    pace = Pace(300.0, each=each, validation=validation)
    for step in range(1, steps + 1):
        due = step % every == 0 or step == steps
        pace.add(each + due * validation, due * validation)
        assert pace.share(plan, step, every) is None
    assert 0.9 * 300 < pace.spent <= 300


def test_at_half_the_time_a_step_there_are_more_of_them():
    plan = recipe(distortion=replace(STAGE, steps=57, settle=0))  # planned for a second each
    pace = paced(Pace(60.0), 15, 0.5)
    share = pace.share(plan, 15, 100)
    assert 0.5 * 42 * share == pytest.approx(60 - 7.5)
    longer = stretched(plan, 15, share)
    assert longer.steps == 15 + int(42 * share) > 57
    paced(pace, 15, 0.5)
    assert pace.share(longer, 30, 100) is None  # ends when it should now
    assert "steps take less time than" in pace.why_changed(plan.steps, longer.steps)


def test_the_first_step_of_a_stage_tells_nothing_of_the_others():
    pace = Pace(60.0)
    pace.add(40.0)
    paced(pace, 6, 1.0)
    plan = recipe(distortion=replace(STAGE, steps=20, settle=0))
    assert pace.left(plan, 7, 100) == pytest.approx(13)
    assert pace.spent == 46


def test_validations_and_the_slower_second_stage_are_counted():
    pace = Pace(60.0, second=3.0)
    pace.add(1.0)
    pace.add(6.0, validation=5.0)
    plan = recipe(distortion=replace(STAGE, steps=10, settle=0), adversarial=replace(GAN, steps=4))
    assert pace.left(plan, 2, 7) == pytest.approx(8 * 1 + 4 * 3 + 2 * 5)


def shaky(step: int) -> float:
    """Seconds of a step on a machine with other work: 1 on the average."""
    return (0.7, 1.6, 0.8, 1.0, 0.9)[step % 5]


def test_the_time_left_falls_steadily_however_shaky_steps_and_validations_are():
    plan = recipe(distortion=replace(STAGE, steps=300, settle=0))
    pace, every, costs = Pace(360.0, each=1.1, validation=3.0), 15, (1.0, 5.0, 3.0)
    took = [shaky(n) + (costs[n // every % 3] if n % every == 0 else 0.0) for n in range(1, 301)]
    for step, seconds in enumerate(took, 1):
        cost = costs[step // every % 3] if step % every == 0 else 0.0
        pace.add(seconds, cost)
        assert pace.share(plan, step, every) is None
        if step < 20:  # too few to tell
            continue
        left, true = pace.left(plan, step, every), sum(took[step:])
        assert left == pytest.approx(true, rel=0.08, abs=6)
        due = 300 // every - step // every
        assert left == pytest.approx((300 - step) / pace.speed + due * pace.validation)


def test_one_validation_that_took_long_does_not_speak_for_all():
    plan = recipe(distortion=replace(STAGE, steps=100, settle=0))
    pace = Pace(None, each=1.0, validation=2.0)
    for step in range(1, 41):
        pace.add(1.0 + 2.0 * (step % 10 == 0), 2.0 * (step % 10 == 0))
    before = pace.left(plan, 40, 10)
    for step in range(41, 51):
        pace.add(1.0 + 8.0 * (step == 50), 8.0 * (step == 50))
    assert pace.left(plan, 50, 10) == pytest.approx(before - 12, abs=6)


def test_the_first_step_of_a_run_that_goes_on_leaves_what_was_known():
    plan = recipe(distortion=replace(STAGE, steps=145, settle=0))
    pace = Pace(None, 40.0, each=0.8, validation=1.0)
    pace.begin("distortion")
    pace.add(4.0)
    assert pace.speed == pytest.approx(1 / 0.8)
    assert pace.left(plan, 30, 15) == pytest.approx(115 * 0.8 + 8)
    unknown = Pace(None, 40.0)
    unknown.add(2.0)
    assert unknown.left(plan, 30, 1000) == pytest.approx(230)


def test_the_second_stage_begins_at_the_pace_that_it_was_timed_at():
    plan = recipe(distortion=replace(STAGE, steps=10, settle=0), adversarial=replace(GAN, steps=4))
    pace = Pace(None, each=1.0, second=3.0)
    pace.begin("distortion")
    paced(pace, 10, 1.0)
    pace.begin("adversarial")
    pace.add(9.0)
    assert pace.left(plan, 11, 100) == pytest.approx(3 * 3.0)


def test_after_the_last_step_nothing_changes_however_late_it_is():
    plan = recipe(distortion=replace(STAGE, steps=3, warmup=1, decay=1, settle=0))
    assert paced(Pace(60.0), 3, 100.0).share(plan, 3, 100) is None


def test_where_steps_were_asked_for_no_time_is_too_long():
    assert paced(Pace(None), 50, 100.0).share(recipe(), 50, 100) is None


# As a whole


@pytest.fixture
def optimistic(monkeypatch):
    """Plans of far more steps than there is time for."""
    plan = finetune_prepared.make_plan

    def hopeful(asked, settings, *arguments, **options):
        made = plan(asked, settings, *arguments, **options)
        return replace(made, settings=replace(settings(200_000), validate_every=50_000))

    monkeypatch.setattr(finetune_prepared, "make_plan", hopeful)


def stored_plan(run) -> TrainSettings:
    note = json.loads((run.folder / "recipe.json").read_text())
    return TrainSettings.parse(note["settings"])


def test_a_machine_slower_than_measured_gets_a_shorter_plan_that_is_run_to_its_end(
    tmp_path, optimistic
):
    run = tuning(tmp_path, [camera_pair()], steps=None, minutes=0.02)
    reports = list(run.steps())
    notes = [r.note for r in reports if r.note]
    assert notes and "instead of 200000, to end near the 1 s asked for" in notes[0]
    done = [r for r in reports if r.terms]
    assert [r.step for r in done] == list(range(1, len(done) + 1))  # none was lost
    assert len(done) < 200_000 and done[-1].steps == len(done)
    assert done[-1].seconds_left == pytest.approx(0, abs=1e-9)
    plan = stored_plan(run)
    assert plan.steps == len(done)
    first, last = plan.distortion, learning_rate(plan.steps - 1, plan.distortion)
    # The last step of a cosine over few steps is no nearer to its end than this.
    assert last < first.learning_rate * max(1 / 50, (math.pi / 2 / first.decay) ** 2)
    assert reports[-1].result is not None
    info = run.save(tmp_path / "w.safetensors", reports[-1].result)
    assert info.card.recipe["distortion"]["steps"] == len(done)
    assert info.card.recipe["validate_every"] == 50_000


def test_a_run_that_is_resumed_goes_by_the_changed_plan_and_the_time_left(tmp_path, optimistic):
    run = tuning(tmp_path, [camera_pair()], steps=None, minutes=0.02)
    steps = run.steps()
    for report in steps:
        if report.note:
            break
    first = next(steps)
    steps.close()
    again = tuning(tmp_path, [camera_pair()], steps=None, resume=True)
    report = next(again.steps())
    assert (report.step, report.steps) == (first.step + 1, first.steps)
    assert again.pace.asked == pytest.approx(1.2)  # as when it was begun
    assert again.pace.spent > run.pace.spent > 0
    assert report.steps_per_second == pytest.approx(run.pace.speed)


def test_pauses_are_no_time_spent(tmp_path, monkeypatch):
    now = [0.0]
    run = tuning(tmp_path, [camera_pair()])
    steps = run.steps()
    monkeypatch.setattr(finetune, "perf_counter", lambda: now[0])
    next(steps)
    now[0] += 1000  # until the next step is asked for
    report = next(steps)
    assert run.pace.spent == 0 and report.seconds == 0
    steps.close()


# What is kept


def test_a_run_left_between_two_steps_is_kept_to_the_last_of_them(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        folder.mkdir()
    *_, last = tuning(whole, [camera_pair()]).steps()
    steps = tuning(parts, [camera_pair()]).steps()
    for _ in range(3):
        next(steps)
    steps.close()
    assert load_checkpoint(parts / "run" / "checkpoint.pt")["step"] == 3
    resumed = tuning(parts, [camera_pair()], resume=True)
    reports = list(resumed.steps())
    assert [r.step for r in reports if r.terms] == [4, 5, 6]
    assert reports[-1].result.rows == last.result.rows
    assert_equal_states(*(load_checkpoint(p / "run" / "checkpoint.pt") for p in (whole, parts)))


def test_a_run_that_is_resumed_after_its_last_step_is_only_measured(tmp_path):
    *_, last = tuning(tmp_path, [camera_pair()]).training()
    (report,) = tuning(tmp_path, [camera_pair()], resume=True).steps()
    assert (report.step, report.steps, last.step) == (6, 6, 6)
    assert set(report.result.rows) == {"noisy", "base", "fine-tuned"}


def test_keeping_says_whether_there_is_something_to_go_on_with(tmp_path):
    run = tuning(tmp_path, [camera_pair()])
    assert run.keep() is False
    steps = run.steps()
    next(steps)
    assert run.keep() is True
    next(steps)
    assert load_checkpoint(run.folder / "checkpoint.pt")["step"] == 1
    steps.close()


def test_an_error_in_the_middle_of_a_step_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    run = tuning(tmp_path, [camera_pair()])
    steps = run.steps()
    for _ in range(3):
        next(steps)
    run.keep()
    next(steps)

    def interrupted(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(finetune.Keeper, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(steps)
    assert run.keep() is True
    assert load_checkpoint(run.folder / "checkpoint.pt")["step"] == 3
