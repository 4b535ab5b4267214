"""Nothing is lost: killed, closed or out of space, a run goes on as if nothing had happened."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from _tiny import CRITIC, assert_equal_states, synthetic, tiny, trained

from napari_denoise.io.errors import FileError
from napari_denoise.settings.recipe import TrainSettings
from napari_denoise.training.loop import checkpoints
from napari_denoise.training.loop.checkpoints import load_checkpoint
from napari_denoise.training.loop.train import train

STAGES = {
    "distortion": None,
    "relativistic": {"objective": "relativistic"},
    "wasserstein": {**CRITIC, "critic_steps": 2},
}
SCRIPT = """
import json, os, signal, sys
import torch
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from _tiny import DISCRIMINATORS, synthetic
from napari_denoise.settings.recipe import TrainSettings
from napari_denoise.models import registry
from napari_denoise.training.loop.train import train
registry.DISCRIMINATORS = DISCRIMINATORS
torch.set_num_threads(1)
settings = TrainSettings.parse(json.loads(sys.argv[2]))
for at in json.loads(sys.argv[4]):
    if child := os.fork():  # importing takes longest, so that is done once
        os.waitpid(child, 0)
        continue
    for report in train(settings, synthetic(settings), Path(sys.argv[3]), resume=True):
        print(os.getpid(), report.step, flush=True)
        if report.step == at + 3:
            signal.pause()  # until it is killed
"""


def run_and_kill(settings: TrainSettings, checkpoint: Path, steps: Sequence[int]) -> list[int]:
    """Train in other processes one by one, each killed once it has reported a step."""
    arguments = json.dumps(settings.to_json()), str(checkpoint), json.dumps(steps)
    command = [sys.executable, "-c", SCRIPT, str(Path(__file__).parents[1]), *arguments]
    killed, left = [], list(steps)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            child, step = map(int, line.split())
            if child not in killed and step >= left[0]:
                os.kill(child, signal.SIGKILL)
                killed.append(child)
                left.pop(0)
    assert process.returncode == 0
    return killed


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills processes as Unix does")
def test_a_killed_run_continues_bit_for_bit(tmp_path):
    settings = tiny(adversarial={**STAGES["wasserstein"], "steps": 8})
    trained(settings, tmp_path / "whole.pt")
    assert len(run_and_kill(settings, tmp_path / "parts.pt", [1, 7])) == 2  # in both stages
    done = load_checkpoint(tmp_path / "parts.pt")["step"]
    assert 6 <= done <= 10
    rest = trained(settings, tmp_path / "parts.pt", resume=True)
    assert [r.step for r in rest] == list(range(done + 1, 13))
    whole, parts = (load_checkpoint(tmp_path / name) for name in ("whole.pt", "parts.pt"))
    assert_equal_states(whole, parts)


@pytest.mark.parametrize("stage", STAGES)
def test_a_run_closed_early_continues_bit_for_bit(stage, tmp_path):
    settings = tiny(adversarial=STAGES[stage], distortion={"steps": 4 if STAGES[stage] else 8})
    trained(settings, tmp_path / "whole.pt")
    whole = load_checkpoint(tmp_path / "whole.pt")
    for steps in (1, 4, 7):  # before any checkpoint, between the stages, in the second
        path = tmp_path / f"{steps}.pt"
        run = train(settings, synthetic(settings), path)
        for _ in range(steps):
            next(run)
        run.close()
        rest = trained(settings, path, resume=True)
        assert rest[0].step == steps // 2 * 2 + 1
        assert_equal_states(whole, load_checkpoint(path))


def test_a_checkpoint_holds_all_that_changes(tmp_path):
    trained(tiny(adversarial=STAGES["relativistic"]), tmp_path / "c.pt")
    state = load_checkpoint(tmp_path / "c.pt")
    assert set(state) == {
        "model",
        "average",
        "optimiser",
        "step",
        "faithful",
        "discriminator",
        "discriminator_optimiser",
    }
    buffers = [name for name in state["discriminator"] if name.endswith(("._u", "._v"))]
    assert len(buffers) == 6  # of the spectral norm of three layers
    assert not torch.equal(state["faithful"]["head.weight"], state["average"]["head.weight"])
    trained(tiny(), tmp_path / "d.pt")
    assert set(load_checkpoint(tmp_path / "d.pt")) == {"model", "average", "optimiser", "step"}


@pytest.mark.parametrize("stage", ["distortion", "wasserstein"])
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(stage, tmp_path):
    states = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        trained(tiny(adversarial=STAGES[stage], seed=seed, save_every=100), tmp_path / name)
        states.append(load_checkpoint(tmp_path / name))
    assert_equal_states(states[0], states[1])
    for part in ("model", *(["discriminator"] if STAGES[stage] else [])):
        for name, value in states[0][part].items():
            assert value.ndim < 4 or not torch.equal(value, states[2][part][name]), name


def test_random_numbers_that_others_draw_on_the_way_change_nothing(tmp_path):
    settings = tiny(adversarial=STAGES["relativistic"])
    trained(settings, tmp_path / "a.pt")
    torch.manual_seed(99)
    before = torch.random.get_rng_state()
    run = train(settings, synthetic(settings), tmp_path / "b.pt")
    next(run)
    assert torch.equal(torch.random.get_rng_state(), before)  # nor are theirs changed
    for _ in run:
        torch.rand(3)
    assert_equal_states(load_checkpoint(tmp_path / "a.pt"), load_checkpoint(tmp_path / "b.pt"))


def test_a_recipe_that_has_another_stage_there_is_refused(tmp_path):
    trained(tiny(adversarial={}), tmp_path / "c.pt")
    for other in (tiny(distortion={"steps": 20}), tiny(adversarial={}, distortion={"steps": 20})):
        with pytest.raises(ValueError, match="at step 8, in an adversarial stage, and the recipe"):
            trained(other, tmp_path / "c.pt", resume=True)


def test_an_adversarial_stage_can_be_added_to_a_finished_run(tmp_path):
    trained(tiny(), tmp_path / "c.pt")
    faithful = load_checkpoint(tmp_path / "c.pt")["average"]
    trained(tiny(adversarial={}), tmp_path / "c.pt", resume=True)
    assert_equal_states(load_checkpoint(tmp_path / "c.pt")["faithful"], faithful)


def too_small_a_disk(folder: Path, size: int) -> Callable[[], object]:
    """Let no further file of this size be written there; return what makes room again."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, hard))
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def full_tmpfs(folder: Path, size: int) -> Callable[[], object]:
    """Shrink the file system that is mounted there to little more than what it holds."""
    remount(folder, f"{size + size // 4}")
    return lambda: remount(folder, "16m")


