import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_denoise.core.settings import TrainSettings
from napari_denoise.io.errors import FileError
from napari_denoise.training import checkpoints, loop
from napari_denoise.training.loop import NotFinite, learning_rate, train
from napari_denoise.training.pairs import load_images, synthetic_batch

SETTINGS = TrainSettings(
    name="tiny",
    domain="microscopy",
    architecture="two-scale",
    config={"channels": 1, "widths": (8, 8), "blocks": (1, 1, 1)},
    steps=6,
    batch=2,
    patch=16,
    warmup=2,
    decay=3,
    save_every=2,
    intensity_augmentation=0.5,
)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 200, 40)[:, None, None]
    return [np.uint8(ramp + rng.integers(0, 9, (40, 48, 1))) for _ in range(3)]


def state_of(path):
    return checkpoints.load_checkpoint(path)


def assert_equal_states(a, b):
    for part in ("model", "average"):
        for key, value in a[part].items():
            assert torch.equal(value, b[part][key]), key


def test_a_run_reports_every_step_and_learns(images, tmp_path):
    settings = replace(
        SETTINGS, steps=150, sigma=(0.2, 0.2), batch=4, decay=50, intensity_augmentation=0.0
    )
    reports = list(train(settings, images, tmp_path / "c.pt"))
    assert [r.step for r in reports] == list(range(1, 151))
    assert np.mean([r.loss for r in reports[-20:]]) < 0.6 * np.mean([r.loss for r in reports[:5]])


def test_an_interrupted_run_continues_bit_for_bit(images, tmp_path):
    list(train(SETTINGS, images, tmp_path / "whole.pt"))
    run = train(SETTINGS, images, tmp_path / "parts.pt")
    for _ in range(3):
        next(run)
    run.close()
    rest = list(train(SETTINGS, images, tmp_path / "parts.pt", resume=True))
    assert rest[0].step == 3  # the checkpoint of step 2 is the last one
    assert_equal_states(state_of(tmp_path / "whole.pt"), state_of(tmp_path / "parts.pt"))


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(images, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        list(train(replace(SETTINGS, seed=seed), images, tmp_path / name))
    a, b, c = (state_of(tmp_path / name) for name in "abc")
    assert_equal_states(a, b)
    assert not torch.equal(a["model"]["head.weight"], c["model"]["head.weight"])


def test_a_killed_process_leaves_a_checkpoint_that_continues(images, tmp_path):
    np.save(tmp_path / "images.npy", np.stack(images))
    script = tmp_path / "run.py"
    script.write_text(
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from napari_denoise.core.settings import TrainSettings\n"
        "from napari_denoise.training.loop import train\n"
        f"settings = TrainSettings.parse({replace(SETTINGS, steps=100000).to_json()!r})\n"
        f"images = list(np.load({str(tmp_path / 'images.npy')!r}))\n"
        f"for report in train(settings, images, Path({str(tmp_path / 'c.pt')!r})):\n"
        "    print(report.step, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if int(line) >= 9:
                os.kill(process.pid, signal.SIGKILL)
                break
    settings = replace(SETTINGS, steps=12)
    reports = list(train(settings, images, tmp_path / "c.pt", resume=True))
    assert reports == [] or reports[0].step > 8
    assert state_of(tmp_path / "c.pt")["step"] >= 12
    assert not [p for p in tmp_path.iterdir() if p.suffix == ".tmp" and p.stat().st_size == 0]


def test_a_loss_that_is_not_finite_stops_with_the_last_good_state(images, tmp_path, monkeypatch):
    calls = []

    def poisoned(*args):
        batch = synthetic_batch(*args)
        calls.append(1)
        return replace(batch, clean=batch.clean * np.nan) if len(calls) == 4 else batch

    monkeypatch.setattr(loop, "synthetic_batch", poisoned)
    with pytest.raises(NotFinite, match="step 3: the L1 loss is nan"):
        list(train(SETTINGS, images, tmp_path / "c.pt"))
    state = state_of(tmp_path / "c.pt")
    assert state["step"] == 2
    assert all(torch.isfinite(v).all() for v in state["model"].values())


def test_a_full_disk_leaves_the_older_checkpoint_whole(images, tmp_path, monkeypatch):
    path = tmp_path / "c.pt"
    list(train(replace(SETTINGS, steps=2), images, path))
    before = path.read_bytes()

    def full(state, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints.torch, "save", full)
    with pytest.raises(FileError, match="No space left"):
        list(train(SETTINGS, images, path, resume=True))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["c.pt"]


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path):
    class Payload:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "owned"),))

    torch.save({"step": Payload()}, tmp_path / "evil.pt")
    with pytest.raises(Exception, match=r"(?i)unsupported|weights_only|unpickl"):
        checkpoints.load_checkpoint(tmp_path / "evil.pt")
    assert not (tmp_path / "owned").exists()


def test_the_learning_rate_rises_stays_and_falls_to_zero():
    settings = replace(SETTINGS, steps=100, warmup=10, decay=40, learning_rate=1.0)
    rates = [learning_rate(step, settings) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[10] == rates[60] == 1
    assert rates[80] == pytest.approx(0.5)
    assert rates[100] == pytest.approx(0, abs=1e-9)


def test_batches_hold_clean_patches_with_noise_of_the_stated_level(images):
    settings = replace(SETTINGS, patch=32, batch=64, sigma=(0.1, 0.1), intensity_augmentation=1.0)
    batch = synthetic_batch(images, settings, step=5)
    assert batch.noisy.shape == batch.clean.shape == batch.sigma.shape == (64, 1, 32, 32)
    assert (batch.noisy - batch.clean).std() == pytest.approx(0.1, rel=0.02)
    assert batch.sigma.min() == batch.sigma.max() == np.float32(0.1)
    assert 0 <= batch.clean.min() <= batch.clean.max() <= 1
    again = synthetic_batch(images, settings, step=5)
    assert np.array_equal(batch.noisy, again.noisy)
    assert not np.array_equal(batch.noisy, synthetic_batch(images, settings, step=6).noisy)


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no training image"):
        load_images(tmp_path, 1)
