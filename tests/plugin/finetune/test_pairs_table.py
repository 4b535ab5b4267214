"""Pairs and regions in the Fine-tune widget, before anything is trained."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from _bench import noisy
from _tuning import SHAPE, TuningBench, clean_image, rectangle

from napari_denoise.io.meta import ImageMeta
from napari_denoise.io.write import write
from napari_denoise.plugin.finetune import kept
from napari_denoise.plugin.finetune.adapting import adapt_to
from napari_denoise.plugin.finetune.entries import of_files, of_folder
from napari_denoise.plugin.layers.source import bare
from napari_denoise.training.data.regions import read_regions

SHARE_A_VIEWER = True


def test_the_noisy_and_the_clean_layer_are_guessed(tuning: TuningBench):
    layer, clean = tuning.layers()
    pairs = tuning.widget.pairs
    assert (pairs.noisy.value, pairs.other.value) == (layer, clean)
    tuning.add()
    (entry,) = pairs.entries
    assert entry.usable and pairs.table.item(0, 1).text().startswith("✓")


def test_the_rows_say_what_is_wrong_and_nothing_of_it_is_trained_on(tuning: TuningBench):
    layer, clean = tuning.layers()
    pairs = tuning.widget.pairs
    clean.data = clean.data[:-4]
    pairs.noisy.value, pairs.other.value = layer, clean
    tuning.add()
    clean.data = clean_image()
    layer.metadata = {"napari_denoise": {"weights": "photo"}}
    tuning.add()
    texts = [pairs.table.item(row, 1).text() for row in range(2)]
    assert "differ in shape" in texts[0] and "denoised already" in texts[1]
    assert pairs.usable == [] and not tuning.widget.start.enabled


@pytest.mark.parametrize(
    ("shape", "dtype", "scale", "axes", "base"),
    [
        ((*SHAPE, 3), np.uint8, 1.0, "YXS", "photo"),
        ((*SHAPE, 3), np.float32, 0.05, "YXS", "render"),
        ((3, *SHAPE), np.uint16, 1.0, "TYX", "microscopy"),
    ],
)
def test_colour_hdr_and_stacks_are_pairs_too(
    tuning: TuningBench, shape: tuple[int, ...], dtype: type, scale: float, axes: str, base: str
):
    clean = np.broadcast_to(np.linspace(20, 200, SHAPE[1])[:, None], (*SHAPE, 3))
    if "S" not in axes:
        clean = np.moveaxis(clean, -1, 0)
    shot = np.random.default_rng(1).poisson(clean)
    rgb = "S" in axes
    truth = tuning.viewer.add_image((clean * scale).astype(dtype), name="truth", rgb=rgb)
    layer = tuning.viewer.add_image((shot * scale).astype(dtype), name="shot", rgb=rgb)
    pairs = tuning.widget.pairs
    pairs.noisy.value, pairs.other.value = bare(layer), bare(truth)
    tuning.add()
    (entry,) = pairs.entries
    assert entry.usable and entry.pair.axes == axes
    tuning.choose_small(2)
    tuning.widget.start.native.click()
    tuning.end()
    assert tuning.widget.ended.error is None
    assert tuning.widget.ended.tuning.base.name == base


def test_pixels_that_are_not_numbers_do_not_stop_it(tuning: TuningBench):
    layer, _ = tuning.layers()
    layer.data = np.where(np.arange(layer.data.size).reshape(SHAPE) == 500, np.nan, layer.data)
    tuning.add()
    tuning.choose_small(2)
    tuning.widget.start.native.click()
    tuning.end()
    result = tuning.widget.ended.result
    assert tuning.widget.ended.error is None
    assert all(np.isfinite((row.psnr, row.ssim)).all() for row in result.rows.values())


def test_albedo_and_normal_of_the_render_come_along(tuning: TuningBench):
    rng = np.random.default_rng(1)
    clean = np.float32(np.broadcast_to(np.linspace(0.1, 4, SHAPE[1])[:, None], (*SHAPE, 3)))
    truth = tuning.viewer.add_image(clean, name="truth", rgb=True)
    roles = {role: rng.random((*SHAPE, 3), np.float32) for role in ("albedo", "normal")}
    color = np.float32(clean * rng.gamma(4, 0.25, SHAPE)[..., None])
    for role, image in (*roles.items(), ("color", color)):
        tie = {"napari_denoise_group": {"id": "shot", "role": role}}
        shot = tuning.viewer.add_image(image, name=f"shot {role}", rgb=True, metadata=tie)
    pairs = tuning.widget.pairs
    offered = {layer.name for layer in pairs.noisy.choices if layer is not None}
    assert offered == {"truth", "shot color"}
    pairs.noisy.value, pairs.other.value = bare(shot), bare(truth)
    tuning.add()
    (entry,) = pairs.entries
    assert all(np.array_equal(entry.pair.features[role], roles[role]) for role in roles)
    assert "albedo and normal" in pairs.table.item(0, 1).text()
    tuning.choose_small(2)
    tuning.widget.start.native.click()
    tuning.end()
    assert tuning.widget.ended.error is None and tuning.widget.ended.tuning.base.name == "render"


def test_an_image_is_no_partner_of_itself(tuning: TuningBench):
    layer, _ = tuning.layers()
    copy = tuning.viewer.add_image(layer.data.copy(), name="copy")
    pairs = tuning.widget.pairs
    pairs.noisy.value, pairs.other.value = layer, bare(copy)
    tuning.add()
    assert "identical" in pairs.table.item(0, 1).text() and not tuning.widget.start.enabled


def test_a_shift_is_measured_and_aligning_is_offered(tuning: TuningBench):
    rng = np.random.default_rng(1)
    scene = rng.normal(1000, 200, SHAPE).cumsum(0).cumsum(1)
    scene = np.float32(100 + 200 * (scene - scene.min()) / np.ptp(scene))
    scene += np.float32(
        40 * np.sin(np.arange(SHAPE[1]) / 3) * np.cos(np.arange(SHAPE[0]) / 4)[:, None]
    )
    shot = rng.poisson(scene).astype(np.uint16)
    tuning.viewer.add_image(np.roll(scene, 1, axis=1), name="clean", visible=False)
    tuning.viewer.add_image(shot, name="shot")
    pairs = tuning.widget.pairs
    tuning.add()
    assert "px apart" in pairs.table.item(0, 1).text()
    assert not pairs.align.isHidden() and not pairs.aligned
    pairs.align.setChecked(True)
    assert tuning.widget._ask().settings.align


def test_pairs_come_from_files_folders_and_repeats(tuning: TuningBench, tmp_path: Path):
    for name, image in (("noisy", noisy(SHAPE)), ("clean", clean_image())):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "a.tif", image, ImageMeta(axes="YX"))
    pairs = tuning.widget.pairs
    files = [str(tmp_path / name / "a.tif") for name in ("noisy", "clean")]
    pairs.take(of_files(files, "clean"), files[0])
    tuning.until(lambda: not pairs.busy)
    write(tmp_path / "noisy" / "a.tif", noisy(SHAPE, 1), ImageMeta(axes="YX"), overwrite=True)
    pairs.take(of_folder(str(tmp_path)), str(tmp_path))
    tuning.until(lambda: not pairs.busy)
    tuning.viewer.add_image(noisy((9, *SHAPE)), name="repeats")
    pairs.kind.value = "repeats"
    tuning.add()
    assert [entry.pair.name for entry in pairs.entries] == ["a", "a (2)", "repeats"]
    assert len(pairs.usable) == 3 and pairs.entries[2].pair.one_scene
    pairs.table.selectRow(0)
    pairs.remove.native.click()
    assert [entry.pair.name for entry in pairs.entries] == ["a (2)", "repeats"]
    pairs.take(of_folder(str(tmp_path / "noisy")), "nothing")
    tuning.until(lambda: pairs.status.kind == "error")
    assert "noisy/" in pairs.status.text


def test_both_kinds_are_drawn_trimmed_saved_and_loaded(tuning: TuningBench, tmp_path: Path):
    tuning.layers((3, *SHAPE))
    tuning.add()
    drawing = tuning.widget.drawing
    tuning.viewer.dims.set_current_step(0, 1)
    drawing.train.native.click()
    layer = drawing.layers["cells"]
    on_frame = np.ones((4, 1))
    layer.add([np.hstack([on_frame, rectangle(0, 0, 64, 60)])], shape_type="rectangle")
    drawing.validate.native.click()
    drawing.every.setChecked(True)
    drawing.validate.native.click()
    layer.add([np.hstack([on_frame, rectangle(0, 50, 32, 96)])], shape_type="rectangle")
    train, validate = drawing.regions().regions
    assert (train.kind, train.rectangle, train.frame) == ("train", (0, 0, 64, 60), 1)
    assert (validate.kind, validate.rectangle, validate.frame) == (
        "validate",
        (0, 50, 32, 96),
        None,
    )
    tuning.until(lambda: "320 drawn as both" in drawing.note.text())
    assert (drawing.parts.layer.data == 3).sum() == 320

    file = tmp_path / "regions.json"
    drawing.write(file)
    assert read_regions(file) == drawing.regions()
    assert {r["pair"] for r in json.loads(file.read_text())["regions"]} == {"cells"}
    tuning.viewer.layers.remove(layer)
    assert drawing.regions().regions == ()
    drawing.read(file)
    assert drawing.regions() == read_regions(file)


def test_a_polygon_keeps_its_corners_and_a_line_is_left_out(tuning: TuningBench):
    tuning.layers()
    tuning.add()
    drawing = tuning.widget.drawing
    drawing.train.native.click()
    layer = drawing.layers["cells"]
    corners = np.array([[0.0, 0.0], [40.0, 10.0], [20.0, 60.0]])
    layer.add([corners], shape_type="polygon")
    layer.add([corners[:2]], shape_type="line")
    (region,) = drawing.regions().regions
    assert np.allclose(region.polygon, corners + 0.5)
    assert "holds no pixels" in drawing.left_out.text


def test_how_long_it_takes_is_said_without_beginning(tuning: TuningBench):
    tuning.layers()
    tuning.add()
    tuning.choose_small(7)
    tuning.widget.estimate.native.click()
    tuning.until(lambda: "steps of" in tuning.widget.status.text)
    said = tuning.widget.status.text.replace("\xa0", " ")
    assert "7 steps of 2 patches of 16 px" in said and "MiB free" in said
    assert not tuning.widget.busy


def test_a_noisy_stack_goes_alone(tuning: TuningBench, tmp_path: Path):
    tuning.viewer.add_image(noisy((5, *SHAPE)), name="film")
    pairs = tuning.widget.pairs
    pairs.kind.value = "stack"
    assert pairs.other.native.isHidden()
    tuning.add()
    (entry,) = pairs.entries
    assert entry.usable and entry.pair.stack and entry.layer is bare(tuning.viewer.layers["film"])
    assert "its frames teach each other" in pairs.table.item(0, 0).toolTip()
    # What is kept to go on from is the same, and its pixels lie there once.
    asked = tuning.widget._ask()
    for _ in kept.keep(tmp_path, asked.pairs, asked.settings, asked.regions):
        pass
    (again,) = kept.Kept(tmp_path, "", "", asked.settings).pairs()
    assert again.stack and again.sha256 == entry.pair.sha256
    assert len(list((tmp_path / "pairs").iterdir())) == 1
    pairs.take(of_files([str(tmp_path / "absent.tif")], "stack"), "absent")
    tuning.until(lambda: pairs.status.kind == "error")


def test_another_widget_brings_a_stack_to_adapt_to(tuning: TuningBench):
    tuning.viewer.add_image(noisy(SHAPE), name="other")
    film = tuning.viewer.add_image(noisy((5, *SHAPE)), name="film")
    tuning.viewer.layers.selection = {tuning.viewer.layers["other"]}
    tuning.viewer.window.add_dock_widget(tuning.widget)
    assert adapt_to(tuning.viewer, film) is tuning.widget
    tuning.until(lambda: bool(tuning.widget.pairs.entries))
    (entry,) = tuning.widget.pairs.entries
    assert entry.pair.stack and entry.layer is bare(film)


@pytest.mark.parametrize("name", ["cells", "", "cells (2)"])
def test_a_layer_may_get_the_name_of_another_one(tuning: TuningBench, name: str):
    first, second, third = (
        tuning.viewer.add_image(np.zeros((16, 16), np.uint16), name=n)
        for n in ("cells", "cells (2)", "third")
    )
    form = tuning.widget.pairs
    for chosen in (first, second, third):
        form.noisy.value = chosen
        for layer in (second, third, first):
            layer.name = name
            names = [entry.name for entry in tuning.viewer.layers]
            assert len(set(names)) == len(names)
            assert form.noisy.value is not None
