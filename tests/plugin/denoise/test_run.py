"""Run: from the button to the layer's data."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import zarr
from _bench import noisy
from napari.layers import Layer

from _networks import write_tiny_weights
from napari_denoise.inference.denoiser import Denoiser
from napari_denoise.io.meta import ImageMeta
from napari_denoise.plugin.layers import storage
from napari_denoise.plugin.layers.data import to_layers
from napari_denoise.plugin.layers.source import PROVENANCE, bare
from napari_denoise.weights import catalogue

SHARE_A_VIEWER = True

# Frames of mere noise show nothing in common, which is said.
pytestmark = pytest.mark.filterwarnings("ignore:frames along")


def expected(stack, axes="TYX", **fields):
    return Denoiser.load("auto")(stack, axes, **fields)


def test_run_replaces_the_data_with_what_python_would_give(bench, stack):
    layer = bench.add(stack.copy(), axis_labels=("t", "y", "x"))
    bench.run()
    assert layer.data.dtype == stack.dtype
    np.testing.assert_array_equal(layer.data, expected(stack))
    assert (layer.data != stack).any()
    assert bench.images() == [layer]
    assert bench.widget.actions.status.kind == "good"


def test_run_never_writes_into_the_original_array(bench, stack):
    original = stack.copy()
    original.setflags(write=False)
    layer = bench.add(original)
    bench.run()
    assert layer.data is not original
    np.testing.assert_array_equal(original, stack)


def test_everything_else_of_the_layer_is_kept(bench, stack):
    layer = bench.add(
        stack,
        name="cells",
        axis_labels=("t", "y", "x"),
        scale=(2.0, 0.5, 0.25),
        translate=(1.0, 2.0, 3.0),
        units=("s", "um", "um"),
        contrast_limits=(101, 190),
        colormap="magma",
        gamma=0.7,
        metadata={"microscope": "confocal"},
    )
    before = layer.as_layer_data_tuple()[1]
    metadata = before.pop("metadata").copy()
    bench.run()
    after = layer.as_layer_data_tuple()[1]
    note = after.pop("metadata")
    assert note.pop(PROVENANCE)["weights"] == "microscopy"
    assert note == metadata
    assert {k: repr(v) for k, v in after.items()} == {k: repr(v) for k, v in before.items()}


def test_provenance_tells_how_to_repeat_it(bench, stack):
    layer = bench.add(stack)
    bench.widget.form.strength.value = 50
    bench.run()
    note = layer.metadata[PROVENANCE]
    assert note["settings"]["strength"] == 0.5
    assert {"weights", "weights_sha256", "device", "version", "time", "channels"} <= set(note)


def test_the_users_own_noise_is_used(bench, stack):
    layer = bench.add(stack, axis_labels=("t", "y", "x"))
    bench.widget.form.noise.kind.value = "sigma"
    bench.widget.form.noise.sigma.value = 7.5
    bench.run()
    np.testing.assert_array_equal(layer.data, expected(stack, noise=7.5))


def test_rgb_is_denoised_as_colour(bench):
    photo = (noisy((32, 48, 3)) // 2).astype(np.uint8)
    layer = bench.add(photo, rgb=True)
    bench.run()
    np.testing.assert_array_equal(layer.data, expected(photo, "YXS"))
    assert layer.metadata[PROVENANCE]["weights"] == "photo"


def test_multiscale_gets_all_its_levels_at_once(bench):
    fine = noisy((32, 48))
    levels = [fine, fine[::2, ::2], fine[::4, ::4]]
    layer = bench.add(levels, multiscale=True)
    bench.run()
    assert [level.shape for level in layer.data] == [(32, 48), (16, 24), (8, 12)]
    assert {level.dtype for level in layer.data} == {np.dtype(np.uint16)}
    np.testing.assert_array_equal(layer.data[0], expected(fine, "YX"))
    means = [float(np.mean(level)) for level in layer.data]
    assert means == pytest.approx([means[0]] * 3, abs=0.5)


def test_dask_is_denoised_without_being_written_to(bench, stack):
    lazy = da.from_array(stack, chunks=(1, 40, 56))
    layer = bench.add(lazy, axis_labels=("t", "y", "x"))
    bench.run()
    np.testing.assert_array_equal(np.asarray(layer.data), expected(stack))
    bench.widget.actions.undo.native.click()
    assert layer.data is lazy


def test_a_memory_map_is_left_alone_on_disk(bench, stack, tmp_path):
    np.save(tmp_path / "stack.npy", stack)
    mapped = np.load(tmp_path / "stack.npy", mmap_mode="r+")
    layer = bench.add(mapped, axis_labels=("t", "y", "x"))
    bench.run()
    np.testing.assert_array_equal(layer.data, expected(stack))
    np.testing.assert_array_equal(np.load(tmp_path / "stack.npy"), stack)


def test_a_result_larger_than_memory_goes_to_a_temporary_store(bench, stack, monkeypatch):
    monkeypatch.setattr(storage, "free_bytes", lambda: 1000)
    layer = bench.add(stack, axis_labels=("t", "y", "x"))
    bench.run()
    assert isinstance(layer.data, zarr.Array)
    np.testing.assert_array_equal(np.asarray(layer.data[:]), expected(stack))


def test_a_new_layer_looks_like_the_old_one_and_leaves_it_alone(bench, stack):
    layer = bench.add(stack, name="cells", scale=(1, 0.5, 0.5), colormap="green")
    bench.widget.form.output.value = "new"
    bench.run()
    below, made = bench.images()
    assert below is layer and layer.data is stack and PROVENANCE not in layer.metadata
    assert made.name == "cells (denoised)" and made.colormap.name == "green"
    np.testing.assert_array_equal(made.scale, layer.scale)
    np.testing.assert_array_equal(made.data, expected(stack))
    assert list(bench.viewer.layers.selection) == [made]
    assert made.visible and not layer.visible


def test_this_frame_changes_one_frame_only(bench, stack):
    layer = bench.add(stack, axis_labels=("t", "y", "x"))
    bench.viewer.dims.set_current_step(0, 4)
    bench.widget.form.scope.value = "frame"
    bench.run()
    np.testing.assert_array_equal(layer.data[4], expected(stack)[4])
    np.testing.assert_array_equal(np.delete(layer.data, 4, 0), np.delete(stack, 4, 0))
    assert layer.metadata[PROVENANCE]["frames"] == [4]


def test_the_scope_is_asked_for_only_where_there_are_several_frames(bench, stack):
    form = bench.widget.form
    photo = bench.add((noisy((32, 48, 3)) // 2).astype(np.uint8), rgb=True)
    assert not form.scope.native.isVisibleTo(form.native)
    layer = bench.add(stack, axis_labels=("t", "y", "x"))
    assert form.scope.native.isVisibleTo(form.native)
    form.scope.value = "frame"
    bench.viewer.layers.selection = {photo}
    assert not form.scope.native.isVisibleTo(form.native)
    bench.run()  # what is not shown does not count
    assert "frames" not in photo.metadata[PROVENANCE]
    bench.viewer.layers.selection = {photo, layer}
    assert form.scope.native.isVisibleTo(form.native)
    bench.viewer.layers.selection = {layer}
    layer.data = stack[:1]
    assert not form.scope.native.isVisibleTo(form.native)


def test_frames_can_be_denoised_one_after_another(bench, stack):
    layer = bench.add(stack)
    bench.widget.form.scope.value = "frame"
    for frame in (1, 3):
        bench.viewer.dims.set_current_step(0, frame)
        bench.run()
    assert layer.metadata[PROVENANCE]["frames"] == [1, 3]
    bench.run()
    assert "denoised already" in bench.widget.actions.status.text


def test_this_frame_of_lazy_data_lies_over_it_as_a_layer(bench, stack):
    lazy = da.from_array(stack, chunks=(1, 40, 56))
    layer = bench.add(lazy, scale=(2, 1, 1), axis_labels=("t", "y", "x"))
    bench.viewer.dims.set_current_step(0, 2)
    bench.widget.form.scope.value = "frame"
    bench.run()
    made = bench.images()[1]
    assert layer.data is lazy
    assert made.data.shape == (1, 40, 56) and made.translate[0] == 4
    np.testing.assert_array_equal(made.data[0], expected(stack)[2])


def test_all_selected_layers_are_denoised_one_after_the_other(bench):
    layers = [bench.add(noisy((3, 24, 32), seed), name=f"c{seed}") for seed in range(3)]
    data = [layer.data for layer in layers]
    bench.viewer.layers.selection = set(layers[:2])
    bench.run()
    assert [layer.data is old for layer, old in zip(layers, data, strict=True)] == [
        False,
        False,
        True,
    ]
    assert "c0, c1" in bench.widget.actions.status.text


def test_guides_of_a_render_are_left_out_unless_chosen_alone(bench):
    group = "napari_denoise_group"
    colour = bench.add(noisy((24, 32)), metadata={group: {"id": "a", "role": "color"}})
    normal = bench.add(noisy((24, 32)), metadata={group: {"id": "a", "role": "normal"}})
    bench.viewer.layers.selection = {colour, normal}
    assert [s.layer for s in bench.widget.sources] == [colour]
    bench.viewer.layers.selection = {normal}
    assert [s.layer for s in bench.widget.sources] == [normal]


def test_a_locked_layer_is_refused_in_place_only(bench, stack):
    layer = bench.add(stack)
    layer.locked = True
    bench.run()
    assert layer.data is stack and "Locked" in bench.widget.actions.status.text
    bench.widget.form.output.value = "new"
    bench.run()
    assert layer.data is stack and len(bench.images()) == 2


def test_a_denoised_layer_is_denoised_again_only_on_request(bench, stack):
    layer = bench.add(stack)
    bench.run()
    once = layer.data
    bench.run()
    assert layer.data is once and bench.widget.actions.again.native.isVisibleTo(bench.widget)
    bench.run(again=True)
    assert layer.data is not once


def test_data_that_cannot_be_denoised_say_why(bench):
    bench.add(np.eye(8, dtype=bool))
    bench.until(lambda: bench.widget.actions.status.kind == "error")
    assert "bool" in bench.widget.actions.status.text


def test_an_error_in_the_engine_is_shown_and_changes_nothing(bench, stack, monkeypatch):
    from napari.utils.notifications import notification_manager

    from napari_denoise.inference.stack import StackJob

    def fail(self, which=None):
        raise RuntimeError("the device caught fire")
        yield

    layer = bench.add(stack)
    monkeypatch.setattr(StackJob, "steps", fail)
    bench.run()
    assert layer.data is stack
    assert bench.widget.actions.status.text == "the device caught fire"
    assert any("caught fire" in record.message for record in notification_manager.records)


def test_own_figures_start_from_what_was_measured_however_small(bench):
    rng = np.random.default_rng(0)
    layer = bench.add(np.float32(0.5) + rng.normal(0, 0.00222, (96, 96)).astype(np.float32))
    form = bench.widget.form
    bench.until(lambda: "stimated" in form.noise.note.text())
    form.noise.kind.value = "sigma"
    assert form.noise.sigma.value == pytest.approx(float(np.std(layer.data)), rel=0.1)
    assert len(f"{form.noise.sigma.value:.9f}".rstrip("0")) >= 6  # not rounded to hundredths


def test_the_realism_slider_is_there_for_weights_with_a_realistic_end(bench):
    photo = (noisy((32, 48, 3)) // 2).astype(np.uint8)
    layer = bench.add(photo.copy(), rgb=True)
    form = bench.widget.form
    bench.until(lambda: form.realism.native.isVisibleTo(bench.widget))
    assert not form.realism_note.isVisibleTo(bench.widget)
    form.realism.value = 60
    assert "measure on the faithful" in form.realism_note.text()
    bench.run()
    np.testing.assert_array_equal(layer.data, expected(photo, "YXS", realism=0.6))
    assert (layer.data != expected(photo, "YXS")).any()
    assert layer.metadata[PROVENANCE]["settings"]["realism"] == 0.6
    assert "measure on the faithful" in layer.metadata[PROVENANCE]["note"]
    assert "realism 60%" in bench.widget.header.note.text()
    form.weights.value = "render"  # which has no such end
    assert not form.realism.native.isVisibleTo(bench.widget)
    assert not form.realism_note.isVisibleTo(bench.widget)
    assert form.settings().realism == 0


def test_after_a_run_nothing_claims_to_be_measuring(bench, stack):
    layer, form = bench.add(stack), bench.widget.form
    bench.until(lambda: form.noise.known)
    estimated = form.noise.note.text()
    bench.run()
    bench.until(lambda: "Denoised already" in form.noise.note.text())
    bench.widget.actions.undo.native.click()
    bench.until(lambda: form.noise.known)
    assert layer.data is stack and form.noise.note.text() == estimated


def test_what_auto_picked_for_one_layer_is_not_said_of_another(bench, stack):
    form = bench.widget.form
    bench.add((noisy((32, 48, 3)) // 2).astype(np.uint8), rgb=True)
    bench.until(lambda: form.picked.text().startswith("Auto picked"))
    bench.add(stack)
    assert not form.picked.text().startswith("Auto picked")
    bench.until(lambda: form.picked.text().startswith("Auto picked"))


def test_a_message_about_one_layer_does_not_stay_beside_another(bench, stack):
    bench.add(stack, name="good")
    bench.run()
    assert "Denoised: good" in bench.widget.actions.status.text
    bench.add(np.zeros((24, 32), bool), name="mask")
    bench.until(lambda: bench.widget.actions.status.kind == "error")
    assert "bool" in bench.widget.actions.status.text
    bench.viewer.layers.selection.active = bench.viewer.layers["good"]
    assert bench.widget.actions.status.text == ""


def test_expected_errors_are_shown_without_a_traceback(bench, caplog, capsys):
    from napari.utils.notifications import notification_manager

    layer = bench.add(np.zeros((24, 32), bool))
    bench.run()
    assert layer.data.dtype == bool
    (record,) = [r for r in notification_manager.records if "bool" in r.message]
    assert record.severity.value == "error"
    assert "Traceback" not in caplog.text + "".join(capsys.readouterr())


def test_nothing_moves_when_the_estimate_arrives(bench, stack):
    form = bench.widget.form
    bench.add(stack, axis_labels=("t", "y", "x"))
    assert "Measuring" in form.noise.note.text()
    bench.qtbot.wait(50)
    before = form.strength.native.mapTo(bench.widget, form.strength.native.rect().topLeft()).y()
    bench.until(lambda: form.noise.known)
    bench.qtbot.wait(50)
    after = form.strength.native.mapTo(bench.widget, form.strength.native.rect().topLeft()).y()
    assert abs(after - before) <= 4


@pytest.mark.parametrize("again", [False, True])
def test_weights_that_are_gone_are_said_and_leave_the_list(
    bench, stack, monkeypatch, again, tmp_path
):
    monkeypatch.setattr(catalogue, "user_folder", lambda: tmp_path)
    file = write_tiny_weights(tmp_path / "mine.safetensors", channels=1)
    write_tiny_weights(tmp_path / "other.safetensors", channels=1)
    form, status = bench.widget.form, bench.widget.actions.status
    form.fill_weights(catalogue.list_weights())
    layer = bench.add(stack)
    form.weights.value = "mine"
    if again:  # the network is in memory by then
        bench.until(lambda: form.noise.known)
    file.unlink()
    bench.run()
    assert status.text == ("weights 'mine' are gone (renamed or removed since): choose others")
    assert layer.data is stack
    assert "mine" not in form.weights.choices and "other" in form.weights.choices
    bench.until(lambda: form.noise.known)  # with what is chosen now
    form.weights.value = "other"
    (tmp_path / "other.safetensors").rename(tmp_path / "third.safetensors")
    bench.until(lambda: "'other' are gone" in status.text)  # without being asked to run
    assert "third" in form.weights.choices


def test_what_the_file_of_a_layer_says_means_what_it_means_to_python(bench):
    light = np.random.default_rng(0).gamma(3, 0.03, (48, 56, 1)) * np.ones(3, np.float32)
    dim, meta = light.astype(np.float32), ImageMeta("YXS", name="dim", extra={"format": "exr"})
    (data,) = to_layers(dim, meta)
    layer = bare(bench.viewer.add_layer(Layer.create(*data)))
    bench.run()
    assert layer.metadata[PROVENANCE]["weights"] == "render"
    np.testing.assert_array_equal(layer.data, Denoiser.load("auto")(dim, meta=meta))


def test_a_warning_is_shown_once(bench, stack):
    spoilt = stack.astype(np.float32)
    spoilt[0, 3, 4] = np.nan
    bench.add(spoilt)
    bench.run()
    assert bench.widget.actions.status.text.count("1 pixel was NaN or infinite") == 1


@pytest.mark.parametrize("place", ["in_place", "new"])
def test_the_result_may_be_float32(bench, stack, place):
    layer = bench.add(stack.copy(), axis_labels=("t", "y", "x"))
    bench.widget.form.dtype.value = "float32"
    bench.widget.form.output.value = place
    (overlay,) = bench.preview()
    assert overlay.layer.data.dtype == np.float32
    bench.run()
    made = layer if place == "in_place" else bench.images()[-1]
    assert made.data.dtype == np.float32
    np.testing.assert_array_equal(made.data, expected(stack, dtype="float32"))
    assert made.metadata[PROVENANCE]["settings"]["dtype"] == "float32"
    assert tuple(made.contrast_limits) == tuple(layer.contrast_limits)
    if place == "in_place":
        bench.widget.actions.undo.native.click()
        bench.until(lambda: layer.data.dtype == np.uint16)
        np.testing.assert_array_equal(layer.data, stack)


def test_another_type_makes_the_preview_anew_and_measures_nothing(bench, stack):
    bench.add(stack, axis_labels=("t", "y", "x"))
    (before,) = bench.preview()
    bench.widget.form.dtype.value = "float32"
    bench.until(lambda: bench.widget.preview.overlays != (before,))
    bench.preview_done()
    (after,) = bench.widget.preview.overlays
    assert after.layer.data.dtype == np.float32
    part = tuple(slice(s.start, s.stop) for s in after.plane)
    np.testing.assert_array_equal(np.rint(after.layer.data), expected(stack)[part])


def test_colour_in_whole_numbers_keeps_its_type(bench):
    image = np.random.default_rng(0).integers(40, 200, (40, 48, 3)).astype(np.uint8)
    layer = bench.add(image, rgb=True)
    bench.widget.form.dtype.value = "float32"
    bench.run()
    assert layer.data.dtype == np.uint8
