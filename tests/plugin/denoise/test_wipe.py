"""The wipe: a line between before and after."""

from __future__ import annotations

import numpy as np
import pytest
from _bench import Bench, noisy
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication

from napari_denoise.plugin import contributions


def wipe(bench: Bench):
    """Press Wipe and return it."""
    bench.widget.actions.wipe.native.click()
    return bench.widget.looking.wipe


def drag(handle, x: int) -> None:
    """Move the grip to a pixel of the canvas, as the mouse does."""
    at = QPointF(handle.mapFromParent(handle.pos()) + handle.rect().center())
    to = QPointF(x - handle.x(), at.y())
    left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
    for kind, where, button, buttons in (
        (QEvent.Type.MouseButtonPress, at, left, left),
        (QEvent.Type.MouseMove, to, none, left),
        (QEvent.Type.MouseButtonRelease, to, left, none),
    ):
        there = QPointF(handle.mapToGlobal(where.toPoint()))
        event = QMouseEvent(kind, where, there, button, buttons, Qt.KeyboardModifier.NoModifier)
        QApplication.sendEvent(handle, event)


def test_the_line_parts_before_and_after_and_follows_the_mouse_and_the_sliders(bench, stack):
    layer = bench.add(stack, scale=(1, 0.5, 0.5), translate=(0, 3, 7))
    bench.run()
    done = layer.data
    shown = wipe(bench)
    (made,) = shown.layers
    assert made.data.shape == stack.shape and made.data.strides[0] == 0  # one plane for all
    half = stack.shape[2] // 2
    frame = bench.viewer.dims.current_step[0]
    seen = made.data[0]
    assert np.array_equal(seen[:, : half - 2], stack[frame][:, : half - 2])
    assert np.array_equal(seen[:, half + 2 :], done[frame][:, half + 2 :])
    drag(shown.handle, shown.handle.canvas_width)
    assert np.array_equal(made.data[0], stack[frame])
    drag(shown.handle, 0)
    assert np.array_equal(made.data[0], done[frame])
    drag(shown.handle, shown.handle.canvas_width)
    bench.viewer.dims.set_current_step(0, 1)
    assert np.array_equal(shown.layers[0].data[0], stack[1])
    assert shown.layers == (made,)
    bench.viewer.dims.order = (1, 0, 2)
    assert shown.active and shown.layers[0].data.strides[1] == 0
    assert layer.data is done  # never touched: saving it saves the result
    assert [x[0] is done for x in contributions._to_save(bench.viewer)] == [True]
    layer.contrast_limits, layer.colormap = (100, 150), "green"
    (made,) = shown.layers
    assert tuple(made.contrast_limits) == (100, 150) and made.colormap.name == "green"
    camera = bench.viewer.scene.camera
    camera.center = (0, 0, 500)  # the line comes along, to the edge of the canvas
    assert abs(shown.handle.x() + shown.handle.width() // 2) <= 1
    bench.widget.actions.wipe.native.click()
    assert not shown.active and bench.images() == [layer] and shown.handle is None
    assert layer.data is done


def test_a_result_in_its_own_layer_and_of_one_frame(bench, stack):
    layer = bench.add(stack)
    bench.widget.form.output.value = "new"
    bench.widget.form.scope.value = "frame"
    bench.run()
    made = bench.images()[1]
    shown = wipe(bench)
    drag(shown.handle, shown.handle.canvas_width)
    (over,) = shown.layers
    frame = bench.viewer.dims.current_step[0]
    assert np.array_equal(np.squeeze(over.data), stack[frame])
    drag(shown.handle, 0)
    assert np.array_equal(np.squeeze(over.data), np.squeeze(made.data))
    bench.viewer.layers.remove(made)
    assert not shown.active and bench.images() == [layer]


def test_channels_and_colour(bench):
    one, other = (noisy((32, 48), seed) for seed in (1, 2))
    photo = (noisy((32, 48, 3)) // 2).astype(np.uint8)
    layers = [
        bench.add(one, blending="additive", colormap="green"),
        bench.add(other, blending="additive", colormap="magenta"),
        bench.add(photo, rgb=True),
    ]
    for chosen in (layers[:2], layers[2:]):
        bench.viewer.layers.selection = set(chosen)
        bench.run()
        shown = wipe(bench)
        assert len(shown.layers) == len(chosen)
        assert [x.visible for x in layers[:2]] == [len(chosen) == 1] * 2  # else they would add up
        drag(shown.handle, shown.handle.canvas_width)
        for made in shown.layers:
            before = bench.widget.session.history.original(
                next(x for x in chosen if made.name == f"Wipe of {x.name}")
            )[0]
            assert np.array_equal(made.data, before)
        bench.widget.actions.wipe.native.click()
        assert all(x.visible for x in layers)
    assert bench.images() == layers


def test_what_ends_it(bench, stack):
    layer = bench.add(stack)
    bench.run()
    actions, viewer = bench.widget.actions, bench.viewer
    shown = bench.widget.looking.wipe

    def grid(on: bool) -> None:
        viewer.canvas.grid.enabled = on

    for end in (
        lambda: setattr(viewer.dims, "ndisplay", 3),
        lambda: grid(True),
        lambda: shown.handle._escape.activated.emit(),
        actions.undo.native.click,
        actions.redo.native.click,
        lambda: bench.run(again=True),
        lambda: viewer.layers.remove(shown.layers[0]),
    ):
        if not actions.wipe.enabled:  # nothing is denoised after Undo
            end()
            continue
        wipe(bench)
        assert shown.active and len(bench.images()) == 2
        end()
        assert not shown.active and bench.images() == [layer]
        assert not actions.wipe.native.isChecked()
        viewer.dims.ndisplay = 2
        grid(False)
    grid(True)
    wipe(bench)
    assert not shown.active and "grid off" in actions.status.text
    grid(False)
    wipe(bench)
    bench.widget.shut_down()
    assert not shown.active and bench.images() == [layer]


@pytest.mark.parametrize("rotate", [0, 30])
def test_the_line_is_upright_on_the_screen_whatever_the_layer_does(bench, rotate):
    image = noisy((32, 48))
    bench.add(image, rotate=rotate)
    bench.run()
    shown = wipe(bench)
    (made,) = shown.layers
    before = made.data == image
    y, x = np.indices(image.shape)
    world = (
        made.data_to_world((0, 0))[1],
        made.data_to_world((1, 0))[1],
        made.data_to_world((0, 1))[1],
    )
    place = world[0] + y * (world[1] - world[0]) + x * (world[2] - world[0])
    assert before[place < shown._position].all()
    assert before[place >= shown._position].mean() < 0.5
