"""Fine-tuning as a whole: reports, the best weights, the table, and what it survives."""

from __future__ import annotations

import csv
import json
import math
import os
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from _real import camera_pair, chosen, clean_image, drawn, noisy_shot, train, tuning, validate
from _tiny import assert_equal_states

import napari_denoise
from _networks import write_tiny_weights
from napari_denoise.image.metrics import psnr, ssim
from napari_denoise.inference.denoiser import Denoiser
from napari_denoise.io.errors import FileError
from napari_denoise.models.registry import build
from napari_denoise.settings.finetune import FineTuneSettings
from napari_denoise.settings.recipe import TrainSettings
from napari_denoise.training.data.pairs import RealPairs
from napari_denoise.training.data.real_pairs import pair_of
from napari_denoise.training.finetune import material
from napari_denoise.training.finetune import prepared as finetune_prepared
from napari_denoise.training.finetune.blend import blended, trusted_of_views
from napari_denoise.training.finetune.fine_tuning import FineTuning, finetune
from napari_denoise.training.finetune.held_out import Figures
from napari_denoise.training.finetune.outcome import run_folder, target_path
from napari_denoise.training.finetune.step_plan import bundled_recipes, load_recipe
from napari_denoise.training.loop.checkpoints import load_checkpoint
from napari_denoise.training.loop.stages import NotFinite
from napari_denoise.weights import catalogue
from napari_denoise.weights.card import WeightsCard
from napari_denoise.weights.catalogue import WeightsError, find_weights, read_info, user_folder
from napari_denoise.weights.files import load_network, save_weights

GAN = """
title = "Tiny GAN"
batch = 2
patch = 16
[distortion]
steps = 50
learning_rate = 1e-3
warmup = 2
[adversarial]
steps = 50
discriminator = "tiny"
[adversarial.weights]
feature = 0.0
"""


@pytest.fixture(autouse=True)
def often(monkeypatch):
    """Save and validate every second step, however short a run is."""
    plan = finetune_prepared.make_plan

    def dense(*arguments, **options):
        made = plan(*arguments, **options)
        return replace(made, settings=replace(made.settings, save_every=2, validate_every=2))

    monkeypatch.setattr(finetune_prepared, "make_plan", dense)


def test_reports_carry_terms_and_figures_and_the_last_one_the_result(tmp_path):
    run = tuning(tmp_path, [camera_pair()])
    reports = list(run.steps())
    assert [r.step for r in reports] == [1, 2, 3, 4, 5, 6, 6]
    assert all(np.isfinite(list(r.terms.values())).all() for r in reports)
    assert [r.step for r in reports if r.figures] == [2, 4, 6]
    names = {f"{k}_{n}" for k in ("psnr", "ssim") for n in ("noisy", "base", "faithful")}
    assert set(reports[1].figures) == names
    rows = reports[-1].result.rows
    assert list(rows) == ["noisy", "base", "fine-tuned"]
    with (run.folder / "log.csv").open() as file:
        logged = list(csv.DictReader(file))
    assert [row["step"] for row in logged] == ["2", "4", "6"]
    assert float(logged[0]["psnr_base"]) == pytest.approx(reports[1].figures["psnr_base"], rel=1e-4)


def test_the_table_is_of_the_stored_weights_on_what_is_held_out(tmp_path):
    pair = camera_pair(noisy=np.uint8(np.clip(camera_pair().noisy, 0, 255)))
    run = tuning(tmp_path, [pair], drawn(validate(0, 64, 64, 96)), match="never")
    *_, last = run.steps()
    info = run.save(tmp_path / "mine.safetensors", last.result)
    clean = Denoiser.load(str(info.path), "cpu", "float32")(pair.noisy, axes="YX")
    found = last.result.rows["fine-tuned"]
    a, b = (np.float64(image[:, 64:]) for image in (pair.target, clean))
    assert found.psnr == pytest.approx(psnr(a, b, 255), abs=1e-3)
    assert found.mean_error == pytest.approx(100 * (b.mean() / a.mean() - 1), abs=1e-3)
    inner = ssim(a, b, 255)  # its mean leaves out the same border
    assert found.ssim == pytest.approx(inner, abs=1e-3)
    assert last.result.rows["noisy"].psnr == pytest.approx(psnr(a, pair.noisy[:, 64:], 255))


class Misleading(RealPairs):
    """From the fifth step on, targets that lead astray."""

    def batch(self, step, rank=0):
        drawn_one = super().batch(step, rank)
        return replace(drawn_one, target=3 - drawn_one.target) if step >= 4 else drawn_one


