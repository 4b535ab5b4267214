"""`napari-denoise finetune` and `weights import|export|remove|rename`, as they are typed."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from _networks import write_tiny_weights
from napari_denoise.cli import app
from napari_denoise.io.errors import NotWritten
from napari_denoise.io.meta import ImageMeta
from napari_denoise.io.write import write
from napari_denoise.training.data.pairs import RealPairs
from napari_denoise.training.finetune import held_out, material
from napari_denoise.training.finetune.gain import Gain
from napari_denoise.training.loop.checkpoints import load_checkpoint
from napari_denoise.weights.catalogue import BUNDLED, find_weights, list_weights, user_folder

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Weights, and two noisy pictures of one scene with the clean one."""
    folder = tmp_path_factory.mktemp("data")
    write_tiny_weights(folder / "base.safetensors")
    y, x = np.mgrid[:48, :80]
    clean = 120 + 60 * np.sin(x / 9) * np.cos(y / 7)
    rng = np.random.default_rng(0)
    for name, image in (
        ("clean", clean),
        *((f"shot{n}", clean + rng.normal(0, 15, clean.shape)) for n in "ab"),
    ):
        Image.fromarray(np.uint8(np.clip(image, 0, 255))).save(folder / f"{name}.png")
    return folder


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def tune(data, *arguments):
    small = ("--base", data / "base.safetensors", "--patch", 16, "--batch", 2, "--device", "cpu")
    return run("finetune", *small, *arguments)


def test_a_pair_becomes_weights_a_table_and_a_curve(data, tmp_path):
    target = tmp_path / "mine.safetensors"
    pair = ("--noisy", data / "shota.png", "--clean", data / "clean.png")
    done = tune(data, *pair, "--steps", 3, "-o", target)
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].endswith("against the clean image; data range 255")
    assert [line.split()[0] for line in lines[2:5]] == ["noisy", "base", "fine-tuned"]
    assert "against the base" in done.stdout or "NO better than the base" in done.stdout
    assert find_weights(target).card.recipe["finetune"]["pairs"][0]["files"] == [
        "shota.png",
        "clean.png",
    ]
    folder = tmp_path / "mine.finetuning"
    with (folder / "log.csv").open() as file:
        assert list(csv.DictReader(file))[-1]["psnr_faithful"]
    with Image.open(folder / "curve.png") as curve:
        assert curve.size == (900, 640)
    again = tune(data, *pair, "--steps", 3, "-o", target)
    assert again.exit_code == 2 and "--overwrite" in again.stderr
    target.unlink()
    again = tune(data, *pair, "--steps", 3, "-o", target)
    assert again.exit_code == 2 and "--resume" in again.stderr
    over = tune(data, *pair, "--steps", 2, "-o", target, "--overwrite", "--json")
    assert over.exit_code == 0, over.stderr
    assert set(json.loads(over.stdout)["rows"]) == {"noisy", "base", "fine-tuned"}


def test_one_clean_image_for_all_and_a_pair_held_out(data, tmp_path):
    shots = ("--noisy", data / "shota.png", "--noisy", data / "shotb.png")
    regions = tmp_path / "r.json"
    regions.write_text(json.dumps({"regions": [
        {"kind": "train", "pair": "shota", "rectangle": [0, 0, 48, 40]},
        {"kind": "validate", "pair": "shotb", "rectangle": [0, 30, 48, 80]},
    ]}))  # fmt: skip
    options = (
        *shots,
        "--clean",
        data / "clean.png",
        "--steps",
        2,
        "-o",
        tmp_path / "w.safetensors",
    )
    done = tune(data, *options, "--regions", regions)
    assert done.exit_code == 0, done.stderr
    assert "480 pixels drawn to train on are in the validation set" in done.stderr.replace(
        "\n", " "
    )
    wrong = tune(data, *options, "--overwrite", "--hold-out", "other*")
    assert wrong.exit_code == 2 and "no pair of that name" in wrong.stderr
    whole = tune(data, *options, "--overwrite", "--hold-out", "*b")
    assert whole.exit_code == 2  # they are one scene: nothing is left
    assert "every frame is in the validation set" in whole.stderr


