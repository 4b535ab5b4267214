"""The batch command: plan, run, again, and what its exit code says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from _networks import write_tiny_weights
from napari_denoise.cli import app
from napari_denoise.io.meta import ImageMeta
from napari_denoise.io.write import write


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name, shape, axes in (("a", (24, 30), "YX"), ("sub/b", (3, 24, 30), "TYX")):
        path = tmp_path / f"raw/{name}.ome.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, (100 + 4 * rng.poisson(30, shape)).astype(np.uint16), ImageMeta(axes))
    return tmp_path / "raw"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_weights(tmp_path_factory.mktemp("weights") / "tiny.safetensors"))


def batch(*arguments: object) -> tuple[int, str, str]:
    given = ["batch", *map(str, arguments), "-d", "cpu", "--precision", "float32"]
    result = CliRunner().invoke(app, given)
    return result.exit_code, result.stdout, result.stderr


def test_a_dry_run_lists_everything_and_writes_nothing(raw: Path, weights: str) -> None:
    (raw / "bad.tif").write_bytes(b"no image")
    np.save(raw / "c.npy", np.zeros((3, 16, 16), np.uint16))
    out = raw.parent / "out"
    code, text, errors = batch(raw, "-r", "-o", out, "-w", weights, "--dry-run", "--json")
    rows = {Path(row["input"]).name: row for row in json.loads(text)}
    assert code == 1
    assert set(rows) == {"a.ome.tif", "b.ome.tif", "bad.tif", "c.npy"}
    assert rows["b.ome.tif"]["shape"] == [3, 24, 30]
    assert rows["b.ome.tif"]["neighbors"] == "2 along T"
    assert rows["b.ome.tif"]["result"] == str(out / "sub/b.ome.tif")
    assert rows["a.ome.tif"]["seconds"] > 0
    assert rows["a.ome.tif"]["result_bytes"] == 24 * 30 * 2
    assert "not a whole TIFF file" in rows["bad.tif"]["problem"]
    assert rows["c.npy"]["act"] == "refuse"
    assert "names no axes, TYX of shape (3, 16, 16) is a guess; state" in rows["c.npy"]["problem"]
    assert "--guess-axes" in errors
    assert "bad.tif" in errors
    assert not out.exists()


def test_run_then_again_then_with_other_names(raw: Path, weights: str) -> None:
    out = raw.parent / "out"
    code, text, _ = batch(raw, "-r", "-o", out, "-w", weights)
    assert code == 0
    assert (out / "sub/b.ome.tif").is_file()
    assert "2 denoised" in text
    assert str(out / "batch.html") in text
    code, text, _ = batch(raw, "-r", "-o", out, "-w", weights)
    assert code == 0
    assert "2 skipped" in text
    code, _, errors = batch(raw, "-r", "-o", raw, "-w", weights, "--name", "{stem}_denoised")
    assert code == 0, errors
    assert (raw / "a_denoised.ome.tif").is_file()
    # Results beside their inputs are no inputs.
    code, text, errors = batch(raw, "-r", "-o", raw, "-w", weights, "--name", "{stem}_denoised")
    assert code == 0
    assert "2 skipped" in text
    assert "2 results of earlier runs left out" in errors


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (["--name", "result"], "is the same for all inputs"),
        (["--name", "{stem}_{date}"], "holds {date}: expected {stem}, {parent} or {image}"),
        (["--name", "../{stem}"], "expected a name, or one in a subfolder"),
        (["--format", "gif"], "format 'gif' is not written"),
        (["--workers", "1", "--scheduler", "tcp://x:1"], "give one of them"),
    ],
)
def test_what_cannot_be_asked_for_is_said(
    raw: Path, weights: str, arguments: list[str], rule: str
) -> None:
    code, _, errors = batch(raw, "-o", raw.parent / "out", "-w", weights, *arguments)
    assert code == 2
    assert rule in " ".join(errors.split())


def test_a_folder_of_folders_is_said(raw: Path, weights: str) -> None:
    (raw / "a.ome.tif").unlink()
    code, _, errors = batch(raw, "-o", raw.parent / "out", "-w", weights)
    assert code == 2
    assert "it holds no image, only 1 folder; pass --recursive" in " ".join(errors.split())


def test_collisions_are_refused_and_the_rest_is_done(raw: Path, weights: str) -> None:
    out = raw.parent / "out"
    write(raw / "sub/a.ome.tif", np.arange(400, dtype=np.uint16).reshape(20, 20), ImageMeta("YX"))
    arguments = [raw, "-r", "-o", out, "-w", weights, "--name", "all/{stem}"]
    code, _, errors = batch(*arguments)
    assert code == 1
    assert "would both be written there" in " ".join(errors.split())
    assert [file.name for file in (out / "all").glob("*.tif")] == ["b.ome.tif"]


def test_without_the_extra_one_sentence_names_it(
    raw: Path, weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    code, _, errors = batch(raw, "-r", "-o", raw.parent / "out", "-w", weights, "--workers", 2)
    assert code == 2
    assert "pip install 'napari-denoise[cluster]'" in errors


def test_a_second_run_into_one_folder_is_refused_clearly(raw: Path, weights: str) -> None:
    from napari_denoise.batch import journal

    with journal.opened(raw.parent / "out"):
        code, _, errors = batch(raw, "-r", "-o", raw.parent / "out", "-w", weights)
    assert code != 0
    assert "another batch is at work in this folder; wait for it" in " ".join(errors.split())
    assert "Traceback" not in errors
