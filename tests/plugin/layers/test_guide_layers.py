"""Albedo and normal: found by themselves, shown, chosen, and used."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import LayerList
from napari.layers import Image

from napari_denoise.image.long_work import finished
from napari_denoise.image.metrics import psnr
from napari_denoise.inference.denoiser import Denoiser
from napari_denoise.plugin.denoise.jobs import Jobs
from napari_denoise.plugin.layers.data import GROUP, PROVENANCE
from napari_denoise.plugin.layers.guides import AUTO, NONE, Guiding
from napari_denoise.plugin.layers.source import Source, bare
from napari_denoise.settings.denoise import DenoiseSettings
from napari_denoise.weights import catalogue
from napari_denoise.weights.catalogue import find_weights

SHARE_A_VIEWER = True

# Frames of mere noise show nothing in common, which is said.
pytestmark = pytest.mark.filterwarnings("ignore:frames along")

REAL_WEIGHTS = catalogue.BUNDLED
ROLES = ("albedo", "normal")
SHAPE = (2, 32, 40, 3)


def render(seed=0, shape=SHAPE):
    """Noisy HDR colour, albedo and normal."""
    rng = np.random.default_rng(seed)
    return {
        "color": rng.gamma(1.0, 1.5, shape).astype(np.float32),
        "albedo": rng.random(shape, np.float32),
        "normal": rng.uniform(-1, 1, shape).astype(np.float32),
    }


def state(role, name="shot", group="1"):
    name = name if role == "color" else f"{name} {role}"
    return {"name": name, "rgb": True, "metadata": {GROUP: {"id": group, "role": role}}}


def layers_of(arrays, **kwargs):
    return LayerList([Image(array, **state(role, **kwargs)) for role, array in arrays.items()])


def add_render(bench, arrays, **kwargs):
    """Guides first and hidden, the colour on top, as readers give them."""
    ordered = [*ROLES, "color"]
    made = {r: bench.add(arrays[r], visible=r == "color", **state(r, **kwargs)) for r in ordered}
    bench.viewer.layers.selection = {made["color"]}
    return made


def guides_of(guiding, *layers):
    """Names of the layers that go with each of some layers."""
    sources = guiding.attach([Source.of(layer) for layer in layers])
    return [{guide.role: guide.layer.name for guide in s.guides} for s in sources]


def choose(bench, role, text):
    combo = bench.widget.form.guides.combos[role]
    combo.setCurrentIndex(combo.findText(text))


def expected(arrays, roles=ROLES):
    features = {role: arrays[role] for role in roles}
    return Denoiser.load("render")(arrays["color"], "TYXS", features)


# --- finding, without a window --------------------------------------------------------------


def test_guides_are_found_by_the_render_they_belong_to_whatever_they_are_called():
    layers = layers_of(render())
    layers.extend(layers_of(render(1), name="other", group="2"))
    layers["shot normal"].name = "N"
    guiding = Guiding(layers)
    tied = {"albedo": "shot albedo", "normal": "N"}
    others = {"albedo": "other albedo", "normal": "other normal"}
    assert guides_of(guiding, layers["shot"]) == [tied]
    assert guides_of(guiding, layers["shot"], layers["other"]) == [tied, others]
    assert guides_of(guiding, layers["N"]) == [{}]
    layers.remove(layers["N"])
    assert guides_of(guiding, layers["shot"]) == [{"albedo": "shot albedo"}]


def test_a_choice_holds_for_its_layer_while_that_is_selected_alone():
    layers = layers_of(render())
    layers.extend(layers_of(render(1), name="other", group="2"))
    guiding, shot = Guiding(layers), layers["shot"]
    guiding.choose(shot, "albedo", str(layers["other albedo"].unique_id))
    guiding.choose(shot, "normal", NONE)
    assert guides_of(guiding, shot) == [{"albedo": "other albedo"}]
    assert guides_of(guiding, shot, layers["other"])[0]["albedo"] == "shot albedo"
    assert guiding.offer([Source.of(shot)]).values["normal"] == NONE
    layers.remove(layers["other albedo"])
    assert guides_of(guiding, shot) == [{"albedo": "shot albedo"}]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (np.zeros((2, 31, 40, 3), np.float32), "(2, 31, 40, 3), expected (2, 32, 40, 3)"),
        (np.zeros(SHAPE, np.uint8), "uint8, expected floating point"),
    ],
)
def test_a_guide_that_does_not_fit_is_named_and_left_out(wrong, words):
    layers = layers_of(render() | {"albedo": wrong})
    guiding = Guiding(layers)
    sources = guiding.attach([Source.of(layers["shot"])])
    offer = guiding.offer(sources)
    assert list(sources[0].features) == ["normal"]
    assert "“shot albedo”" in offer.faults and words in offer.faults
    assert offer.choices["albedo"][0] == ("Auto: none found", AUTO)
    assert [label for label, _ in offer.choices["normal"]] == [
        "Auto: shot normal",
        "None",
        "shot normal",
    ]


def test_only_colour_in_floating_point_is_offered_guides():
    gray, bytes_ = Image(np.ones((8, 9), np.float32)), Image(np.ones((8, 9, 3), np.uint8), rgb=True)
    guiding = Guiding(LayerList([gray, bytes_]))
    assert guiding.offer([Source.of(gray), Source.of(bytes_)]) is None


def test_a_job_is_kept_while_its_guides_stay_and_made_anew_where_they_change():
    arrays = render()
    layers = layers_of(arrays)
    guiding, jobs, settings = Guiding(layers), Jobs(), DenoiseSettings()

    def job():
        source = guiding.attach([Source.of(layers["shot"])])[0]
        return finished(jobs.prepare(source, settings))

    first = job()
    assert job() is first and first.provenance()["features"] == ["albedo", "normal"]
    arrays["normal"] *= -1  # in place
    edited = job()
    assert edited is not first
    layers["shot albedo"].data = arrays["albedo"].copy()
    replaced = job()
    assert replaced is not edited
    guiding.choose(layers["shot"], "albedo", NONE)
    assert job().provenance()["features"] == ["normal"]


# --- in the viewer --------------------------------------------------------------------------


def test_the_sample_render_is_denoised_with_its_albedo_and_normal(bench, monkeypatch):
    monkeypatch.setattr(catalogue, "BUNDLED", REAL_WEIGHTS)
    bench.widget.form.fill_weights(catalogue.list_weights())
    bench.viewer.open_sample("napari-denoise", "render")
    form, rows = bench.widget.form, bench.widget.form.guides
    layers = {layer.name: bare(layer) for layer in bench.viewer.layers}
    layer, crop = layers["still_life"], (slice(0, 2), slice(60, 124), slice(90, 170))
    noisy, truth = (layers[name].data[crop] for name in ("still_life", "render truth"))
    layer.data = noisy
    assert "“still_life albedo” has shape (4, 192, 256, 3)" in rows.note.text()
    for role in ROLES:
        layers[f"still_life {role}"].data = layers[f"still_life {role}"].data[crop]
    assert not rows.note.text()
    assert [combo.currentText() for combo in rows.combos.values()] == [
        "Auto: still_life albedo",
        "Auto: still_life normal",
    ]
    bench.until(lambda: find_weights("render").card.title in form.picked.text())
    bench.run()
    guided, note = layer.data, layer.metadata[PROVENANCE]
    assert note["weights"] == "render" and note["features"] == ["albedo", "normal"]
    assert note["feature_layers"] == {r: f"still_life {r}" for r in ROLES}
    bench.widget.actions.undo.native.click()
    assert layer.data is noisy
    for role in ROLES:
        choose(bench, role, "None")
    bench.run()
    assert layer.metadata[PROVENANCE]["features"] == []
    assert (layer.data != guided).any()
    figures = [psnr(truth.clip(0, 1), x.clip(0, 1), 1.0) for x in (noisy, layer.data, guided)]
    texts = [f"{figure:.2f}" for figure in figures]
    print("PSNR of noisy, denoised, with guides:", *texts)  # noqa: T201 - pytest -s shows it
    assert figures[2] > figures[0] + 2


def test_the_preview_follows_the_choice_and_is_what_run_gives(bench):
    arrays = render()
    layer = add_render(bench, arrays)["color"]
    bench.viewer.dims.set_current_step(0, 1)
    (overlay,) = bench.preview()
    np.testing.assert_array_equal(overlay.layer.data[0], expected(arrays)[1])
    choose(bench, "albedo", "None")
    wanted = expected(arrays, ["normal"])

    def shows_it():
        overlays = bench.widget.preview.overlays
        return len(overlays) == 1 and np.array_equal(overlays[0].layer.data[0], wanted[1])

    bench.until(shows_it)
    bench.widget.form.scope.value = "frame"
    bench.run()
    np.testing.assert_array_equal(layer.data[1], wanted[1])
    np.testing.assert_array_equal(layer.data[0], arrays["color"][0])
    assert list(layer.metadata[PROVENANCE]["feature_layers"]) == ["normal"]


def test_a_guide_that_is_removed_while_a_run_works_is_used_to_the_end(bench):
    arrays = render(shape=(16, 64, 64, 3))
    made = add_render(bench, arrays)
    bench.start()
    for role in ROLES:
        bench.viewer.layers.remove(made[role])
    bench.until(lambda: not bench.widget.runner.busy)
    np.testing.assert_array_equal(made["color"].data, expected(arrays))
    assert made["color"].metadata[PROVENANCE]["features"] == ["albedo", "normal"]


def test_the_rows_are_shown_for_renders_only_and_say_what_is_used(bench):
    form, rows = bench.widget.form, bench.widget.form.guides

    def shown():
        return rows.combos["albedo"].isVisibleTo(form.native)

    photo = bench.add(render()["albedo"], rgb=True)  # floating point, but no radiance
    bench.until(lambda: bool(form.picked.text()))
    assert not shown()
    made = add_render(bench, render(1))
    assert shown() and rows.combos["albedo"].isEnabled()
    made["albedo"].name = "base colour"
    assert rows.combos["albedo"].currentText() == "Auto: base colour"
    bench.viewer.layers.selection = {photo, made["color"]}
    assert rows.combos["albedo"].currentText() == "Auto: found for 1 of 2"
    assert not rows.combos["albedo"].isEnabled()
    bench.viewer.layers.selection = {made["color"]}
    form.weights.value = "photo"
    assert "makes no use of albedo and normal" in rows.note.text()
    bench.run()
    assert made["color"].metadata[PROVENANCE]["features"] == []
    assert bench.widget.actions.status.kind == "good"
