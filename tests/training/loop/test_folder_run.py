"""A run in a folder: what it keeps, and the weights it ends in."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
from _tiny import pictures, tiny
from PIL import Image
from safetensors.torch import load_file

from napari_denoise import Denoiser
from napari_denoise.training.loop.checkpoints import load_checkpoint
from napari_denoise.training.loop.run import Run, log_columns, make_card, read_recipe
from napari_denoise.weights.catalogue import read_info
from napari_denoise.weights.files import load_network


@pytest.fixture
def data(tmp_path):
    """A folder of three pictures."""
    folder = tmp_path / "data"
    folder.mkdir()
    for number, picture in enumerate(pictures(3)):
        Image.fromarray(picture[..., 0]).save(folder / f"{number}.png")
    return folder


def finished(settings, folder, data, **options):
    run = Run(settings, folder)
    return run, list(run.train(data, **options))


def rows(run):
    with run.log.open() as file:
        return list(csv.DictReader(file))


def test_a_run_keeps_recipe_checkpoint_log_and_figures(tmp_path, data):
    settings = tiny(adversarial={}, held_out=1, validate_every=4)
    run, reports = finished(settings, tmp_path / "run", data)
    assert [r.step for r in reports] == list(range(1, 9))
    assert np.isfinite([r.mean_loss for r in reports]).all()
    kept = sorted(str(p.relative_to(run.folder)) for p in run.folder.rglob("*") if p.is_file())
    figures = ["validation/000004.png", "validation/000008.png"]
    assert kept == ["checkpoint.pt", "log.csv", "recipe.json", *figures]
    first, second = rows(run)
    assert set(first) == {"step", "stage", "learning_rate", "seconds", *log_columns(settings)}
    assert first["psnr_faithful"] and not first["psnr_realistic"] and not first["adversarial"]
    assert all(second[name] for name in log_columns(settings))
    assert run.settings.parse(json.loads((run.folder / "recipe.json").read_text())["settings"])


def test_the_columns_are_the_terms_with_a_weight_and_the_figures_there_are():
    assert log_columns(tiny()) == ("pixel", "gradient_norm")
    assert "spread" in log_columns(tiny(distortion={"spread": 0.1}))
    names = log_columns(tiny(adversarial={}, held_out=1))
    assert set(names) == {
        *("pixel", "gradient_norm", "feature", "adversarial", "mean_intensity"),
        *("discriminator", "penalty"),
        *(f"{figure}_{end}" for figure in ("psnr", "ssim") for end in ("noisy", "faithful")),
        *("psnr_realistic", "ssim_realistic"),
    }


def test_a_resumed_run_ends_in_the_same_weights_and_one_log(tmp_path, data):
    settings = tiny(adversarial={}, held_out=1, validate_every=2)
    whole, _ = finished(settings, tmp_path / "whole", data)
    parts = Run(settings, tmp_path / "parts")
    steps = parts.train(data)
    for _ in range(5):
        next(steps)
    steps.close()
    rest = list(parts.train(data, resume=True))
    assert rest[0].step == 5
    one, other = (run.export(run.folder / "w.safetensors") for run in (whole, parts))
    assert one.sha256 == other.sha256
    for a, b in zip(rows(whole), rows(parts), strict=True):
        assert [a["step"], a["psnr_faithful"]] == [b["step"], b["psnr_faithful"]]


def test_another_run_is_never_overwritten(tmp_path, data):
    run, _ = finished(tiny(), tmp_path / "run", data)
    before = run.checkpoint.read_bytes()
    with pytest.raises(ValueError, match="it holds a run at step 4: pass --resume"):
        next(run.train(data))
    for changes, name in (
        ({"config": {"channels": 1, "widths": (4, 8), "blocks": (1, 1, 1)}}, "config"),
        ({"architecture": "iteapoy2018", "config": {"channels": 1}}, "architecture"),
    ):
        with pytest.raises(ValueError, match=f"its run has {name} .*cannot change on the way"):
            next(Run(tiny(**changes), run.folder).train(data, resume=True))
    assert run.checkpoint.read_bytes() == before


def test_without_data_nothing_is_made(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError):
        next(Run(tiny(), tmp_path / "run").train(tmp_path / "empty"))
    assert not (tmp_path / "run").exists()


def test_weights_after_a_distortion_stage_have_one_end(tmp_path, data):
    run, _ = finished(tiny(title="Small", description="Made by a test"), tmp_path / "run", data)
    info = run.export(tmp_path / "small.safetensors")
    assert (info.name, info.card.title, info.card.description) == (
        "small",
        "Small",
        "Made by a test",
    )
    assert info.card.parent is None
    assert info.card.recipe["steps_done"] == 4
    assert info.card.recipe["distortion"]["steps"] == 4
    average = load_checkpoint(run.checkpoint)["average"]
    for name, value in load_network(info).state_dict().items():
        assert torch.equal(value, average[name].half().float()), name
    with pytest.raises(ValueError, match="no realistic end"):
        load_network(info, realism=0.5)


def test_weights_after_an_adversarial_stage_have_both_ends(tmp_path, data):
    settings = tiny(adversarial={"learning_rate": 0.05})
    run, _ = finished(settings, tmp_path / "run", data)
    info = run.export(tmp_path / "both.safetensors")
    state, tensors = load_checkpoint(run.checkpoint), load_file(info.path)
    for end, kept in (("faithful", state["faithful"]), ("realistic", state["average"])):
        for name, value in kept.items():
            assert torch.equal(tensors[f"{end}.{name}"], value.half()), (end, name)
    assert not any("discriminator" in name for name in tensors)
    stack = np.uint16(np.random.default_rng(0).poisson(30, (2, 24, 40)) * 10 + 100)
    denoiser = Denoiser.load(str(info.path), device="cpu", precision="float32")
    faithful, half, realistic = (
        denoiser(stack, axes="TYX", realism=r, neighbors=0) for r in (0, 0.5, 1)
    )
    for result in (faithful, half, realistic):
        assert (result.shape, result.dtype) == (stack.shape, stack.dtype)
    assert not np.array_equal(faithful, realistic)
    assert not np.array_equal(faithful, half)
    assert not np.array_equal(half, realistic)


def test_the_card_names_the_weights_that_training_started_from(tmp_path, data):
    first, _ = finished(tiny(), tmp_path / "first", data)
    base = first.export(tmp_path / "base.safetensors")
    settings = tiny(seed=5, distortion={"learning_rate": 1e-9})
    second = Run(settings, tmp_path / "second")
    steps = second.train(data, base=base)
    for _ in range(2):
        next(steps)
    steps.close()
    list(second.train(data, resume=True))  # which remembers where it came from
    info = second.export(tmp_path / "second.safetensors")
    assert info.card.parent == base.sha256
    assert first.export(tmp_path / "again.safetensors").card.parent is None
    for a, b in zip(load_network(base).parameters(), load_network(info).parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-4)  # almost nothing was learnt since


def test_an_export_needs_a_checkpoint_of_the_recipe(tmp_path, data):
    with pytest.raises(ValueError, match="no checkpoint; train first"):
        Run(tiny(), tmp_path / "run").export(tmp_path / "w.safetensors")
    finished(tiny(), tmp_path / "run", data)
    with pytest.raises(ValueError, match=r"must end in \.safetensors"):
        Run(tiny(), tmp_path / "run").export(tmp_path / "w.pt")
    wider = tiny(config={"channels": 1, "widths": (16, 8), "blocks": (1, 1, 1)})
    with pytest.raises(ValueError, match="does not hold the network of the recipe 'tiny'"):
        Run(wider, tmp_path / "run").export(tmp_path / "w.safetensors")
    assert not (tmp_path / "w.safetensors").exists()


@pytest.mark.parametrize(
    ("domain", "mapping"), [("photo", "affine"), ("microscopy", "anscombe"), ("render", "log")]
)
def test_the_card_says_how_intensities_are_mapped(domain, mapping):
    card = make_card(tiny(domain=domain, noise={"sigma": (0.01, 0.3)}), 7, "abc")
    assert (card.mapping, card.noise_range, card.channels) == (mapping, (0.01, 0.3), 1)
    assert (card.parent, card.recipe["steps_done"]) == ("abc", 7)
    assert {"torch", "numpy", "napari-denoise"} == set(card.libraries)


def test_a_recipe_file_is_read_and_its_faults_are_named(tmp_path):
    path = tmp_path / "r.toml"
    with pytest.raises(FileNotFoundError, match="there is no such recipe"):
        read_recipe(path)
    path.write_text("name = ")
    with pytest.raises(ValueError, match=r"r\.toml: not a TOML file"):
        read_recipe(path)
    text = """
    name = "small"
    domain = "photo"
    architecture = "two-scale"
    config = { channels = 3 }
    [distortion]
    steps = 5
    [adversarial]
    steps = 2
    [adversarial.weights]
    pixel = 2
    """
    path.write_text(text)
    settings = read_recipe(path)
    assert (settings.channels, settings.steps, settings.adversarial.weights.pixel) == (3, 7, 2.0)
    path.write_text(text.replace("pixel = 2", "pixle = 2"))
    with pytest.raises(ValueError, match=r"r\.toml: adversarial\.weights\.pixle"):
        read_recipe(path)


def test_a_weights_file_says_what_it_was_trained_with(tmp_path, data):
    run, _ = finished(tiny(), tmp_path / "run", data)
    info = run.export(tmp_path / "w.safetensors")
    recipe = {k: v for k, v in read_info(info.path).card.recipe.items() if k != "steps_done"}
    assert tiny().parse(recipe) == tiny()
