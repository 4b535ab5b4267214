"""The preview in a real viewer: its pixels are Run's, and it comes and goes."""

from __future__ import annotations

import threading

import dask.array as da
import numpy as np
import pytest
from _bench import PATIENCE_MS, noisy

from napari_denoise.engines.torch import TorchEngine
from napari_denoise.plugin.denoise import denoise_widget as denoise
from napari_denoise.plugin.denoise import previewing
from napari_denoise.plugin.denoise.preview import Overlay, plan
from napari_denoise.plugin.layers.source import HELPER


def shown_pixels(overlay):
    """The denoised part of an overlay, and where it stands in the layer."""
    known = overlay.known
    return np.asarray(overlay.layer.data)[known], known


def result_there(layer, overlay):
    return np.asarray(layer.data)[overlay.plane][overlay.known]


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (2, 0, 1)])
def test_preview_pixels_are_runs_in_every_orientation(bench, stack, order):
    layer = bench.add(stack, axis_labels=("t", "y", "x"))
    bench.viewer.dims.order = order
    bench.viewer.dims.set_current_step(0, 3)
    (overlay,) = bench.preview()
    pixels, known = shown_pixels(overlay)
    assert known.all()
    assert known.shape[order[0]] == 1
    bench.run()
    np.testing.assert_array_equal(pixels, result_there(layer, overlay))


