"""Images of one file on the command line: info lists them, denoise writes each by its name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from _networks import write_tiny_weights
from napari_denoise.cli import app


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    path = tmp_path / "plate.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tif:
        for number, name in enumerate(("A1", "B 2")):
            noise = np.random.default_rng(number).poisson(200 * (number + 1), (40, 48))
            tif.write(noise.astype("uint16"), metadata={"axes": "YX", "Name": name})
    return path


def test_info_lists_every_image(plate: Path) -> None:
    found = json.loads(CliRunner().invoke(app, ["info", str(plate), "--json"]).stdout)
    assert [(entry["series"], entry["image"]) for entry in found] == [(0, "A1"), (1, "B_2")]
    shown = CliRunner().invoke(app, ["info", str(plate), "--series", "1"]).stdout
    assert "plate.ome.tif [B_2]" in shown and "A1" not in shown


def test_one_position_is_denoised_or_a_wrong_one_refused(plate: Path) -> None:
    clean, tiny = plate.parent / "clean", write_tiny_weights(plate.parent / "tiny.safetensors")
    words = ["denoise", str(plate), "-o", str(clean), "-w", str(tiny), "--position"]
    done = CliRunner().invoke(app, [*words, "b_2"])
    assert done.exit_code == 0, done.output
    assert [file.name for file in clean.iterdir() if file.suffix == ".tif"] == ["plate_B_2.ome.tif"]
    assert abs(tifffile.imread(clean / "plate_B_2.ome.tif").mean() - 400) < 40
    wrong = CliRunner().invoke(app, [*words, "C3"])
    assert wrong.exit_code == 2
    assert "no image 'C3'" in " ".join(wrong.output.split())
