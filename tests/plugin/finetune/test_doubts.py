"""A target that is in doubt: asked about before Start, and never praised after."""

from __future__ import annotations

import numpy as np
import pytest
from _bench import noisy
from _tuning import SHAPE, TuningBench, clean_image

from napari_denoise.plugin.finetune.result_panel import ResultPanel
from napari_denoise.plugin.kit.colours import colours
from napari_denoise.training.finetune.held_out import Figures
from napari_denoise.training.finetune.outcome import FineTuneResult

SHARE_A_VIEWER = True


def doubtful(tuning: TuningBench, what: str) -> None:
    """Add a pair whose target is none."""
    clean, other = clean_image(), noisy(SHAPE)
    if what == "swapped":
        other, clean = clean, other.astype(np.float32)
    else:
        rng = np.random.default_rng(5)
        clean = np.kron(rng.uniform(100, 300, (8, 12)), np.ones((8, 8))).astype(np.float32)
    tuning.viewer.add_image(clean, name="cells truth")
    tuning.viewer.add_image(other, name="cells")
    tuning.add()


@pytest.mark.parametrize(("what", "says"), [("swapped", "swapped?"), ("field", "same scene")])
def test_training_on_a_doubtful_target_is_asked_about(tuning: TuningBench, what: str, says: str):
    doubtful(tuning, what)
    widget = tuning.widget
    tuning.choose_small(30)
    widget.start.native.click()
    assert not widget.busy and widget.status.kind == "warning"
    assert says in widget.status.text and "start anyway" in widget.status.text
    assert widget.anyway.native.isVisibleTo(widget)
    widget.pairs.remove.native.click()
    assert widget.status.text == ""


def test_no_figure_against_a_doubtful_target_is_green(qtbot):
    rows = {"base": Figures(30.0, 0.8, 0.0), "fine-tuned": Figures(33.2, 0.9, 0.0)}
    result = FineTuneResult(rows, 10, "peak 1")
    panel = ResultPanel()
    qtbot.addWidget(panel)
    doubt = "film: the repeated frames differ by more than their noise: something moves"
    panel.show_result(result, "film", "", [doubt], [doubt])
    assert panel.verdict.kind == "warning" and "in doubt" in panel.verdict.text
    assert f"! {doubt}." in panel.verdict.text
    good = colours.kinds["good"]
    assert all(panel.table.item(1, n).foreground().color().name() != good for n in (0, 1))
    assert panel.save.native.isHidden() and not panel.anyway.native.isHidden()
    panel.show_result(result, "cells", "", ["cells: 3.0% clipped"])
    assert panel.verdict.kind == "good" and "! cells: 3.0% clipped." in panel.verdict.text
    assert panel.table.item(1, 0).foreground().color().name() == good
