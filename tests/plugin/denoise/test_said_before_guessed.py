"""Axes, noise and frames: what is guessed is said, and nothing of our own is measured."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from _bench import noisy

from napari_denoise.inference.denoiser import Denoiser
from napari_denoise.plugin.denoise import noise_rows
from napari_denoise.plugin.layers.source import PROVENANCE, set_provenance

SHARE_A_VIEWER = True

pytestmark = pytest.mark.filterwarnings("ignore:frames along")


@pytest.fixture
def gaussian() -> np.ndarray:
    """Five frames of one scene with Gaussian noise of sigma 20, uint16."""
    rng = np.random.default_rng(1)
    scene = 500 + 200 * np.sin(np.arange(48) / 15)[:, None] * np.cos(np.arange(64) / 15)
    return (scene + rng.normal(0, 20, (5, 48, 64))).astype(np.uint16)


def shown(widget, part):
    return part.isVisibleTo(widget)


def test_channels_of_an_ordinary_tiff_get_a_noise_of_their_own(bench):
    rng = np.random.default_rng(0)
    channels = np.stack([rng.normal(1000, s, (48, 64)) for s in (5, 60)]).astype(np.uint16)
    layer = bench.add(channels)
    row = bench.widget.form.axes
    assert shown(bench.widget, row.combo) and "Guessed" in row.note.text()
    assert row.combo.currentText() == "TYX: 2 time points"
    row.combo.setCurrentIndex(row.combo.findData("CYX"))
    row.combo.activated.emit(row.combo.currentIndex())
    assert "2 channels" in bench.widget.header.facts.text() and row.note.text() == ""
    assert shown(bench.widget, row.combo)  # to be taken back
    bench.run()
    first, second = (c["noise"]["read_noise"] for c in layer.metadata[PROVENANCE]["channels"])
    assert first == pytest.approx(5, rel=0.3) and second == pytest.approx(60, rel=0.3)


def test_axes_can_be_typed_and_are_refused_where_they_do_not_fit(bench):
    layer = bench.add(noisy((2, 3, 24, 32)))
    row = bench.widget.form.axes
    assert row.combo.currentText().startswith("TZYX")
    row.combo.setEditText("ctyx")
    row.combo.lineEdit().editingFinished.emit()
    assert bench.widget.sources[0].axes == "CTYX"
    row.combo.setEditText("TTYX")
    row.combo.lineEdit().editingFinished.emit()
    assert "do not fit" in bench.widget.actions.status.text
    assert bench.widget.sources[0].axes == "CTYX"
    assert row.combo.currentText().startswith("CTYX") and layer.ndim == 4


def test_axes_that_are_known_are_not_asked_for(bench, stack):
    row = bench.widget.form.axes
    bench.add(stack[0])
    assert not shown(bench.widget, row.combo)
    bench.add(stack, axis_labels=("z", "y", "x"))
    assert not shown(bench.widget, row.combo)


def test_the_file_behind_a_layer_is_asked_before_anything_is_guessed(bench, tmp_path):
    path = tmp_path / "cells.ome.tif"
    data = noisy((3, 2, 24, 32))
    tifffile.imwrite(path, data, ome=True, metadata={"axes": "ZCYX"}, photometric="minisblack")
    bench.viewer.open(path, plugin="napari")
    bench.until(lambda: bench.widget.sources[0].axes == "ZCYX")
    bench.add(noisy((3, 2, 24, 32)))
    assert bench.widget.sources[0].axes == "TZYX"


def test_frames_one_by_one_are_what_the_whole_stack_gives(bench, gaussian):
    layer = bench.add(gaussian, axis_labels=("t", "y", "x"))
    job = Denoiser.load("auto").prepare(gaussian, "TYX")
    wanted = Denoiser.load("auto")(gaussian, "TYX")
    form = bench.widget.form
    form.scope.value = "frame"
    for frame in (0, 1):
        bench.viewer.dims.set_current_step(0, frame)
        bench.run()
        noise = layer.metadata[PROVENANCE]["channels"][0]["noise"]
        assert noise["read_noise"] == job.noise[0].read_noise
        bench.until(lambda: form.noise.known)
        assert "Estimated" in form.noise.note.text()
    np.testing.assert_array_equal(layer.data[:2], wanted[:2])
    np.testing.assert_array_equal(layer.data[2:], gaussian[2:])
    first = layer.data[0]
    form.scope.value = "stack"
    bench.run()  # does the rest
    np.testing.assert_array_equal(layer.data, wanted)
    assert "frames" not in layer.metadata[PROVENANCE]
    assert np.array_equal(layer.data[0], first)
    for _ in range(3):
        bench.widget.actions.undo.native.click()
    assert layer.data is gaussian


def test_without_the_originals_the_noise_of_before_is_kept(bench, gaussian):
    model = {"gain": 0.0, "offset": 0.0, "read_noise": 20.0}
    smooth = gaussian.copy()
    smooth[:4] = np.median(gaussian, axis=0)
    layer = bench.add(smooth, axis_labels=("t", "y", "x"))
    set_provenance(layer, {"frames": [0, 1, 2, 3], "channels": [{"noise": model}]})
    bench.viewer.layers.selection.clear()
    bench.viewer.layers.selection = {layer}
    form = bench.widget.form
    bench.until(lambda: form.noise.known)
    assert form.noise.note.text().startswith("As for the frames that are denoised already: ")
    assert form.neighbors_note.text().startswith("None: which frames were noisy")
    bench.run()
    np.testing.assert_array_equal(layer.data[:4], smooth[:4])
    assert (layer.data[4] != smooth[4]).any()


def test_where_there_is_no_noise_nothing_is_called_denoised(bench):
    flat = np.kron(np.arange(12.0).reshape(3, 4), np.ones((16, 16))).astype(np.float32)
    layer = bench.add(flat, name="blocks")
    bench.run()
    assert layer.data is flat and layer.metadata == {}
    assert "No noise was found in blocks" in bench.widget.actions.status.text
    assert not bench.widget.actions.undo.native.isEnabled()


def test_figures_do_not_wander_to_data_of_another_range(bench, gaussian):
    form = bench.widget.form
    layer = bench.add(gaussian, name="counts")
    form.noise.kind.value, form.noise.sigma.value = "sigma", 50
    alike = bench.add(gaussian + 3, name="more counts")
    assert form.settings().noise == 50 and form.noise.meant.text() == ""
    small = bench.add((gaussian / 200).astype(np.float32), name="ratio")
    assert form.settings().noise == "auto"
    assert "were for counts" in form.noise.meant.text()
    bench.viewer.layers.selection = {layer, small}
    form.noise.kind.value = "sigma"
    assert "ratio has values of another type or range" in form.noise.meant.text()
    bench.viewer.layers.selection = {layer, alike}
    form.noise.sigma.value = 40
    assert form.noise.meant.text() == "These figures are for all 2 layers."


def test_steps_of_the_figures_fit_their_unit(bench):
    box = bench.widget.form.noise.sigma
    for value, step in ((50.0, 1.0), (0.002, 0.0001)):
        box.native.setDecimals(6)
        box.value = value
        box.native.stepUp()
        assert box.value == pytest.approx(value + step)


def test_the_noise_line_names_every_layer(bench, gaussian):
    layers = [bench.add(gaussian[:2] + n, name=f"c{n}") for n in range(2)]
    bench.viewer.layers.selection = set(layers)
    note = bench.widget.form.noise.note
    bench.until(lambda: "all 2 layers" in note.text())
    assert "“c0”: Gaussian" in note.text() and "“c1”: Gaussian" in note.text()


def test_rows_that_mean_nothing_to_the_weights_are_hidden(bench, gaussian):
    form = bench.widget.form
    bench.add(gaussian)
    assert "model" in form.noise.kind.choices
    form.noise.kind.value = "model"
    form.weights.value = "render"  # sees logarithms
    assert "model" not in form.noise.kind.choices and form.noise.kind.value == "auto"
    assert not shown(bench.widget, form.noise.skewness.native)
    form.weights.value = "auto"
    assert "model" in form.noise.kind.choices


def test_a_cameras_noise_is_saved_and_taken_by_name(bench, gaussian, monkeypatch, tmp_path):
    form, status = bench.widget.form, bench.widget.actions.status
    bench.add(gaussian, name="cells")
    bench.until(lambda: form.noise.known)
    assert shown(bench.widget, form.noise.save.native)
    monkeypatch.setattr(
        noise_rows.QInputDialog, "getText", lambda *_args: ("Camera 2, 16 bit", True)
    )
    form.noise.save.native.click()
    bench.until(lambda: status.kind == "good")
    assert "Camera 2, 16 bit" in status.text
    other = bench.add(gaussian[:1])
    form.noise.kind.value = "file"
    assert form.noise.camera.current_choice == "Camera 2, 16 bit"
    bench.run()
    noise = other.metadata[PROVENANCE]["channels"][0]["noise"]
    assert noise["read_noise"] == pytest.approx(20, rel=0.25)
    form.noise.save_as("a/b")
    assert "cannot be the name of a camera" in status.text


def test_opening_no_file_leaves_the_noise_as_it_was(bench, gaussian, monkeypatch):
    bench.add(gaussian)
    monkeypatch.setattr(noise_rows.QFileDialog, "getOpenFileName", lambda *_args: ("", ""))
    bench.widget.form.noise.kind.value = "file"
    assert bench.widget.form.noise.kind.value == "auto"


def test_compare_and_residual_work_from_either_layer_and_for_a_frame(bench, gaussian):
    form, actions = bench.widget.form, bench.widget.actions
    form.output.value, form.scope.value = "new", "frame"
    layer = bench.add(gaussian, axis_labels=("t", "y", "x"), blending="additive")
    bench.viewer.dims.set_current_step(0, 2)
    form.output.value, form.scope.value = "new", "frame"
    bench.run()
    below, made = bench.images()
    assert made.data.shape == (1, 48, 64) and made.visible and not layer.visible
    for chosen in (below, made):
        bench.viewer.layers.selection = {chosen}
        actions.compare.native.pressed.emit()
        assert (below.visible, made.visible) == (True, False)
        actions.compare.native.released.emit()
        assert (below.visible, made.visible) == (False, True)
        actions.residual.native.click()
        assert bench.images()[-1].data.shape == (1, 48, 64)
        actions.residual.native.click()
        assert bench.images() == [below, made]
    actions.undo.native.click()
    assert bench.images() == [layer] and layer.visible
    actions.redo.native.click()
    assert bench.images() == [layer, made] and not layer.visible
    bench.viewer.layers.remove(made)
    assert layer.visible