@pytest.mark.parametrize("low", [0.1, -0.1], ids=["better", "not surely better"])
def test_a_stack_alone_becomes_weights_where_they_surely_gain(data, tmp_path, monkeypatch, low):
    monkeypatch.setattr(held_out, "gain_of", lambda *_: Gain(0.5, low, 0.9))
    stack = np.stack([np.asarray(Image.open(data / f"shot{n}.png")) for n in "abab"])
    stack = stack + np.random.default_rng(1).integers(0, 20, stack.shape, np.uint8)
    write(tmp_path / "film.ome.tif", stack, ImageMeta(axes="TYX"))
    target = tmp_path / "w.safetensors"
    done = tune(data, "--stack", tmp_path / "film.ome.tif", "--steps", 1, "-o", target)
    assert done.exit_code == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert target.is_file() is (low > 0)
    assert ("weights: not saved" in said) is (low < 0)
    assert f"+0.50 dB (90 % interval {low:+.2f} to +0.90)" in said


def test_a_dry_run_says_how_long_it_takes_and_writes_nothing(data, tmp_path):
    pair = ("--noisy", data / "shota.png", "--second", data / "shotb.png")
    done = tune(data, *pair, "--steps", 20, "-o", tmp_path / "w.safetensors", "--dry-run")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("20 steps of 2 patches of 16 px in about")
    assert not list(tmp_path.iterdir())


def test_every_part_of_the_wait_is_named(data, tmp_path, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # as in a terminal
    pair = ("--noisy", data / "shota.png", "--clean", data / "clean.png")
    done = tune(data, *pair, "--steps", 1, "-o", tmp_path / "w.safetensors")
    parts = (
        "Reading the pairs ...",
        "Checking the pair shota ...",
        "Timing the first steps ...",
        "Measuring the base weights on the validation set (1 of 2) ...",
        "Measuring the fine-tuned weights on the validation set (2 of 2) ...",
    )
    places = [done.stderr.find(part) for part in parts]
    assert -1 not in places and places == sorted(places)


class Interrupting(RealPairs):
    """A source that a signal comes to in the middle of the fourth step."""

    signals: tuple[signal.Signals, ...] = ()

    def batch(self, step, rank=0):
        if step == 3:
            for number in Interrupting.signals:
                signal.raise_signal(number)
        return super().batch(step, rank)


@pytest.mark.parametrize(
    ("signals", "code", "kept"),
    [
        ((signal.SIGINT,), 130, 4),
        ((signal.SIGTERM,), 143, 4),
        ((signal.SIGINT, signal.SIGINT), 130, None),
    ],
)
def test_an_interrupted_run_keeps_the_step_at_work_unless_it_is_asked_twice(
    data, tmp_path, monkeypatch, signals, code, kept
):
    monkeypatch.setattr(material, "RealPairs", Interrupting)
    monkeypatch.setattr(Interrupting, "signals", signals)
    before = signal.getsignal(signal.SIGINT)
    pair = ("--noisy", data / "shota.png", "--clean", data / "clean.png")
    options = (*pair, "--steps", 100, "-o", tmp_path / "w.safetensors")
    done = tune(data, *options)
    assert done.exit_code == code, done.stderr
    checkpoint = tmp_path / "w.finetuning" / "checkpoint.pt"
    assert ("with --resume" in done.stderr) == checkpoint.is_file() == (kept is not None)
    assert signal.getsignal(signal.SIGINT) is before
    if kept:
        assert load_checkpoint(checkpoint)["step"] == kept


def test_a_run_that_was_interrupted_goes_on_where_it_stopped(data, tmp_path, monkeypatch):
    monkeypatch.setattr(material, "RealPairs", Interrupting)
    monkeypatch.setattr(Interrupting, "signals", (signal.SIGINT,))
    pair = ("--noisy", data / "shota.png", "--clean", data / "clean.png")
    options = (*pair, "--steps", 6, "-o", tmp_path / "w.safetensors")
    assert tune(data, *options).exit_code == 130
    done = tune(data, *options, "--resume")  # whose first step is the fifth
    assert done.exit_code == 0, done.stderr
    assert "resuming: " in done.stderr
    assert load_checkpoint(tmp_path / "w.finetuning" / "checkpoint.pt")["step"] == 6
    again = tune(data, *options, "--resume")
    assert again.exit_code == 2 and "that fine-tuning is finished" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no pairs: give --noisy"),
        (("--noisy", "shota.png"), "1 --noisy and 0 --clean"),
        (("--noisy", "shota.png", "--clean", "clean.png", "--second", "shotb.png"), "one of them"),
        (("--noisy", "clean.png", "--clean", "clean.png"), "identical"),
        (("--noisy", "shota.png", "--clean", "clean.png", "--minutes", "1"), "give one of them"),
        (("--noisy", "shota.png", "--clean", "clean.png", "--recipe", "best"), "choose faithful"),
    ],
)
def test_what_cannot_be_done_is_said_at_once(data, tmp_path, arguments, message):
    given = [data / a if a.endswith(".png") else a for a in arguments]
    done = tune(data, *given, "--steps", 2, "-o", tmp_path / "w.safetensors")
    assert done.exit_code == 2
    assert message in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_mistake_costs_no_run_that_is_to_be_replaced(data, tmp_path):
    target = tmp_path / "w.safetensors"
    pair = ("--noisy", data / "shota.png", "--clean", data / "clean.png")
    assert tune(data, *pair, "--steps", 2, "-o", target).exit_code == 0
    kept = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    wrong = [
        ("--noisy", data / "typo.png", "--clean", data / "clean.png"),
        (*pair, "--patch", 1000),
        (*pair, "--regions", tmp_path / "none.json"),
        (*pair, "--base", "nobody"),
    ]
    for arguments in wrong:
        done = tune(data, "--steps", 2, "-o", target, "--overwrite", *arguments)
        assert done.exit_code == 2, done.stderr
        assert {path: path.read_bytes() for path in kept} == kept


