"""Wipe: a line between before and after in the canvas."""

from __future__ import annotations

import numpy as np
import pytest
from _bench import Bench, noisy
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_denoise.plugin.denoise.wipe import NEEDS_2D, NEEDS_ONE_PLACE
from napari_denoise.plugin.layers.source import bare


def switch(bench: Bench, on: bool = True) -> None:
    """Press Wipe, and wait until the picture is divided."""
    button = bench.widget.actions.wipe.native
    button.click()
    assert button.isChecked() == bench.widget.looking.wipe.active == on
    if on:
        bench.until(lambda: composites(bench) != [])


def composites(bench: Bench) -> list:
    return [layer for layer in bench.images() if layer.name.startswith("Wipe of")]


def drag(bench: Bench, share: float) -> int:
    """Drag the line to a share of the canvas with the mouse; return the image column there."""
    handle = bench.widget.looking.wipe.handle
    canvas = handle.parentWidget()
    middle = QPoint(handle.width() // 2, handle.height() // 3)
    QTest.mousePress(handle, Qt.MouseButton.LeftButton, pos=middle)
    wanted = round(share * canvas.width())
    QTest.mouseMove(handle, middle + QPoint(wanted - round(handle.x_of_line), 0))
    QTest.mouseRelease(handle, Qt.MouseButton.LeftButton)
    bench.qtbot.wait(10)
    assert handle.x_of_line == pytest.approx(wanted, abs=1)
    camera = bench.viewer.scene.camera
    place = camera.center[-1] + (handle.x_of_line - canvas.width() / 2) / camera.zoom
    return int(np.ceil(place))


def arrow_keys_move_the_line_and_escape_ends(denoised: Bench) -> None:
    handle = denoised.widget.looking.wipe.handle
    before = handle.x_of_line
    QTest.keyClick(handle, Qt.Key.Key_Left)
    QTest.keyClick(handle, Qt.Key.Key_Right, Qt.KeyboardModifier.ShiftModifier)
    assert handle.x_of_line == pytest.approx(before + 23, abs=1)
    canvas = handle.parentWidget()
    canvas.resize(canvas.width() // 2, canvas.height())
    assert handle.x_of_line == pytest.approx((before + 23) / 2, abs=1)
    QTest.keyClick(handle, Qt.Key.Key_Escape)
    assert not denoised.widget.actions.wipe.native.isChecked() and composites(denoised) == []


@pytest.fixture
def denoised(bench: Bench, stack: np.ndarray) -> Bench:
    bench.add(stack, name="cells")
    bench.viewer.window.show()
    bench.run()
    return bench


def test_the_line_divides_the_frame_in_view_and_follows_drag_slider_and_zoom(denoised, stack):
    (layer,) = denoised.images()
    result = np.asarray(layer.data)
    switch(denoised)
    for frame, share, zoom in ((0, 0.5, 1.0), (0, 0.42, 1.0), (4, 0.58, 1.0), (4, 0.58, 1.6)):
        denoised.viewer.dims.set_current_step(0, frame)
        denoised.viewer.scene.camera.zoom *= zoom
        denoised.until(lambda f=frame: [c.translate[0] for c in composites(denoised)] == [f])
        column = drag(denoised, share)
        (shown,) = composites(denoised)
        pixels = shown.data[0]
        assert 0 < column < stack.shape[-1]
        np.testing.assert_array_equal(pixels[:, :column], stack[frame][:, :column])
        np.testing.assert_array_equal(pixels[:, column:], result[frame][:, column:])
        assert shown.translate[0] == frame
    layer.contrast_limits, layer.colormap = (100, 150), "magma"  # both sides look as the layer
    assert tuple(shown.contrast_limits) == (100, 150) and shown.colormap.name == "magma"
    assert layer.data is not stack and np.array_equal(layer.data, result)  # untouched
    assert denoised.widget.selection.layers == [layer]
    switch(denoised, on=False)
    assert denoised.images() == [layer]
    switch(denoised)
    arrow_keys_move_the_line_and_escape_ends(denoised)


def test_whatever_takes_the_result_out_of_sight_ends_the_wipe(denoised):
    viewer, widget = denoised.viewer, denoised.widget
    (layer,) = denoised.images()

    def ended() -> None:
        denoised.until(lambda: not widget.looking.wipe.active)
        assert widget.looking.wipe.handle is None and composites(denoised) == []
        assert not widget.actions.wipe.native.isChecked()

    switch(denoised)
    viewer.dims.ndisplay = 3
    assert not widget.looking.wipe.active and composites(denoised) == []  # at once
    assert widget.actions.status.text == NEEDS_2D
    ended()
    viewer.dims.ndisplay = 2
    switch(denoised)
    viewer.canvas.grid.enabled = True
    assert widget.actions.status.text == NEEDS_ONE_PLACE
    ended()
    viewer.canvas.grid.enabled = False
    switch(denoised)
    widget.actions.undo.native.click()
    ended()
    widget.actions.redo.native.click()
    switch(denoised)
    denoised.add(noisy((6, 40, 56), seed=1))
    ended()
    viewer.layers.selection.active = layer
    switch(denoised)
    widget.shut_down()
    ended()
    assert layer.visible


def test_a_layer_takes_its_wipe_along(denoised):
    switch(denoised)
    denoised.viewer.layers.clear()
    denoised.until(lambda: not denoised.widget.looking.wipe.active)
    assert denoised.images() == []


def test_a_result_beside_its_layer_is_divided_too_and_additive_layers_do_not_add_up(bench, stack):
    bench.viewer.window.show()
    layers = [
        bench.add(stack, name="a", blending="additive", colormap="green"),
        bench.add(stack[::-1].copy(), name="b", blending="additive", colormap="magenta"),
    ]
    bench.viewer.layers.selection = set(layers)
    bench.widget.form.output.value = "new"
    bench.run()
    results = [layer for layer in bench.images() if layer not in layers]
    switch(bench)
    bench.until(lambda: len(composites(bench)) == 2)
    column = drag(bench, 0.5)
    for source, result, shown in zip(layers, results, composites(bench), strict=True):
        frame = bench.viewer.dims.current_step[0]
        assert not result.visible and not source.visible and shown.visible
        assert shown.blending == "additive"
        np.testing.assert_array_equal(
            shown.data[0][:, :column], np.asarray(source.data)[frame][:, :column]
        )
        np.testing.assert_array_equal(
            shown.data[0][:, column:], np.asarray(result.data)[frame][:, column:]
        )
    switch(bench, on=False)
    assert [layer.visible for layer in (*layers, *results)] == [False, False, True, True]


def test_colour_a_turned_layer_and_a_transposed_view_are_divided_where_the_line_is(bench):
    bench.viewer.window.show()
    rng = np.random.default_rng(0)
    picture = rng.integers(90, 120, (40, 56, 3)).astype(np.uint8)
    layer = bench.add(picture, scale=(1, -1))  # mirrored
    bench.run()
    assert not np.array_equal(layer.data, picture)
    bench.viewer.reset_view()
    switch(bench)
    drag(bench, 0.5)
    (shown,) = composites(bench)
    left = [np.array_equal(shown.data[:, n], picture[:, n]) for n in range(56)]
    assert left == sorted(left) and 20 < sum(left) < 36  # the left of the screen is on the right
    bench.viewer.dims.order = (1, 0)
    bench.viewer.reset_view()
    bench.qtbot.wait(50)
    drag(bench, 0.5)
    (shown,) = composites(bench)
    rows = [np.array_equal(shown.data[n], picture[n]) for n in range(40)]
    assert rows == sorted(rows, reverse=True) and 12 < sum(rows) < 28


def test_a_preview_is_divided_while_it_is_computed(bench, stack):
    layer = bench.add(stack)
    bench.viewer.window.show()
    bench.widget.actions.preview.native.setChecked(True)
    bench.until(lambda: bool(bench.widget.preview.overlays))
    switch(bench)
    bench.preview_done()
    column = drag(bench, 0.5)
    (overlay,) = bench.widget.preview.overlays
    (shown,) = composites(bench)
    frame = bench.viewer.dims.current_step[0]
    np.testing.assert_array_equal(shown.data[0][:, :column], stack[frame][:, :column])
    np.testing.assert_array_equal(shown.data[0][:, column:], overlay.layer.data[0][:, column:])
    bench.widget.actions.preview.native.setChecked(False)
    bench.until(lambda: not bench.widget.looking.wipe.active)
    assert bench.images() == [bare(layer)]