def test_the_best_validated_weights_are_kept_not_the_last(tmp_path, monkeypatch):
    monkeypatch.setattr(material, "RealPairs", Misleading)
    run = tuning(tmp_path, [camera_pair()], learning_rate=0.01, steps=12)
    reports = list(run.steps())
    validated = {r.step: r.figures["psnr_faithful"] for r in reports if r.figures}
    best = max(validated, key=validated.__getitem__)
    assert best < 12
    assert reports[-1].result.best_step == best
    faithful, _ = run.ends()
    state = load_checkpoint(run.folder / "best.pt")
    assert state["step"] == best
    way = blended(run._base_network().state_dict(), state["weights"], reports[-1].result.share)
    for name, value in faithful.state_dict().items():
        assert torch.equal(value, way[name].half().float())


def test_weights_that_went_too_far_are_taken_back_towards_the_base(tmp_path, monkeypatch):
    run = tuning(tmp_path, [camera_pair()])
    list(run.training())
    monkeypatch.setattr(run.views, "denoised", _nearest_to_half(run))
    as_learnt, _ = run.ends()  # a look on the way measures nothing
    run.result()
    faithful, _ = run.ends()
    base, learnt = run._base_network().state_dict(), run._kept.best_kept()["weights"]
    for name, value in faithful.state_dict().items():
        assert torch.equal(value, base[name].lerp(learnt[name], 0.5).half().float())
        assert torch.equal(as_learnt.state_dict()[name], learnt[name].half().float())
    monkeypatch.undo()
    assert run.result().share == 0.5
    assert "blended with the base (50 % of the change from the base)" in run.result().kept
    card = run.save(tmp_path / "mine.safetensors").card
    assert card.recipe["share_of_change"] == 0.5


def test_the_last_weights_are_kept_where_they_are_better_on_the_way_back(tmp_path, monkeypatch):
    monkeypatch.setattr(material, "RealPairs", Misleading)
    run = tuning(tmp_path, [camera_pair()], learning_rate=0.01, steps=12)
    list(run.training())
    assert run._kept.best_kept()["step"] < 12
    last = run._kept.state()["average"]
    monkeypatch.setattr(run.views, "denoised", _nearest_to_half(run, last))
    assert run._weights().step == run._kept.best_kept()["step"]
    result = run.result()
    assert (result.best_step, result.share) == (12, 0.5)
    faithful, _ = run.ends()
    assert run.save(tmp_path / "last.safetensors", result).card.recipe["kept_step"] == 12
    base = run._base_network().state_dict()
    for name, value in faithful.state_dict().items():
        assert torch.equal(value, base[name].lerp(last[name], 0.5).half().float())


@pytest.mark.parametrize("noisy_target", [False, True])
def test_of_what_is_learnt_from_few_pixels_of_views_little_is_trusted(
    tmp_path, monkeypatch, noisy_target
):
    asked = []

    def choose(base, quality, trusted, enough):
        asked.append(trusted)
        return trusted, 0.0

    noisy, clean = radiance()
    other = radiance(1)[0] if noisy_target else clean
    shots = [pair_of(n, noisy, other, "YXS", noisy_target=noisy_target) for n in "ab"]
    run = tuning(tmp_path, shots, steps=2, base=str(render_weights(tmp_path)))
    held_out = run.views.whole[0].mask.sum()
    if not noisy_target:  # a scene counts once, its noise keeps nobody from learning it by heart
        assert run.material.pixels == noisy[..., 0].size - held_out
    monkeypatch.setattr("napari_denoise.training.finetune.fine_tuning.choose_share", choose)
    *_, last = run.steps()
    wanted = 1.0 if noisy_target else trusted_of_views(run.material.pixels)
    assert set(asked) == {wanted} and last.result.share == wanted


def _nearest_to_half(run, learnt=None):
    """Measure weights by how near they are to the middle between base and best, or others."""
    base, learnt = run._base_network().state_dict(), learnt or run._kept.best_kept()["weights"]
    middle = {name: base[name].lerp(learnt[name], 0.5) for name in learnt}

    def denoised(network, faithful=None, *, whole=False):
        state = network.state_dict()
        far = sum(float((state[n] - middle[n]).abs().sum()) for n in middle)
        return Figures(100 - far, 1.0, 0.0), []

    return denoised