def test_an_offset_that_is_assumed_is_said(data, tmp_path):
    pair = ("--noisy", data / "shota.png", "--clean", data / "clean.png", "--steps", 2)
    for noise, said in (("gain=2", True), ("gain=2,offset=0", False)):
        target = tmp_path / f"{said}.safetensors"
        done = tune(data, *pair, "-o", target, "--noise", noise, "--dry-run")
        assert done.exit_code == 0, done.stderr
        assert ("no offset is given, so 0 is assumed" in done.stderr) == said


def test_to_go_on_with_nothing_is_said_to_begin(data, tmp_path):
    pair = ("--noisy", data / "shota.png", "--clean", data / "clean.png", "--steps", 2)
    done = tune(data, *pair, "-o", tmp_path / "w.safetensors", "--resume")
    assert done.exit_code == 0
    assert "there is no run to resume; this one is new" in done.stderr


def test_weights_with_too_little_held_out_for_ssim_can_be_read(data, tmp_path):
    target, regions = tmp_path / "w.safetensors", tmp_path / "small.json"
    regions.write_text('{"regions": [{"kind": "validate", "rectangle": [0, 70, 10, 80]}]}')
    pair = ("--noisy", data / "shota.png", "--clean", data / "clean.png", "--steps", 2)
    done = tune(data, *pair, "-o", target, "--regions", regions)
    assert done.exit_code == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if " dB " in line]
    assert [row[-3] for row in rows if row[0] in ("noisy", "base", "fine-tuned")] == ["-"] * 3
    figures = find_weights(target).card.figures
    assert "psnr fine-tuned" in figures and "ssim fine-tuned" not in figures
    said = tune(data, *pair, "-o", target, "--regions", regions, "--overwrite", "--json")
    assert json.loads(said.stdout)["rows"]["base"]["ssim"] is None


def test_a_place_that_cannot_be_written_is_refused_before_it_trains(data, tmp_path):
    pair = ("--noisy", data / "shota.png", "--clean", data / "clean.png", "--steps", 2)
    folder = tmp_path / "d.safetensors"
    folder.mkdir()
    done = tune(data, *pair, "-o", folder, "--overwrite")
    assert done.exit_code == 2 and "it is a folder" in done.stderr
    done = tune(data, *pair, "-o", data / "clean.png" / "w.safetensors")
    assert done.exit_code == 1 and "choose another folder" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["d.safetensors"]


def test_a_picture_that_cannot_be_written_hides_no_result(data, tmp_path, monkeypatch):
    def full(log, picture):
        raise NotWritten(picture, "it could not be written", "free some space")

    monkeypatch.setattr("napari_denoise.training.finetune.curve_picture.draw_curve", full)
    target = tmp_path / "w.safetensors"
    pair = ("--noisy", data / "shota.png", "--clean", data / "clean.png", "--steps", 2)
    done = tune(data, *pair, "-o", target)
    assert done.exit_code == 0
    assert "curve.png: it could not be written" in done.stderr
    assert f"weights: {target}" in done.stdout and "curve.png" not in done.stdout


def test_a_name_with_wildcards_in_it_means_that_pair(data, tmp_path):
    odd = tmp_path / "cells[1].png"
    odd.write_bytes((data / "shota.png").read_bytes())
    pairs = ("--noisy", odd, "--noisy", data / "shotb.png", "--clean", data / "clean.png")
    done = tune(data, *pairs, "--steps", 2, "-o", tmp_path / "w", "--hold-out", "cells[1]")
    assert "no pair of that name" not in done.stderr


