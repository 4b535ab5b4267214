"""Regions as a user draws them, with the mouse and the buttons beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from _tuning import TuningBench, rectangle
from napari.layers import Shapes
from napari.utils._test_utils import read_only_mouse_event
from napari.utils.interactions import (
    mouse_move_callbacks,
    mouse_press_callbacks,
    mouse_release_callbacks,
)

from napari_denoise.plugin.finetune.drawing import Drawing

OUTSIDE = rectangle(200, 200, 240, 240)


@pytest.fixture
def drawing(tuning: TuningBench) -> Drawing:
    """Of one pair that fits."""
    tuning.layers()
    tuning.add()
    return tuning.widget.drawing


@contextmanager
def dragged(layer: Shapes, start: tuple[int, int], end: tuple[int, int]) -> Iterator[None]:
    """Drag the mouse; the button is held in between."""

    def event(kind: str, at: tuple[int, int]) -> Any:
        return read_only_mouse_event(type=kind, is_dragging=True, position=at, pos=at)

    mouse_press_callbacks(layer, event("mouse_press", start))
    yield
    if end != start:
        mouse_move_callbacks(layer, event("mouse_move", end))
    mouse_release_callbacks(layer, event("mouse_release", end))


def test_a_finished_region_keeps_colour_and_kind(drawing: Drawing):
    drawing.train.native.click()
    layer = drawing.layers["cells"]
    with dragged(layer, (4, 4), (40, 40)):
        pass
    before = layer.edge_color.copy(), layer.face_color.copy()
    drawing.validate.native.click()
    assert (layer.edge_color == before[0]).all() and (layer.face_color == before[1]).all()
    assert list(layer.features["kind"]) == ["train"]
    with dragged(layer, (4, 50), (40, 90)):
        pass
    assert [region.kind for region in drawing.regions().regions] == ["train", "validate"]
    assert (layer.edge_color[1] != layer.edge_color[0]).any()


def test_nothing_is_warned_of_while_the_mouse_draws(drawing: Drawing):
    drawing.train.native.click()
    layer = drawing.layers["cells"]
    with dragged(layer, (4, 4), (40, 40)):
        assert drawing.regions().regions == ()
        assert drawing.left_out.text == ""
    assert len(drawing.regions().regions) == 1
    with dragged(layer, (50, 50), (50, 50)):
        pass
    assert len(drawing.regions().regions) == 1 and drawing.left_out.text == ""


def test_what_is_left_out_is_said_until_it_is_gone(tuning: TuningBench, drawing: Drawing):
    drawing.train.native.click()
    layer = drawing.layers["cells"]
    layer.add([OUTSIDE], shape_type="rectangle")
    tuning.until(lambda: "outside of the image" in drawing.left_out.text)
    layer.remove([0])
    tuning.until(lambda: drawing.left_out.text == "")


def test_the_tool_is_switched_at_once_and_shown_on_its_button(
    tuning: TuningBench, drawing: Drawing
):
    assert drawing.hint.isHidden()
    drawing.train.native.click()
    layer = drawing.layers["cells"]
    assert layer.mode == "add_rectangle" and drawing.train.native.isChecked()
    assert "Drag" in drawing.hint.text()
    drawing.polygon.setChecked(True)
    assert layer.mode == "add_polygon" and "double click" in drawing.hint.text()
    drawing.validate.native.click()
    assert [x.native.isChecked() for x in (drawing.train, drawing.validate)] == [False, True]
    tuning.viewer.layers.selection = {tuning.viewer.layers["cells"]}
    assert not drawing.validate.native.isChecked()  # the mouse is another layer's
    drawing.validate.native.click()
    drawing.validate.native.click()
    assert layer.mode == "select" and not drawing.validate.native.isChecked()
    assert drawing.hint.isHidden()


def test_loading_replaces_what_is_drawn(drawing: Drawing, tmp_path: Path):
    drawing.train.native.click()
    layer = drawing.layers["cells"]
    layer.add([rectangle(0, 0, 32, 40)], shape_type="rectangle")
    drawing.write(tmp_path / "regions.json")
    saved = drawing.regions()
    layer.add([rectangle(0, 50, 32, 90)], shape_type="rectangle")
    drawing.read(tmp_path / "regions.json")
    assert drawing.regions() == saved


def test_the_shares_are_said_whether_parts_are_coloured_or_not(
    tuning: TuningBench, drawing: Drawing
):
    drawing.train.native.click()
    drawing.layers["cells"].add([rectangle(0, 0, 32, 40)], shape_type="rectangle")
    tuning.until(lambda: drawing.note.text().startswith("On this frame"))
    said = drawing.note.text()
    drawing.show_parts.setChecked(False)
    tuning.until(lambda: drawing._task is not None and not drawing._task.running)
    assert drawing.note.text() == said and drawing.parts.layer is None
    drawing.layers["cells"].remove([0])
    tuning.until(lambda: drawing.note.text().startswith("Nothing is drawn"))