def test_weights_that_are_no_better_are_said_to_be_so(tmp_path, monkeypatch):
    monkeypatch.setattr(Misleading, "batch", lambda self, step, rank=0: (
        replace(b := RealPairs.batch(self, step, rank), target=3 - b.target)))  # fmt: skip
    monkeypatch.setattr(material, "RealPairs", Misleading)
    *_, last = tuning(tmp_path, [camera_pair()], learning_rate=0.01).steps()
    assert not last.result.improved
    assert "NO better than the base" in last.result.verdict


def test_it_learns(tmp_path):
    """From random weights; a network of two convolutions halves the noise in some steps."""
    pairs = [camera_pair()]
    run = tuning(tmp_path, pairs, steps=60, learning_rate=5e-3, batch=4)
    *_, last = run.steps()
    rows = last.result.rows
    assert rows["fine-tuned"].psnr > rows["base"].psnr + 1
    assert last.result.improved
    assert "against the base" in last.result.verdict


def test_the_card_says_where_weights_come_from(tmp_path):
    run = tuning(tmp_path, [camera_pair()], drawn(validate(0, 60, 64, 96)))
    *_, last = run.steps()
    info = run.save("of mine", last.result)
    try:
        assert info.path == user_folder() / "of mine.safetensors"
        card = find_weights("of mine").card
        assert card.parent == run.base.sha256
        noted = card.recipe["finetune"]
        assert noted["pairs"][0]["sha256"] == run.pairs[0].sha256
        assert noted["regions"][0]["rectangle"] == [0, 60, 64, 96]
        assert card.recipe["kept_step"] == last.result.best_step
        assert card.figures["psnr fine-tuned"] == pytest.approx(
            last.result.rows["fine-tuned"].psnr, abs=1e-3
        )
        with pytest.raises(FileExistsError):
            run.save("of mine", last.result)
    finally:
        info.path.unlink()


def test_names_and_places_that_cannot_be_used_are_refused(tmp_path):
    for name, message in (
        ("microscopy", "bundled weights"),
        ("", "use letters"),
        ("../x", "must end in"),
        (str(catalogue.BUNDLED / "mine.safetensors"), "never replaced"),
        ("mine.pt/", "use letters|must end"),
    ):
        with pytest.raises(WeightsError, match=message):
            target_path(name)
    assert run_folder(target_path("mine")) != run_folder(target_path("yours"))
    assert run_folder(tmp_path / "a.safetensors") == tmp_path / "a.finetuning"


def test_both_ends_of_a_gan_are_kept(tmp_path):
    (tmp_path / "gan.toml").write_text(GAN)
    run = tuning(tmp_path, [camera_pair()], recipe=str(tmp_path / "gan.toml"), steps=8, spread=True)
    reports = list(run.steps())
    assert {r.stage for r in reports[:-1]} == {"distortion", "adversarial"}
    assert "realistic" in reports[-1].result.rows
    assert "psnr_realistic" in reports[7].figures
    info = run.save(tmp_path / "gan.safetensors", reports[-1].result)
    outputs = [
        Denoiser.load(str(info.path), "cpu")(camera_pair().noisy, axes="YX", realism=realism)
        for realism in (0.0, 1.0)
    ]
    assert not np.array_equal(*outputs)


def test_every_bundled_recipe_can_be_read_and_stretched():
    assert set(bundled_recipes()) == {"faithful", "realistic", "thomas2017", "iteapoy2018"}
    for name in bundled_recipes():
        recipe = load_recipe(name)
        for steps in (2, 37, 5000):
            first, second = recipe.stretched(steps)
            assert first.steps + (second.steps if second else 0) == steps
            assert first.warmup <= first.steps and first.decay <= first.steps
    with pytest.raises(ValueError, match="recipe 'fast': choose faithful, iteapoy2018"):
        load_recipe("fast")


def test_a_plan_fits_the_time_and_says_so(tmp_path):
    run = tuning(tmp_path, [camera_pair()], steps=None, minutes=0.5)
    plan = run.plan()
    assert plan.seconds == pytest.approx(30, rel=0.2) or plan.speed.validation > 5
    assert plan.settings.steps > 1
    assert plan.fits
    assert f"{plan.settings.steps} steps of 2 patches of 16 px" in plan.describe()
    assert not run.folder.exists()  # nothing is written before it begins


# What it survives

