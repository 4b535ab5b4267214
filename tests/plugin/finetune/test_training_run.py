"""The Fine-tune widget at work: trained, held, stopped, saved, and gone on with."""

from __future__ import annotations

import resource
import threading

import numpy as np
import pytest
import torch
from _tuning import TuningBench, kept_folders
from qtpy.QtCore import QPoint
from qtpy.QtWidgets import QMessageBox, QWidget
from torch import Tensor

from napari_denoise.plugin.denoise.denoise_widget import DenoiseWidget
from napari_denoise.plugin.finetune import finetune_widget
from napari_denoise.plugin.finetune import kept as finetune_kept
from napari_denoise.plugin.finetune.finetune_widget import FineTuneWidget
from napari_denoise.plugin.finetune.run_events import Stepped, TuningPhase
from napari_denoise.plugin.finetune.watch_page import WatchPage
from napari_denoise.plugin.layers.source import bare
from napari_denoise.training.finetune import step_plan as finetune_plan
from napari_denoise.training.finetune.held_out import Figures
from napari_denoise.training.finetune.outcome import FineTuneResult
from napari_denoise.training.loop import stages
from napari_denoise.training.loop.checkpoints import load_checkpoint
from napari_denoise.training.loop.report import StepReport, Validation


def test_pairs_become_weights_that_denoise_can_use_and_undo(tuning: TuningBench):
    denoise = DenoiseWidget(tuning.viewer)
    tuning.viewer.window.add_dock_widget(denoise, name="Denoise")
    layer, _ = tuning.layers()
    original = layer.data
    tuning.add()
    tuning.start()
    watch = tuning.widget.watch
    assert {"psnr_noisy", "psnr_base", "ssim_faithful"} <= set(tuning.figures)
    tuning.until(lambda: tuning.widget.sight.layer is not None)

    watch.pause.native.click()
    tuning.until(lambda: "paused" in watch.progress.text())
    held = tuning.step
    tuning.qtbot.wait(300)
    assert tuning.step == held and tuning.widget.paused
    watch.pause.native.click()
    tuning.until(lambda: tuning.step > held)

    tuning.stop()
    assert tuning.widget.sight.layer is None
    assert [watch.result.table.verticalHeaderItem(row).text() for row in range(3)] == [
        "Noisy",
        "Base",
        "Fine-tuned",
    ]
    if watch.result.save.native.isHidden():  # a tiny network need not get better
        watch.result.anyway.native.click()
    watch.result.name.value = "mine"
    watch.result.save.native.click()
    tuning.until(lambda: "mine" in tuning.weights())
    tuning.until(lambda: "mine" in denoise.form.weights.choices)
    assert kept_folders(finetune_kept.home()) == []

    assert [bare(found) for found in tuning.viewer.layers.selection] == [layer]
    denoise.form.weights.value = "mine"
    denoise.run()
    tuning.until(lambda: not denoise.runner.busy)
    assert layer.metadata["napari_denoise"]["weights"] == "mine"
    denoise.actions.undo.native.click()
    tuning.until(lambda: layer.data is original)
    denoise.shut_down()


def test_a_layer_deleted_during_training_changes_nothing(tuning: TuningBench):
    layer, _ = tuning.layers()
    tuning.add()
    tuning.start()
    tuning.viewer.layers.remove(layer)
    reached = tuning.step
    tuning.until(lambda: tuning.step > reached + 20)
    tuning.stop()
    assert tuning.widget.ended is not None and tuning.widget.ended.error is None
    assert tuning.widget.ended.result is not None


