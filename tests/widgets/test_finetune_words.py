"""What the Fine-tune widget says where something is wrong or missing."""

from __future__ import annotations

import pytest
from _tuning import TuningBench

from _networks import write_tiny_weights
from napari_denoise.models import catalogue


@pytest.mark.parametrize("rate", ["-1", "0", "nan", "inf", "fast"])
def test_a_learning_rate_that_cannot_be_is_said_plainly(tuning: TuningBench, rate: str):
    tuning.layers()
    tuning.add()
    tuning.widget.form.rate.value = rate
    tuning.widget.start.native.click()
    assert tuning.widget.status.text == (
        f"learning rate {rate!r}: expected a number above 0, such as 3e-4"
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
    assert tuning.widget.status.text.startswith("every reward is 0: ")
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
        ("cells fine-tuned", "weights called 'cells fine-tuned' exist already"),
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