SCRIPT = """
import signal, sys
import torch
sys.path[:0] = sys.argv[1:3]
torch.set_num_threads(1)
from dataclasses import replace
from pathlib import Path
from _real import camera_pair, tuning
from napari_denoise.training.finetune import prepared as module
plan = module.make_plan
def dense(*a, **k):
    made = plan(*a, **k)
    return replace(made, settings=replace(made.settings, save_every=2, validate_every=2))
module.make_plan = dense
for report in tuning(Path(sys.argv[3]), [camera_pair()]).steps():
    print(report.step, flush=True)
    if report.step == 5:
        signal.pause()
"""


def test_a_killed_fine_tuning_goes_on_and_ends_alike(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        folder.mkdir()
    *_, last = tuning(whole, [camera_pair()]).steps()
    tests = Path(__file__).parents[1]
    command = [sys.executable, "-c", SCRIPT, str(tests), str(tests.parent), str(parts)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line.strip() == "5":
                os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    with pytest.raises(ValueError, match="pass resume=True to resume it"):
        tuning(parts, [camera_pair()])
    resumed = tuning(parts, [camera_pair()], resume=True)
    reports = list(resumed.steps())
    assert [r.step for r in reports] == [5, 6, 6]
    assert reports[-1].result.rows == last.result.rows
    assert_equal_states(*(load_checkpoint(p / "run" / "checkpoint.pt") for p in (whole, parts)))


def test_a_fine_tuning_of_other_pairs_is_not_gone_on_with(tmp_path):
    steps = tuning(tmp_path, [camera_pair()]).steps()
    for _ in range(3):
        next(steps)
    steps.close()
    with pytest.raises(ValueError, match="begun with other pairs"):
        tuning(tmp_path, [camera_pair(seed=5)], resume=True)
    with pytest.raises(ValueError, match="begun with other regions"):
        tuning(tmp_path, [camera_pair()], drawn(validate(0, 0, 64, 20)), resume=True)


def test_a_run_that_was_stopped_gives_the_weights_it_had(tmp_path):
    run = tuning(tmp_path, [camera_pair()])
    with pytest.raises(ValueError, match="no weights yet"):
        run.result()
    steps = run.steps()
    for _ in range(3):
        next(steps)
    steps.close()
    result = run.result()
    assert result.best_step in (run._kept.best_kept()["step"], 3)
    assert f"step {result.best_step}" in result.kept
    card = run.save(tmp_path / "early.safetensors", result).card
    assert card.figures["psnr fine-tuned"] == pytest.approx(
        result.rows["fine-tuned"].psnr, abs=1e-3
    )
    assert card.recipe["kept_step"] == result.best_step


def test_weights_stopped_before_they_were_validated_are_named_too(tmp_path):
    run = tuning(tmp_path, [camera_pair()])
    steps = run.steps()
    next(steps)
    steps.close()
    assert run._kept.best_kept() is None
    assert "those of step 1" in run.result().kept


def test_what_is_saved_is_what_was_measured_though_training_went_on(tmp_path):
    run = tuning(tmp_path, [camera_pair()])
    steps = run.training()
    for _ in range(3):
        next(steps)
    run.keep()
    result = run.result()
    measured, _ = run.ends()
    next(steps)
    next(steps)
    run.keep()
    info = run.save(tmp_path / "before.safetensors", result)
    saved = load_network(info).state_dict()
    assert all(torch.equal(saved[n], v) for n, v in measured.state_dict().items())
    assert info.card.recipe["kept_step"] == result.best_step
    steps.close()


class Poisoned(RealPairs):
    """A source of which one batch is NaN, as often as said."""

    left = 1

    def batch(self, step, rank=0):
        drawn_one = super().batch(step, rank)
        if step == 4 and Poisoned.left:
            Poisoned.left -= 1
            drawn_one.noisy[:] = math.nan
        return drawn_one


def test_after_a_nan_it_goes_on_from_the_checkpoint_at_half_the_rate(tmp_path, monkeypatch):
    monkeypatch.setattr(material, "RealPairs", Poisoned)
    monkeypatch.setattr(Poisoned, "left", 1)
    run = tuning(tmp_path, [camera_pair()])
    run.plan()
    Poisoned.left = 1  # the plan takes some steps as well
    before = run.plan().settings.distortion.learning_rate
    reports = list(run.steps())
    assert [r.step for r in reports] == [1, 2, 3, 4, 4, 4, 5, 6, 6]
    assert "Training resumes at half the rate" in reports[5].note and reports[5].warning
    recipe = TrainSettings.parse(json.loads((run.folder / "recipe.json").read_text())["settings"])
    assert recipe.distortion.learning_rate == before / 2
    state = load_checkpoint(run.folder / "checkpoint.pt")
    assert all(torch.isfinite(value).all() for value in state["average"].values())


def test_a_nan_that_comes_back_stops_with_the_best_weights_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(material, "RealPairs", Poisoned)
    run = tuning(tmp_path, [camera_pair()])
    run.plan()
    monkeypatch.setattr(Poisoned, "left", 99)
    with pytest.raises(NotFinite, match="step 4"):
        list(run.steps())
    assert run.result().best_step in (2, 4)


def test_out_of_memory_it_goes_on_with_half_the_patches(tmp_path, monkeypatch):
    class Greedy(RealPairs):
        def batch(self, step, rank=0):
            if step == 3 and self.settings.batch == 2:
                raise MemoryError("out of memory")
            return super().batch(step, rank)

    monkeypatch.setattr(material, "RealPairs", Greedy)
    reports = list(tuning(tmp_path, [camera_pair()]).steps())
    (said,) = [r for r in reports if r.note]
    assert "training resumes with 1 patches a step" in said.note
    assert said.step == 2  # that of the checkpoint
    assert reports[-1].result is not None
    assert [r.step for r in reports if r.terms] == [1, 2, 3, 3, 4, 5, 6]


def test_a_full_disk_stops_it_and_space_lets_it_go_on(tmp_path):
    run = tuning(tmp_path, [camera_pair()])
    steps = run.steps()
    for _ in range(3):
        next(steps)
    before = (run.folder / "checkpoint.pt").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 4, hard))
    try:
        with pytest.raises(FileError, match=r"(?i)(no space left|file too large)"):
            list(steps)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (run.folder / "checkpoint.pt").read_bytes() == before
    resumed = tuning(tmp_path, [camera_pair()], resume=True)
    assert [r.step for r in resumed.steps()][:2] == [3, 4]


