"""Undo, hold to compare, residual."""

from __future__ import annotations

import numpy as np
import pytest
import zarr
from _bench import noisy

from napari_denoise.plugin.layers.source import PROVENANCE, noise_told

SHARE_A_VIEWER = True


def test_undo_brings_the_same_object_back_run_by_run(bench, stack):
    layer = bench.add(stack)
    bench.run()
    once = layer.data
    bench.widget.form.noise.kind.value = "sigma"  # the little that is left is not found
    bench.run(again=False)
    bench.run(again=True)
    assert layer.data is not once
    bench.widget.actions.undo.native.click()
    assert layer.data is once and PROVENANCE in layer.metadata
    bench.widget.actions.undo.native.click()
    assert layer.data is stack and PROVENANCE not in layer.metadata
    assert not bench.widget.actions.undo.native.isEnabled()
    twice = bench.widget.session.history.next_run()
    bench.widget.actions.redo.native.click()
    assert layer.data is once and PROVENANCE in layer.metadata
    assert twice != bench.widget.session.history.next_run() != []
    bench.widget.actions.redo.native.click()
    assert layer.data is not once and not bench.widget.actions.redo.native.isEnabled()


def test_undo_of_a_multiscale_layer_brings_every_level_back(bench):
    fine = noisy((32, 48))
    levels = [fine, fine[::2, ::2].copy()]
    layer = bench.add(levels, multiscale=True)
    bench.run()
    bench.widget.actions.undo.native.click()
    assert [a is b for a, b in zip(layer.data, levels, strict=True)] == [True, True]


def test_undo_does_not_overwrite_what_somebody_else_did_since(bench, stack):
    layer = bench.add(stack, name="cells")
    bench.run()
    other = np.zeros_like(stack)
    layer.data = other
    bench.widget.actions.undo.native.click()
    assert layer.data is other
    assert bench.images()[1].data is stack


def test_data_beyond_the_budget_go_to_disk_and_come_back(bench, stack):
    bench.widget.session.history.budget = 10
    layer = bench.add(stack.copy())
    bench.run()
    entry = bench.widget.session.history.last()
    bench.until(lambda: bool(entry.stored))
    assert isinstance(entry.before[0], zarr.Array)
    bench.widget.actions.undo.native.click()
    bench.until(lambda: not len(bench.widget.session.history))
    assert isinstance(layer.data, np.ndarray)
    np.testing.assert_array_equal(layer.data, stack)


def test_holding_the_button_shows_the_original(bench, stack):
    layer = bench.add(stack)
    bench.run()
    denoised = layer.data
    button = bench.widget.actions.compare.native
    button.pressed.emit()
    assert layer.data is stack
    button.released.emit()
    assert layer.data is denoised
    assert len(bench.widget.session.history) == 1


def test_holding_the_button_hides_a_result_in_its_own_layer(bench, stack):
    bench.add(stack)
    bench.widget.form.output.value = "new"
    bench.run()
    made = bench.images()[1]
    button = bench.widget.actions.compare.native
    button.pressed.emit()
    assert not made.visible
    button.released.emit()
    assert made.visible


def test_the_residual_is_noisy_minus_denoised_beside_the_layer(bench, stack):
    layer = bench.add(stack, scale=(1, 0.5, 0.5))
    bench.run()
    bench.widget.actions.residual.native.click()
    shown = bench.images()[1]
    taken = stack.astype(np.float32) - layer.data.astype(np.float32)
    (model,) = noise_told(layer.metadata[PROVENANCE])
    variance = model.variance(layer.data)
    variance[variance == 0] = np.nan
    np.testing.assert_allclose(np.asarray(shown.data), taken / np.sqrt(variance), rtol=1e-3)
    assert shown.translate[2] > layer.extent.world[1][2]
    assert shown.contrast_limits[0] == -shown.contrast_limits[1]
    assert [s.layer for s in bench.widget.sources] == [layer]


def test_the_residual_of_colour_is_one_grey_image(bench):
    photo = (noisy((32, 48, 3)) // 2).astype(np.uint8)
    bench.add(photo, rgb=True)
    bench.run()
    bench.widget.actions.residual.native.click()
    assert bench.images()[1].data.shape == (32, 48)


def test_the_residual_comes_into_view_and_is_explained(bench, stack):
    layer = bench.add(stack)
    bench.run()
    camera = bench.viewer.scene.camera
    camera.zoom, camera.center = 40, (5, 5)  # only a few pixels of the layer
    before = camera.zoom, camera.center
    bench.widget.actions.residual.native.click()
    assert camera.zoom < 40
    height, width = stack[0].shape
    assert camera.center[-2:] == pytest.approx((height / 2, width), rel=0.05)  # of both
    assert f"“{layer.name}”" in bench.widget.actions.status.text
    assert "in units of the noise" in bench.widget.actions.status.text
    bench.widget.actions.residual.native.click()  # takes it away, and puts the view back
    assert bench.images() == [layer]
    assert (camera.zoom, camera.center) == before
    assert bench.widget.actions.status.text == ""


def test_a_residual_goes_with_the_result_that_it_belongs_to(bench, stack):
    layer, other = bench.add(stack, name="one"), bench.add(stack.copy(), name="other")
    for chosen in (layer, other):
        bench.viewer.layers.selection.active = chosen
        bench.run()
        bench.widget.actions.residual.native.click()
    assert [x.name for x in bench.images()] == [
        "one",
        "Residual of one",
        "other",
        "Residual of other",
    ]
    bench.widget.actions.undo.native.click()
    assert [x.name for x in bench.images()] == ["one", "Residual of one", "other"]
    bench.viewer.layers.remove("Residual of one")
    bench.widget.actions.undo.native.click()
    assert [x.name for x in bench.images()] == ["one", "other"]


def test_in_the_grid_the_residual_has_a_place_of_its_own(bench):
    layer = bench.add(noisy((32, 48)), scale=(0.5, 0.5), translate=(3, 4))
    bench.run()
    grid = bench.viewer.canvas.grid
    grid.enabled = True
    bench.widget.actions.residual.native.click()
    shown = bench.images()[1]
    assert (shown.translate == layer.translate).all()  # the grid sets them side by side
    bench.widget.actions.residual.native.click()
    assert bench.images() == [layer] and grid.enabled