def test_a_closed_widget_offers_to_go_on_when_it_is_opened_again(
    tuning: TuningBench, monkeypatch: pytest.MonkeyPatch
):
    layer, _ = tuning.layers()
    tuning.add()
    tuning.start()
    folder = tuning.widget.asked.folder
    tuning.widget.shut_down()
    tuning.until(lambda: not finetune_kept.at_work)
    reached = load_checkpoint(folder / "checkpoint.pt")["step"]

    again = FineTuneWidget(tuning.viewer)
    tuning.viewer.window.add_dock_widget(again, name="Again")
    assert not again.offer.isHidden() and again.offer.kept.folder == folder
    assert f"It got to step {reached} of 2500." in again.offer.text.text()
    bench = TuningBench(tuning.viewer, again, tuning.qtbot)
    again.offer.resume.native.click()
    bench.until(lambda: "psnr_faithful" in bench.figures)
    assert again.asked.resume and again.busy
    bench.stop()
    assert again.ended.error is None and again.ended.result is not None
    again.watch.again.native.click()
    assert [(x.pair.name, x.layer) for x in again.pairs.entries] == [("cells", layer)]
    assert again.start.enabled
    assert again.offer.kept.folder == folder  # until it is saved or discarded
    questions, answers = [], [QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes]

    def ask(_parent, _title, text, _buttons, default):
        assert default == QMessageBox.StandardButton.No
        questions.append(text)
        return answers.pop(0)

    monkeypatch.setattr(QMessageBox, "question", ask)
    again.offer.discard.native.click()
    assert folder.exists() and not again.offer.isHidden()
    assert "“cells”" in questions[0] and "of 2500" in questions[0]
    again.offer.discard.native.click()
    assert not folder.exists() and again.offer.isHidden()
    again.shut_down()


def test_a_run_that_diverges_says_so_and_can_be_gone_on_with(
    tuning: TuningBench, monkeypatch: pytest.MonkeyPatch
):
    tuning.layers()
    tuning.add()
    tuning.start()
    checked = stages._checked

    def diverged(terms: dict[str, Tensor], step: int) -> dict[str, float]:
        return checked({**terms, "pixel": terms["pixel"] * torch.nan}, step)

    monkeypatch.setattr(stages, "_checked", diverged)
    tuning.end()
    status, result = tuning.widget.status, tuning.widget.ended.result
    assert status.kind == "error" and "must be finite" in status.text
    assert "What was reached is kept" in status.text
    assert set(result.rows) == {"noisy", "base", "fine-tuned"}
    assert len(kept_folders(finetune_kept.home())) == 1