# Kinds of data


def assert_it_runs(folder, pair, regions=None, **options):
    *_, last = tuning(folder, [pair], regions, **options).steps()
    assert list(last.result.rows) == ["noisy", "base", "fine-tuned"]
    assert all(np.isfinite([r.psnr, r.mean_error]).all() for r in last.result.rows.values())
    return last.result


def test_stacks_channels_and_colour_can_be_learnt_from(tmp_path):
    clean = clean_image(frames=4)
    volume = pair_of("z", noisy_shot(clean), clean, "ZYX")
    regions = drawn(train(frame=0), train(frame=1), validate(frame=3))
    assert_it_runs(tmp_path, volume, regions, steps=2)
    several = clean.reshape(2, 2, 64, 96)
    (tmp_path / "channels").mkdir()
    pair = pair_of("c", noisy_shot(several), several, "TCYX")
    assert_it_runs(tmp_path / "channels", pair, steps=2)
    (tmp_path / "rgb").mkdir()
    colour = np.moveaxis(clean[:3], 0, -1)
    rgb = pair_of("s", np.uint8(np.clip(noisy_shot(colour), 0, 255)), colour, "YXS")
    result = assert_it_runs(tmp_path / "rgb", rgb, steps=2, channels=3)
    assert result.peak == "data range 255"


def render_weights(folder: Path) -> Path:
    """Weights that take features and state their error."""
    config = {
        "channels": 3, "widths": [8, 8], "blocks": [1, 1, 1], "spread": True, "features": 8,
    }  # fmt: skip
    torch.manual_seed(0)
    card = WeightsCard("Tiny", "two-scale", config, "render", 3, "log", (0.0, 0.5))
    save_weights(folder / "render.safetensors", card, build("two-scale", config).state_dict())
    return folder / "render.safetensors"


def radiance(seed=0, spp=4):
    clean = np.moveaxis(clean_image(frames=3), 0, -1) / 100
    rng = np.random.default_rng(seed)
    return np.float32(clean * rng.gamma(spp, 1 / spp, clean.shape)), np.float32(clean)


def test_renders_are_learnt_with_their_features(tmp_path):
    noisy, clean = radiance()
    base = str(render_weights(tmp_path))
    guides = {"albedo": clean / 4, "normal": clean / 4 - 0.5}
    pair = pair_of("r", noisy, clean, "YXS", features=guides)
    run = tuning(tmp_path, [pair], base=base, steps=2)
    batch = run.material.pairs(run._settings(2)).batch(0)
    assert batch.features.shape == (2, 8, 16, 16)
    assert (batch.features[:, 6:] == 1).all()
    assert batch.log_width
    *_, last = run.steps()
    assert last.result.peak.startswith("tone-mapped")
    bare = tuning(tmp_path / "run", [replace(pair, features={})], base=base, steps=2)
    assert not bare.material.pairs(bare._settings(2)).batch(0).features.any()


