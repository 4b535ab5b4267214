"""Two processes that share every step end with the same weights, one checkpoint and one log."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from _tiny import CRITIC, assert_equal_states, pictures, tiny
from PIL import Image

SCRIPT = """
import json, os, sys
from pathlib import Path
import torch
sys.path.insert(0, sys.argv[1])
from _tiny import DISCRIMINATORS
from napari_denoise.settings.recipe import TrainSettings
from napari_denoise.models import registry
from napari_denoise.training.loop import train as loop
from napari_denoise.training.loop.run import Run

registry.DISCRIMINATORS = DISCRIMINATORS
torch.set_num_threads(1)
folder = Path(sys.argv[2])
states = []


class Kept(loop.TrainingState):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        states.append(self)


loop.TrainingState = Kept
run = Run(TrainSettings.parse(json.loads(sys.argv[3])), folder / "run")
reports = list(run.train(folder / "data", processes=2))
rank = states[0].fabric.global_rank
torch.save(
    {
        "state": states[0].state_dict(),
        "pixel": [report.terms["pixel"] for report in reports],
        "gradient": [report.terms["gradient_norm"] for report in reports],
    },
    folder / f"{rank}.pt",
)
run.export(folder / f"{rank}.safetensors")
torch.distributed.destroy_process_group()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="processes meet over gloo, tried on Linux")
def test_two_processes_share_every_step(tmp_path):
    settings = tiny(
        config={"channels": 1, "widths": [8, 8], "blocks": [1, 1, 1], "spread": True},
        distortion={"steps": 3, "spread": 0.1},
        adversarial={**CRITIC, "steps": 3, "critic_steps": 2},
    )
    (tmp_path / "data").mkdir()
    for number, picture in enumerate(pictures()):
        Image.fromarray(picture[..., 0]).save(tmp_path / "data" / f"{number}.png")
    script = tmp_path / "script.py"  # started again for the second process, so a file
    script.write_text(SCRIPT)
    command = [sys.executable, script, Path(__file__).parents[1], tmp_path]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"}
    done = subprocess.run(
        [*command, json.dumps(settings.to_json())],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    one, other = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert len(one["pixel"]) == len(other["pixel"]) == 6
    assert one["pixel"] != other["pixel"]  # each had patches of its own
    assert one["gradient"] == other["gradient"]  # of all of them
    assert_equal_states(one["state"], other["state"])
    kept = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    assert_equal_states(one["state"], kept)
    weights = [(tmp_path / f"{rank}.safetensors").read_bytes() for rank in (0, 1)]
    assert weights[0] == weights[1]
    with (tmp_path / "run" / "log.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["6"]
