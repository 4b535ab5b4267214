"""What the Fine-tune widget says where something is wrong or missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from _bench import noisy
from _tuning import SHAPE, TuningBench, clean_image
from napari.qt import get_stylesheet
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QStyle, QStyleOptionComboBox

from _networks import write_tiny_weights
from napari_denoise.plugin.finetune.entries import of_files, of_folder
from napari_denoise.plugin.finetune.finetune_form import FineTuneForm
from napari_denoise.plugin.finetune.pairs_table import PairsTable
from napari_denoise.plugin.layers.source import bare
from napari_denoise.weights import catalogue

SHARE_A_VIEWER = True


@pytest.mark.parametrize(("typed", "steps"), [("-", 500), ("-70", 70), ("x", 500), ("90", 90)])
def test_only_digits_can_be_typed_as_steps(typed: str, steps: int, qtbot: Any):
    form = FineTuneForm()
    qtbot.addWidget(form.native)
    field = form.steps.native
    qtbot.keyClick(field, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    qtbot.keyClick(field, Qt.Key.Key_Backspace)
    qtbot.keyClicks(field, typed)
    qtbot.keyClick(field, Qt.Key.Key_Return)
    assert form.steps.value == steps


@pytest.mark.parametrize("rate", ["-1", "0", "nan", "inf", "fast"])
def test_a_learning_rate_that_cannot_be_is_said_plainly(tuning: TuningBench, rate: str):
    tuning.layers()
    tuning.add()
    tuning.widget.form.learning_rate.value = rate
    tuning.widget.start.native.click()
    assert tuning.widget.status.text == (
        f"Learning rate {rate!r}: expected a number above 0, such as 3e-4"
    )
    assert not tuning.widget.busy


def test_rewards_that_are_all_nothing_are_said_plainly(tuning: TuningBench):
    tuning.layers()
    tuning.add()
    form = tuning.widget.form
    form.recipe.value, form.own_weights.value = "realistic", True
    for term in form.terms.values():
        term.value = 0
    tuning.widget.start.native.click()
    assert tuning.widget.status.text.startswith("every loss weight is 0: ")
    assert "\n" not in tuning.widget.status.text and not tuning.widget.busy


def test_a_free_name_is_filled_in_and_names_are_judged_as_names(tuning: TuningBench):
    catalogue.user_folder().mkdir(parents=True)
    write_tiny_weights(catalogue.user_folder() / "cells fine-tuned.safetensors")
    tuning.layers()
    tuning.add()
    tuning.choose_small(2)
    tuning.widget.start.native.click()
    tuning.end()
    result, status = tuning.widget.watch.result, tuning.widget.status
    assert result.name.value == "cells fine-tuned 2"
    for name, said in (
        ("cells fine-tuned", "weights 'cells fine-tuned': they exist already"),
        ("a/b", "name 'a/b': use letters"),
        ("n" * 300, "is 300 bytes long: use at most 180"),
        ("é" * 91, "is 182 bytes long"),
        ("mine.safetensors", "use 'mine'"),
    ):
        result.name.value = name
        tuning.widget._save_clicked()
        tuning.until(lambda said=said: said in status.text)
        assert str(catalogue.user_folder()) not in status.text
    result.name.value = "é" * 90
    tuning.widget._save_clicked()
    tuning.until(lambda: "é" * 90 in tuning.weights())


def test_a_base_that_is_gone_is_said_and_leaves_the_list(tuning: TuningBench):
    catalogue.user_folder().mkdir(parents=True)
    file = write_tiny_weights(catalogue.user_folder() / "mine.safetensors")
    form = tuning.widget.form
    form.fill_base(catalogue.list_weights())
    tuning.layers()
    tuning.add()
    form.base.value = "mine"
    file.rename(file.with_name("other.safetensors"))
    tuning.widget.start.native.click()
    assert tuning.widget.status.text.startswith("weights 'mine' are gone")
    assert "mine" not in form.base.choices and "other" in form.base.choices
    assert not tuning.widget.busy


def test_without_a_pair_it_is_said_how_to_begin(tuning: TuningBench):
    pairs, drawing = tuning.widget.pairs, tuning.widget.drawing
    waiting = (tuning.widget.start, tuning.widget.estimate, drawing.train, drawing.load)
    assert not pairs.empty.isHidden() and "Open a noisy image" in pairs.empty.text()
    assert pairs.add.tooltip.startswith("Open an image first. ")
    assert all(made.tooltip.startswith("Add a pair that fits first. ") for made in waiting)
    tuning.layers()
    assert "press Add" in pairs.empty.text()
    tuning.add()
    assert pairs.empty.isHidden() and not pairs.add.tooltip.startswith("Open")
    assert all(made.enabled and "first. " not in made.tooltip for made in waiting)
    pairs.remove.native.click()
    assert not pairs.empty.isHidden() and "first. " in drawing.train.tooltip


@pytest.mark.parametrize(
    ("kind", "tip", "titles"),
    [
        ("clean", "its clean one", ["Open the noisy image", "Open its clean image"]),
        ("second", "second noisy", ["Open the noisy image", "Open the second noisy shot of it"]),
        ("repeats", "repeated frames", ["Open the repeated frames"]),
        ("stack", "noisy stack", ["Open the noisy stack"]),
    ],
)
def test_files_are_asked_for_by_the_kind_of_pair(
    tuning: TuningBench, monkeypatch: pytest.MonkeyPatch, kind: str, tip: str, titles: list[str]
):
    asked: list[str] = []

    def name(_parent: object, title: str) -> tuple[str, str]:
        asked.append(title)
        return "absent.tif", ""

    monkeypatch.setattr(QFileDialog, "getOpenFileName", name)
    pairs = tuning.widget.pairs
    pairs.kind.value = kind
    assert tip in pairs.files.tooltip
    pairs.files.native.click()
    assert asked == titles
    tuning.until(lambda: pairs.status.kind == "error")


def test_every_kind_of_pair_can_be_read_in_a_narrow_dock(tuning: TuningBench, qtbot: Any):
    pairs = PairsTable(tuning.viewer)
    qtbot.addWidget(pairs)
    pairs.setStyleSheet(get_stylesheet("dark"))
    pairs.resize(344, 400)  # a dock of 360 pixels, less its margins
    pairs.show()
    qtbot.waitExposed(pairs)
    combo = pairs.kind.native
    field = QStyleOptionComboBox()
    combo.initStyleOption(field)
    part = QStyle.SubControl.SC_ComboBoxEditField
    room = combo.style().subControlRect(QStyle.ComplexControl.CC_ComboBox, field, part, combo)
    texts = [combo.itemText(number) for number in range(combo.count())]
    assert max(map(combo.fontMetrics().horizontalAdvance, texts)) <= room.width()


def test_errors_of_files_and_folders_name_them_once(tuning: TuningBench, tmp_path: Path):
    pairs = tuning.widget.pairs
    bad = tmp_path / "bad.tif"
    bad.write_bytes(b"II*\0 and no more")
    for maker, name in (
        (of_files([str(bad), str(bad)], "clean"), str(bad)),
        (of_folder(str(tmp_path)), str(tmp_path)),
    ):
        pairs.take(maker, name)
        tuning.until(lambda name=name: not pairs.busy and name in pairs.status.text)
        assert pairs.status.text.count(name) == 1
    for folder, files in (("noisy", "ab"), ("clean", "a")):
        (tmp_path / folder).mkdir()
        for file in files:
            (tmp_path / folder / f"{file}.tif").touch()
    pairs.take(of_folder(str(tmp_path)), str(tmp_path))
    tuning.until(lambda: "no partner" in pairs.status.text)
    assert pairs.status.text.count(str(tmp_path)) == 1


def test_a_pair_is_added_once_and_says_what_belongs_to_it(tuning: TuningBench):
    tuning.layers()
    pairs = tuning.widget.pairs
    tuning.add()
    assert "with the clean image “cells truth”" in pairs.table.item(0, 0).toolTip()
    tuning.add()
    assert "in the table already; it is not added again" in pairs.status.text
    assert [entry.pair.name for entry in pairs.entries] == ["cells"]
    pairs.noisy.value.metadata["napari_denoise"] = {"weights": "microscopy"}
    tuning.add()
    assert [entry.verdict.usable for entry in pairs.entries] == [True, False]
    assert "denoised already" in pairs.table.item(1, 1).text()
    del pairs.noisy.value.metadata["napari_denoise"]
    pairs.remove.native.click()
    pairs.kind.value = "second"  # another thing to learn from the same images
    tuning.add()
    assert len(pairs.entries) == 2
    assert "with the second noisy shot “cells truth”" in pairs.table.item(1, 0).toolTip()
    pairs.add.native.click()
    pairs.add.native.click()
    assert "still being checked" in pairs.status.text
    tuning.until(lambda: not pairs.busy)


def test_a_choice_of_layers_ends_with_them(tuning: TuningBench):
    pairs = tuning.widget.pairs
    layer, clean = tuning.layers()
    pairs.noisy.value = clean  # by hand, and corrected
    pairs.noisy.value = layer
    tuning.viewer.layers.clear()
    again = tuning.viewer.add_image(clean_image(), name="cells truth", visible=False)
    shot = tuning.viewer.add_image(noisy(SHAPE), name="cells")
    assert (pairs.noisy.value, pairs.other.value) == (bare(shot), bare(again))


def test_saved_weights_that_are_gone_are_said_when_denoise_is_to_use_them(tuning: TuningBench):
    tuning.widget._saved_as = "mine"
    tuning.widget._use_clicked()
    assert tuning.widget.status.text.startswith("weights 'mine' are gone")
    tuning.widget._open_denoise().shut_down()