def test_the_faithful_end_denoises_albedos_for_both(tmp_path):
    noisy, clean = radiance()
    guides = {"albedo": noisy / 4}
    pair = pair_of("r", noisy, clean, "YXS", features=guides)
    run = tuning(tmp_path, [pair], base=str(render_weights(tmp_path)))
    faithful, realistic = run._base_network(), run._base_network()
    with torch.no_grad():
        realistic.tail.bias += 0.1
    job = run.views.job(0, realistic, faithful)
    here = [engine.network.state_dict() for engine in (job.engine, job.albedo.engine)]
    for own, wanted in zip(here, (realistic, faithful), strict=True):
        assert torch.equal(own["tail.bias"], wanted.tail.bias)
    assert run.views.job(0, faithful).albedo.engine is not job.albedo.engine
    ends = [run.views.denoised(realistic, other)[1][0] for other in (faithful, None)]
    assert not np.array_equal(*ends)


@pytest.mark.parametrize("hdr", [False, True])
def test_two_noisy_shots_are_learnt_from_and_the_stated_error_with_them(hdr, tmp_path):
    if hdr:
        shots, axes = [radiance(seed)[0] for seed in (0, 1)], "YXS"
        options = {"base": str(render_weights(tmp_path))}
    else:
        shots, axes = [noisy_shot(clean_image()[0], seed) for seed in (0, 1)], "YX"
        options = {"spread": True}
    pair = pair_of("n", *shots, axes, noisy_target=True)
    run = tuning(tmp_path, [pair], steps=2, **options)
    stage = run._settings(2).distortion
    assert (stage.loss, stage.spread > 0) == ("relative" if hdr else "l2", True)
    *_, last = run.steps()
    assert last.result.against == "a second noisy shot"


def test_a_gan_against_noisy_targets_is_refused(tmp_path):
    shots = [noisy_shot(clean_image()[0], seed) for seed in (0, 1)]
    pair = pair_of("n", *shots, "YX", noisy_target=True)
    with pytest.raises(ValueError, match="adversarial stage with noisy targets"):
        list(tuning(tmp_path, [pair], recipe="realistic").steps())


def test_the_stated_error_stays_meaningful(tmp_path):
    """It follows the error that the fine-tuned network really makes."""
    pair = camera_pair()
    options = {"spread": True, "steps": 80, "learning_rate": 4e-3, "batch": 4}
    run = tuning(tmp_path, [pair], **options)
    for _ in run.steps():
        pass
    network, _ = run.ends()
    source = run.material.pairs(run._settings(2))
    stated, real = [], []
    for step in range(900, 910):
        batch = source.batch(step)
        output = network(torch.from_numpy(batch.noisy), torch.from_numpy(batch.sigma))
        mean, variance = network.split(output)
        stated.append(variance.mean().item())
        real.append((mean - torch.from_numpy(batch.target)).square().mean().item())
    assert np.mean(stated) == pytest.approx(np.mean(real), rel=0.5)


def test_the_public_call_takes_one_pair_and_saves(tmp_path):
    settings = chosen(tmp_path)
    target = tmp_path / "public.safetensors"
    reports = list(napari_denoise.finetune(camera_pair(), settings, save_as=target, steps=2))
    assert reports[-1].result is not None
    assert read_info(target).card.figures
    with pytest.raises(FileExistsError, match="exists already"):
        next(finetune(camera_pair(), settings, save_as=target))


def test_the_base_is_chosen_by_the_data():
    gray, colour = np.zeros((32, 32)), np.zeros((32, 32, 3), np.uint8)
    names = {}
    for name, array in (("gray", gray), ("colour", colour), ("hdr", radiance()[0])):
        pair = pair_of(name, array, array, "YXS"[: array.ndim])
        names[name] = finetune_prepared._base_of([pair], FineTuneSettings())
    assert names == {"gray": "microscopy", "colour": "photo", "hdr": "render"}


def test_a_gray_image_is_no_render(tmp_path):
    with pytest.raises(ValueError, match="'render' are for colour renders, and axes 'YX' have no"):
        FineTuning([camera_pair()], FineTuneSettings(base="render", steps=2), tmp_path / "run")


def test_a_base_of_another_kind_says_what_is_wrong(tmp_path):
    path = write_tiny_weights(tmp_path / "w.safetensors")
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(WeightsError):
        tuning(tmp_path, [camera_pair()], base=str(path))