def test_axes_hold_for_a_folder_of_pairs_too(data, tmp_path):
    for side, name in (("noisy", "shota"), ("clean", "clean")):
        (tmp_path / side).mkdir()
        (tmp_path / side / "a.png").write_bytes((data / f"{name}.png").read_bytes())
    target = tmp_path / "w.safetensors"
    done = tune(data, "--pairs", tmp_path, "--axes", "QQ", "--steps", 2, "-o", target)
    assert done.exit_code == 2 and "QQ" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_file_name_that_is_no_text_costs_no_weights(data, tmp_path):
    odd = os.fsencode(tmp_path) + b"/caf\xe9.png"
    Path(os.fsdecode(odd)).write_bytes((data / "shota.png").read_bytes())
    target = tmp_path / "w.safetensors"
    pair = ("--noisy", os.fsdecode(odd), "--clean", data / "clean.png", "--steps", 2)
    done = tune(data, *pair, "-o", target)
    assert done.exit_code == 0, done.stderr
    named = find_weights(target).card.recipe["finetune"]["pairs"][0]["files"]
    assert named == ["caf?.png", "clean.png"]


@pytest.mark.parametrize(
    ("option", "value"),
    [("--minutes", "inf"), ("--seed", "-1"), ("--seed", 10**30), ("--batch", 10**30)],
)
def test_numbers_beyond_reason_are_named(data, tmp_path, option, value):
    pair = ("--noisy", data / "shota.png", "--clean", data / "clean.png")
    done = tune(data, *pair, "-o", tmp_path / "w.safetensors", option, value)
    assert done.exit_code == 2
    assert f"{option} {value}: expected a " in done.stderr


def test_bundled_weights_are_never_overwritten(data, tmp_path):
    pair = ("--noisy", data / "shota.png", "--clean", data / "clean.png", "--steps", 2)
    for name in ("microscopy", BUNDLED / "new.safetensors"):
        done = tune(data, *pair, "--overwrite", "-o", name)
        assert done.exit_code == 2 and "bundled" in done.stderr


def test_own_weights_come_in_go_out_change_names_and_go(data, tmp_path):
    done = run("weights", "import", data / "base.safetensors", "--name", "one of mine")
    assert done.exit_code == 0, done.stderr
    assert "one of mine" in {info.name for info in list_weights()}
    again = run("weights", "import", data / "base.safetensors", "--name", "one of mine")
    assert again.exit_code == 2 and "--overwrite" in again.stderr
    taken = run("weights", "rename", "one of mine", "one of mine")
    assert taken.exit_code == 2 and "or remove it first" in taken.stderr
    assert run("weights", "rename", "one of mine", "mine").exit_code == 0
    assert not (user_folder() / "one of mine.safetensors").exists()
    out = run("weights", "export", "mine", tmp_path)
    assert out.exit_code == 0
    exported = tmp_path / "mine.safetensors"
    assert exported.read_bytes() == Path(data / "base.safetensors").read_bytes()
    assert run("weights", "remove", "mine").exit_code == 0
    assert not (user_folder() / "mine.safetensors").exists()
    gone = run("weights", "remove", "mine")
    assert gone.exit_code == 2 and "no weights of your own are called 'mine'" in gone.stderr


def test_bundled_and_broken_weights_are_left_alone(data, tmp_path):
    for command in (("remove", "microscopy"), ("rename", "microscopy", "x")):
        done = run("weights", *command)
        assert done.exit_code == 2 and "bundled" in done.stderr
    taken = run("weights", "import", data / "base.safetensors", "--name", "photo")
    assert taken.exit_code == 2 and "bundled" in taken.stderr
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes((data / "base.safetensors").read_bytes()[:-100])
    assert run("weights", "import", broken).exit_code == 2
    assert run("weights", "import", data / "base.safetensors", "--name", "../x").exit_code == 2


def test_the_guide_installs_from_a_checkout_with_extras_that_there_are():
    home = Path(__file__).parents[2]
    guide = (home / "docs" / "finetune.md").read_text(encoding="utf-8")
    extras = tomllib.loads((home / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    named = set(re.findall(r'"\.\[(\w+)\]"', guide))
    assert {"bioimageio"} <= named <= set(extras)
    assert "napari-denoise[" not in guide  # it is on no index