def remount(folder: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", folder], check=True)


@pytest.fixture
def mounted(tmp_path):
    """A small file system of its own."""
    command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", tmp_path]
    if sys.platform != "linux" or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a file system is not permitted here")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


def assert_a_full_disk_loses_nothing(folder: Path, fill: Callable[[Path, int], Callable]) -> None:
    path = folder / "c.pt"
    trained(tiny(), path)
    whole = load_checkpoint(path)
    path.unlink()
    run = train(tiny(), synthetic(tiny()), path)
    next(run), next(run)
    before = path.read_bytes()
    make_room = fill(folder, len(before))
    try:
        with pytest.raises(FileError, match=r"(?i)c\.pt.*(no space left|file too large)"):
            list(run)
    finally:
        make_room()
    assert path.read_bytes() == before
    assert [p.name for p in folder.iterdir()] == ["c.pt"]
    assert [r.step for r in trained(tiny(), path, resume=True)] == [3, 4]
    assert_equal_states(whole, load_checkpoint(path))


def test_a_write_that_fails_leaves_the_older_checkpoint_whole(tmp_path):
    assert_a_full_disk_loses_nothing(tmp_path, too_small_a_disk)


def test_a_full_file_system_leaves_the_older_checkpoint_whole(mounted):
    assert_a_full_disk_loses_nothing(mounted, full_tmpfs)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path):
    class Payload:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "owned"),))

    torch.save({"step": Payload()}, tmp_path / "evil.pt")
    with pytest.raises(FileError, match=r"evil\.pt: it is not a whole checkpoint"):
        checkpoints.load_checkpoint(tmp_path / "evil.pt")
    assert not (tmp_path / "owned").exists()