def test_preview_of_colour_is_runs(bench):
    photo = (noisy((32, 48, 3)) // 2).astype(np.uint8)
    layer = bench.add(photo, rgb=True)
    (overlay,) = bench.preview()
    pixels = np.array(overlay.layer.data)
    assert overlay.layer.rgb
    bench.run()
    np.testing.assert_array_equal(pixels, layer.data)


def test_preview_of_a_visible_part_is_runs_there(bench, monkeypatch):
    layer = bench.add(noisy((300, 400)))
    # The window of a test is never drawn, so nothing zooms in: say what would be seen.
    seen = (slice(100, 220), slice(150, 310))
    monkeypatch.setattr(previewing, "visible_part", lambda *_: seen)
    (overlay,) = bench.preview()
    pixels, known = shown_pixels(overlay)
    assert known[seen].all()
    assert known.sum() < known.size / 2
    bench.run()
    np.testing.assert_array_equal(pixels, result_there(layer, overlay))


def test_preview_of_a_coarse_multiscale_level_shows_the_finest_pixels(bench):
    fine = noisy((64, 80))
    layer = bench.add([fine, fine[::2, ::2]], multiscale=True)
    (overlay,) = bench.preview()
    pixels, known = shown_pixels(overlay)
    assert known.all() and known.shape == (64, 80)
    bench.run()
    np.testing.assert_array_equal(pixels, layer.data[0][known])


def test_the_overlay_looks_like_its_layer_and_lies_on_it(bench, stack):
    layer = bench.add(
        stack,
        scale=(2, 0.5, 0.5),
        translate=(0, 7, 9),
        colormap="magma",
        gamma=0.5,
        contrast_limits=(100, 250),
        axis_labels=("t", "y", "x"),
    )
    bench.viewer.dims.set_current_step(0, 2)
    (overlay,) = bench.preview()
    shown = overlay.layer
    np.testing.assert_array_equal(shown.translate, (4, 7, 9))
    np.testing.assert_array_equal(shown.scale, layer.scale)
    assert shown.colormap.name == "magma" and shown.gamma == 0.5
    assert tuple(shown.contrast_limits) == (100, 250)
    assert list(bench.viewer.layers.selection) == [layer]
    assert [s.layer for s in bench.widget.sources] == [layer]


def test_preview_follows_the_slider(bench, stack):
    bench.add(stack, axis_labels=("t", "y", "x"))
    bench.viewer.dims.set_current_step(0, 1)
    bench.preview()
    bench.viewer.dims.set_current_step(0, 5)
    bench.until(lambda: any(o.plane[0] == slice(5, 6) for o in bench.widget.preview.overlays))
    bench.preview_done()
    assert len([x for x in bench.images() if HELPER in x.metadata]) == 1


def test_preview_follows_the_settings(bench, stack):
    bench.add(stack)
    (overlay,) = bench.preview()
    full = np.array(overlay.layer.data)
    bench.widget.form.strength.value = 0
    noisy_frame = stack[overlay.plane]
    bench.until(lambda: bool((np.asarray(overlay.layer.data) == noisy_frame).all()))
    assert (full != noisy_frame).any()


def test_an_additive_layer_is_hidden_under_its_preview(bench, stack):
    layer = bench.add(stack, blending="additive")
    bench.preview()
    assert not layer.visible
    bench.widget.actions.preview.native.setChecked(False)
    assert layer.visible and bench.images() == [layer]


def test_run_takes_the_preview_away(bench, stack):
    layer = bench.add(stack)
    bench.preview()
    bench.run()
    assert bench.images() == [layer]
    assert not bench.widget.actions.preview.native.isChecked()


def test_removing_the_layer_takes_its_preview_away(bench, stack):
    layer = bench.add(stack)
    bench.preview()
    bench.viewer.layers.remove(layer)
    assert not any(overlay.visible for overlay in bench.images())
    bench.until(lambda: bench.images() == [])
    assert not bench.widget.preview.active


def test_removing_the_overlay_switches_the_preview_off(bench, stack):
    layer = bench.add(stack)
    (overlay,) = bench.preview()
    bench.viewer.layers.remove(overlay.layer)
    assert bench.images() == [layer]
    assert not bench.widget.actions.preview.native.isChecked()


def test_the_3d_view_is_told_why_there_is_no_preview(bench):
    bench.add(noisy((4, 24, 32)))
    bench.viewer.dims.ndisplay = 3
    bench.widget.actions.preview.native.setChecked(True)
    assert "2-D view" in bench.widget.actions.status.text
    assert not bench.widget.actions.preview.native.isChecked()


def test_lazy_data_are_read_frame_by_frame_only(bench, stack):
    read = []

    def frame(block_info=None):
        number = block_info[None]["chunk-location"][0]
        read.append(number)
        return stack[number : number + 1]

    lazy = da.map_blocks(frame, chunks=((1,) * 6, (40,), (56,)), dtype=stack.dtype, meta=stack)
    bench.add(lazy, axis_labels=("t", "y", "x"), contrast_limits=(100, 300))
    (overlay,) = bench.preview()
    assert overlay.known.all()
    assert set(read) <= set(range(6))


def test_adding_the_overlay_does_not_start_the_preview_again(bench, monkeypatch):
    windows, go_on = [], threading.Event()
    run = TorchEngine.run

    def slow(self, window, *args, **options):
        windows.append(window.values.shape)
        assert go_on.wait(PATIENCE_MS / 1000)
        return run(self, window, *args, **options)

    monkeypatch.setattr(TorchEngine, "run", slow)
    bench.add(noisy((64, 80)))
    bench.widget.actions.preview.native.setChecked(True)
    bench.until(lambda: bool(bench.widget.preview.overlays) and bool(windows))
    bench.qtbot.wait(2 * denoise._SETTLE_MS)  # what the new layer sets off has come to rest
    go_on.set()
    bench.preview_done()
    assert len(windows) == 1


def test_several_layers_are_previewed_together(bench):
    layers = [bench.add(noisy((24, 32), seed), blending="additive") for seed in range(2)]
    bench.viewer.layers.selection = set(layers)
    overlays = bench.preview()
    assert len(overlays) == 2
    assert all(o.known.all() for o in overlays)


def test_overlays_are_gone_before_the_canvas_turns_to_3d(bench, stack):
    layer = bench.add(stack)
    bench.preview()
    seen = []
    # Whoever was connected first hears of it last: the canvas is older than any panel.
    bench.viewer.layers.events.removed.connect(lambda _event: seen.append(canvas.copy()))
    canvas: list[int] = []
    bench.viewer.dims.events.ndisplay.connect(
        lambda event: canvas.append(event.value), position="last"
    )
    bench.viewer.dims.ndisplay = 3
    assert bench.images() == [layer] and seen == [[]]
    assert "3-D" in bench.widget.actions.status.text
    assert not bench.widget.actions.preview.native.isChecked()


def test_a_preview_paints_some_times_a_second(bench, monkeypatch):
    painted = []
    bench.add(noisy((96, 160)))
    plain = Overlay.refresh
    monkeypatch.setattr(Overlay, "refresh", lambda self: (painted.append(1), plain(self)))
    monkeypatch.setattr(previewing, "_BETWEEN_PAINTS", 1e9)
    monkeypatch.setattr(previewing, "plan", lambda layout, view: plan(layout, view, 256, 16))
    (overlay,) = bench.preview()
    assert overlay.known.all() and len(painted) <= 2  # the first piece and the last
    assert (overlay.layer.data != bench.images()[0].data).any()