def test_a_full_disk_is_shown_and_what_was_reached_is_kept(
    tuning: TuningBench, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(finetune_plan, "SECONDS_BETWEEN_SAVES", 0.1)
    tuning.layers()
    tuning.add()
    tuning.start()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        tuning.end()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    status, result = tuning.widget.status, tuning.widget.ended.result
    assert status.kind == "error" and "too large" in status.text.lower()
    assert "What was reached is kept" in status.text and "fine-tuned" in result.rows
    assert len(kept_folders(finetune_kept.home())) == 1


def test_a_rate_beyond_reason_is_refused_before_it_begins(tuning: TuningBench):
    tuning.layers()
    tuning.add()
    tuning.widget.form.learning_rate.value = "1e30"
    tuning.start()
    tuning.end()
    status = tuning.widget.status
    assert status.kind == "error" and "Lower the learning rate" in status.text
    assert tuning.widget.setup.isVisibleTo(tuning.widget) and tuning.widget.start.enabled


def test_weights_no_better_than_the_base_are_not_offered_at_first(tuning: TuningBench):
    tuning.layers()
    tuning.add()
    tuning.widget.form.learning_rate.value = "1e-12"
    tuning.start(steps=4)
    tuning.end()
    result = tuning.widget.watch.result
    assert tuning.widget.ended.result.improved is False
    assert "no better" in result.verdict.text.lower() and result.save.native.isHidden()
    result.anyway.native.click()
    assert not result.save.native.isHidden()
    result.name.value = "microscopy"
    result.save.native.click()
    tuning.until(lambda: "bundled" in tuning.widget.status.text)
    assert tuning.weights() == []

    result.side_by_side.native.click()
    tuning.until(lambda: tuning.widget.side.shown and result.side_by_side.enabled)
    names = [layer.name for layer in tuning.viewer.layers if layer.visible]
    assert [name.split(" (")[0] for name in names] == [
        "noisy",
        "base",
        "fine-tuned",
        "clean",
        "Names",
    ]
    selected = tuning.viewer.layers.selection
    assert [layer.name for layer in selected] == ["noisy (validation set)"]
    result.side_by_side.native.click()
    assert [layer.name for layer in tuning.viewer.layers if layer.visible] == ["cells"]
    assert [layer.name for layer in selected] == ["cells"]


def test_figures_and_verdict_are_in_sight_when_they_arrive(tuning: TuningBench):
    tuning.viewer.window.show()
    tuning.widget.window().resize(1200, 640)
    tuning.layers()
    tuning.add()
    tuning.start(steps=4)
    tuning.end()
    result = tuning.widget.watch.result
    for height in (640, 900):
        tuning.widget.window().resize(1200, height)
        for part in (result.table, result.verdict):
            tuning.until(lambda part=part: whole_in_sight(part))
        assert tuning.widget.window().height() == height
    table = result.table  # the names of its rows lie beside their figures
    first, names = table.viewport(), table.verticalHeader().viewport()
    assert first.mapTo(table, QPoint(0, 0)).y() == names.mapTo(table, QPoint(0, 0)).y()


def whole_in_sight(widget: QWidget) -> bool:
    return widget.isVisible() and widget.visibleRegion().boundingRect() == widget.rect()


# What is said while it is watched


def report(step: int, steps: int, figures=None, **fields) -> StepReport:
    if figures is not None:
        fields["validation"] = Validation(figures, {})
    return StepReport(step, steps, "distortion", {"pixel": 1.0}, 10.0, 1.25, 80.0, **fields)


@pytest.fixture
def page(qtbot) -> WatchPage:
    """The page that is watched, by itself."""
    made = WatchPage("#262930", "#f0f1f2")
    qtbot.addWidget(made)
    made.begin()
    yield made
    made.curves.stop()


def test_a_plan_is_shown_until_it_is_changed_or_carried_out(page: WatchPage):
    page.show_plan("289 steps in about 4.7 min (1.0 steps/s).", 289)
    page.show_report(report(1, 289))
    assert page.plan.text().replace("\xa0", " ").startswith("289 steps in about 4.7 min")
    page.show_report(report(2, 353))
    assert page.plan.text() == ""
    page.show_plan("289 steps.", 289)
    page.show_state(running=False, paused=False, finished=True)
    assert page.plan.text() == ""


def test_no_line_ends_between_a_number_and_its_unit(page: WatchPage):
    page.show_plan("289 steps in about 4.7 min (1.0 steps/s).", 289)
    page.show_report(report(1, 289))
    for text in (page.plan.text(), page.progress.text()):
        assert "\xa0steps/\u2060s" in text
    assert page.progress.text().endswith("1\xa0min 20\xa0s left")


def test_a_changed_plan_is_news_and_what_went_wrong_a_warning(tuning: TuningBench):
    for wrong, kind in ((False, "info"), (True, "warning")):
        said = report(3, 353, note="353 steps instead of 289", warning=wrong)
        tuning.widget._happened(Stepped(said))
        assert tuning.widget.status.kind == kind


@pytest.mark.parametrize("change", ["pairs", "settings"])
def test_what_was_said_of_other_pairs_or_settings_is_taken_back(tuning: TuningBench, change: str):
    tuning.layers()
    tuning.add()
    tuning.choose_small(4)
    tuning.widget.estimate.native.click()
    tuning.until(lambda: "4\xa0steps of 2\xa0patches" in tuning.widget.status.text)
    if change == "pairs":
        pairs = tuning.widget.pairs
        pairs.other.value, pairs.noisy.value = pairs.noisy.value, pairs.other.value
        tuning.add()
        assert len(pairs.entries) == 2
    else:
        tuning.widget.form.batch.value = 1
    assert tuning.widget.status.text == ""


# Curves


def lines(page: WatchPage, place: int) -> list:
    return page.curves._axes[place].get_lines()


def test_the_lines_to_compare_with_are_drawn_before_the_first_figures(page: WatchPage):
    page.curves.draw()
    assert [len(axes.get_yticks()) for axes in page.curves._axes[1:]] == [0, 0]
    page.show_known([(0, {}, {"psnr_noisy": 23.0, "psnr_base": 31.7})])
    page.curves.draw()
    assert [line.get_ydata()[0] for line in lines(page, 1)] == [23.0, 31.7]
    assert len(page.curves._axes[2].get_xticks()) == 0
    low, high = page.curves._axes[1].get_ylim()
    assert 20 < low < 23 and 31.7 < high < 35


def test_a_figure_that_is_no_number_is_left_out_of_the_curves(page: WatchPage):
    figures = {"psnr_faithful": 32.0, "psnr_base": 31.0}
    nowhere = {"ssim_faithful": float("nan"), "ssim_base": float("nan")}
    page.show_report(report(5, 10, figures={**figures, **nowhere}))
    page.curves.draw()
    assert len(lines(page, 1)) == 2 and len(lines(page, 2)) == 0
    assert len(page.curves._axes[2].get_xticks()) > 0


@pytest.mark.parametrize("figures", [None, {"psnr_faithful": 32.0}])
def test_no_empty_plots_stay_beside_a_result(page: WatchPage, figures):
    page.show_known([(0, {}, {"psnr_noisy": 23.0, "psnr_base": 31.7})])
    page.show_report(report(2, 10, figures=figures))
    page.show_state(running=True, paused=False, finished=False)
    assert not page.curves.isHidden()
    page.show_state(running=False, paused=False, finished=True)
    assert page.curves.isHidden() is (figures is None)


# Figures at the end


def test_a_figure_that_is_no_number_is_a_dash_that_says_why(page: WatchPage):
    row = Figures(31.0, float("nan"), 0.1)
    page.result.show_result(
        FineTuneResult({"base": row, "fine-tuned": row}, 3, "data range 1"), "mine"
    )
    ssim = page.result.table.item(1, 1)
    assert ssim.text() == "–" and "11 by 11 px" in ssim.toolTip()  # noqa: RUF001
    assert page.result.table.item(1, 0).text() == "31.00 dB"
    assert page.result.table.item(1, 0).toolTip() == ""


def test_the_result_says_what_is_measured_and_what_the_curves_are_of(page: WatchPage):
    row = Figures(31.0, 0.9, 0.1)
    found = FineTuneResult({"base": row, "fine-tuned": row}, 3, "data range 1")
    page.result.show_result(found, "mine", "The curves are of one part of it")
    assert page.result.against.text() == (
        "Measured on the validation set, against the clean image; data range 1; the weights are "
        "those of step 3. The curves are of one part of it."
    )
    assert page.result.table.horizontalHeaderItem(2).text() == "Mean error"


def test_a_run_that_is_held_is_offered_to_go_on_in_so_many_words(page: WatchPage):
    for paused, word in ((False, "Pause"), (True, "Resume"), (False, "Pause")):
        page.show_state(running=True, paused=paused, finished=False)
        assert page.pause.tooltip.startswith(word)


def test_once_stop_was_pressed_it_says_so_until_the_figures_are_measured(page: WatchPage):
    page.show_phase("Timing the first steps …")
    page.show_stopping()
    page.show_phase("Keeping a copy of cells …")
    assert page.progress.text() == "Stopping …"
    page.begin()
    assert page.progress.text() == "Starting …"
    page.show_report(report(1, 10))
    page.show_stopping()
    page.show_report(report(2, 10))
    page.show_held(paused=True)
    assert page.progress.text() == "Stopping …"
    page.show_phase("Choosing how far to go from the base weights …")
    assert page.progress.text().startswith("Choosing")


def test_after_saving_the_next_button_stands_out_and_a_frame_of_a_stack_is_named(
    tuning: TuningBench,
):
    tuning.layers((3, 64, 96))
    tuning.add()
    tuning.start(steps=4)
    tuning.end()
    result = tuning.widget.watch.result
    assert result.use.native.styleSheet() == result.save.native.styleSheet() != ""
    result.side_by_side.native.click()
    tuning.until(lambda: tuning.widget.side.shown)
    *images, names = [layer for layer in tuning.viewer.layers if "validation set" in layer.name]
    place = images[0].name.removeprefix("noisy (validation set, ").removesuffix(")")
    frame = tuning.widget.ended.tuning.pairs[0].noisy[int(place.removeprefix("T "))]
    assert any(np.array_equal(images[0].data, frame[:, n : n + 24]) for n in range(73))
    assert list(names.features["name"]) == [
        f"{name} · {place}" for name in ("noisy", "base", "fine-tuned", "clean")
    ]


@pytest.mark.parametrize("leave", ["back", "close"])
def test_of_a_run_that_was_saved_only_the_weights_stay(tuning: TuningBench, leave: str):
    tuning.layers()
    tuning.add()
    tuning.start(steps=4)
    tuning.end()
    watch, folder = tuning.widget.watch, tuning.widget.asked.folder
    watch.result.anyway.native.click()
    watch.result.name.value = "mine"
    watch.result.save.native.click()
    tuning.until(lambda: not watch.result.use.native.isHidden())
    watch.result.side_by_side.native.click()  # which still needs what the run holds
    tuning.until(lambda: tuning.widget.side.shown)
    if leave == "back":
        watch.again.native.click()
    else:
        tuning.widget.shut_down()
    assert not folder.exists() and tuning.weights() == ["mine"]


def test_weights_that_were_not_saved_stay_on_the_disk(
    tuning: TuningBench, monkeypatch: pytest.MonkeyPatch
):
    def broken(_self):
        yield "measuring"
        raise RuntimeError("the device is gone")

    monkeypatch.setattr(finetune_kept, "_MOST_BYTES", 0)  # nobody is offered to go on
    monkeypatch.setattr("napari_denoise.training.finetune.fine_tuning.FineTuning.measuring", broken)
    tuning.layers()
    tuning.add()
    tuning.start(steps=4)
    tuning.end()
    folder = tuning.widget.asked.folder
    assert "the device is gone" in tuning.widget.status.text
    tuning.widget.watch.again.native.click()
    assert (folder / "checkpoint.pt").is_file() and tuning.widget.offer.isHidden()


def test_a_run_that_came_to_nothing_leaves_nothing(tuning: TuningBench):
    for names, stays in (
        (("finetune.json",), False),
        (("best.pt",), True),
        (("best.pt", "saved"), False),
    ):
        folder = finetune_kept.home() / "widget"
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            (folder / name).touch()
        finetune_kept.put_away(folder)
        assert folder.exists() == stays


def test_start_waits_until_the_estimate_has_ended_and_none_begins_beside_another(
    tuning: TuningBench, monkeypatch: pytest.MonkeyPatch
):
    at_work: list[str] = []
    together: list[list[str]] = []
    go_on = threading.Event()

    def watched(name: str):
        def work(*_asked):
            at_work.append(name)
            together.append(list(at_work))
            try:
                yield TuningPhase(name)
                if name == "estimate":
                    go_on.wait(60)
                yield None
            finally:
                at_work.remove(name)

        return work

    monkeypatch.setattr(finetune_widget, "estimate", watched("estimate"))
    monkeypatch.setattr(finetune_widget, "finetuning", watched("run"))
    tuning.layers()
    tuning.add()
    widget = tuning.widget
    widget.estimate.native.click()
    tuning.until(lambda: at_work == ["estimate"])
    widget._update()
    assert not widget.estimate.enabled
    widget._estimate_clicked()
    widget.start.native.click()
    assert widget.busy and "estimate" in widget.watch.progress.text()
    tuning.qtbot.wait(200)
    assert at_work == ["estimate"]
    go_on.set()
    tuning.end()
    assert together == [["estimate"], ["run"]]
